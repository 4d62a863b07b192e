"""A warm worker imports nothing and opens nothing between two trials."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab

from storage.claims import Refusal

FAMILY = """
import json, os, sys
from pathlib import Path
import torch
from models import mlp
from models._family import Family

NOTES = Path(__file__).with_name("notes.jsonl")


def build(hp, shape, outputs):
    if torch.get_default_device().type == "meta":  # its memory is predicted
        return mlp.FAMILY.build(hp, shape, outputs)
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    data = sorted(file for file in opened if file.endswith(".h5"))
    note = {"pid": os.getpid(), "modules": sorted(sys.modules), "data": data}
    with NOTES.open("a") as file:
        file.write(json.dumps(note) + "\\n")
    return mlp.FAMILY.build(hp, shape, outputs)


NOTED = Family("noted", mlp.FAMILY.hyperparameters, build)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    found = Lab(tmp_path / "lab")
    (found.folder / "noted_family.py").write_text(FAMILY)
    yield found
    found.clean_up()


def notes(lab: Lab) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (lab.folder / "notes.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("cache", "files"), [("memory", 0), ("map", 4), ("stream", 2)])
def test_a_worker_imports_and_opens_nothing_from_its_second_trial_on(lab: Lab, cache: str, files: int) -> None:
    lab.create(
        budget={"trials": 5},
        data={"cache": cache},
        space={"model": "noted_family.py:NOTED"},
        search={"pruner": "none"},
    )
    (lab.folder / "notes.jsonl").unlink(missing_ok=True)

    ended = lab.work(workers=1)
    found = notes(lab)

    assert ended is Refusal.DONE
    assert len({note["pid"] for note in found}) == 1
    assert len(found) == 5
    assert [sorted(set(note["modules"]) - set(found[1]["modules"])) for note in found[2:]] == [[]] * 3
    assert all(note["data"] == found[0]["data"] for note in found)
    assert len(found[0]["data"]) == files
