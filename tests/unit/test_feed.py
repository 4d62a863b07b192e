"""Whatever a network's inputs come from, they are the same."""

import threading

import numpy as np
import pytest
import torch
from stand_ins import DirectLink

from objectives._feed import HostFeed, PinnedFeed, ResidentFeed, open_feed
from objectives._float16 import with_float16
from objectives._resident import Resident
from objectives._source import MemorySource

SHAPES = {"NHWC": (50, 4, 5, 3), "NCHW": (50, 3, 4, 5), "NHW": (50, 4, 5)}
POSITIONS = np.random.default_rng(3).permutation(50)[:45]
BATCH = 8
CPU = torch.device("cpu")


def stored(axes, dtype):
    random = np.random.default_rng(0)
    whole = np.dtype(dtype).kind in "iu"
    return (random.integers(0, 250, SHAPES[axes]) if whole else random.standard_normal(SHAPES[axes])).astype(dtype)


def given(feed):
    """All batches of a pass, each overwritten once it has been copied, as a normalisation does."""
    found = []
    for number, _ in enumerate(feed.batches(POSITIONS, BATCH)):
        batch = feed.current(torch.from_numpy(POSITIONS[BATCH * number : BATCH * (number + 1)]))
        found.append(batch.clone())
        batch.zero_()
    return found


@pytest.mark.parametrize("halves", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("axes", SHAPES)
def test_every_feed_gives_the_same_bits(axes, dtype, halves):
    source = with_float16(MemorySource(stored(axes, dtype)), axes, halves)
    resident = Resident.upload(MemorySource(stored(axes, dtype)), axes, "cpu", halves)
    feeds = HostFeed(source, axes), PinnedFeed(source, axes, BATCH, DirectLink()), ResidentFeed(resident)

    host, pinned, there = map(given, feeds)

    assert [len(batch) for batch in host] == [8, 8, 8, 8, 8, 5]
    assert all(map(torch.equal, host, pinned))
    assert all(map(torch.equal, host, there))


def test_a_second_pass_is_as_good_as_the_first_even_after_one_that_was_broken_off():
    feed = PinnedFeed(MemorySource(stored("NHWC", np.float32)), "NHWC", BATCH, DirectLink())
    first = given(feed)
    broken = feed.batches(POSITIONS[::-1].copy(), BATCH)
    next(broken)
    broken.close()

    assert all(map(torch.equal, given(feed), first))
    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []


def test_no_buffer_is_filled_while_it_is_sent():
    link, filled = DirectLink(), []

    class Watched(MemorySource):
        def rows(self, positions, out):
            filled.append(out.ctypes.data not in link.in_flight.values())
            super().rows(positions, out)

    given(PinnedFeed(Watched(stored("NHWC", np.float32)), "NHWC", BATCH, link))

    assert filled == [True] * 6


def test_pinned_inputs_can_be_asked_for_again_though_they_were_overwritten():
    feed = PinnedFeed(MemorySource(stored("NHWC", np.float32)), "NHWC", BATCH, DirectLink())
    stream = feed.batches(POSITIONS, BATCH)
    next(stream)
    first = feed.current(torch.arange(BATCH)).clone()
    feed.current(torch.arange(BATCH)).zero_()

    assert torch.equal(feed.current(torch.arange(BATCH)), first)
    stream.close()


def test_events_are_taken_from_where_they_are():
    source = MemorySource(stored("NHWC", np.float32))
    here, elsewhere = Resident.upload(source, "NHWC", "cpu"), Resident((torch.empty(50, 4, 5, 3, device="meta"),))

    assert isinstance(open_feed(source, "NHWC", here, CPU, BATCH), ResidentFeed)
    assert isinstance(open_feed(source, "NHWC", elsewhere, CPU, BATCH), HostFeed)
    assert isinstance(open_feed(source, "NHWC", None, CPU, BATCH), HostFeed)
