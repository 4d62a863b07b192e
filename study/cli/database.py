"""Commands about the database: its tables (create), and a private PostgreSQL (start, stop, status)."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import EXIT_FAILED, AsJson, Storage, complain, err, out, print_json, reported, storage_url

if TYPE_CHECKING:
    from storage.private_server import PrivateServer, ServerStatus

app = typer.Typer(
    help="Make a database's tables; run a private PostgreSQL, where a cluster offers no database server.",
    no_args_is_help=True,
)

Dir = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The server's own folder: data, settings and address.")]


@app.command()
@reported
def create(
    storage: Storage = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0.0, metavar="SECONDS", help="How long to wait for a server that starts.")
    ] = 0.0,
) -> int:
    """Create the tables of --storage, or upgrade them. Launching does so too; a dashboard alone does not."""
    from storage._schema import ensure_tables
    from storage.database import Database, redacted, retried

    database = Database(storage_url(storage), patience_s=wait)
    retried(ensure_tables)(database)
    database.close()
    _say(f"the tables are there: {redacted(database.url.render_as_string(hide_password=False))}")
    return 0


@app.command()
@reported
def start(
    folder: Dir,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", help="Address to listen on, 0.0.0.0 for all; else as the last time, at first 127.0.0.1."
        ),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; 0 is as the last time, at first a free one.")
    ] = 0,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let other hosts connect, with the password.")
    ] = False,
) -> int:
    """Start the server, and make it first where the folder is new. It goes on after this command."""
    server = _server(folder)
    started = server.start(listen=listen, port=port, allow_network=allow_network)
    status = server.status()
    if status.problem:
        complain(status.problem)
        return EXIT_FAILED
    where = f" on host {status.host}" if status.host else ""
    _say(f"PostgreSQL {status.version} {'started' if started else 'was running already'}{where}: {status.address}")
    _say(f"use it: export STUDYHALL_STORAGE=$(cat {shlex.quote(str(server.address_file))})")
    if started and allow_network:
        err.print(
            "[yellow]warning:[/] other hosts can connect with the password; what they send is not encrypted",
            highlight=False,
        )
    return 0


@app.command()
@reported
def stop(folder: Dir) -> int:
    """Stop the server; studies wait for it for as long as their lease.patience."""
    stopped = _server(folder).stop()
    _say("stopped" if stopped else "was not running")
    return 0


@app.command()
@reported
def status(folder: Dir, as_json: AsJson = False) -> int:
    """Show the server: whether it runs, address, version, size, connections. The exit status is 1 if it is stopped."""
    found = _server(folder).status()
    if as_json:
        print_json(found.to_json())
    else:
        for line in _lines(found):
            _say(line)
    if found.problem:
        complain(found.problem)
    return 0 if found.running and not found.problem else EXIT_FAILED


def _server(folder: Path) -> "PrivateServer":
    from storage.private_server import PrivateServer

    return PrivateServer(folder)


def _lines(status: "ServerStatus") -> list[str]:
    state = "running" if status.running else "stopped"
    if status.host:
        state += f", as far as this host can tell; it was started on host {status.host}"
    size = None if status.size_bytes is None else f"{status.size_bytes / 2**20:.1f} MB"
    facts = {
        "pid": status.pid,
        "address": status.address,
        "version": status.version,
        "size": size,
        "connections": status.connections,
    }
    return [f"state: {state}", *(f"{name}: {value}" for name, value in facts.items() if value is not None)]


def _say(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
