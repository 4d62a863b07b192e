"""The dashboard as one WSGI application: our answers before optuna-dashboard's, the guard before both."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

import optuna_dashboard
from sqlalchemy import text

from storage.database import Database
from storage.trial_storage import TrialStorage
from study.web._artifacts import is_artifact
from study.web._poll import Polls
from study.web._wsgi import Answer, asked, refusal
from study.web.guard import Guard, GuardSettings

NO_PAGES: Mapping[str, WSGIApplication] = MappingProxyType({})


def make_application(
    storage: TrialStorage,
    *,
    guard: GuardSettings,
    artifact_store: Any = None,
    pages: Mapping[str, WSGIApplication] = NO_PAGES,
) -> WSGIApplication:
    """Compose the dashboard; it must be served at a site's root.

    Args:
        storage: What is shown; with little patience, since a page waits for every answer.
        guard: What visitors must show and may do.
        artifact_store: An `optuna.artifacts` store with the files that trials refer to; None shows none.
        pages: Further applications by the prefix of their paths, such as ``/studyhall``; they find it in SCRIPT_NAME
            and the rest in PATH_INFO, and must call ``start_response`` before they return. The guard stands before
            them too.

    Returns:
        An application that threads may share.
    """
    return Guard(guard, _Composition(storage, artifact_store, pages).answer)


class _Composition:
    """Finds who answers a request."""

    def __init__(self, storage: TrialStorage, artifact_store: Any, pages: Mapping[str, WSGIApplication]) -> None:
        self._database = storage.database
        self._stock: WSGIApplication = optuna_dashboard.wsgi(storage, artifact_store)
        self._pages = pages
        self._polls = Polls(storage)

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Ask whom the path belongs to.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        path = environ.get("PATH_INFO", "")
        for prefix, page in self._pages.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                inside = {"SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + prefix, "PATH_INFO": path[len(prefix) :]}
                return asked(page, environ | inside)
        return self._polls.answer(environ) or self._stock_answer(environ)

    def _stock_answer(self, environ: WSGIEnvironment) -> Answer:
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard fails without
        answer = asked(self._stock, environ)
        if answer.status.startswith("5"):
            _require(self._database)
            if is_artifact(environ.get("PATH_INFO", "")):  # optuna-dashboard does not expect a file to be gone
                return refusal("404 Not Found", "the file is not where it was written; it may lie on another host")
        return answer


def _require(database: Database) -> None:
    """Find out whether a failure is the database's.

    Raises:
        DatabaseError: It is.
    """
    with database.read() as connection:
        connection.execute(text("SELECT 1"))
