"""Writing events as contiguous datasets, complete or not at all."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage._hits_write import Block, HitsWriter, module_positions
from storage.files import write_file

# The reference format's types; datasets of other names keep the type of their first block.
_DTYPES = {
    "event_data": np.float32,
    "labels": np.int64,
    "energies": np.float32,
    "positions": np.float32,
    "angles": np.float32,
}


def write_events(
    path: str | PathLike[str],
    blocks: Iterable[Block],
    *,
    count: int,
    class_names: Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    hits: bool = False,
) -> None:
    """Write blocks of events one after another into a new file.

    The file is written beside `path` and renamed at the end, so `path` is never seen half written. Datasets
    are contiguous and uncompressed, to be memory mapped. The same blocks give the same bytes.

    Args:
        path: the file to make.
        blocks: dataset name → values of shape (n, ...), the same n for all datasets of a block; every block
            has the datasets and row shapes of the first. The reference format's datasets get its types.
        count: the sum of all n, at least 1.
        class_names: names of the classes 0, 1, ..., kept as an attribute of the file.
        attributes: further attributes of the file: numbers, strings, or lists of them.
        overwrite: replace an existing file.
        hits: write the images `event_data` (n, H, W, 38) as digitised hits instead, and beside the file a map of the
            same name that ends in .npz, from which `data.pixels` makes the same images again.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        ValueError: the blocks disagree with the first, or do not add up to `count`.
    """
    path = Path(path)
    _refuse_existing(path, overwrite)
    if count < 1:
        raise ValueError(f"count: {count} events; give at least 1")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with h5py.File(partial, "w") as file:
            _set_attributes(file, class_names, attributes or {})
            if hits:
                _write_hits(file, path, blocks, count, overwrite)
            else:
                _write_blocks(file, blocks, count)
        _refuse_existing(path, overwrite)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_hits(file: h5py.File, path: Path, blocks: Iterable[Block], count: int, overwrite: bool) -> None:
    pixels = path.with_suffix(".npz")
    _refuse_existing(pixels, overwrite)
    shapes: set[tuple[int, ...]] = set()

    def seen() -> Iterator[Block]:
        for block in blocks:
            shapes.add(block["event_data"].shape[1:])
            yield block

    with HitsWriter(path) as writer:
        _write_blocks(file, writer.columns(seen()), count)
        writer.finish(file)
    rows, columns, _ = shapes.pop()
    content = io.BytesIO()
    np.savez(content, mpmt_image_positions=module_positions(rows, columns))
    write_file(str(pixels), content.getvalue())


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; choose another name, or ask for it to be overwritten")


def _set_attributes(file: h5py.File, class_names: Sequence[str] | None, attributes: Mapping[str, Any]) -> None:
    if class_names is not None:
        file.attrs["class_names"] = list(class_names)
    for name, value in attributes.items():
        file.attrs[name] = value


def _write_blocks(file: h5py.File, blocks: Iterable[Block], count: int) -> None:
    start = 0
    datasets: dict[str, h5py.Dataset] = {}
    for block in blocks:
        arrays = {name: np.asarray(values) for name, values in block.items()}
        datasets = datasets or {name: _create(file, name, values, count) for name, values in arrays.items()}
        stop = start + _rows(arrays, datasets)
        if stop > count:
            raise ValueError(f"blocks: hold at least {stop} events, more than count={count}")
        for name, values in arrays.items():
            datasets[name][start:stop] = values.astype(datasets[name].dtype, casting="same_kind", copy=False)
        start = stop
    if start != count:
        raise ValueError(f"blocks: hold {start} events, fewer than count={count}")


def _create(file: h5py.File, name: str, values: npt.NDArray[Any], count: int) -> h5py.Dataset:
    dtype = _DTYPES.get(name, values.dtype)
    return file.create_dataset(name, shape=(count, *values.shape[1:]), dtype=dtype)


def _rows(arrays: Mapping[str, npt.NDArray[Any]], datasets: Mapping[str, h5py.Dataset]) -> int:
    expected = {name: tuple(dataset.shape[1:]) for name, dataset in datasets.items()}
    given = {name: values.shape[1:] for name, values in arrays.items()}
    lengths = {len(values) for values in arrays.values()}
    if given != expected or len(lengths) != 1:
        shapes = {name: values.shape for name, values in arrays.items()}
        raise ValueError(f"blocks: one has {shapes}; the first had rows of {expected}, as many in every dataset")
    return lengths.pop()
