"""What all commands share: options, consoles, and errors turned into one line and an exit status."""

import functools
import json
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130
DEFAULT_STORAGE = "sqlite:///studyhall.db"

app = typer.Typer(
    help="Hyperparameter optimization of networks on HDF5 images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console()
err = Console(stderr=True, soft_wrap=True)

Storage = Annotated[
    str | None,
    typer.Option("--storage", help=f"Database URL; else STUDYHALL_STORAGE or OPTUNA_STORAGE, else {DEFAULT_STORAGE}."),
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key of the study file: --set budget.trials=20.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The study's name.")]

P = ParamSpec("P")


def complain(message: str) -> None:
    """One error message, on standard error."""
    err.print(f"[bold red]error:[/] {_escaped(message)}", highlight=False)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


def reported(command: Callable[P, int | None]) -> Callable[P, None]:
    """Run a command: errors that a user can mend become one message, its result the exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from storage.errors import AddressError, DatabaseError, StudyhallError

        try:
            code = command(*args, **kwargs) or 0
        except DatabaseError as error:
            complain(str(error))
            code = EXIT_BAD_INPUT if isinstance(error, AddressError) else EXIT_FAILED
        except KeyboardInterrupt:  # before or after a command takes the signal itself
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            complain("interrupted")
            code = EXIT_INTERRUPTED
        except StudyhallError as error:
            complain(str(error))
            code = EXIT_BAD_INPUT
        except (FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            complain(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
            code = EXIT_BAD_INPUT
        except OSError as error:
            complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
            code = EXIT_FAILED
        raise typer.Exit(code)

    return run


def storage_url(given: str | None) -> str:
    """The database URL: option, then environment, then the SQLite file of the current folder."""
    return given or os.environ.get("STUDYHALL_STORAGE") or os.environ.get("OPTUNA_STORAGE") or DEFAULT_STORAGE


def print_json(tree: Any) -> None:
    """JSON on standard output, unstyled; what is not finite becomes null."""
    out.print(json.dumps(_finite(tree), indent=2, default=str), highlight=False, markup=False, soft_wrap=True)


def _finite(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_finite(value) for value in tree]
    if isinstance(tree, float) and (tree != tree or abs(tree) == float("inf")):
        return None
    return tree


def log_to_stderr(level: int = logging.INFO) -> None:
    """Plain log lines on standard error: for agents, whose output is a log file."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", force=True)
    for name in ("optuna", "sqlalchemy", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
