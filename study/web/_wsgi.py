"""Answers as values, between the applications that give them and the server that sends them."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Headers = list[tuple[str, str]]


@dataclass
class Answer:
    """An answer that has not been sent; it may be changed until then.

    Attributes:
        status: Such as ``200 OK``.
        body: Its parts; closed, if it can be, by whoever sends or replaces it.
    """

    status: str
    headers: Headers = field(default_factory=list)
    body: Iterable[bytes] = ()

    def header(self, name: str) -> str:
        """The value of a header, empty if there is none."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")

    def set(self, name: str, value: str | None) -> None:
        """Replace a header; None removes it."""
        self.headers = [(known, old) for known, old in self.headers if known.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def close(self) -> None:
        """Let go of the body."""
        close: Callable[[], None] | None = getattr(self.body, "close", None)
        if close is not None:
            close()


Handler = Callable[[WSGIEnvironment], Answer]


def asked(application: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The answer of an application, which must begin it before it returns."""
    begun: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers, exc_info: object = None, /) -> Callable[[bytes], object]:
        begun[:] = [(status, list(headers))]
        return _no_writing

    body = application(environ, start_response)
    if not begun:
        raise RuntimeError(f"{application} has returned without calling start_response")
    return Answer(*begun[0], body)


def _no_writing(data: bytes) -> None:
    raise RuntimeError("an application of the dashboard must return its body instead of writing it")


def sent(answer: Answer, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Begin to send an answer."""
    start_response(answer.status, answer.headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        answer.close()
        return ()
    return answer.body


def whole(status: str, kind: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    """An answer whose body is here."""
    return Answer(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers], [body])


def json_answer(status: str, tree: Any, *headers: tuple[str, str]) -> Answer:
    """JSON, written as optuna-dashboard does."""
    return whole(status, "application/json", json.dumps(tree).encode(), *headers)


def refusal(status: str, reason: str, *headers: tuple[str, str]) -> Answer:
    """Why there is no other answer, in the form in which optuna-dashboard's page shows it."""
    return json_answer(status, {"reason": reason}, ("Cache-Control", "no-store"), *headers)


def see_other(place: str, *headers: tuple[str, str]) -> Answer:
    """Go there with GET."""
    return whole("303 See Other", "text/plain", b"", ("Location", place), ("Cache-Control", "no-store"), *headers)


def accepts_gzip(environ: WSGIEnvironment) -> bool:
    """Whether the client reads gzip."""
    for item in environ.get("HTTP_ACCEPT_ENCODING", "").lower().split(","):
        name, _, quality = item.partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
