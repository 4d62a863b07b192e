"""Work that is recorded once and then repeated with a single launch."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import torch


class Graph(Protocol):
    """Repeats a function of tensors that keep their place. It belongs to one thread and one device."""

    def warm_up(self, function: Callable[[], None]) -> None:
        """Call the function as it will be captured, so that what is made at a first call is there."""
        ...

    def capture(self, function: Callable[[], None]) -> None:
        """Record what the function does on the device; nothing of it need have happened afterwards.

        Raises:
            RuntimeError: it does something that cannot be repeated so, such as waiting for the device.
        """
        ...

    def replay(self) -> None:
        """Do again what was captured.

        Random numbers come from the device's global generator: as it is seeded now, not as it was when captured.
        """
        ...


class CudaGraph:
    """A CUDA graph. Its memory is its own, beside PyTorch's pool, and is free when the last reference is gone."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = _stream(device)
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, function: Callable[[], None]) -> None:
        """See `Graph.warm_up`; on the stream that captures, since libraries keep a workspace for each."""
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            function()
        usual.wait_stream(self._stream)

    def capture(self, function: Callable[[], None]) -> None:
        """See `Graph.capture`. Where that fails, no other graph of this process may be replayed with random numbers.

        Raises:
            RuntimeError: also where a step outside of the graph would find too little memory beside it.
        """
        torch.cuda.empty_cache()  # of what the warm-up has taken
        before = torch.cuda.memory_reserved(self._device)
        # Where capturing fails, `graph` leaves its stream the current one; the outer context puts that right. Other
        # threads may do as they like meanwhile: none of them uses this stream.
        try:
            with (
                _nothing_collected(),
                torch.cuda.stream(self._stream),
                torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                function()
        except BaseException:
            _renew_generator(self._device)
            raise
        taken, (left, _) = torch.cuda.memory_reserved(self._device) - before, torch.cuda.mem_get_info(self._device)
        if left < taken:
            raise RuntimeError(f"its {taken / 2**20:.0f} MiB would leave {left / 2**20:.0f} MiB for batches without it")

    def replay(self) -> None:
        """See `Graph.replay`."""
        self._graph.replay()


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which this process captures: cuBLAS keeps up to 32 MiB for every stream that it has seen."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's annotation
    return stream


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Put off the collection of cycles: to free what an earlier training left may ask CUDA what a capture forbids."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _renew_generator(device: torch.device) -> None:
    """Give the device's global generator a new state, with the same numbers to come.

    A capture that CUDA has refused can leave the old one marked as being captured: the next dropout would raise.
    """
    generator = torch.cuda.default_generators[device.index]
    generator.graphsafe_set_state(generator.clone_state())


def graph_for(device: torch.device) -> Graph | None:
    """Return an empty graph of this kind of device, or None where there is none."""
    return CudaGraph(device) if device.type == "cuda" else None
