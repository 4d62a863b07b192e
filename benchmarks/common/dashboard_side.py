"""One side of the comparison, served over HTTP: `python -P dashboard_side.py SIDE URL` prints its port.

A path of its own tells the CPU seconds the process has used and the megabytes it holds.
"""

import json
import socket
import sys
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna
import optuna_dashboard
import psutil
from waitress.server import create_server

from storage.trials import open_storage
from study.web.application import make_application
from study.web.guard import GuardSettings
from study.web.server import MOST_IN_MEMORY

COST = "/cost-of-this-process"


def application(side: str, url: str) -> WSGIApplication:
    """What is compared."""
    if side == "stock":
        return optuna_dashboard.wsgi(optuna.storages.get_storage(url))
    if side == "stock, our storage":
        return optuna_dashboard.wsgi(open_storage(url))
    return make_application(open_storage(url), guard=GuardSettings(None))


def main() -> None:
    """Serve until killed."""
    side, url = sys.argv[1:]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    behind = application(side, url)

    def measured(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != COST:
            return behind(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps([time.process_time(), psutil.Process().memory_info().rss / 2**20]).encode()]

    listener = socket.create_server(("127.0.0.1", 0))
    memory = {"outbuf_overflow": MOST_IN_MEMORY, "outbuf_high_watermark": MOST_IN_MEMORY}
    server = create_server(measured, sockets=[listener], threads=8, **memory)
    print(listener.getsockname()[1], flush=True)
    server.run()


if __name__ == "__main__":
    main()
