"""Our own page beside the stock dashboard: every study, what runs now, what failed, how trials differ."""

import html
import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from storage.database import Database
from storage.errors import ConfigError, StudyMissing
from study.web._page_config import config_yaml
from study.web._page_export import Exporter, attachment
from study.web._page_http import CONTENT_POLICY, NotAnswerable, Request, as_json, cached, nothing_new, problem
from study.web._page_overview import Overview
from study.web._page_trial import compared, trial_page
from study.web._page_watches import Watches
from study.web._wsgi import Answer, see_other, sent, whole

STATIC = Path(__file__).with_name("static")
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def make_page(database: Database) -> WSGIApplication:
    """The page as a WSGI application, to be mounted at ``/studyhall``; it only reads. Threads may share it.

    An error of the database goes through to the server, whose guard explains it.

    Args:
        database: Stays the caller's to close. Its tables must be up to date.
    """
    page = _Page(database)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = page.answer(Request.of(environ))
        answer.set("Content-Security-Policy", CONTENT_POLICY)
        answer.set("X-Content-Type-Options", "nosniff")
        return sent(answer, environ, start_response)

    return application


class _Page:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches = Watches(database)
        self._overview = Overview(self._watches)
        self._exporter = Exporter(database)
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in KINDS}
        routes: dict[str, Callable[..., Answer]] = {
            r"": self._moved,
            r"/|/study/.+": self._shell,
            r"/static/(?P<file>[^/]+)": self._file,
            r"/api/studies": self._studies,
            r"/api/study/(?P<name>.+)": self._study,
            r"/api/trial/(?P<name>.+)": self._trial,
            r"/api/compare/(?P<name>.+)": self._compare,
            r"/api/importance/(?P<name>.+)": self._importance,
            r"/api/config/(?P<name>.+)\.yaml": self._config,
            r"/api/export/(?P<name>.+)\.zip": self._export,
        }
        self._routes = [(re.compile(pattern, re.DOTALL), answer) for pattern, answer in routes.items()]

    def answer(self, request: Request) -> Answer:
        """The answer to any request."""
        if request.method not in ("GET", "HEAD"):
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not accepted: this page only reads")
        for pattern, answer in self._routes:
            if found := pattern.fullmatch(request.path):
                try:
                    return answer(request, **found.groupdict())
                except StudyMissing as error:
                    return problem(HTTPStatus.NOT_FOUND, str(error))
                except ConfigError as error:
                    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
                except NotAnswerable as error:
                    return problem(HTTPStatus.BAD_REQUEST, str(error))
        return problem(HTTPStatus.NOT_FOUND, f"there is no page {request.base}{request.path}")

    def _moved(self, request: Request) -> Answer:
        return see_other(f"{request.base}/")

    def _shell(self, request: Request) -> Answer:
        text = self._files["index.html"].decode().replace("{base}", html.escape(request.base))
        return cached(request, text.encode(), KINDS[".html"])

    def _file(self, request: Request, file: str) -> Answer:
        if file not in self._files:
            return problem(HTTPStatus.NOT_FOUND, f"there is no file {file}")
        return cached(request, self._files[file], KINDS[Path(file).suffix])

    def _studies(self, request: Request) -> Answer:
        return _polled(self._overview.answer(request.query.get("since")))

    def _study(self, request: Request, name: str) -> Answer:
        mark, watch = self._watches.one(name)
        found = watch.detail(mark, request.query.get("since"))
        return _polled(found and found | {"now": time.time()})

    def _trial(self, request: Request, name: str) -> Answer:
        mark, watch = self._watches.one(name)
        (number,) = request.numbers("number", most=1)
        return _polled(trial_page(self._database, watch.stored(mark), number, request.query.get("since")))

    def _compare(self, request: Request, name: str) -> Answer:
        mark, watch = self._watches.one(name)
        return as_json(compared(self._database, watch.stored(mark), request.numbers("trials")))

    def _importance(self, request: Request, name: str) -> Answer:
        mark, watch = self._watches.one(name)
        return as_json({"importance": watch.importance(mark)})

    def _config(self, request: Request, name: str) -> Answer:
        mark, watch = self._watches.one(name)
        text = config_yaml(watch.stored(mark))
        return whole("200 OK", "application/yaml", text.encode(), *attachment("config.yaml"))

    def _export(self, request: Request, name: str) -> Answer:
        if request.method == "HEAD":
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, "HEAD is not accepted: an export is made when it is got")
        mark, _ = self._watches.one(name)
        trial = request.numbers("trial", most=1)[0] if "trial" in request.query else None
        return self._exporter.answer(mark.name, trial)


def _polled(tree: Mapping[str, Any] | None) -> Answer:
    return nothing_new() if tree is None else as_json(tree)
