"""The tutorial's way: its network, an event-by-event `Dataset`, a DataLoader of 3 processes, SGD, eager float32."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

SHAPE = (38, 16, 40)
"""Channels, height and width of an event."""
CLASSES = 3
BATCH, WORKERS = 32, 3
LR, MOMENTUM = 0.01, 0.9


class SimpleCNN(nn.Module):
    """The tutorial's network: 1×1 to 32 channels, 3×3 convolutions of 64, 64, 64, 128, 128, pools, dense 128-128."""

    def __init__(self) -> None:
        super().__init__()
        channels, height, width = SHAPE
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 1),
            nn.ReLU(),
            *_convolution(32, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 128),
            *_convolution(128, 128),
        )
        features = 128 * (height // 4) * (width // 4)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 38, 16, 40) to (B, 3) logits."""
        logits: Tensor = self.head(self.body(images))
        return logits


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()


class EventByEvent(Dataset[Any]):
    """One event at a time from a memory map, its axes turned to channels first.

    Args:
        path: raw float32, (N, H, W, C).
        labels: (N,).
    """

    def __init__(self, path: Path, labels: Any) -> None:
        self._path, self._labels = path, labels
        self._events: Any = None

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Any:
        if self._events is None:  # in the loader's own process
            channels, height, width = SHAPE
            shape = (len(self), height, width, channels)
            self._events = np.memmap(self._path, np.float32, mode="r", shape=shape)
        return torch.from_numpy(np.ascontiguousarray(self._events[index].transpose(2, 0, 1))), self._labels[index]


def tutorial_rate(path: Path, labels: Any, device: torch.device, seconds: float) -> float:
    """Events per second of the tutorial's training loop, after its first ten batches."""
    torch.manual_seed(0)
    model = SimpleCNN().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    loader: Any = DataLoader(EventByEvent(path, labels), batch_size=BATCH, shuffle=True, num_workers=WORKERS)
    seen, began = 0, 0.0
    for number, (images, targets) in enumerate(_endless(loader)):
        if number == 10:
            seen, began = 0, time.perf_counter()
        if began and time.perf_counter() - began > seconds:
            break
        loss = criterion(model(images.to(device)), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # the tutorial logs it at every step
        seen += len(images)
    return seen / (time.perf_counter() - began)


def _endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
