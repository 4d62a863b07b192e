import gc
import random
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives._prefetch import batch_bounds, batches
from objectives._source import MemorySource

EVENTS = np.arange(100 * 6, dtype=np.float32).reshape(100, 3, 2)


class Broken(MemorySource):
    """Fails when event 50 is asked for."""

    def rows(self, positions: np.ndarray, out: np.ndarray) -> None:
        if 50 in positions:
            raise OSError("the disk is gone")
        super().rows(positions, out)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads() == []


@settings(deadline=None, max_examples=50)
@given(positions=st.lists(st.integers(0, 99), max_size=60), batch_size=st.integers(1, 70), buffers=st.integers(1, 5))
def test_batches_are_the_events_in_order(positions: list[int], batch_size: int, buffers: int) -> None:
    indices = np.array(positions, np.int64)

    given = [batch.copy() for batch in batches(MemorySource(EVENTS), indices, batch_size, buffers=buffers)]

    assert [len(batch) for batch in given[:-1]] == [batch_size] * (len(given) - 1)
    assert np.array_equal(np.concatenate([EVENTS[:0], *given]), EVENTS[indices])


def test_the_same_buffers_are_used_again_and_again() -> None:
    addresses = [batch.ctypes.data for batch in batches(MemorySource(EVENTS), np.arange(100), 5, buffers=3)]

    assert len(set(addresses)) == 3
    assert addresses == addresses[:3] * 6 + addresses[:2]


def test_a_batch_stays_until_the_next_is_asked_for() -> None:
    for number, batch in enumerate(batches(MemorySource(EVENTS), np.arange(100), 10, buffers=3)):
        time.sleep(0.002)  # seconds: enough for the thread to fill every buffer it may

        assert np.array_equal(batch, EVENTS[10 * number : 10 * number + 10])


def test_a_reader_may_overwrite_its_batch() -> None:
    for number, batch in enumerate(batches(MemorySource(EVENTS), np.arange(100), 10)):
        assert np.array_equal(batch, EVENTS[10 * number : 10 * number + 10])
        batch[:] = -1


def test_changing_the_positions_afterwards_changes_nothing() -> None:
    positions = np.arange(20)
    stream = batches(MemorySource(EVENTS), positions, 10)
    positions[:] = 0

    assert np.array_equal(np.concatenate([batch.copy() for batch in stream]), EVENTS[:20])


def test_the_thread_starts_with_the_first_batch_and_ends_with_the_last() -> None:
    stream = batches(MemorySource(EVENTS), np.arange(100), 10)
    assert threads() == []

    next(stream)
    assert len(threads()) == 1

    list(stream)
    assert threads() == []


def test_a_reader_that_stops_early_ends_the_thread() -> None:
    stream = batches(MemorySource(EVENTS), np.arange(100), 5)
    next(stream)

    stream.close()

    assert threads() == []


def test_a_reader_that_fails_ends_the_thread() -> None:
    def read() -> None:
        for _ in batches(MemorySource(EVENTS), np.arange(100), 5):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read()
    gc.collect()
    assert threads() == []


def test_an_error_of_the_source_reaches_the_reader_with_its_traceback() -> None:
    given = []

    with pytest.raises(OSError, match="the disk is gone") as caught:
        given.extend(len(batch) for batch in batches(Broken(EVENTS), np.arange(100), 20))

    assert given == [20, 20]
    assert "rows" in [entry.name for entry in caught.traceback]
    assert threads() == []


def test_a_position_out_of_range_reaches_the_reader() -> None:
    with pytest.raises(IndexError, match="positions: 100 is out of range for 100 events"):
        list(batches(MemorySource(EVENTS), np.array([0, 100]), 2))


def test_no_random_generator_is_touched() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    list(batches(MemorySource(EVENTS), np.arange(100), 5))

    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (0, 4, [])],
)
def test_a_last_batch_of_one_event_can_be_left_out(count: int, batch_size: int, sizes: list[int]) -> None:
    bounds = batch_bounds(count, batch_size, drop_singleton=True)
    given = [len(batch) for batch in batches(MemorySource(EVENTS), np.arange(count), batch_size, drop_singleton=True)]

    assert [stop - start for start, stop in bounds] == given == sizes


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: 0"):
        batches(MemorySource(EVENTS), np.arange(3), 0)
    with pytest.raises(ValueError, match="buffers: 0"):
        batches(MemorySource(EVENTS), np.arange(3), 2, buffers=0)
