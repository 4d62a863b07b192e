"""Event displays: the barrel cut open along one line and laid flat, with every tube at its place.

Seen from inside the tank, turned so that the light is in the middle; the left edge continues at the right one. Tubes
without a hit are grey.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullLocator
from numpy.typing import NDArray

from study.simulation import _constants as c
from study.simulation import _geometry

SHAPE = (c.ROWS, c.COLUMNS, 2 * c.PMTS)
BACKGROUND, UNHIT = "#16181d", "#2b2e36"
PIXELS_PER_INCH = 125

_PITCH = 360 / c.COLUMNS  # degrees between columns
_DEGREE = np.radians(1) * c.TANK_RADIUS / 100  # metres along the wall


def draw_event(charge_time: NDArray[np.floating], path: Path, title: str = "") -> None:
    """Writes a PNG 1000 pixels wide: the charges of one event, on a logarithmic scale, above its times.

    Args:
        charge_time: One event in the reference format, (16, 40, 38): charges in photo-electrons, times in ns.
        path: Where the PNG goes; what is there is replaced.
        title: A line above the panels.
    """
    _check(charge_time)
    figure = Figure(figsize=(8, 7.2), layout="constrained")
    _draw_panels(figure.subplots(2, 1), charge_time, title)
    _save(figure, path)


def draw_events(charge_times: Sequence[NDArray[np.floating]], path: Path, titles: Sequence[str]) -> None:
    """Writes a PNG 2000 pixels wide with a row for each event, charges at the left and times at the right.

    Args:
        charge_times: Events as for ``draw_event``, one or more.
        path: Where the PNG goes; what is there is replaced.
        titles: A title for each event.
    """
    if not charge_times or len(charge_times) != len(titles):
        raise ValueError(f"{len(charge_times)} events and {len(titles)} titles; give one title for each of 1 or more")
    for event in charge_times:
        _check(event)
    figure = Figure(figsize=(16, 3.7 * len(titles)), layout="constrained")
    rows = figure.subplots(len(titles), 2, squeeze=False)
    for axes, event, title in zip(rows, charge_times, titles, strict=True):
        _draw_panels(axes, event, title)
    _save(figure, path)


def _check(charge_time: NDArray[np.floating]) -> None:
    if charge_time.shape != SHAPE:
        raise ValueError(
            f"the event has the shape {charge_time.shape}; a display needs {SHAPE}, rows × columns × (19 charges, "
            "19 times) of a barrel of multi-PMT modules"
        )


def _draw_panels(axes: Sequence[Axes] | NDArray[np.object_], charge_time: NDArray[np.floating], title: str) -> None:
    """Draws charges and times; what comes later than 93 % of the charge, mostly noise, has one colour."""
    first = _first_column(charge_time[..., : c.PMTS])
    turned = np.roll(charge_time, -first, axis=1).reshape(-1, 2, c.PMTS)
    charge, time = turned[:, 0].ravel(), turned[:, 1].ravel()
    hit = charge > 0
    early, late = _weighted_quantiles(time[hit], charge[hit], (0.01, 0.93)) if hit.any() else (0.0, 1.0)
    logarithmic = LogNorm(0.5, max(2.0, float(charge.max())))
    _draw_barrel(axes[0], charge, hit, logarithmic, "viridis", "charge (photo-electrons)", first)
    _draw_barrel(axes[1], time, hit, Normalize(early, max(late, early + 1)), "cividis_r", "time (ns)", first)
    axes[0].set_title(title)


def _first_column(charge: NDArray[np.floating]) -> int:
    """Column at the left edge for which the mean azimuth of the charge is in the middle."""
    azimuth = _geometry.MODULE_ANGLES[: c.COLUMNS]
    mean = np.angle(charge.sum(axis=(0, 2)) @ np.exp(1j * azimuth))
    return int(np.round(np.degrees(mean) / _PITCH - 0.5 - c.COLUMNS / 2)) % c.COLUMNS


def _weighted_quantiles(
    values: NDArray[np.floating], weights: NDArray[np.floating], fractions: tuple[float, float]
) -> tuple[float, float]:
    order = np.argsort(values)
    places = np.searchsorted(np.cumsum(weights[order]), np.asarray(fractions) * weights.sum())
    low, high = values[order][np.minimum(places, len(values) - 1)]
    return float(low), float(high)


def _draw_barrel(
    axes: Axes,
    values: NDArray[np.floating],
    hit: NDArray[np.bool_],
    norm: Normalize,
    colours: str,
    label: str,
    first: int,
) -> None:
    """Draws all tubes grey and the hit ones in colour, azimuth to the right and metres upwards."""
    places = _places()
    places[:, 0] += first * _PITCH
    mapping = ScalarMappable(norm, _brighter(colours))
    _add_circles(axes, places[~hit], UNHIT)
    _add_circles(axes, places[hit], mapping.to_rgba(values[hit]))
    axes.set(facecolor=BACKGROUND, aspect=1 / _DEGREE, xlabel="azimuth (degrees)", ylabel="height (m)")
    axes.set_xlim(first * _PITCH, first * _PITCH + 360)
    axes.set_ylim(-c.ROWS * c.ROW_PITCH / 200, c.ROWS * c.ROW_PITCH / 200)
    axes.xaxis.set_major_locator(MultipleLocator(45))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda degrees, _: f"{degrees % 360:.0f}"))
    _add_scale(axes, mapping, label)


def _add_scale(axes: Axes, mapping: ScalarMappable, label: str) -> None:
    """Adds a colour bar as high as the panel, with plain numbers where the scale is logarithmic."""
    bar = axes.figure.colorbar(mapping, cax=axes.inset_axes((1.015, 0.0, 0.02, 1.0)), label=label)
    if isinstance(mapping.norm, LogNorm):
        low, high = mapping.get_clim()
        ticks = [digit * 10.0**power for power in range(-1, 5) for digit in (1, 2, 5)]
        bar.set_ticks([tick for tick in ticks if low <= tick <= high], labels=None)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda charge, _: f"{charge:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())


def _places() -> NDArray[np.float64]:
    """Places of the 12,160 tubes on the flat barrel, degrees from its left edge and metres, (12160, 2)."""
    along = (
        np.tile((np.arange(c.COLUMNS) + 0.5) * _PITCH, c.ROWS)[:, None] + _geometry.PMT_OFFSETS[:, 0] / 100 / _DEGREE
    )
    height = (_geometry.MODULE_CENTRES[:, 1:2] + _geometry.PMT_OFFSETS[:, 1]) / 100
    return np.stack([along.ravel(), height.ravel()], axis=1)


def _add_circles(axes: Axes, places: NDArray[np.floating], colours: str | NDArray[np.floating]) -> None:
    height = np.full(len(places), 2.3 * c.PMT_RADIUS / 100)
    circles = EllipseCollection(
        height / _DEGREE, height, 0 * height, units="xy", offsets=places, offset_transform=axes.transData
    )
    circles.set_facecolor(colours if isinstance(colours, str) else list(colours))
    axes.add_collection(circles)


def _brighter(name: str) -> LinearSegmentedColormap:
    """The colour map ``name`` less its darkest part, which would not stand out from the background."""
    part = np.linspace(0.0, 0.8, 256) if name.endswith("_r") else np.linspace(0.2, 1.0, 256)
    return LinearSegmentedColormap.from_list(f"bright {name}", colormaps[name](part))


def _save(figure: Figure, path: Path) -> None:
    """Writes beside ``path`` and renames, so that a reader never sees half a picture."""
    FigureCanvasAgg(figure)
    beside = path.with_name(f".{path.name}.part")
    figure.savefig(beside, format="png", dpi=PIXELS_PER_INCH)
    beside.replace(path)
