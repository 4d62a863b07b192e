"""Commands that control a running study from anywhere: pause, resume, stop, retry, enqueue."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import AsJson, Name, Storage, out, print_json, reported
from study.cli.looking import existing

if TYPE_CHECKING:
    from storage.tables import StudyState


def _set(name: str, storage: str | None, state: "StudyState", what: str) -> int:
    from study.control import set_study_state

    set_study_state(existing(storage), name, state)
    out.print(f"{name}: {what}", highlight=False)
    return 0


@reported
def pause(name: Name, storage: Storage = None) -> int:
    """Claim no more trials, on any host. Running ones go on to their end, then agents wait for `resume` or `stop`."""
    from storage.tables import StudyState

    return _set(
        name,
        storage,
        StudyState.PAUSED,
        "paused; running trials go on to their end, then the agents wait for `studyhall resume` or stop",
    )


@reported
def resume(name: Name, storage: Storage = None) -> int:
    """Let a study go on: agents that wait claim trials again; where they have ended, start them again."""
    from storage.tables import StudyState

    return _set(
        name, storage, StudyState.RUNNING, "may run; agents that have ended are started by `studyhall worker` or launch"
    )


@reported
def stop(name: Name, storage: Storage = None) -> int:
    """Hand running trials back and end the study's agents, on every host."""
    from storage.tables import StudyState

    return _set(name, storage, StudyState.STOPPED, "stopping; agents hand their trials back at the next renewal")


@reported
def retry(
    name: Name,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed trial.")] = False,
    storage: Storage = None,
) -> int:
    """Enqueue failed trials again, with the same hyperparameters; the budget grows by as many."""
    from storage.errors import ConfigError
    from study.control import retry_failed

    if not failed:
        raise ConfigError("say which trials: --failed retries every failed one")
    numbers = retry_failed(existing(storage), name)
    listed = ", ".join(map(str, numbers))
    out.print(f"{name}: enqueued {len(numbers)} failed trials again ({listed}); launch runs them", highlight=False)
    return 0


@reported
def enqueue(
    name: Name,
    values: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="Hyperparameters; those not given are sampled.")
    ],
    times: Annotated[int, typer.Option("--times", min=1, help="Trials of them, each with a seed of its own.")] = 1,
    within_budget: Annotated[bool, typer.Option("--within-budget", help="Leave the budget as it is.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Ask for a trial with these hyperparameters, before new ones; the budget grows by as many."""
    from study.control import enqueue_trials

    done = enqueue_trials(existing(storage), name, values, times=times, within_budget=within_budget)
    if as_json:
        print_json(done.to_json())
        return 0
    listed = ", ".join(map(str, done.numbers))
    out.print(f"{name}: enqueued trial {listed}; {done.outlook}", highlight=False, markup=False, soft_wrap=True)
    return 0
