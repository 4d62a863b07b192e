"""What stands before the dashboard: login, read-only, and headers that keep a browser from being misled."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

from storage.errors import ConfigError, DatabaseError
from study.web._artifacts import is_artifact, sandbox
from study.web._compression import compress
from study.web._wsgi import Answer, Handler, refusal, sent
from study.web.login import Login

logger = logging.getLogger(__name__)

SHORTEST_TOKEN = 16
"""Characters: shorter ones can be found by trying."""
READING = ("GET", "HEAD", "OPTIONS")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FOR_ALL = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "no-referrer"),
)


@dataclass(frozen=True)
class GuardSettings:
    """What visitors must show and may do.

    Attributes:
        token: What they must give to log in; None lets everybody in.
        allow_write: Whether they may change and delete studies.
        loopback: Whether only this machine reaches the server; then, without a login, only its own names are answered
            to, lest another site's page reaches it under a name of its own.
    """

    token: str | None
    allow_write: bool = False
    loopback: bool = True

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise ConfigError(
                f"the dashboard's token has {len(self.token)} characters; give at least {SHORTEST_TOKEN}, for "
                "example the output of `openssl rand -hex 32`"
            )


class Guard:
    """A WSGI application that lets only those requests through that may pass; threads may share it."""

    def __init__(self, settings: GuardSettings, behind: Handler) -> None:
        """Stand before something that answers."""
        self._settings, self._behind = settings, behind
        self._login = None if settings.token is None else Login(settings.token)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        answer = self._explained(environ)
        path = environ.get("PATH_INFO", "")
        if is_artifact(path):
            sandbox(answer)
        else:
            answer = compress(environ, answer)
        if path.startswith("/static/"):
            answer.set("Cache-Control", "private, no-cache")  # asked for again, and not sent while it is the same
        for name, value in _FOR_ALL:
            answer.set(name, value)
        return sent(answer, environ, start_response)

    def _explained(self, environ: WSGIEnvironment) -> Answer:
        try:
            return self._answer(environ)
        except DatabaseError as error:
            return refusal("503 Service Unavailable", str(error), ("Retry-After", "5"))
        except Exception:
            logger.exception("a request for %s failed", environ.get("PATH_INFO"))
            return refusal("500 Internal Server Error", "internal error; the server's log has it")

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        stranger = self._misnamed(environ)
        if stranger is not None:
            return stranger
        if self._login is not None:
            own = self._login.answer(environ)
            if own is not None:
                return own
            if not self._login.knows(environ):
                return self._login.challenge(environ)
        return self._forbidden(environ) or self._behind(environ)

    def _misnamed(self, environ: WSGIEnvironment) -> Answer | None:
        """Another site may let its own name point here: a browser would then let that site's page read ours."""
        host = environ.get("HTTP_HOST", "")
        if self._login is not None or not self._settings.loopback or _name(host) in LOOPBACK:
            return None
        return refusal(
            "403 Forbidden",
            f"the request is for host {host!r}; without a login only {', '.join(LOOPBACK)} are served: open one of "
            "these, or serve with a login",
        )

    def _forbidden(self, environ: WSGIEnvironment) -> Answer | None:
        if environ["REQUEST_METHOD"] in READING:
            return None
        if not self._settings.allow_write:
            return refusal(
                "403 Forbidden", "read-only; `studyhall dashboard --allow-write` lets the page change studies"
            )
        origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            reason = f"a page of {origin} may not change what {host} serves; a proxy must pass the Host header on"
            return refusal("403 Forbidden", reason)
        return None


def _name(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
