"""The events of the comparison, and how a tutorial's script reads them: event by event from a memory map."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

PARTS = ("training", "validation", "test")
EVALUATION_BATCH = 64  # events


@dataclass(frozen=True)
class Prepared:
    """What a script must know of the events; gathered once, outside the measured time.

    Attributes:
        path: the HDF5 file.
        offset: the byte at which its events begin, contiguous float32 (N, H, W, C).
        statistics: of the training events, for normalisation.
        labels: (N,) class of each event.
        parts: indices of each part.
    """

    path: str
    offset: int
    shape: tuple[int, int, int, int]
    statistics: dict[str, Any]
    labels: NDArray[np.int64]
    parts: dict[str, NDArray[np.int64]]


def prepare(folder: Path, events: int, seed: int, split: dict[str, Any]) -> None:
    """Simulate the events, unless they are there, and write down their split and statistics."""
    from objectives._data import DataSettings, load_source, open_dataset
    from objectives._statistics import statistics
    from study.generation import write_simulation

    path = folder / f"events-{events}.h5"
    if not path.exists():
        write_simulation(path, events, seed)
    dataset = open_dataset(DataSettings(path, **split), stratify=True)
    if dataset.file.stored.offset is None:
        raise RuntimeError(f"{path} cannot be mapped; delete it, it is simulated again")
    source = load_source(dataset, dataset.split.training, cache="memory")
    facts = {
        "path": str(path),
        "offset": dataset.file.stored.offset,
        "shape": dataset.file.stored.shape,
        "statistics": statistics(source, dataset.axes),
    }
    (folder / "data.json").write_text(json.dumps(facts), encoding="utf-8")
    arrays = {part: getattr(dataset.split, part) for part in PARTS}
    np.savez(folder / "data.npz", labels=dataset.targets.astype(np.int64), **arrays)


def load_prepared(folder: Path) -> Prepared:
    """What `prepare` has written."""
    facts = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    arrays = dict(np.load(folder / "data.npz"))
    facts["shape"] = tuple(facts["shape"])
    return Prepared(**facts, labels=arrays.pop("labels"), parts=arrays)


class EventDataset(Dataset[tuple[torch.Tensor, int]]):
    """One part of the events: each is copied from the map and its channels are moved to the front."""

    def __init__(self, prepared: Prepared, part: str) -> None:
        self._events = np.memmap(prepared.path, np.float32, "r", prepared.offset, prepared.shape)
        self._indices = prepared.parts[part]
        self._labels = prepared.labels

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        index = self._indices[position]
        # Of three ways to write this the fastest; collating makes the batch contiguous.
        return torch.from_numpy(np.array(self._events[index]).transpose(2, 0, 1)), int(self._labels[index])


def training_loader(events: EventDataset, batch_size: int, workers: int) -> DataLoader[Any]:
    """Shuffled batches; an event alone in the last one is left out, as batch normalisation needs two."""
    alone = len(events) % batch_size == 1
    return DataLoader(
        events, batch_size, shuffle=True, drop_last=alone, num_workers=workers, persistent_workers=workers > 0
    )


def evaluation_loader(events: EventDataset, workers: int) -> DataLoader[Any]:
    """Batches in order."""
    return DataLoader(events, EVALUATION_BATCH, num_workers=workers, persistent_workers=workers > 0)
