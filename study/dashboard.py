"""optuna-dashboard on our storage."""

import socketserver
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna_dashboard import wsgi

from storage.trials import open_storage


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
    application = wsgi(open_storage(url))
    with make_server(host, port, application, _ThreadingServer, _QuietHandler) as server:
        announce(f"http://{host}:{server.server_port}/dashboard/")
        server.serve_forever()
