"""The way from the host's memory to a device's, beside the computation there."""

from typing import Protocol

import torch
from torch import Tensor


class Link(Protocol):
    """Sends buffers one at a time. `wait_sent` may be called by another thread than the other methods."""

    def host_buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Return float32 memory of the host to send from."""
        ...

    def device_buffer(self, shape: tuple[int, ...]) -> Tensor:
        """Return float32 memory of the device, all 0."""
        ...

    def send(self, index: int, sent: Tensor, arriving: Tensor) -> None:
        """Begin to copy `sent`, a part of the host's buffer `index`, once what arrived there before has been taken."""
        ...

    def take(self, arriving: Tensor, taken: Tensor) -> None:
        """Let the computation copy what arrives to `taken`; the host does not wait."""
        ...

    def wait_sent(self, index: int) -> None:
        """Wait until nothing is copied any more from the host's buffer `index`."""
        ...


class CudaLink:
    """Pinned memory, copied by a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's annotation
        self._taken = torch.cuda.Event()  # type: ignore[no-untyped-call]  # likewise
        self._sent: dict[int, torch.cuda.Event] = {}

    def host_buffer(self, shape: tuple[int, ...]) -> Tensor:
        """See `Link.host_buffer`."""
        return torch.empty(shape, pin_memory=self._device.type == "cuda")

    def device_buffer(self, shape: tuple[int, ...]) -> Tensor:
        """See `Link.device_buffer`."""
        buffer = torch.zeros(shape, device=self._device)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        buffer.record_stream(self._stream)
        return buffer

    def send(self, index: int, sent: Tensor, arriving: Tensor) -> None:
        """See `Link.send`."""
        self._stream.wait_event(self._taken)
        with torch.cuda.stream(self._stream):
            arriving.copy_(sent, non_blocking=True)
        if index not in self._sent:
            self._sent[index] = torch.cuda.Event()  # type: ignore[no-untyped-call]  # likewise
        self._sent[index].record(self._stream)

    def take(self, arriving: Tensor, taken: Tensor) -> None:
        """See `Link.take`."""
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._stream)
        taken.copy_(arriving)
        self._taken.record(computing)

    def wait_sent(self, index: int) -> None:
        """See `Link.wait_sent`; a thread begins with the first device, where waiting would make a context."""
        if index in self._sent:
            with torch.cuda.device(self._device):
                self._sent[index].synchronize()
