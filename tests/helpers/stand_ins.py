"""What a GPU does beside computing, done by a CPU, so that all but the GPU's own calls is tested without one."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from objectives import _captured


class EagerGraph:
    """A graph that calls the function when it is replayed.

    Attributes:
        made: all graphs, in the order in which they were made; a test begins with none.
        replays: how often this one was replayed.
    """

    made: ClassVar["list[EagerGraph]"] = []

    def __init__(self, device: torch.device) -> None:
        self.replays = 0
        self._function: Callable[[], None] | None = None
        EagerGraph.made.append(self)

    def warm_up(self, function: Callable[[], None]) -> None:
        function()

    def capture(self, function: Callable[[], None]) -> None:
        self._function = function

    def replay(self) -> None:
        assert self._function is not None, "nothing has been captured"
        self.replays += 1
        self._function()


class RefusingGraph(EagerGraph):
    """A graph that cannot hold what a function does."""

    def capture(self, function: Callable[[], None]) -> None:
        function()
        raise RuntimeError("operation not permitted when stream is capturing\nand more of it")


class ForgetfulGraph(EagerGraph):
    """A graph whose replay does nothing."""

    def capture(self, function: Callable[[], None]) -> None:
        super().capture(lambda: None)


def with_graphs(monkeypatch, kind: Callable[[torch.device], EagerGraph] = EagerGraph) -> None:
    """Let a CPU have graphs of this kind."""
    EagerGraph.made = []
    monkeypatch.setattr(_captured, "graph_for", kind)


class DirectLink:
    """A link to memory of the host, which copies at once.

    Attributes:
        in_flight: the addresses of buffers that nobody has waited for since they were sent.
    """

    def __init__(self) -> None:
        self.in_flight: dict[int, int] = {}

    def host_buffer(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape)

    def device_buffer(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape)

    def send(self, index: int, sent: Tensor, arriving: Tensor) -> None:
        assert index not in self.in_flight
        self.in_flight[index] = sent.data_ptr()
        arriving.copy_(sent)

    def take(self, arriving: Tensor, taken: Tensor) -> None:
        taken.copy_(arriving)

    def wait_sent(self, index: int) -> None:
        self.in_flight.pop(index, None)
