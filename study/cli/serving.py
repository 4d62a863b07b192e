"""The command that serves the dashboard."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from study.cli._common import DEFAULT_STORAGE, Storage, err, out, reported, storage_url

TOKEN_VARIABLE = "STUDYHALL_DASHBOARD_TOKEN"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""The first process of a container ignores them unless it takes them itself."""


@reported
def dashboard(
    storage: Storage = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help=f"File with the token; {TOKEN_VARIABLE} goes first.")
    ] = None,
    no_login: Annotated[bool, typer.Option("--no-login", help="Let everybody in who reaches the address.")] = False,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Let the page change and delete studies; else it only reads.")
    ] = False,
) -> int:
    """Serve optuna-dashboard on this database until Ctrl-C: behind a login, and read-only."""
    _with_fixed_hashes()
    from study._signals import handled
    from study.cli.looking import existing
    from study.web.guard import LOOPBACK, GuardSettings
    from study.web.server import serve

    token, place = (None, "") if no_login else _token(token_file)
    loopback = host in LOOPBACK
    guard = GuardSettings(token, allow_write=allow_write, loopback=loopback)
    url = storage_url(storage)
    if url == DEFAULT_STORAGE or url.startswith("sqlite"):
        existing(url).close()
    if no_login and not loopback:
        what = "read, change and delete" if allow_write else "read"
        err.print(f"[yellow]warning:[/] whoever reaches this address can {what} all studies; leave out --no-login")
    with handled(_ENDING, _end):
        serve(url, host, port, guard=guard, announce=lambda address: _announce(address, token, place))
    return 0


def _with_fixed_hashes() -> None:
    """Start again with fixed hashes, once: optuna-dashboard's lists come in an order that depends on them."""
    if not os.environ.get("PYTHONHASHSEED", "").isdecimal():
        command = [sys.executable, "-P", "-m", "study", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})


def _token(file: Path | None) -> tuple[str, str]:
    """The token, and where it is to be found."""
    from study.web.token import kept_token, read_token, state_folder

    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        return given, f"in {TOKEN_VARIABLE}"
    if file is not None:
        return read_token(file), f"in {file}"
    token, kept = kept_token(state_folder(os.environ))
    return token, f"in {kept}"


def _announce(address: str, token: str | None, place: str) -> None:
    """Tell where the page is; the token only to a terminal, since other outputs are kept and passed on."""
    from urllib.parse import quote

    link, hint = f"{address}/", ""
    if token is not None and out.is_terminal:
        link = f"{address}/#token={quote(token)}"  # browsers do not send what follows #
    elif token is not None:
        hint = f"; the token is {place}"
    out.print(f"dashboard at {link}{hint} (Ctrl-C ends it)", markup=False, highlight=False, soft_wrap=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)  # as of a process that the signal has ended
