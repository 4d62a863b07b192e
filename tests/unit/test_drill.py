import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from study.drill._faults import POINTS, Kind, plan_faults, plan_sleepers
from study.drill._relay import Relay


@pytest.mark.parametrize("server", [True, False])
def test_33_faults_strike_each_point_three_times_in_three_ways(server: bool) -> None:
    planned = plan_faults(33, 1, server=server)

    assert Counter(fault.point for fault in planned) == dict.fromkeys(POINTS, 3)
    assert len(set(planned)) == 33
    assert all(any(f.point == point and f.kind is kind for f in planned) for point in POINTS for kind in FATAL)


FATAL = (Kind.KILL, Kind.FREEZE)


def test_what_more_is_asked_for_comes_on_top_and_a_seed_fixes_it() -> None:
    assert plan_faults(60, 1, server=True)[:33] == plan_faults(33, 1, server=True)
    assert plan_faults(60, 1, server=True) == plan_faults(60, 1, server=True)
    assert plan_faults(60, 1, server=True) != plan_faults(60, 2, server=True)
    assert len(plan_faults(60, 1, server=True)) == 60


def test_a_file_has_no_connection_to_cut_and_a_server_no_file_to_lock() -> None:
    file, server = ({f.kind for f in plan_faults(300, 1, server=server)} for server in (False, True))

    assert not file & {Kind.CUT, Kind.MUTE, Kind.DELAY}
    assert Kind.LOCK not in server
    assert {Kind.CUT, Kind.MUTE, Kind.DELAY} <= server


def test_sleepers_wake_after_others_may_have_taken_over() -> None:
    assert {(fault.kind, fault.point.when) for fault in plan_sleepers(20, 1)} == {(Kind.FREEZE, "after the commit")}


class Echo:
    """A server that answers every line with the same line, and remembers what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.got: list[bytes] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with client:
            while data := client.recv(1000):
                self.got.append(data)
                client.sendall(data)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    made = Relay("127.0.0.1", echo.port)
    yield made
    made.close()


def connected(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def asked(client: socket.socket, question: bytes) -> bytes:
    """The answer; nothing if the connection was closed instead."""
    try:
        client.sendall(question)
        return client.recv(1000)
    except ConnectionError:
        return b""


def test_a_relay_passes_everything_on(relay: Relay) -> None:
    with closing(connected(relay)) as first, closing(connected(relay)) as second:
        assert asked(first, b"a") == b"a"
        assert asked(second, b"b") == b"b"


def test_a_cut_closes_connections_and_lets_new_ones_through(relay: Relay) -> None:
    with closing(connected(relay)) as client:
        asked(client, b"a")
        relay.cut()

        assert asked(client, b"b") == b""
    with closing(connected(relay)) as client:
        assert asked(client, b"c") == b"c"


def test_a_swallowed_answer_is_one_whose_question_arrived(relay: Relay, echo: Echo) -> None:
    with closing(connected(relay)) as client:
        asked(client, b"a")
        relay.mute()

        assert asked(client, b"commit") == b""
    assert echo.got == [b"a", b"commit"]
    with closing(connected(relay)) as client:
        assert asked(client, b"c") == b"c"


def test_a_delayed_answer_comes_late(relay: Relay) -> None:
    with closing(connected(relay)) as client:
        relay.delay(0.3)
        began = time.monotonic()

        assert asked(client, b"a") == b"a"
    assert time.monotonic() - began >= 0.3
