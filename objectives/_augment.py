"""Training events changed by the symmetries of a cylindrical detector."""

import torch
from torch import Tensor

from objectives._learning import Learning


def augment(batch: Tensor, learning: Learning, generator: torch.Generator) -> Tensor:
    """Return the batch with each event flipped and shifted at random; the batch itself if nothing is switched on.

    A flip happens to half of the events; a shift moves the columns around by 0 to W - 1 with equal probability. Only
    whole pixels move: channels are left as they are. Where a pixel's channels are the sensors of one module, a mirror
    would also exchange sensors within the module, so there a flip is an approximation.

    Args:
        batch: (B, C, H, W), not changed.
        learning: its `flip_horizontal`, `flip_vertical` and `rotate`.
        generator: on the CPU; it alone decides, so the same state gives the same events on every device.

    Returns:
        (B, C, H, W) in channels_last.
    """
    if not learning.augments:
        return batch
    events, channels, height, width = batch.shape
    columns = _lines(events, width, learning.flip_horizontal, generator)
    if learning.rotate:
        columns = (columns + torch.randint(width, (events, 1), generator=generator)) % width
    rows = _lines(events, height, learning.flip_vertical, generator)
    first = torch.arange(events).view(events, 1, 1) * height
    pixels = ((first + rows.view(events, height, 1)) * width + columns.view(events, 1, width)).view(-1)
    # Channels-last, a pixel is one contiguous row: gathering rows runs at memory speed.
    flat = batch.permute(0, 2, 3, 1).reshape(events * height * width, channels)
    moved = flat.index_select(0, pixels.to(batch.device))
    return moved.view(events, height, width, channels).permute(0, 3, 1, 2)


def _lines(events: int, length: int, flip: bool, generator: torch.Generator) -> Tensor:
    lines = torch.arange(length).expand(events, length)
    if not flip:
        return lines
    return torch.where(torch.rand(events, 1, generator=generator) < 0.5, lines.flip(1), lines)
