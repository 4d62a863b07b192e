"""optuna-dashboard on our storage."""

import contextlib
import socketserver
import threading
import time
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from storage import studies
from storage.claims import reap
from storage.database import Database
from storage.errors import DatabaseError
from storage.trials import open_storage
from study.stored import decoded

REAP_S = 5.0
"""Seconds between two looks for leases that have expired."""


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page polls every few seconds."""


def serve(url: str, host: str, port: int, *, announce: Callable[[str], None]) -> None:
    """Serve the dashboard until interrupted.

    Args:
        url: The database; its tables are created if they are missing, since the dashboard cannot start without.
        host: Address to listen on.
        port: 0 takes a free one.
        announce: Told the page's address once it is served.

    Raises:
        OSError: The address is in use.
        DatabaseError: The database cannot be reached.
    """
    storage = open_storage(url)
    with make_server(host, port, wsgi(storage), _ThreadingServer, _QuietHandler) as server:
        announce(f"http://{host}:{server.server_port}/dashboard/")
        threading.Thread(target=_reap_for_ever, args=(storage.database,), name="reaper", daemon=True).start()
        server.serve_forever()


def _reap_for_ever(database: Database) -> None:
    """A trial whose agent has vanished must not be shown as running."""
    while True:
        with contextlib.suppress(DatabaseError):  # the page tells of it
            for record in studies.list_studies(database):
                reap(database, record.study_id, decoded(record).config.retry.lost)
        time.sleep(REAP_S)
