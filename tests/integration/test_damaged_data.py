"""A file that is damaged after its study was created."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lab import Lab
from optuna.trial import TrialState

from storage.claims import Refusal
from study._forkserver import WorkersUnusable
from study.plan import build_plan, open_data
from study.stored import decoded


@pytest.fixture(params=[{"fletcher32": True}, {"compression": "gzip"}], ids=["checksum", "compressed"])
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """One whose file has a chunk for each event."""
    found = Lab(tmp_path / "lab")
    with h5py.File(found.folder / "events.h5", "r+") as file:
        events = file["event_data"][()]
        del file["event_data"]
        file.create_dataset("event_data", data=events, chunks=(1, *events.shape[1:]), **request.param)
    yield found
    found.clean_up()


def damage(lab: Lab) -> None:
    """Spoil the chunk of a training event that the file's fingerprint does not cover."""
    stored = decoded(lab.record())
    training = open_data(build_plan(stored.config, stored.folder)).split.training
    sampled = np.linspace(0, 199, 64).round()
    event = int(np.setdiff1d(training, sampled)[0])
    with h5py.File(lab.folder / "events.h5") as file:
        chunk = file["event_data"].id.get_chunk_info(event)
    with (lab.folder / "events.h5").open("r+b") as raw:
        raw.seek(chunk.byte_offset + chunk.size // 2)
        raw.write(b"\xff\x00\xff\x00")


def test_a_trial_that_meets_a_damaged_block_fails_as_data_and_the_worker_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No place to convert the events, so that trials read the file itself.
    (lab.folder / "occupied").write_text("")
    monkeypatch.setenv("STUDYHALL_CACHE", str(lab.folder / "occupied" / "cache"))
    plan: dict[str, Any] = {"data": {"cache": "map"}, "search": {"pruner": "none"}}
    events, whole = lab.folder / "events.h5", lab.folder / "whole.h5"
    lab.create(budget={"trials": 2}, **plan)
    shutil.copy(events, whole)

    damage(lab)
    ended = lab.work(workers=1)
    failed = lab.trials()
    shutil.copy(whole, events)
    lab.create(budget={"trials": 3}, **plan)
    lab.work(workers=1)

    assert ended is Refusal.DONE
    assert [(trial.state, trial.failure, trial.attempts) for trial in failed] == [(TrialState.FAIL, "data", 1)] * 2
    for trial in failed:
        assert trial.attributes["reason"].startswith("the events cannot be read (HDF5 says: ")
        assert trial.attributes["reason"].endswith("copy or download the file again")
    assert (lab.trials()[2].state, lab.trials()[2].attempts) == (TrialState.COMPLETE, 1)


def test_an_agent_that_loads_a_damaged_block_into_memory_refuses_and_claims_nothing(lab: Lab) -> None:
    lab.create(data={"cache": "memory"})
    damage(lab)

    with pytest.raises(WorkersUnusable, match=r"the events could not be loaded: .*read data"):
        lab.work(workers=1)

    assert not lab.trials()
