"""Writing images as WatChMaL's digitised hits, with the map from tubes to pixels."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import numpy.typing as npt

from storage._hits import CHARGE, INDEX, PER_MODULE, PMT, TIME

_EVENTS = "event_data"
_TYPES = {PMT: np.dtype(np.int32), CHARGE: np.dtype(np.float32), TIME: np.dtype(np.float32)}
_COPIED = 2**20  # hits copied at a time

Block = Mapping[str, npt.NDArray[Any]]


class HitsWriter:
    """Takes blocks of images, keeps their hits in files of their own, and writes all into one HDF5 file at the end.

    The number of hits is known only then, and the datasets must be contiguous to be memory mapped. Tubes are numbered
    from 0: module by module in rows of the image, 19 in each. A tube has a hit where its charge or its time is not 0.

    Use it as a context manager; leaving it removes the files.
    """

    def __init__(self, beside: Path) -> None:
        """Prepare.

        Args:
            beside: the files of the hits are made in this path's folder.
        """
        self._parts: dict[str, IO[bytes]] = {
            name: tempfile.TemporaryFile(dir=beside.parent, prefix=f".{beside.name}.")  # noqa: SIM115  # closed on exit
            for name in _TYPES
        }
        self._edges = [np.zeros(1, np.int64)]

    def __enter__(self) -> "HitsWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        for part in self._parts.values():
            part.close()

    def columns(self, blocks: Iterable[Block]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Take the images (n, H, W, 38) of each block, and give what else it holds, with where its hits begin."""
        for block in blocks:
            edges = self._take(block[_EVENTS])
            yield {INDEX: edges} | {name: values for name, values in block.items() if name != _EVENTS}

    def _take(self, images: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        flat = images.reshape(len(images), -1, 2, PER_MODULE)
        charges, times = (flat[:, :, part].reshape(len(images), -1) for part in (0, 1))
        events, tubes = np.nonzero((charges != 0) | (times != 0))
        for name, values in ((PMT, tubes), (CHARGE, charges[events, tubes]), (TIME, times[events, tubes])):
            self._parts[name].write(np.ascontiguousarray(values, _TYPES[name]).data)
        stops = self._edges[-1][-1] + np.cumsum(np.bincount(events, minlength=len(images)))
        starts = np.concatenate([self._edges[-1][-1:], stops[:-1]])
        self._edges.append(stops)
        return starts

    def finish(self, file: h5py.File) -> None:
        """Write the hits of all blocks."""
        count = int(self._edges[-1][-1])
        for name, dtype in _TYPES.items():
            dataset = file.create_dataset(name, shape=(count,), dtype=dtype)
            part = self._parts[name]
            part.flush()
            part.seek(0, os.SEEK_SET)
            for start in range(0, count, _COPIED):
                stop = min(start + _COPIED, count)
                dataset[start:stop] = np.frombuffer(part.read((stop - start) * dtype.itemsize), dtype)


def module_positions(rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Row and column of each module (M, 2), for images that `HitsWriter` has taken."""
    return np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
