"""Asking WSGI applications and servers, and a real browser."""

import gzip
import http.client
import io
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults

import pytest
from playwright.sync_api import Browser, sync_playwright
from waitress import wasyncore
from waitress.server import create_server


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.plain.decode()

    @property
    def plain(self) -> bytes:
        """The body as it was before compression."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @property
    def tree(self) -> Any:
        return json.loads(self.plain)


def ask(application: WSGIApplication, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
    """Ask an application; headers are named as in ``accept_encoding="gzip"``."""
    where, _, query = path.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": where, "QUERY_STRING": query}
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), "HTTP_HOST": "127.0.0.1:8080"}
    for name, value in headers.items():
        environ["CONTENT_TYPE" if name == "content_type" else f"HTTP_{name.upper()}"] = value
    setup_testing_defaults(environ)
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    parts = application(environ, lambda status, found, error=None: begun.append((status, found)))  # type: ignore[arg-type,func-returns-value]
    try:
        sent = b"".join(parts)
    finally:
        getattr(parts, "close", lambda: None)()
    ((status, found),) = begun
    return Reply(int(status.split()[0]), {name.lower(): value for name, value in found}, sent)


def fetch(address: str, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Reply:
    """Ask a server; redirects are not followed."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, found, answer.read())
    finally:
        connection.close()


@contextmanager
def served(application: WSGIApplication) -> Iterator[str]:
    """Serve an application from a thread of this process, which leaves no socket open; the address."""
    channels: dict[int, Any] = {}
    server = create_server(application, map=channels, host="127.0.0.1", port=0, threads=4)
    ending = threading.Event()

    def run() -> None:
        while not ending.is_set():
            wasyncore.loop(timeout=0.05, map=channels, use_poll=True, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        ending.set()
        thread.join()
        server.task_dispatcher.shutdown()
        for channel in list(channels.values()):
            channel.close()


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()
