"""What a GPU does beside computing, done by a CPU, so that all but the GPU's own calls is tested without one."""

import contextlib
from collections.abc import Callable, Iterator
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


GRAPH_BYTES = 2**30


class FakeStream:
    """A queue of CUDA that does everything at once, and notes what it was told to wait for."""

    def __init__(self, device: object = None) -> None:
        self.waited: list[object] = []

    def wait_stream(self, other: object) -> None:
        self.waited.append(other)

    def wait_event(self, event: object) -> None:
        self.waited.append(event)


class FakeEvent:
    """A mark in a queue; `recorded` is the queue, `synchronized` how often it was waited for."""

    def __init__(self) -> None:
        self.recorded: object = None
        self.synchronized = 0
        self.waits: Callable[[], None] = lambda: None

    def record(self, stream: object) -> None:
        self.recorded = stream

    def synchronize(self) -> None:
        self.synchronized += 1
        self.waits()


class FakeCuda:
    """PyTorch's calls of CUDA that `CudaGraph` and `CudaLink` make, on tensors of the CPU.

    Attributes:
        current: the queue that work would go to.
        captured: what `torch.cuda.graph` was told: the graph, the queue and the mode.
        refuses: whether capturing fails as it leaves, its own queue still current.
        device: the calling thread's; the only one that is used has no number.
        generator: that device's.
        free: bytes; a graph takes `GRAPH_BYTES` of them.
    """

    def __init__(self, monkeypatch) -> None:
        self.current = FakeStream()
        self.captured: list[tuple[object, object, str]] = []
        self.refuses = False
        self.free = 10 * GRAPH_BYTES
        self.device = 0
        self.generator = FakeGenerator()
        for name, stand_in in (
            ("device", self.on_device),
            ("default_generators", {None: self.generator}),
            ("Stream", FakeStream),
            ("Event", FakeEvent),
            ("current_stream", lambda device=None: self.current),
            ("stream", self.stream),
            ("graph", self.graph),
            ("CUDAGraph", FakeGraph),
            ("empty_cache", lambda: None),
            ("memory_reserved", lambda device: GRAPH_BYTES * len(self.captured)),
            ("mem_get_info", lambda device: (self.free, 0)),
        ):
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: None)

    @contextlib.contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def on_device(self, device: torch.device) -> Iterator[None]:
        before, self.device = self.device, device.index
        try:
            yield
        finally:
            self.device = before

    @contextlib.contextmanager
    def graph(self, graph: "FakeGraph", *, stream: FakeStream, capture_error_mode: str) -> Iterator[None]:
        self.captured.append((graph, stream, capture_error_mode))
        self.current = stream
        yield
        self.free -= GRAPH_BYTES
        if self.refuses:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


class FakeGenerator:
    """A generator; `renewed` is the copy of its state that it was given."""

    def __init__(self) -> None:
        self.renewed: object = None

    def clone_state(self) -> str:
        return "a copy"

    def graphsafe_set_state(self, state: object) -> None:
        self.renewed = state


class FakeGraph:
    """Counts its replays."""

    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
