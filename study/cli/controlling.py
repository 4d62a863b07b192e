"""Commands that control a running study from anywhere: pause, resume, stop, retry."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import Name, Storage, out, reported
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
