"""What a worker has in place before it is forked: the packages and the events.

The agent's forkserver imports this module once; each worker is a fork of it. Python's preload takes no arguments
and hides import errors, so the job comes through one environment variable and the outcome stays in `WARM`, which
every worker sends first. Threads and CUDA contexts do not survive a fork: none may exist here, and no torch
operation runs here.
"""

import json
import os
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study._training import TrialData, load_trial_data
from study.loading import validated
from study.plan import Facts, Plan, build_plan

JOB_VARIABLE = "STUDYHALL_JOB"
"""Names a JSON file with `config`, `facts` and `folder`; set by the agent before its forkserver starts."""


@dataclass(frozen=True)
class Warm:
    """What the forkserver holds for its workers."""

    plan: Plan
    facts: Facts
    data: TrialData
    parts: tuple[str, ...]


WARM: Warm | None = None
ERROR: str | None = None


def _load(job: dict[str, Any]) -> Warm:
    config = validated(job["config"], default_name="study", source="the stored configuration")
    plan = build_plan(config, Path(job["folder"]))
    facts = Facts.from_json(job["facts"])
    data = load_trial_data(plan, facts)
    _assert_forkable()
    return Warm(plan, facts, data, ("torch", "models", "training events", "validation events"))


def _assert_forkable() -> None:
    import torch

    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    status = Path("/proc/self/status")
    count = 1
    if status.is_file():
        count = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("Threads:"))
    if threads or count != 1 or torch.cuda.is_initialized():
        raise RuntimeError(f"the forkserver has {count} threads ({threads}) or a CUDA context; a fork would be unsafe")


if JOB_VARIABLE in os.environ:
    try:
        WARM = _load(json.loads(Path(os.environ[JOB_VARIABLE]).read_text(encoding="utf-8")))
    except ValueError as error:  # what a user can mend: bad data, a changed file
        ERROR = str(error)
    except Exception:
        ERROR = traceback.format_exc()
