"""Channels that a GPU keeps in float16 are rounded alike on the host."""

import numpy as np
import pytest

from objectives._float16 import Float32Source, with_float16
from objectives._source import MemorySource
from objectives._tensor import as_float32
from storage.errors import DataError


@pytest.fixture
def events():
    return np.random.default_rng(0).standard_normal((6, 4, 5, 3)).astype(np.float32)


def read(source):
    out = np.empty((len(source), *source.shape), source.dtype)
    source.rows(np.arange(len(source)), out)
    return out


def test_the_first_channels_are_rounded_and_the_others_kept(events):
    rounded = read(with_float16(MemorySource(events), "NHWC", 2))

    np.testing.assert_array_equal(rounded[..., :2], events[..., :2].astype(np.float16))
    np.testing.assert_array_equal(rounded[..., 2], events[..., 2])


def test_channels_are_where_the_axes_say(events):
    rounded = read(with_float16(MemorySource(events), "NCHW", 1))  # 4 channels of 5×3
    alone = read(with_float16(MemorySource(events[..., 0].copy()), "NHW", 1))

    np.testing.assert_array_equal(rounded[:, :1], events[:, :1].astype(np.float16))
    np.testing.assert_array_equal(rounded[:, 1:], events[:, 1:])
    np.testing.assert_array_equal(alone, events[..., 0].astype(np.float16))


def test_without_such_channels_the_source_is_left_alone(events):
    source = MemorySource(events)

    assert with_float16(source, "NHWC", 0) is source


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, ">f4"])
def test_events_of_any_type_become_float32_as_everywhere(dtype):
    events = np.arange(120).reshape(2, 4, 5, 3).astype(dtype)

    found = read(Float32Source(MemorySource(events)))

    np.testing.assert_array_equal(found, as_float32(events))
    assert found.dtype == np.float32


def test_a_number_that_is_too_large_is_an_error(events):
    events[3, 2, 1, 0] = -7e4

    with pytest.raises(DataError, match="the events hold 70000 in a channel that is kept in float16"):
        read(with_float16(MemorySource(events), "NHWC", 1))


@pytest.mark.parametrize(("axes", "halves"), [("NHWC", 4), ("NHWC", -1), ("NCHW", 5)])
def test_more_channels_than_there_are_is_refused(events, axes, halves):
    with pytest.raises(ValueError, match="give 0 to "):
        with_float16(MemorySource(events), axes, halves)
