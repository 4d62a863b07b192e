"""Makes the planned faults as agents arrive at their points, and keeps account of them."""

import contextlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from study.drill._agents import Agents
from study.drill._faults import Fault, Kind, Point
from study.drill._line import Arrival
from study.drill._relay import Relay

FROZEN_LEASES = 2.0
"""How long a process is frozen, an answer delayed or a lock held, in leases."""
FATAL = (Kind.KILL, Kind.FREEZE)


@dataclass(frozen=True)
class Made:
    """A fault that struck.

    Attributes:
        number: Of the trial it struck; None for one that struck all that ran.
        recovered_s: Until somebody took the next step of that trial; None where none was left to take.
    """

    fault: Fault
    at: float
    number: int | None
    recovered_s: float | None = None


class Director:
    """Decides at each arrival, in the thread that holds the process.

    Attributes:
        calm: Whether no fault is made for now, until all agents have been heard of.
        made: The faults that have struck.
        arrivals: Of all processes at all points.
    """

    def __init__(
        self,
        planned: Sequence[Fault],
        agents: Agents,
        relays: Sequence[Relay],
        *,
        lease_s: float,
        runs: Callable[[int, int], bool],
        sqlite_file: str | None,
    ) -> None:
        """Take charge.

        Args:
            planned: Faults, first ones first.
            agents: To which they happen.
            relays: One per agent before a server; none before an SQLite file.
            lease_s: Of the study.
            runs: Whether the attempt (trial's number, attempt) is the running one, by the database.
            sqlite_file: The database, if it is one.
        """
        self._pending = list(planned)
        self._agents, self._relays = agents, relays
        self._pause_s, self._runs, self._sqlite_file = FROZEN_LEASES * lease_s, runs, sqlite_file
        self._disturbed: set[int] = set(range(len(agents)))  # until they are first heard of
        self._lock = threading.Lock()
        self.calm = False
        self.made: list[Made] = []
        self.arrivals: list[Arrival] = []

    @property
    def all_heard_of(self) -> bool:
        """Whether every agent is up and undisturbed."""
        return not self._disturbed

    @property
    def started(self) -> int:
        """Trials that have been claimed, as far as agents have said."""
        return 1 + max((arrival.number for arrival in self.arrivals), default=-1)

    def arrived(self, arrival: Arrival) -> None:
        """Deal with a process at a point; it goes on when this returns."""
        slot = self._agents.slot_of(arrival.pid)
        if slot is None:
            return
        with self._lock:
            self._heard_of(slot, arrival)
            fault = self._due(slot, arrival)
            if fault is not None:
                self._disturbed.add(slot)
                self._pending.remove(fault)
                self.made.append(Made(fault, arrival.at, arrival.number))
        if fault is not None:
            self._make(fault.kind, slot, arrival)

    def strike(self, fault: Fault, action: Callable[[], None]) -> None:
        """Make a fault that strikes all that run."""
        with self._lock:
            self.made.append(Made(fault, time.monotonic(), None))
            self._disturbed |= set(range(len(self._agents)))
        action()

    def ended(self, slot: int) -> None:
        """An agent has ended."""
        with self._lock:
            self._disturbed.discard(slot)

    def _heard_of(self, slot: int, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._disturbed.discard(slot)
        for index, made in enumerate(self.made):
            if made.recovered_s is None and made.number in (arrival.number, None):
                self.made[index] = replace(made, recovered_s=arrival.at - made.at)

    def _due(self, slot: int, arrival: Arrival) -> Fault | None:
        """The first fault for this point, if enough agents are left to take over and a live attempt is struck."""
        if self.calm or len(self._disturbed) >= max(1, len(self._agents) - 1):
            return None
        point = Point(arrival.step, arrival.when)
        fault = next((fault for fault in self._pending if fault.point == point), None)
        return fault if fault is not None and self._live(point, arrival) else None

    def _live(self, point: Point, arrival: Arrival) -> bool:
        # A claim's attempt is not there before its commit, and a finish has ended it: they were let through the fence.
        inside = point in (Point("claim", "before the commit"), Point("finish", "after the commit"))
        return inside or self._runs(arrival.number, arrival.attempt)

    def _make(self, kind: Kind, slot: int, arrival: Arrival) -> None:
        match kind:
            case Kind.KILL:
                self._agents.kill(slot)
                self._agents.start(slot)
            case Kind.FREEZE:
                self._freeze({self._agents.pid(slot), arrival.pid})
            case Kind.KILL_WORKER:
                self._agents.signal(self._agents.worker_of(slot) or arrival.pid, signal.SIGKILL)
            case Kind.FREEZE_WORKER:
                worker = self._agents.worker_of(slot)
                if worker is not None:
                    threading.Thread(target=self._freeze, args=({worker},), daemon=True).start()
            case Kind.CUT:
                self._relays[slot].cut()
            case Kind.MUTE:
                self._relays[slot].mute()
            case Kind.DELAY:
                self._relays[slot].delay(self._pause_s)
            case Kind.LOCK:
                self._hold_lock()

    def _freeze(self, pids: set[int]) -> None:
        for pid in pids:
            self._agents.signal(pid, signal.SIGSTOP)
        try:
            time.sleep(self._pause_s)
        finally:
            for pid in pids:
                self._agents.signal(pid, signal.SIGCONT)

    def _hold_lock(self) -> None:
        with contextlib.closing(sqlite3.connect(str(self._sqlite_file), timeout=30.0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(self._pause_s)
            other.execute("ROLLBACK")
