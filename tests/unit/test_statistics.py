import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives._source import MemorySource
from objectives._statistics import NORMALIZATIONS, normalizer, statistics
from objectives._tensor import to_tensor
from storage.errors import DataError


def images(seed: int = 0, count: int = 40) -> np.ndarray:
    """NHWC with a channel of large mean, a constant one, and negative values."""
    values = np.random.default_rng(seed).normal(size=(count, 5, 4, 3)).astype(np.float32)
    values[..., 1] += 1000
    values[..., 2] = 7
    return values


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), count=st.integers(1, 60), block=st.sampled_from([1, 1000, 2**23]))
def test_blocks_give_the_numbers_of_the_whole(seed: int, count: int, block: int) -> None:
    values = images(seed, count)
    wide = values.astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("objectives._statistics._BLOCK", block)
        stats = statistics(MemorySource(values), "NHWC")

    logarithms = np.sign(wide) * np.log1p(np.abs(wide))
    assert stats["events"] == count
    assert stats["mean"] == pytest.approx(wide.mean(), rel=1e-12)
    assert stats["std"] == pytest.approx(wide.std(), rel=1e-9)
    assert stats["channel_mean"] == pytest.approx(wide.mean(axis=(0, 1, 2)), rel=1e-9, abs=1e-12)
    assert stats["channel_std"] == pytest.approx([*wide.std(axis=(0, 1, 2))[:2], 1.0], rel=1e-9)
    assert (stats["log_mean"], stats["log_std"]) == pytest.approx((logarithms.mean(), logarithms.std()), rel=1e-5)
    assert (stats["minimum"], stats["maximum"]) == (values.min(), values.max())


def test_are_json_and_the_same_each_time() -> None:
    first, second = (json.dumps(statistics(MemorySource(images()), "NHWC"), allow_nan=False) for _ in range(2))

    assert first == second


def test_do_not_depend_on_the_axes() -> None:
    values = images()
    expected = statistics(MemorySource(values), "NHWC")

    assert statistics(MemorySource(np.ascontiguousarray(values.transpose(0, 3, 1, 2))), "NCHW") == expected
    single = statistics(MemorySource(values[..., 0].copy()), "NHW")
    assert single["channel_mean"] == pytest.approx(expected["channel_mean"][:1])


def test_are_of_evenly_spaced_events() -> None:
    values = np.arange(101, dtype=np.float32).reshape(101, 1, 1, 1)

    stats = statistics(MemorySource(values), "NHWC", limit=5)

    assert (stats["events"], stats["mean"], stats["minimum"], stats["maximum"]) == (5, 50, 0, 100)


def test_integers_are_scaled_as_the_network_sees_them() -> None:
    stats = statistics(MemorySource(np.full((2, 2, 2, 1), 255, np.uint8)), "NHWC")

    assert (stats["mean"], stats["std"], stats["maximum"]) == (1, 1, 1)


def test_of_nothing_or_of_values_that_are_not_finite_are_refused() -> None:
    values = images()
    values[3, 0, 0, 0] = np.inf

    with pytest.raises(DataError, match="NaN or infinite"):
        statistics(MemorySource(values), "NHWC")
    with pytest.raises(DataError, match="the part is empty"):
        statistics(MemorySource(values[:0]), "NHWC")


class TestNormalizer:
    def normalized(self, kind: str) -> torch.Tensor:
        values = images()
        return normalizer(kind, statistics(MemorySource(values), "NHWC"))(to_tensor(values, "NHWC"))

    def test_none_changes_nothing(self) -> None:
        assert torch.equal(self.normalized("none"), to_tensor(images(), "NHWC"))

    @pytest.mark.parametrize("kind", ["standard", "log1p"])
    def test_all_values_get_mean_zero_and_deviation_one(self, kind: str) -> None:
        given = self.normalized(kind)

        assert given.mean().item() == pytest.approx(0, abs=1e-5)
        assert given.std(correction=0).item() == pytest.approx(1, abs=1e-5)

    def test_each_channel_gets_mean_zero_and_deviation_one(self) -> None:
        given = self.normalized("per_channel")

        assert given.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
        assert given.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-4)

    def test_log1p_keeps_the_sign(self) -> None:
        stats = {"log_mean": 0.0, "log_std": 1.0}

        given = normalizer("log1p", stats)(torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 1, 1, 3))

        assert given.ravel().tolist() == pytest.approx([-np.log(2), 0, np.log(2)])

    @pytest.mark.parametrize("kind", NORMALIZATIONS)
    def test_channels_last_stays(self, kind: str) -> None:
        assert self.normalized(kind).is_contiguous(memory_format=torch.channels_last)

    def test_an_unknown_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="normalize: 'minmax' is not one of none, standard, log1p, per_channel"):
            normalizer("minmax", {})
