"""The dashboard's server process."""

import contextlib
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]

from storage import studies
from storage.claims import reap
from storage.database import Database
from storage.errors import DatabaseError
from storage.trials import open_storage
from study.artifacts import StudyArtifacts
from study.stored import decoded
from study.web.application import make_application
from study.web.guard import GuardSettings
from study.web.page import make_page

PATIENCE_S = 2.0
"""How long one request waits for a database that is away."""
REAP_S = 5.0
"""Seconds between two looks for leases that have expired."""
THREADS = 8
MOST_UPLOADED = 128 * 2**20
"""Bytes of a request; optuna-dashboard takes no more."""
MOST_ASKED = 2**16
"""Bytes of a request that only reads or logs in."""
MOST_IN_MEMORY = 64 * 2**20
"""Bytes of one answer that wait in memory rather than in a file."""


def serve(url: str, host: str, port: int, *, guard: GuardSettings, announce: Callable[[str], None]) -> None:
    """Serve the dashboard until a signal's handler raises.

    Args:
        url: The database; its tables are created if they are missing, since the dashboard cannot start without.
        host: Address to listen on.
        port: 0 takes a free one.
        guard: What visitors must show and may do.
        announce: Told the address, without a path, once it is served.

    Raises:
        OSError: The address is in use, or not one of this machine.
        DatabaseError: The database cannot be reached.
    """
    with _listening(host, port) as listener:
        storage = open_storage(url, patience_s=PATIENCE_S)
        application = make_application(
            storage,
            guard=guard,
            artifact_store=StudyArtifacts(storage.database),
            pages={"/studyhall": make_page(storage.database)},
        )
        threading.Thread(target=_reap_for_ever, args=(storage.database,), name="reaper", daemon=True).start()
        announce(f"http://{_shown(host)}:{listener.getsockname()[1]}")
        _run(application, listener, MOST_UPLOADED if guard.allow_write else MOST_ASKED)


def _run(application: WSGIApplication, listener: socket.socket, most: int) -> None:
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a page asks many things at once
    channels: dict[int, Any] = {}
    server = create_server(
        application,
        map=channels,
        sockets=[listener],
        threads=THREADS,
        ident=None,
        clear_untrusted_proxy_headers=False,  # whether the visitor's side is https decides only a cookie's flag
        max_request_body_size=most,
        outbuf_overflow=MOST_IN_MEMORY,
        outbuf_high_watermark=MOST_IN_MEMORY,
    )
    try:
        wasyncore.loop(timeout=1, map=channels, use_poll=True)  # `server.run` would swallow the end
    finally:
        server.task_dispatcher.shutdown(timeout=1)  # seconds


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(error.errno, _reason(error, host, port)) from error


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; give another with --port, or --port 0 for a free one"
    said = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"cannot listen on {host}, port {port}: {said}; give an address of this machine with --host"


def _shown(host: str) -> str:
    """The host as another machine's browser needs it."""
    name = socket.gethostname() if host in ("", "0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name


def _reap_for_ever(database: Database) -> None:
    """A trial whose agent has vanished must not be shown as running."""
    while True:
        with contextlib.suppress(DatabaseError):  # the page tells of it
            for record in studies.list_studies(database):
                reap(database, record.study_id, decoded(record).config.retry.lost)
        time.sleep(REAP_S)
