from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives._rounding import controlled_rounding
from objectives._split import Split, load_split, make_split
from storage.errors import DataError

fractions = st.floats(0, 0.49)


def attempt(events: int, strata: np.ndarray | None, validation: float, test: float, seed: int) -> Split | None:
    """The split, or None where there are too few events for one."""
    try:
        return make_split(events, strata, validation, test, seed)
    except DataError:
        return None


@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=30), data=st.data())
def test_rounding_keeps_all_sums_and_stays_within_one(sizes: list[int], data: st.DataObject) -> None:
    count = sum(sizes)
    first = data.draw(st.integers(0, count))
    second = data.draw(st.integers(0, count - first))
    totals = np.array([count - first - second, first, second])

    counts = controlled_rounding(np.array(sizes), totals)

    assert counts.sum(axis=0).tolist() == totals.tolist()
    assert counts.sum(axis=1).tolist() == sizes
    assert np.all(counts >= 0)
    assert np.all(np.abs(counts - np.outer(sizes, totals) / max(count, 1)) <= 1)


@given(labels=st.lists(st.integers(0, 5), max_size=200), validation=fractions, test=fractions, seed=st.integers(0, 99))
def test_parts_are_disjoint_complete_exact_and_stratified(
    labels: list[int], validation: float, test: float, seed: int
) -> None:
    strata, count = np.array(labels, np.int64), len(labels)

    split = attempt(count, strata, validation, test, seed)

    if split is None:
        assert count * min(1 - validation - test, *(x for x in (validation, test, 1.0) if x > 0)) < 1.5
        return
    assert sorted([*split.training, *split.validation, *split.test]) == list(range(count))
    for part, fraction in ((split.validation, validation), (split.test, test)):
        assert len(part) == np.floor(count * fraction + 0.5)
        exact = np.bincount(strata, minlength=6) * len(part) / count
        assert np.all(np.abs(np.bincount(strata[part], minlength=6) - exact) <= 1)


@given(seed=st.integers(0, 2**63))
@settings(max_examples=20)
def test_the_same_arguments_give_the_same_split(seed: int) -> None:
    strata = np.arange(50) % 3

    first, second = (make_split(50, strata, 0.2, 0.1, seed) for _ in range(2))

    assert first.training.tolist() == second.training.tolist()
    assert first.validation.tolist() == second.validation.tolist()


def test_a_split_is_the_same_on_every_machine_and_in_every_version() -> None:
    split = make_split(20, np.arange(20) % 2, 0.2, 0.1, 42)

    assert split.validation.tolist() == [0, 11, 13, 18]
    assert split.test.tolist() == [2, 5]


def test_another_seed_gives_another_split() -> None:
    first, second = (make_split(100, None, 0.2, 0.1, seed) for seed in (0, 1))

    assert first.validation.tolist() != second.validation.tolist()


def test_every_event_is_as_likely_to_be_held_out() -> None:
    held = np.zeros(20)
    for seed in range(2000):
        held[make_split(20, np.arange(20) // 10, 0.2, 0.0, seed).validation] += 1

    assert np.all(np.abs(held - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8))


def test_given_indices_are_divided() -> None:
    indices = np.array([30, 10, 20, 40])

    split = make_split(indices, None, 0.25, 0.25, 0)

    assert sorted([*split.training, *split.validation, *split.test]) == [10, 20, 30, 40]


def test_the_global_generator_is_not_touched() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    make_split(100, None, 0.1, 0.1, 0)

    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_a_fraction_of_zero_gives_an_empty_part() -> None:
    split = make_split(10, None, 0.0, 0.0, 0)

    assert (len(split.training), len(split.validation), len(split.test)) == (10, 0, 0)
    assert split.test.dtype == np.int64


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (-0.1, 0.0, "validation: -0.1"),
        (1.0, 0.0, "validation: 1.0"),
        (0.0, float("nan"), "test: nan"),
        (0.5, 0.5, "leaves no events for training"),
    ],
)
def test_impossible_fractions_are_refused(validation: float, test: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_split(100, None, validation, test, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed: -1 is negative"):
        make_split(100, None, 0.1, 0.1, -1)


def test_too_few_events_for_a_part_are_refused() -> None:
    with pytest.raises(DataError, match=r"0\.1 of 4 events leaves the validation part empty"):
        make_split(4, None, 0.1, 0.0, 0)
    with pytest.raises(DataError, match="leaves the training part empty"):
        make_split(1, None, 0.6, 0.0, 0)


def test_overlapping_parts_are_no_split() -> None:
    with pytest.raises(ValueError, match="share events"):
        Split(np.array([0, 1]), np.array([1]), np.array([], np.int64))
    with pytest.raises(ValueError, match="validation: must be a sorted int64 array"):
        Split(np.array([0]), np.array([2, 1]), np.array([], np.int64))


class TestSplitFile:
    def write(self, path: Path, train: object = (0, 2), val: object = (1,), test: object = (3,)) -> Path:
        np.savez(path, train_idxs=train, val_idxs=val, test_idxs=test)  # type: ignore[arg-type]
        return path

    def test_is_read_and_sorted(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "s.npz", train=(2, 0), test=())

        split = load_split(path, 4)

        assert split.training.tolist() == [0, 2]
        assert split.validation.tolist() == [1]
        assert split.test.tolist() == []

    def test_keeps_selected_events_only(self, tmp_path: Path) -> None:
        split = load_split(self.write(tmp_path / "s.npz"), 4, np.array([0, 1, 3]))

        assert split.training.tolist() == [0]

    def test_with_a_part_that_the_selection_empties_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="none of the 1 events of 'val_idxs' passes"):
            load_split(self.write(tmp_path / "s.npz"), 4, np.array([0, 3]))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"train": (0, 4)}, "'train_idxs' names event 4, but the data file has events 0 to 3"),
            ({"val": (-1,)}, "'val_idxs' names event -1"),
            ({"test": (0,)}, "event 0 and 0 others occur more than once"),
            ({"train": (2, 2)}, "event 2 and 0 others occur more than once"),
            ({"train": (0.5,)}, r"'train_idxs' is float64 \(1,\)"),
            ({"train": ()}, "'train_idxs' is empty"),
        ],
    )
    def test_that_does_not_fit_is_refused(self, tmp_path: Path, arrays: dict[str, object], message: str) -> None:
        with pytest.raises(DataError, match=message):
            load_split(self.write(tmp_path / "s.npz", **arrays), 4)

    def test_without_an_array_is_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "s.npz", train_idxs=[0])

        with pytest.raises(DataError, match="must have the arrays train_idxs, val_idxs, test_idxs"):
            load_split(tmp_path / "s.npz", 4)

    def test_that_is_missing_or_not_npz_is_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", [0])
        (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nothing")

        with pytest.raises(DataError, match="does not exist"):
            load_split(tmp_path / "s.npz", 4)
        for name in ("a.npy", "b.npz"):
            with pytest.raises(DataError, match=r"is not a readable \.npz file"):
                load_split(tmp_path / name, 4)
