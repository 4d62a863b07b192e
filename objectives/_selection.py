"""Which events of a file take part at all: cuts on class, energy and position."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.errors import DataError
from storage.hdf5 import EventFile

_AXES = ("x", "y", "z")
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """Cuts on events; an event must pass all that are not None.

    `classes` are accepted labels. `energy` is [low, high) in MeV. `fiducial` is a cylinder about the
    detector's centre, in cm: `radius`, the largest distance from the axis, `half_height`, the largest distance
    from the centre along it (either may be missing), and `axis`, "x", "y" (default) or "z".
    """

    classes: tuple[int, ...] | None = None
    energy: tuple[float, float] | None = None
    fiducial: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.classes is not None and not self.classes:
            raise ValueError("classes: is empty; name at least one label, or leave the cut out")
        if self.energy is not None and not self.energy[0] < self.energy[1]:
            raise ValueError(f"energy: {list(self.energy)} is empty; give [low, high) in MeV with low < high")
        if self.fiducial is not None:
            _check_fiducial(self.fiducial)


def _check_fiducial(fiducial: Mapping[str, Any]) -> None:
    lengths = {name: value for name, value in fiducial.items() if name != "axis"}
    if not lengths or not set(lengths) <= {"radius", "half_height"}:
        raise ValueError(f"fiducial: has {sorted(fiducial)}; accepted are radius, half_height (cm) and axis")
    for name, value in lengths.items():
        if not value > 0:
            raise ValueError(f"fiducial.{name}: {value} cm; give a length above 0")
    if fiducial.get("axis", "y") not in _AXES:
        raise ValueError(f"fiducial.axis: {fiducial['axis']!r} is not one of {', '.join(_AXES)}")


def selected(file: EventFile, selection: Selection) -> npt.NDArray[np.int64]:
    """The indices of the events that pass all cuts, sorted.

    Raises:
        DataError: no event passes (the message tells how many each cut left), or a column that a cut needs is
            missing or has the wrong shape.
    """
    passing = np.ones(file.count, np.bool_)
    history = [f"{file.count} events"]
    for name, mask in _cuts(file, selection):
        passing &= mask
        history.append(f"{name} leaves {passing.sum()}")
    if not passing.any():
        raise DataError(f"{file.path}: `data.select` leaves no event: {'; '.join(history)}; widen the cuts")
    return np.flatnonzero(passing).astype(np.int64)


def _cuts(file: EventFile, selection: Selection) -> Iterator[tuple[str, _Mask]]:
    if selection.classes is not None:
        yield f"classes {list(selection.classes)}", np.isin(_labels(file), selection.classes)
    if selection.energy is not None:
        low, high = selection.energy
        energies = _columns(file, file.layout.energies, 1)[:, 0]
        yield f"energy [{low:g}, {high:g}) MeV", (energies >= low) & (energies < high)
    if selection.fiducial is not None:
        yield from _fiducial_cuts(_columns(file, file.layout.positions, 3), selection.fiducial)


def _fiducial_cuts(positions: npt.NDArray[Any], fiducial: Mapping[str, Any]) -> Iterator[tuple[str, _Mask]]:
    axis = fiducial.get("axis", "y")
    along = positions[:, _AXES.index(axis)]
    if "radius" in fiducial:
        across = np.delete(positions, _AXES.index(axis), axis=1)
        name = f"distance from the {axis} axis up to {fiducial['radius']:g} cm"
        yield name, np.hypot(across[:, 0], across[:, 1]) <= fiducial["radius"]
    if "half_height" in fiducial:
        yield f"|{axis}| up to {fiducial['half_height']:g} cm", np.abs(along) <= fiducial["half_height"]


def _labels(file: EventFile) -> npt.NDArray[Any]:
    """The column of classes; a classification's layout names its target as labels."""
    return _columns(file, file.layout.labels, 1)[:, 0]


def _columns(file: EventFile, name: str, numbers: int) -> npt.NDArray[Any]:
    values = file.column(name).reshape(file.count, -1)
    if values.shape[1] != numbers:
        raise DataError(
            f"{file.path}: dataset {name!r} has {values.shape[1]} numbers per event; `data.select` needs {numbers}: "
            "name the right dataset under `data`"
        )
    return values
