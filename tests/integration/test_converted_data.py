"""Studies on files whose events are converted first: compressed images, and lists of hits."""

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lab import Lab

from objectives import _source
from storage.claims import Refusal
from storage.ingest import BESIDE, CannotConvert, entries
from study._ingestion import ingested
from study.plan import Plan, build_plan, open_data
from study.stored import decoded

QUEUE: list[dict[str, Any]] = [{"lr": 0.01}, {"lr": 0.03}]
STUDY: dict[str, Any] = {"budget": {"trials": 2}, "search": {"pruner": "none"}}


def compress(lab: Lab) -> None:
    with h5py.File(lab.folder / "events.h5", "r+") as file:
        events = file["event_data"][()]
        del file["event_data"]
        file.create_dataset("event_data", data=events, chunks=(7, *events.shape[1:]), compression="gzip")


def as_hits(lab: Lab) -> None:
    """The same images as lists of hits, one channel of charge and one of time."""
    with h5py.File(lab.folder / "events.h5") as file:
        events, labels = file["event_data"][()], file["labels"][()]
    count, height, width, _ = events.shape
    places = np.stack(np.divmod(np.arange(height * width), width), axis=1)
    np.savez(lab.folder / "pixels.npz", pmt_image_positions=places)
    with h5py.File(lab.folder / "events.h5", "w") as file:
        file["event_hits_index"] = np.arange(count) * len(places)
        file["hit_pmt"] = np.tile(np.arange(len(places)), count)
        file["hit_charge"], file["hit_time"] = events[..., 0].ravel(), events[..., 1].ravel()
        file["labels"] = labels


def courses(lab: Lab) -> list[tuple[float | None, dict[int, float]]]:
    return [(trial.value, dict(trial.values)) for trial in lab.trials()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float | None, dict[int, float]]]:
    """Values and curves of the trials on the plain file."""
    lab = Lab(tmp_path_factory.mktemp("plain"))
    lab.create(queue=QUEUE, **STUDY)
    lab.work(workers=1)
    lab.clean_up()
    return courses(lab)


@pytest.mark.parametrize(("kind", "cache"), [("gzip", "auto"), ("gzip", "memory"), ("hits", "map"), ("hits", "stream")])
def test_trials_give_the_bits_that_they_give_on_the_plain_file(
    lab: Lab, plain: list[tuple[float | None, dict[int, float]]], kind: str, cache: str
) -> None:
    (compress if kind == "gzip" else as_hits)(lab)
    data = {"cache": cache} | ({"pixels": "pixels.npz"} if kind == "hits" else {})

    lab.create(queue=QUEUE, data=data, **STUDY)
    ended = lab.work(workers=1)

    assert ended is Refusal.DONE
    assert courses(lab) == plain
    assert len(entries(lab.folder / BESIDE)) == (0 if cache == "memory" else 1)


def plan_of(lab: Lab) -> Plan:
    stored = decoded(lab.record())
    return build_plan(stored.config, stored.folder)


class TestNoRoom:
    @pytest.fixture(autouse=True)
    def full(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        compress(lab)
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 1))

    def test_events_that_fit_into_memory_are_used_all_the_same(
        self, lab: Lab, caplog: pytest.LogCaptureFixture
    ) -> None:
        lab.create(**STUDY)

        assert "GB are free; make room there" in caplog.text
        assert "going on without, which is slower" in caplog.text
        assert not ingested(plan_of(lab), open_data(plan_of(lab))).file.packed

    def test_events_that_do_not_are_refused_with_advice(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_source, "available_memory", lambda: 1)

        with pytest.raises(
            CannotConvert, match=r"events.h5: .* set STUDYHALL_CACHE to another folder, or set data.cache"
        ):
            lab.create(**STUDY)

    def test_streaming_needs_a_copy(self, lab: Lab) -> None:
        with pytest.raises(CannotConvert):
            lab.create(data={"cache": "stream"}, **STUDY)


class TestCommands:
    def test_launch_converts_once_and_says_so(self, lab: Lab) -> None:
        compress(lab)
        study = str(lab.study(**STUDY))

        status, first = lab.run("launch", study, "--workers", "1")
        again, second = lab.run("launch", study, "--workers", "1", "--set", "budget.trials=3")

        assert (status, again) == (0, 0)
        assert first.count("converting") == 1
        assert "converting" not in second

    def test_list_and_clear_look_where_the_data_are(self, lab: Lab) -> None:
        compress(lab)
        lab.create(**STUDY)

        status, text = lab.run("cache", "list", "events.h5")
        _, listed = lab.run("cache", "list", ".", "--json")
        _, cleared = lab.run("cache", "clear")
        _, empty = lab.run("cache", "list")

        (entry,) = json.loads(listed)["entries"]
        assert status == 0
        assert "200  dense" in text
        assert (entry["source"], entry["events"]) == (str(lab.folder / "events.h5"), 200)
        assert cleared.startswith("removed 1 converted files, 0.1 MB, from ")
        assert empty.startswith("nothing is kept in ")

    def test_the_environment_names_the_folder(self, lab: Lab, tmp_path: Path) -> None:
        compress(lab)
        chosen = {"STUDYHALL_CACHE": str(tmp_path / "chosen")}

        status, _ = lab.run("launch", str(lab.study(**STUDY)), "--workers", "1", **chosen)
        _, listed = lab.run("cache", "list", **chosen)

        assert status == 0
        assert "events.h5" in listed.replace("\n", "")
        assert not (lab.folder / BESIDE).exists()
        assert len(entries(tmp_path / "chosen")) == 1

    def test_data_that_are_not_there_are_named(self, lab: Lab) -> None:
        status, text = lab.run("cache", "list", "none.h5")

        assert status == 2
        assert "none.h5 does not exist; give the data file, or the folder it is in" in text


def test_another_host_converts_for_itself(lab: Lab) -> None:
    compress(lab)
    lab.create(**STUDY)
    shutil.rmtree(lab.folder / BESIDE)

    ended = lab.work(workers=2)

    assert ended is Refusal.DONE
    assert len(entries(lab.folder / BESIDE)) == 1
