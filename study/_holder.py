"""A holder: the process that keeps the events on one device and lends that one copy to the device's workers.

It is forked as workers are, so it finds the events in memory; its agent hands it one end of a line to each worker.
On CUDA a tensor travels as a handle that its receiver opens (IPC); on a CPU, in tests, as a piece of shared memory.
The copy lives as long as this process: when its line closes, a worker must not touch what it has borrowed, and ends.
"""

import contextlib
import gc
import logging
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle

import torch
import torch.multiprocessing  # lets connections carry tensors
from torch import Tensor

from objectives._memory import available_memory
from objectives._resident import Resident, resident_bytes
from study import _preload
from study._failures import failed
from study._lifeline import end_with_parent, end_with_peer
from study._training import TrialData
from study._trial_log import show_warnings

logger = logging.getLogger(__name__)

SHARE = 0.7
"""Of a device's free memory that the events may take; the networks and their activations need the rest."""
PROBE = tuple(range(8))
"""What `Probe` carries."""


@dataclass(frozen=True)
class Probe:
    """Sent first, as lent tensors are: what cannot be opened, or reads as something else, is not worth lending."""

    numbers: Tensor

    @property
    def sound(self) -> bool:
        """Whether the numbers have arrived."""
        return tuple(self.numbers.tolist()) == PROBE


@dataclass(frozen=True)
class Offer:
    """The events, to be read only: `Resident.tensors` of each part."""

    training: tuple[Tensor, ...]
    validation: tuple[Tensor, ...]


@dataclass(frozen=True)
class Alone:
    """Nothing is lent.

    Attributes:
        reason: Why, in a few words.
        fits: Whether each worker may have a copy of its own on the device.
    """

    reason: str
    fits: bool = False


@dataclass(frozen=True)
class Unusable:
    """The device cannot be used, or the events not be put there; for the reason given no worker can train."""

    reason: str


def main(control: Connection, device: str, threads: int, sharers: int) -> None:
    """Hold the events until the agent at the other end of `control` hangs up.

    Args:
        control: Brings the ends of the lines to workers.
        device: Torch's name.
        threads: Threads that torch may use on the CPU.
        sharers: Workers among whom the device's memory is divided.
    """
    end_with_parent()
    end_with_peer(control)
    show_warnings()
    torch.set_num_threads(threads)
    warm = _preload.WARM
    if warm is None:  # each worker reports that
        return
    _Holder(warm.data, device, sharers).serve(control)


class _Holder:
    def __init__(self, data: TrialData, device: str, sharers: int) -> None:
        self._device, self._sharers, self._needed = device, sharers, bytes_of(data)
        self._held: Offer | None = None
        self._else: Alone | Unusable = Alone("")
        try:
            self._fill(data)
        except Exception as error:
            found = failed(error)
            unusable = Unusable(f"the events cannot be held on {device}: {found.reason}")
            self._else = Alone(found.reason) if found.failure == "oom" else unusable
        if self._held is None:  # a part may have been filled; no traceback keeps it any more
            free_memory()

    def serve(self, control: Connection) -> None:
        lines: list[Connection] = []
        while True:
            for ready in wait([control, *lines]):
                if ready is control:
                    line = Connection(recv_handle(control))
                    lines.append(line)
                    self._say(line, self._first())
                elif isinstance(ready, Connection) and not self._answered(ready):
                    lines.remove(ready)
                    ready.close()

    def _fill(self, data: TrialData) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.set_device(self._device)  # else a context may be made on the first one too
        free = free_bytes(self._device)
        if self._needed > SHARE * free:
            self._else = Alone(
                f"the events take {self._needed / 1e9:.2f} GB, more than {SHARE:.0%} of the {free / 1e9:.2f} GB free"
            )
            return
        training, validation = (
            Resident.upload(part.source, part.axes, self._device, part.float16_channels).tensors
            for part in (data.training, data.validation)
        )
        self._held = Offer(training, validation)

    def _first(self) -> object:
        if self._held is None:
            return self._else
        return Probe(torch.tensor(PROBE, device=self._device))

    def _answered(self, line: Connection) -> bool:
        """Deal with what a worker says of the probe; whether it is still there."""
        try:
            refusal = line.recv()
        except (EOFError, OSError):
            return False
        if refusal is not None and self._held is not None:
            self._drop(refusal)
        self._say(line, self._held or self._else)
        return True

    def _say(self, line: Connection, answer: object) -> None:
        with contextlib.suppress(ConnectionError):  # a worker that has gone is noticed by its line
            try:
                line.send(answer)
            except RuntimeError as error:  # the driver gives no handle; nothing has been sent
                self._drop(failed(error).reason)
                line.send(self._else)

    def _drop(self, reason: str) -> None:
        """Free the copy, so that workers have room for their own."""
        self._held = None
        free_memory()
        fits = self._needed <= SHARE * free_bytes(self._device) / self._sharers
        self._else = Alone(f"this machine does not let processes share its memory ({reason})", fits)


def bytes_of(data: TrialData) -> int:
    """Bytes of a device's memory that the training and validation events take."""
    return sum(
        resident_bytes(part.source, part.axes, part.float16_channels) for part in (data.training, data.validation)
    )


def free_memory() -> None:
    """Give back to the device what this process has freed: its allocator would keep it from all others."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        with contextlib.suppress(RuntimeError):  # of a device that has failed; that is told elsewhere
            torch.cuda.empty_cache()


def free_bytes(device: str) -> int:
    """Bytes of a device's memory that are free."""
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else available_memory()
