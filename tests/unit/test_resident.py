"""Events that lie on a device are gathered there with the bits that the host would have sent."""

import numpy as np
import pytest
import torch

from objectives import _resident
from objectives._resident import Resident, resident_bytes
from objectives._source import MemorySource
from objectives._tensor import to_tensor
from storage.errors import DataError

SHAPES = {"NHWC": (9, 4, 5, 3), "NCHW": (9, 3, 4, 5), "NHW": (9, 4, 5)}
POSITIONS = torch.tensor([7, 0, 7, 3])


def stored(axes="NHWC", dtype=np.float32):
    random = np.random.default_rng(0)
    values = (
        random.standard_normal(SHAPES[axes]) if np.dtype(dtype).kind == "f" else random.integers(0, 250, SHAPES[axes])
    )
    return values.astype(dtype)


@pytest.fixture
def blocks_of_two(monkeypatch):
    monkeypatch.setattr(_resident, "_BLOCK", 2 * 4 * 60)


@pytest.mark.usefixtures("blocks_of_two")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.uint8, np.int16])
@pytest.mark.parametrize("axes", SHAPES)
def test_a_batch_has_the_bits_of_one_made_on_the_host(axes, dtype):
    events = stored(axes, dtype)

    batch = Resident.upload(MemorySource(events), axes, "cpu").gather(POSITIONS)

    assert torch.equal(batch, to_tensor(events[POSITIONS.numpy()], axes))
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("blocks_of_two")
@pytest.mark.parametrize("axes", ["NHWC", "NCHW"])
@pytest.mark.parametrize("halves", [1, 2, 3])
def test_the_first_channels_are_rounded_to_float16_and_the_others_kept(axes, halves):
    events = stored(axes)
    exact = to_tensor(events[POSITIONS.numpy()], axes)

    batch = Resident.upload(MemorySource(events), axes, "cpu", float16_channels=halves).gather(POSITIONS)

    assert torch.equal(batch[:, :halves], exact[:, :halves].half().float())
    assert torch.equal(batch[:, halves:], exact[:, halves:])
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("axes", "halves"), [("NHWC", 0), ("NHWC", 1), ("NHWC", 3), ("NCHW", 2), ("NHW", 1)])
def test_the_memory_it_takes_is_known_before(axes, halves):
    source = MemorySource(stored(axes))

    resident = Resident.upload(source, axes, "cpu", halves)

    assert resident_bytes(source, axes, halves) == sum(tensor.nbytes for tensor in resident.tensors)


def test_it_is_made_again_from_its_tensors_alone():
    resident = Resident.upload(MemorySource(stored()), "NHWC", "cpu", float16_channels=1)

    again = Resident(resident.tensors)

    assert len(again) == 9
    assert torch.equal(again.gather(POSITIONS), resident.gather(POSITIONS))


def test_a_batch_may_be_overwritten():
    resident = Resident.upload(MemorySource(stored()), "NHWC", "cpu")
    before = resident.gather(POSITIONS).clone()

    resident.gather(POSITIONS).zero_()

    assert torch.equal(resident.gather(POSITIONS), before)


def test_a_part_without_events_takes_nothing():
    source = MemorySource(stored()[:0])

    assert len(Resident.upload(source, "NHWC", "cpu")) == resident_bytes(source, "NHWC") == 0


def test_a_number_too_large_for_float16_is_an_error_only_where_float16_is_wanted():
    events = stored()
    events[4, 1, 1, 0] = 7e4

    with pytest.raises(DataError, match="hold 70000 in a channel that is kept in float16"):
        Resident.upload(MemorySource(events), "NHWC", "cpu", float16_channels=1)
    assert Resident.upload(MemorySource(events), "NHWC", "cpu").gather(torch.tensor([4]))[0, 0, 1, 1] == 7e4


@pytest.mark.parametrize(
    ("axes", "halves", "message"),
    [("NHWC", 4, "the events have 3 channels"), ("NHWC", -1, "is -1"), ("HWNC", 0, "not one of NHWC, NCHW, NHW")],
)
def test_what_makes_no_sense_is_refused(axes, halves, message):
    with pytest.raises(ValueError, match=message):
        Resident.upload(MemorySource(stored()), axes, "cpu", halves)


def test_tensors_of_different_images_are_refused():
    with pytest.raises(ValueError, match="the same N, H and W"):
        Resident((torch.zeros(2, 3, 4, 1), torch.zeros(2, 3, 5, 1)))
