"""Training events changed by the symmetries of a cylindrical detector."""

import torch
from torch import Tensor

from objectives._learning import Learning


def augmentations(events: int, width: int, learning: Learning, generator: torch.Generator) -> Tensor:
    """Draw what happens to each event of an epoch.

    A flip happens to half of the events; a shift moves the columns around by 0 to W - 1 with equal probability.

    Args:
        events: N.
        width: W, columns of an event.
        learning: its `flip_horizontal`, `flip_vertical` and `rotate`.
        generator: on the CPU; it alone decides, so the same state gives the same events on every device.

    Returns:
        int32 (N, 3) on the CPU: whether to mirror left to right, top to bottom, and the shift in columns.
    """

    def draw(below: int, wanted: bool) -> Tensor:
        if not wanted:
            return torch.zeros(events, dtype=torch.int32)
        return torch.randint(below, (events,), generator=generator, dtype=torch.int32)

    flips = draw(2, learning.flip_horizontal), draw(2, learning.flip_vertical)
    return torch.stack([*flips, draw(width, learning.rotate)], dim=1)


def augment(batch: Tensor, drawn: Tensor) -> Tensor:
    """Return the batch with each event flipped and shifted as was drawn for it.

    Only whole pixels move: channels are left as they are. Where a pixel's channels are the sensors of one module, a
    mirror would also exchange sensors within the module, so there a flip is an approximation.

    Args:
        batch: (B, C, H, W), not changed.
        drawn: (B, 3), some rows of what `augmentations` gave, on the batch's device.

    Returns:
        (B, C, H, W) in channels_last.
    """
    events, channels, height, width = batch.shape
    mirrored, upturned, shift = drawn.long().view(events, 3, 1).unbind(1)
    columns = (_lines(width, mirrored) + shift) % width
    rows = _lines(height, upturned)
    first = torch.arange(events, device=batch.device).view(events, 1, 1) * height
    pixels = ((first + rows.view(events, height, 1)) * width + columns.view(events, 1, width)).view(-1)
    # Channels-last, a pixel is one contiguous row: gathering rows runs at memory speed.
    flat = batch.permute(0, 2, 3, 1).reshape(events * height * width, channels)
    return flat.index_select(0, pixels).view(events, height, width, channels).permute(0, 3, 1, 2)


def _lines(length: int, flipped: Tensor) -> Tensor:
    """0 … length - 1 for each event, backwards where `flipped` (B, 1) is 1."""
    lines = torch.arange(length, device=flipped.device)
    return torch.where(flipped == 1, length - 1 - lines, lines)
