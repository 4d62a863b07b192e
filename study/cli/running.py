"""Commands that run trials: check, create, launch, worker, demo."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import (
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
from study.cli._launching import (
    Devices,
    From,
    FromStorage,
    GpusPerAgent,
    On,
    Top,
    UseBusy,
    WithHistory,
    Workers,
    engine_options,
    launcher_of,
    outcome,
    prepare,
    source_of,
    tell,
)

if TYPE_CHECKING:
    from study.plan import Plan


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
def create(
    study_file: StudyFile,
    storage: Storage = None,
    sets: Sets = None,
    from_: From = None,
    top: Top = None,
    history: WithHistory = False,
    from_storage: FromStorage = None,
) -> int:
    """Create the study, or change what may change of it, and run nothing: `worker` joins it from anywhere."""
    from study.stored import create_or_update

    source, plan = source_of(from_, top, history, from_storage), _plan(study_file, sets)
    prepare(plan)
    created = create_or_update(storage_url(storage), plan, source=source, tell=tell)
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
    on: On = "local",
    gpus_per_agent: GpusPerAgent = 1,
    use_busy: UseBusy = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be started.")] = False,
    storage: Storage = None,
    sets: Sets = None,
    from_: From = None,
    top: Top = None,
    history: WithHistory = False,
    from_storage: FromStorage = None,
    as_json: AsJson = False,
) -> int:
    """Create the study, or continue it, and run workers until its budget is used.

    Options of an engine are added with its name: --slurm-partition gpu, --ray-address auto.
    """
    from study._signals import ENDING, hold
    from study.cli._tables import summary_table
    from study.cli.watching import live_panel
    from study.launching import launch as run
    from study.launching import order_of

    options, source = engine_options(context), source_of(from_, top, history, from_storage)
    url, plan = storage_url(storage), _plan(study_file, sets)
    launcher = launcher_of(on, plan.folder)
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
    prepare(plan)
    with live_panel(err) as follow:
        done = run(url, plan, launcher, order, follow=follow, source=source, tell=tell)
        hold(ENDING)
    if as_json:
        print_json(done.summary.to_json())
    else:
        summary_table(out, done.summary)
    return outcome(done)


def _plan(study_file: Path, sets: list[str] | None) -> "Plan":
    from study.loading import load_config
    from study.plan import build_plan

    return build_plan(*load_config(study_file, sets or []))


def _job_end() -> float | None:
    """When Slurm will kill this job, as `time.time`; None outside of Slurm."""
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(end) if end.isdigit() else None


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
