"""What the commands that start agents share: launch and confirm."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, complain, err

if TYPE_CHECKING:
    from study.launchers._launcher import Launcher
    from study.launching import Launched
    from study.plan import Plan
    from study.summary import Summary
    from study.warm_start import Source

Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Trials at a time; by default one per device slot.")
]
Devices = Annotated[str | None, typer.Option("--devices", help="auto, cpu, cuda:0,cuda:1, or cpu:0,cpu:1.")]
On = Annotated[str, typer.Option("--on", help="Where agents run: local, slurm, ray, or one of your own.")]
GpusPerAgent = Annotated[
    int, typer.Option("--gpus-per-agent", min=0, help="GPUs that slurm or ray gives each agent; 0 for none.")
]
From = Annotated[
    str | None, typer.Option("--from", help="A new study trains the best configurations of this older one first.")
]
Top = Annotated[int | None, typer.Option("--top", min=1, help="How many of them; 5 unless given.")]
FromStorage = Annotated[
    str | None, typer.Option("--from-storage", help="URL of the database that has the older study, if another.")
]
WithHistory = Annotated[
    bool, typer.Option("--history", help="Let the search learn from the older study's ended trials.")
]
UseBusy = Annotated[bool, typer.Option("--use-busy", help="Take GPUs too on which other processes run.")]


def prepare(plan: "Plan") -> None:
    """Convert the events if need be, with a progress bar."""
    from study._ingestion import prepare_data
    from study.cli.cache import converting

    with converting(plan.data_path) as progress:
        prepare_data(plan, progress)


def launcher_of(on: str, folder: Path) -> "Launcher":
    """The launcher of that name.

    Raises:
        ConfigError: There is none.
    """
    from models._plugins import load_plugin
    from storage.errors import ConfigError

    try:
        launcher: Launcher = load_plugin(on, "study.launchers", "LAUNCHER", folder=folder)
    except ValueError as error:
        raise ConfigError(f"--on: {error}") from None
    return launcher


def engine_options(context: typer.Context) -> dict[str, str]:
    """What the command line has beside the command's own options, which may have been misspelt, as a mapping.

    It is `--name value` or `--name=value`; a name without a value is a flag.
    """
    from difflib import get_close_matches

    from storage.errors import ConfigError

    known = [word.removeprefix("--") for option in context.command.params for word in option.opts]
    options: dict[str, str] = {}
    rest = list(context.args)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--"):
            raise ConfigError(f"{name!r} is too much; see `studyhall {context.info_name} --help`")
        if not equals and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        for meant in get_close_matches(name.removeprefix("--"), known, n=1, cutoff=0.8):
            raise ConfigError(f"there is no option {name}; did you mean --{meant}?")
        options[name.removeprefix("--")] = value
    return options


def source_of(study: str | None, top: int | None, history: bool, storage: str | None) -> "Source | None":
    """The older study with which a new one begins, or None.

    Raises:
        ConfigError: An option that says what to take from it is given without it.
    """
    from storage.errors import ConfigError
    from study.warm_start import TOP, Source

    if study is not None:
        return Source(study, TOP if top is None else top, history, storage)
    options = {"--top": top is not None, "--history": history, "--from-storage": storage is not None}
    for option, given in options.items():
        if given:
            raise ConfigError(f"{option} says what to take from an older study; give that with --from")
    return None


def tell(line: str) -> None:
    """A line beside what the command shows."""
    err.print(line, highlight=False, markup=False)


def outcome(done: "Launched") -> int:
    """Say what went wrong, if anything; the exit status."""
    from study.launching import End

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
