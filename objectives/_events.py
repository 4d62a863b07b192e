"""Events together with their targets: what is trained on, validated on, or predicted."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from objectives._data import EventSource
from objectives._resident import Resident


@dataclass(frozen=True)
class Events:
    """Positions 0 … N - 1 of the source and their N targets as in the file.

    Attributes:
        source: gathers events in file layout.
        targets: (N,) or (N, 1).
        axes: the order of an event's axes in the source: "NHWC", "NCHW" or "NHW".
        resident: the same events on a device, from which whoever computes there gathers them; or None.
        float16_channels: in so many first channels the source gives numbers of float16 only (`with_float16`), so that
            a device may keep them in that.
    """

    source: EventSource
    targets: NDArray[Any]
    axes: str = "NHWC"
    resident: Resident | None = None
    float16_channels: int = 0

    def __post_init__(self) -> None:
        if len(self.source) != len(self.targets):
            raise ValueError(
                f"there are {len(self.source)} events but {len(self.targets)} targets; one belongs to each"
            )
        if self.resident is not None and len(self.resident) != len(self.targets):
            raise ValueError(f"there are {len(self.targets)} events but {len(self.resident)} on the device")

    def __len__(self) -> int:
        return len(self.targets)
