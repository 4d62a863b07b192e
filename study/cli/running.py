"""Commands that run trials: check, create, launch, worker, demo."""

import logging
import os
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
    from study.launchers._launcher import Launcher
    from study.launching import Launched
    from study.plan import Plan
    from study.summary import Summary

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trials at a time; by default one per device slot.")
]
Devices = Annotated[str | None, typer.Option("--devices", help="auto, cpu, cuda:0,cuda:1, or cpu:0,cpu:1.")]
UseBusy = Annotated[bool, typer.Option("--use-busy", help="Take GPUs too on which other processes run.")]


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
def create(study_file: StudyFile, storage: Storage = None, sets: Sets = None) -> int:
    """Create the study, or change what may change of it, and run nothing: `worker` joins it from anywhere."""
    from study.stored import create_or_update

    plan = _plan(study_file, sets)
    _prepare(plan)
    created = create_or_update(storage_url(storage), plan)
    what = "created" if created else "is there already, with this configuration"
    out.print(
        f"study {plan.config.name!r} {what}; `studyhall worker {plan.config.name}` joins it",
        highlight=False,
        soft_wrap=True,
    )
    return 0


@reported
def launch(
    context: typer.Context,
    study_file: StudyFile,
    workers: Workers = None,
    devices: Devices = None,
    on: Annotated[str, typer.Option("--on", help="Where agents run: local, slurm, ray, or one of your own.")] = "local",
    gpus_per_agent: Annotated[
        int, typer.Option("--gpus-per-agent", min=0, help="GPUs that slurm or ray gives each agent; 0 for none.")
    ] = 1,
    use_busy: UseBusy = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be started.")] = False,
    storage: Storage = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> int:
    """Create the study, or continue it, and run workers until its budget is used.

    Options of an engine are added with its name: --slurm-partition gpu, --ray-address auto.
    """
    from study._signals import ENDING, hold
    from study.cli.watching import live_panel
    from study.launching import launch as run
    from study.launching import order_of

    known = [word.removeprefix("--") for option in context.command.params for word in option.opts]
    options = _engine_options(context.args, known)
    url, plan = storage_url(storage), _plan(study_file, sets)
    launcher = _launcher(on, plan.folder)
    order = order_of(
        url,
        plan,
        workers=workers,
        devices=devices,
        use_busy=use_busy,
        gpus_per_agent=gpus_per_agent,
        options=options,
    )
    if dry_run:
        out.print(launcher.preview(order), highlight=False, markup=False, soft_wrap=True)
        return 0
    _prepare(plan)
    with live_panel(err) as follow:
        done = run(url, plan, launcher, order, follow=follow)
        hold(ENDING)
    return _ended(done, as_json)


def _plan(study_file: Path, sets: list[str] | None) -> "Plan":
    from study.loading import load_config
    from study.plan import build_plan

    return build_plan(*load_config(study_file, sets or []))


def _prepare(plan: "Plan") -> None:
    from study._ingestion import prepare_data
    from study.cli.cache import converting

    with converting(plan.data_path) as progress:
        prepare_data(plan, progress)


def _launcher(on: str, folder: Path) -> "Launcher":
    from models._plugins import load_plugin
    from storage.errors import ConfigError

    try:
        launcher: Launcher = load_plugin(on, "study.launchers", "LAUNCHER", folder=folder)
    except ValueError as error:
        raise ConfigError(f"--on: {error}") from None
    return launcher


def _engine_options(words: list[str], known: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value` as a mapping; a name without a value is a flag.

    Args:
        known: Options of `launch` itself, which may have been misspelt.
    """
    from difflib import get_close_matches

    from storage.errors import ConfigError

    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--"):
            raise ConfigError(f"{name!r} is too much; launch takes one study file and options")
        if not equals and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        for meant in get_close_matches(name.removeprefix("--"), known, n=1, cutoff=0.8):
            raise ConfigError(f"there is no option {name}; did you mean --{meant}?")
        options[name.removeprefix("--")] = value
    return options


def _job_end() -> float | None:
    """When Slurm will kill this job, as `time.time`; None outside of Slurm."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(end) if end.isdigit() else None


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


def _tail(log: Path | None, lines: int = 12) -> str:
    if log is None or not log.is_file():
        return "(no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


@reported
def worker(
    name: Name,
    workers: Workers = None,
    devices: Devices = None,
    use_busy: UseBusy = False,
    storage: Storage = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", hidden=True, help="End when standard input closes.")
    ] = False,
) -> int:
    """Join a study from this host: one agent, with one worker per device slot.

    Under Slurm it hands its trials back before its job's time ends.
    """
    from storage.claims import Refusal
    from storage.errors import StudyhallError
    from study._forkserver import WorkersUnusable
    from study._signals import PREEMPTION, hold, take
    from study.agent import Agent
    from study.cli.looking import existing
    from study.launchers._agent_process import CRASHED

    log_to_stderr()
    existing(storage).close()
    supervisor = sys.stdin if supervised else None
    agent = Agent(
        storage_url(storage),
        name,
        workers=workers,
        devices=devices,
        use_busy=use_busy,
        ends_at=_job_end(),
        supervisor=supervisor,
    )
    take(PREEMPTION, agent.end)  # to the end of the process: a second Ctrl-C may come late
    try:
        ended = agent.run()
    except WorkersUnusable as error:
        complain(str(error))
        return EXIT_FAILED
    except (StudyhallError, OSError):
        raise
    except Exception:
        logging.getLogger(__name__).exception("the agent met an error of its own")
        return CRASHED
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
