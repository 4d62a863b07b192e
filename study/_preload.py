"""What a worker has in place before it is forked: the packages and the events.

The agent's forkserver imports this module once; each worker is a fork of it. Python's preload takes no arguments
and hides import errors: the job comes through one environment variable, heavy packages are imported inside `_load`,
and what came of it is written beside the job and stays in `WARM`, which every worker sends first. Threads and CUDA
contexts do not survive a fork: none may exist here, and no torch operation runs here.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study._lifeline import end_with_parent

if TYPE_CHECKING:
    from study._training import TrialData
    from study.plan import Facts, Plan

JOB_VARIABLE = "STUDYHALL_JOB"
"""Names a JSON file with `config`, `facts` and `folder`; set by the agent before its forkserver starts."""
BEGUN, OUTCOME = "begun", "outcome.json"
"""Files beside the job: empty when this module has begun; JSON with `error` when it has done."""


@dataclass(frozen=True)
class Warm:
    """What the forkserver holds for its workers."""

    plan: "Plan"
    facts: "Facts"
    data: "TrialData"
    parts: tuple[str, ...]


WARM: Warm | None = None
ERROR: str | None = "the events were not loaded before the worker was forked"


def _load(job: dict[str, Any]) -> Warm:
    from study._training import load_trial_data
    from study.loading import validated
    from study.plan import Facts, build_plan

    with contextlib.suppress(ImportError):
        # The first optimizer of a process imports it: 2 s that each worker would spend on its first trial.
        importlib.import_module("torch._dynamo")
    config = validated(job["config"], default_name="study", source="the stored configuration")
    plan = build_plan(config, Path(job["folder"]))
    facts = Facts.from_json(job["facts"])
    data = load_trial_data(plan, facts)
    _check_forkable()
    return Warm(plan, facts, data, ("torch", "models", "training events", "validation events"))


def _check_forkable() -> None:
    import torch

    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    status = Path("/proc/self/status")
    count = 1 + len(names)
    if status.is_file():
        count = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("Threads:"))
    if count != 1 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        has = f"{count} threads ({', '.join(names) or 'of a library'})" if count != 1 else "a CUDA context"
        raise RuntimeError(
            f"the process that workers are forked from has {has}, and a fork would be unsafe; "
            "a family's or task's file must start no thread and touch no GPU when it is imported"
        )


def _explained(error: Exception) -> str:
    """What a user can mend, in a line; the traceback of anything else goes to the log."""
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"the events do not fit into memory ({error}); use data.cache: map" if str(error) else "out of memory"
    if not isinstance(error, OSError | RuntimeError):
        traceback.print_exc()
    return f"the events could not be loaded: {type(error).__name__}: {error}"


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _main(job: Path) -> None:
    global WARM, ERROR
    end_with_parent()
    _write(job.with_name(BEGUN), "")
    try:
        WARM, ERROR = _load(json.loads(job.read_text(encoding="utf-8"))), None
    except Exception as error:
        ERROR = _explained(error)
    _write(job.with_name(OUTCOME), json.dumps({"error": ERROR}))


# Only the forkserver itself loads: a worker that finds nothing loaded reports that, it does not start slowly.
if JOB_VARIABLE in os.environ and multiprocessing.parent_process() is None:
    _main(Path(os.environ[JOB_VARIABLE]))
