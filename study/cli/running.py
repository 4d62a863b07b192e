"""Commands that run trials: check, launch, worker, demo."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    AsJson,
    Name,
    Sets,
    Storage,
    StudyFile,
    complain,
    err,
    log_to_stderr,
    out,
    print_json,
    reported,
    storage_url,
)

if TYPE_CHECKING:
    from study.launching import Launched
    from study.summary import Summary

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trials at a time; by default one per device slot.")
]
Devices = Annotated[str | None, typer.Option("--devices", help="auto, cpu, or cuda:0,cuda:1.")]


@reported
def check(study_file: StudyFile, sets: Sets = None, as_json: AsJson = False) -> int:
    """Validate a study file, look at its data, and dry-run each family: predicted time and memory."""
    from study.checking import check_study
    from study.cli._reports import check_report

    report = check_study(study_file, sets or [])
    if as_json:
        print_json(report.to_json())
    else:
        check_report(out, report)
    return 0


@reported
def launch(
    study_file: StudyFile,
    workers: Workers = None,
    devices: Devices = None,
    on: Annotated[str, typer.Option("--on", help="Where agents run: local.")] = "local",
    storage: Storage = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> int:
    """Create the study, or continue it, and run workers until its budget is used."""
    from models._plugins import load_plugin
    from storage.errors import ConfigError
    from study._ingestion import prepare_data
    from study._signals import ENDING, hold
    from study.cli.cache import converting
    from study.cli.watching import live_panel
    from study.launching import launch as run
    from study.loading import load_config
    from study.plan import build_plan

    config, folder = load_config(study_file, sets or [])
    plan = build_plan(config, folder)
    try:
        launcher = load_plugin(on, "study.launchers", "LAUNCHER", folder=folder)
    except ValueError as error:
        raise ConfigError(f"--on: {error}") from None
    with converting(plan.data_path) as progress:
        prepare_data(plan, progress)
    with live_panel(err) as follow:
        done = run(storage_url(storage), plan, launcher, workers=workers, devices=devices, follow=follow)
        hold(ENDING)
    return _ended(done, as_json)


def _ended(done: "Launched", as_json: bool) -> int:
    from study.cli._tables import summary_table
    from study.launching import End

    if as_json:
        print_json(done.summary.to_json())
    else:
        summary_table(out, done.summary)
    if done.end is End.INTERRUPTED:
        err.print("interrupted; the same command continues with the missing trials")
        return EXIT_INTERRUPTED
    if done.end is End.FAILED:
        complain(f"the agent ended with an error; {done.log} ends with:\n{_tail(done.log)}")
        return EXIT_BAD_INPUT if done.status == EXIT_BAD_INPUT else EXIT_FAILED
    if done.end is End.DONE and done.summary.best is None:
        complain(f"no trial was completed; the last one: {_last_reason(done.summary)}")
        return EXIT_FAILED
    if done.end is End.LEFT:
        complain(f"the study is {done.summary.state}: {done.summary.reason or 'other agents work on it'}")
        return EXIT_FAILED
    return 0


def _last_reason(summary: "Summary") -> str:
    reasons = [str(trial.attributes["reason"]) for trial in summary.trials if "reason" in trial.attributes]
    return reasons[-1] if reasons else "was pruned"


def _tail(log: Path, lines: int = 12) -> str:
    if not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@reported
def worker(
    name: Name,
    workers: Workers = None,
    devices: Devices = None,
    storage: Storage = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="End when standard input closes.")
    ] = False,
) -> int:
    """Join a study from this host: one agent, with one worker per device slot."""
    from storage.claims import Refusal
    from study._forkserver import WorkersUnusable
    from study._signals import PREEMPTION, hold, take
    from study.agent import Agent
    from study.cli.looking import existing

    log_to_stderr()
    existing(storage).close()
    supervisor = sys.stdin if supervised else None
    agent = Agent(storage_url(storage), name, workers=workers, devices=devices, supervisor=supervisor)
    take(PREEMPTION, agent.end)  # to the end of the process: a second Ctrl-C may come late
    try:
        ended = agent.run()
    except WorkersUnusable as error:
        complain(str(error))
        return EXIT_FAILED
    finally:
        hold(PREEMPTION)
    if ended is None:
        return EXIT_INTERRUPTED
    if ended is not Refusal.DONE:
        err.print(f"study {name!r}: {ended}")
    return 0


@reported
def demo(
    to: Annotated[Path, typer.Option("--to", help="Folder for everything the demo makes.")] = Path("demo"),
    events: Annotated[int, typer.Option("--events", min=1000, help="Simulated events.")] = 6000,
    trials: Annotated[int, typer.Option("--trials", min=2, help="Trials of the study.")] = 12,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Trials at a time.")] = 2,
) -> int:
    """Simulate events, run a small study, print the best configuration and export it."""
    from study.cli.watching import live_panel
    from study.demo import run_demo

    with live_panel(err) as follow:
        return run_demo(to, events=events, trials=trials, workers=workers, follow=follow, console=out)
