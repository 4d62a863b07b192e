"""Flips and shifts move whole pixels, at random, as the generator alone decides."""

import pytest
import torch

from objectives._augment import augment, augmentations
from objectives._learning import Learning

SHAPE = (64, 3, 4, 5)  # events, channels, rows, columns


@pytest.fixture
def batch():
    values = torch.arange(torch.Size(SHAPE).numel(), dtype=torch.float32).view(SHAPE)
    return values.contiguous(memory_format=torch.channels_last)


def moved(batch, seed=0, **switches):
    events, _, _, width = batch.shape
    return augment(batch, augmentations(events, width, Learning(**switches), torch.Generator().manual_seed(seed)))


def test_nothing_switched_on_changes_nothing(batch):
    assert torch.equal(moved(batch), batch)


def test_an_event_is_moved_as_its_row_says_whatever_is_in_its_batch(batch):
    learning = Learning(flip_horizontal=True, flip_vertical=True, rotate=True)
    drawn = augmentations(64, 5, learning, torch.Generator().manual_seed(1))

    assert torch.equal(augment(batch[10:25], drawn[10:25]), augment(batch, drawn)[10:25])


@pytest.mark.parametrize(("switch", "dim"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_a_flip_mirrors_about_half_of_the_events_and_leaves_the_others(batch, switch, dim):
    result = moved(batch, **{switch: True})
    same = [torch.equal(event, before) for event, before in zip(result, batch, strict=True)]
    mirrored = [torch.equal(event, before) for event, before in zip(result, batch.flip(dim), strict=True)]

    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def test_a_rotation_shifts_all_columns_of_an_event_alike_by_every_possible_amount(batch):
    result = moved(batch, rotate=True)
    shifts = [
        [shift for shift in range(5) if torch.equal(event, before.roll(-shift, dims=2))]
        for event, before in zip(result, batch, strict=True)
    ]

    assert all(len(found) == 1 for found in shifts)
    assert {found[0] for found in shifts} == set(range(5))


def test_all_together_keep_every_pixel_of_every_event(batch):
    result = moved(batch, flip_horizontal=True, flip_vertical=True, rotate=True)

    assert not torch.equal(result, batch)
    torch.testing.assert_close(result.flatten(2).sort().values, batch.flatten(2).sort().values, rtol=0, atol=0)


def test_the_channels_of_a_pixel_stay_together(batch):
    result = moved(batch, flip_horizontal=True, flip_vertical=True, rotate=True)

    assert torch.equal(result[:, 1] - result[:, 0], batch[:, 1] - batch[:, 0])


def test_the_batch_itself_is_not_changed(batch):
    before = batch.clone()

    moved(batch, flip_horizontal=True, flip_vertical=True, rotate=True)

    assert torch.equal(batch, before)


def test_the_same_generator_state_gives_the_same_events_and_another_gives_others(batch):
    switches = {"flip_horizontal": True, "rotate": True}

    assert torch.equal(moved(batch, seed=1, **switches), moved(batch, seed=1, **switches))
    assert not torch.equal(moved(batch, seed=1, **switches), moved(batch, seed=2, **switches))


def test_the_global_generator_is_not_touched(batch):
    before = torch.get_rng_state()

    moved(batch, flip_horizontal=True, flip_vertical=True, rotate=True)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_memory_layout_of_the_batch_does_not_matter_and_the_result_is_channels_last(batch, layout):
    switches = {"flip_horizontal": True, "flip_vertical": True, "rotate": True}

    result = moved(batch.contiguous(memory_format=layout), **switches)

    assert torch.equal(result, moved(batch, **switches))
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_an_event_of_one_pixel_stays_as_it_is():
    batch = torch.rand(3, 2, 1, 1)

    assert torch.equal(moved(batch, flip_horizontal=True, flip_vertical=True, rotate=True), batch)
