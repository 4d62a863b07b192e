"""Two parts of `overhead.py`: the gap between two trials of a worker, and a worker that is killed in a trial."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from overhead_steady import steady_tree
from timed_notes import Note, Noted, Spread, read_notes, spent, trials_of
from timed_study import FAMILIES, Scratch

from study.generation import write_simulation

MS = 1000.0
SETTLED = 40
"""Trials after which the default sampler proposes in earnest."""
MESSAGES = ("sent EpochResult", "got Order", "sent Done")
BEFORE = ("worker: metrics, best weights", "last epoch's report, there and back", "worker: save the weights")
"""What lies between the last validation batch, and each of `MESSAGES`."""
AGENT = (
    ("agent: finish the trial", "end"),
    ("    of that the transaction", "finish"),
    ("    of that keeping the best weights", "keep best"),
    ("agent: renew leases", "renew"),
    ("agent: claim", "claim"),
    ("agent: sample", "sample"),
    ("agent: write the parameters", "write parameters"),
)


def gap_parts(trial: Noted, after: Noted, got_job: float, steps: list[Note]) -> dict[str, float]:
    """The parts of one gap, in seconds."""
    moments = [trial.end, *(trial.messages[message] for message in MESSAGES)]
    parts = {name: later - earlier for name, (earlier, later) in zip(BEFORE, pairwise(moments), strict=True)}
    done = trial.messages["sent Done"]
    agent = {name: spent(steps, what, trial.messages["got Order"], got_job) for name, what in AGENT}
    parts |= agent
    parts["agent and pipe: the rest"] = got_job - done - sum(agent[name] for name in agent if name[0] != " ")
    parts["worker: read the job, predict the memory"] = after.build["at"] - got_job
    parts["worker: build the network"] = after.built - after.build["at"]
    parts["worker: optimizer, first batch"] = after.begin - after.built
    parts["from Done to the first step"] = after.begin - done
    parts["the whole gap"] = after.begin - trial.end
    return parts


def print_by_family(late: list[tuple[Noted, Noted, float]]) -> None:
    """The whole gap, by the family that comes after it: its network is built, and the one before is saved."""
    for family in sorted({after.build["family"] for _, after, _ in late}):
        whole = [after.begin - trial.end for trial, after, _ in late if after.build["family"] == family]
        print(Spread.of(whole, MS).row(f"the whole gap before a {family.removeprefix('timed_')} ({len(whole)})"))


def gaps(folder: Path, trials: int) -> dict[str, Any]:
    """A study of short trials over the default space; print and return the gaps of its later part."""
    data = folder / "few.h5"
    write_simulation(data, 160, 2)
    tree = {
        "budget": {"trials": trials, "until": None},
        "data": {"path": str(data)},
        "training": {"epochs": 2},
        "space": {"model": FAMILIES},
        "search": {"pruner": "none", "sampler": {"name": "tpe", "n_startup_trials": SETTLED}},
    }
    scratch = Scratch(folder / "gaps", tree)
    if scratch.start_agent().wait():
        raise RuntimeError(f"the agent failed:\n{(scratch.folder / 'agent.log').read_text(encoding='utf-8')}")
    notes, steps = read_notes(scratch.notes), read_notes(scratch.steps)
    run = trials_of(notes)
    jobs = [note["at"] for note in notes if note["what"] == "got TrialJob"]
    late = list(zip(run[:-1], run[1:], jobs, strict=False))[min(SETTLED, trials // 2) :]
    parts = [gap_parts(*pair, steps) for pair in late]
    print(f"\ngap between two trials of one worker, ms; {len(parts)} gaps, the default sampler over the default space")
    print(f"  {'':52}{'p50':>9}{'p95':>9}{'max':>9}")
    spreads = {name: Spread.of([part[name] for part in parts], MS) for name in parts[0]}
    for name, spread in spreads.items():
        print(spread.row(name))
    print_by_family(late)
    print_belongings(run)
    return {"ms": {n: dataclasses.asdict(s) for n, s in spreads.items()}, "belongings": [t.build for t in run]}


def print_belongings(run: list[Noted]) -> None:
    """What the worker imports and opens from its second trial on."""
    builds = [trial.build for trial in run]
    new = [build["modules"] - before["modules"] for before, build in pairwise(builds)]
    print(f"  one process for all trials: {len({build['pid'] for build in builds}) == 1}")
    print(f"  modules imported between trials 2 and 3: {new[1]}; from then on: {sum(new[2:])}")
    files = [build["files"] for build in builds]
    print(f"  open files at trial 2: {files[1]}, 3: {files[2]}, last: {files[-1]}; of the data file: ", end="")
    print(", ".join(str(builds[index]["data_files"]) for index in (1, 2, -1)))


def wait_for(scratch: Scratch, holds: Callable[[list[Note]], bool], patience_s: float = 60.0) -> list[Note]:
    """The notes, once something holds of them."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        notes = read_notes(scratch.notes)
        if holds(notes):
            return notes
        time.sleep(0.02)
    raise TimeoutError(f"nothing came in {patience_s:g} s; {scratch.folder / 'agent.log'} may tell why")


def replacements(folder: Path, data: Path, kills: int) -> dict[str, Any]:
    """Kill workers in the middle of a trial; print and return how long their replacements take."""
    scratch = Scratch(folder / "kills", steady_tree(data, 4 * kills + 8, 1))
    agent = scratch.start_agent()
    found = []
    try:
        for _ in range(kills):
            found.append(one_kill(scratch))
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait()
    print(f"\na worker is killed in a trial, ms until each step of its replacement; {kills} kills")
    print(f"  {'':52}{'p50':>9}{'p95':>9}{'max':>9}")
    spreads = {name: Spread.of([part[name] for part in found], MS) for name in found[0]}
    for name, spread in spreads.items():
        print(spread.row(name))
    return {name: dataclasses.asdict(spread) for name, spread in spreads.items()}


def one_kill(scratch: Scratch) -> dict[str, float]:
    """Kill once a trial of the present worker is over, so that failures do not add up; moments after the kill."""
    begun = len(read_notes(scratch.notes))
    notes = wait_for(scratch, lambda notes: [n["what"] for n in notes[begun:]].count("build") >= 2)
    seen = len(notes)
    pid = wait_for(scratch, lambda notes: [n["what"] for n in notes[seen:]].count("train") >= 3)[-1]["pid"]
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    notes = wait_for(scratch, lambda notes: any(n["what"] == "train" and n["pid"] != pid for n in notes[seen:]))
    new = [n for n in notes[seen:] if n["pid"] != pid]
    steps = [step for step in read_notes(scratch.steps) if step["end"] > killed]
    replaced = next(step for step in steps if step["what"] == "replace")
    claimed = next(step for step in steps if step["what"] == "claim" and step["begin"] > replaced["end"])
    moments = {
        "the agent begins to replace it": replaced["begin"],
        "forked": replaced["end"],
        "ready, next trial claimed": claimed["end"],
        "network is built": next(n["at"] for n in new if n["what"] == "build"),
        "first step": next(n["at"] for n in new if n["what"] == "train"),
    }
    return {name: moment - killed for name, moment in moments.items()}
