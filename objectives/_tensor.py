"""From stored events to the tensors that networks take."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def as_float32(batch: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The batch as native float32, the batch itself when it is that already.

    Integers are divided by the largest value of their type: uint8 255 becomes 1.
    """
    if batch.dtype == np.float32:
        return batch
    with np.errstate(over="ignore", invalid="ignore"):
        values = batch.astype(np.float32, order="C")
    if batch.dtype.kind in "iu":
        values /= np.float32(np.iinfo(batch.dtype).max)
    return values


def image_shape(shape: tuple[int, ...], axes: str) -> tuple[int, int, int]:
    """Return height, width and channels of an event as it is stored.

    Raises:
        ValueError: `axes` is not one of "NHWC", "NCHW" and "NHW".
    """
    if axes == "NHW":
        return shape[0], shape[1], 1
    if axes not in ("NHWC", "NCHW"):
        raise ValueError(f"axes: {axes!r} is not one of NHWC, NCHW, NHW")
    first, second, third = shape
    return (first, second, third) if axes == "NHWC" else (second, third, first)


def to_tensor(batch: npt.NDArray[Any], axes: str, device: torch.device | str = "cpu") -> torch.Tensor:
    """A batch of stored events as float32 (B, C, H, W).

    Native float32 is not copied on the CPU: the tensor shares the batch's memory, and "NHWC" gives a tensor that
    is contiguous in torch's channels_last format.

    Args:
        batch: (B, H, W, C), (B, C, H, W) or (B, H, W), as `axes` says, of any type an event file may have.
        axes: "NHWC", "NCHW" or "NHW".
        device: where the tensor shall be.
    """
    values = as_float32(batch)
    if not values.flags.writeable:  # torch has no read-only tensors
        values = values.copy()
    return channels_first(torch.from_numpy(values), axes).to(device)


def channels_first(stored: torch.Tensor, axes: str) -> torch.Tensor:
    """A view (B, C, H, W) of stored events, whose axes are ordered as `axes` says: "NHWC", "NCHW" or "NHW"."""
    if axes == "NHWC":
        return stored.permute(0, 3, 1, 2)
    if axes == "NHW":
        return stored.unsqueeze(1)
    if axes != "NCHW":
        raise ValueError(f"axes: {axes!r} is not one of NHWC, NCHW, NHW")
    return stored
