"""Requests and answers of our page."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from study.web._wsgi import Answer, refusal, whole

PREFIX = "/studyhall"
CONTENT_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"  # no inline
)


class NotAnswerable(ValueError):
    """A request that cannot be answered as it is: says what was given and what is accepted."""


@dataclass(frozen=True)
class Request:
    """What a browser asks for.

    Attributes:
        base: Path of our pages without a slash at the end, ``/studyhall`` unless a proxy adds to it.
        path: Below that, decoded; begins with a slash.
        query: The last value of each key.
        etag: The digest of what the browser has kept, or None.
    """

    method: str
    base: str
    path: str
    query: Mapping[str, str]
    etag: str | None

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> "Request":
        """The request of a server that leaves our prefix in the path, or one that has moved it into SCRIPT_NAME."""
        script, path = _text(environ.get("SCRIPT_NAME", "")), _text(environ.get("PATH_INFO", ""))
        if not script.endswith(PREFIX) and (path == PREFIX or path.startswith(f"{PREFIX}/")):
            script, path = script + PREFIX, path[len(PREFIX) :]
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        return cls(
            method=environ.get("REQUEST_METHOD", "GET"),
            base=script,
            path=path,
            query={key: values[-1] for key, values in query.items()},
            etag=environ.get("HTTP_IF_NONE_MATCH"),
        )

    def numbers(self, key: str, most: int | None = None) -> list[int]:
        """Trials' numbers from the query.

        Raises:
            NotAnswerable: They are missing, no numbers, or too many.
        """
        given = self.query.get(key, "")
        parts = given.split(",")
        usable = all(part.isdecimal() and part.isascii() and len(part) < 10 for part in parts)
        if not usable or (most is not None and len(parts) > most):
            example = f"{key}=3" if most == 1 else f"{key}=3,17,20"
            raise NotAnswerable(f"{key}={given!r} is given; it must be numbers of trials, as in ?{example}")
        return [int(part) for part in parts]


def _text(raw: str) -> str:
    # WSGI gives bytes as Latin-1.
    return raw.encode("latin-1", "replace").decode("utf-8", "replace")


def nothing_new() -> Answer:
    """The page knows everything."""
    return Answer("204 No Content", [("Cache-Control", "no-store")])


def as_json(tree: Any) -> Answer:
    """An answer that every browser can parse: NaN and infinities become null."""
    try:
        text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(tree), allow_nan=False, separators=(",", ":"))
    return whole("200 OK", "application/json", text.encode("ascii"), ("Cache-Control", "no-store"))


def problem(status: HTTPStatus, reason: str) -> Answer:
    """An error that the page shows as it stands."""
    return refusal(f"{status.value} {status.phrase}", reason)


def cached(request: Request, body: bytes, kind: str) -> Answer:
    """A file that the browser keeps and asks for again with its digest."""
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = [("Cache-Control", "private, no-cache"), ("ETag", etag)]
    if request.etag == etag:
        return Answer("304 Not Modified", headers)
    return whole("200 OK", kind, body, *headers)


def _finite(tree: Any) -> Any:
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    if isinstance(tree, Mapping):
        return {key: _finite(value) for key, value in tree.items()}
    return [_finite(value) for value in tree] if isinstance(tree, list | tuple) else tree
