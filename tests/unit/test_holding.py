"""What an agent decides about holders, and what it cleans up after them."""

import os
import time
from pathlib import Path

import pytest

from study import _holding
from study._holding import wants_holder


@pytest.mark.parametrize(
    ("device", "residence", "wanted"),
    [("cuda:0", "auto", True), ("cuda:1", "host", False), ("cpu", "auto", False), ("cpu:1", "auto", False)],
)
def test_gpus_hold_the_events_unless_the_study_says_otherwise(device: str, residence: str, wanted: bool) -> None:
    assert wants_holder(device, residence) is wanted


def test_of_a_dead_holder_only_its_own_counters_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_holding, "SHARED_MEMORY", tmp_path)
    (tmp_path / "torch_17_99_0").touch()  # of a process that had the same id before
    time.sleep(0.05)  # seconds: the clock of files is coarse
    since = time.time()
    time.sleep(0.05)
    for name in ("torch_17_1234_0", "torch_17_1234_1", "torch_170_1234_0", "other"):
        (tmp_path / name).touch()

    _holding._sweep(17, since)

    assert sorted(os.listdir(tmp_path)) == ["other", "torch_170_1234_0", "torch_17_99_0"]
