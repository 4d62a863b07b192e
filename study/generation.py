"""Simulated events, written to a file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from storage.hdf5 import write_events
from study.simulation.events import CLASS_NAMES, simulate


def write_simulation(
    path: Path,
    count: int,
    seed: int,
    *,
    overwrite: bool = False,
    hits: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Write simulated events in the reference format, or as digitised hits.

    Args:
        path: The file; it appears only when it is whole.
        count: Number of events.
        seed: Seed of all randomness.
        overwrite: Replace an existing file.
        hits: Write WatChMaL's digitised hits, and beside them a map from tubes to pixels: the same name in .npz.
        advance: Told the number of events after each block.

    Raises:
        FileExistsError: The file exists, and `overwrite` is not set.
    """

    def blocks() -> Iterator[dict[str, NDArray[np.generic]]]:
        for block in simulate(count, seed):
            yield block
            advance(len(block["labels"]))

    attributes = {"simulation": "Studyhall toy water-Cherenkov detector", "seed": seed}
    with threadpool_limits(1):  # the matrices are small: more threads cost twice the CPU time and gain nothing
        write_events(
            path,
            blocks(),
            count=count,
            class_names=CLASS_NAMES,
            attributes=attributes,
            overwrite=overwrite,
            hits=hits,
        )
