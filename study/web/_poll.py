"""Our own answers to what the page asks every few seconds: equal to optuna-dashboard's, from what is kept."""

import base64
import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._serializer import serialize_study_detail

from storage._cache import Position
from storage.trial_storage import TrialStorage
from study.web._best import BestTrials
from study.web._gzip import Piece, RecentPieces, compressed, digest_of, inflated, joined
from study.web._spaces import Overview
from study.web._studies import Reading, read_study, read_summaries
from study.web._trials import TrialTexts
from study.web._wsgi import Answer, Headers, accepts_gzip, json_answer, refusal

_STUDY = re.compile(r"/api/studies/(-?\d+)/*")
_COMMA, _END = compressed(b","), compressed(b"]}")


class Polls:
    """Answers for every study of a database; threads may share it, and wait for one another only at the same study."""

    def __init__(self, storage: TrialStorage) -> None:
        """Read through this storage."""
        self._storage = storage
        self._studies: dict[int, _StudyPoll] = {}
        self._lock = threading.Lock()

    def answer(self, environ: WSGIEnvironment) -> Answer | None:
        """The answer, or None if optuna-dashboard must give it.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return None
        path: str = environ.get("PATH_INFO", "")
        if path.rstrip("/") == "/api/studies":
            return json_answer("200 OK", {"study_summaries": read_summaries(self._storage.database)})
        match = _STUDY.fullmatch(path)
        return self._study(environ, int(match[1])) if match else None

    def _study(self, environ: WSGIEnvironment, study_id: int) -> Answer | None:
        after = _first_number(environ)
        if after is None:
            return refusal("400 Bad Request", "`after` should be larger or equal 0.")
        with self._lock:
            poll = self._studies.setdefault(study_id, _StudyPoll(self._storage, study_id))
        try:
            pieces = poll.pieces(after)
        except KeyError:
            self._forget(study_id)
            return refusal("404 Not Found", f"study_id={study_id} is not found")
        return None if pieces is None else _sendable(environ, pieces)

    def _forget(self, study_id: int) -> None:
        with self._lock:
            self._studies.pop(study_id, None)


class _StudyPoll:
    """One study as last read."""

    def __init__(self, storage: TrialStorage, study_id: int) -> None:
        self._storage, self._study_id = storage, study_id
        self._lock = threading.Lock()
        self._heads = RecentPieces(2)
        self._start_afresh([])

    def _start_afresh(self, directions: Sequence[Any]) -> None:
        self._position: Position | None = None
        self._texts = TrialTexts(self._study_id)
        self._overview = Overview()
        self._best = BestTrials(directions)

    def pieces(self, after: int) -> list[Piece] | None:
        """The answer's pieces, or None if it is not ours to give.

        Raises:
            KeyError: There is no such study.
            DatabaseError: The database cannot be reached.
        """
        with self._lock:
            reading = read_study(self._storage.database, self._storage, self._study_id, self._position)
            if reading.is_preferential:
                return None
            overview = self._taken(reading)
            if not self._texts.contiguous:
                return None
            head = self._head(reading, overview)
            return [self._heads.of([head], digest_of(head)), *_separated(self._texts.pieces(after)), _END]

    def _taken(self, reading: Reading) -> Overview:
        changes = reading.changes
        if changes.afresh:
            self._start_afresh(reading.study.directions)
        self._position = None  # should anything fail below, all is taken again
        self._texts.take(changes.finished, changes.open, reading.notes())
        for trial in changes.finished:
            self._overview.add(trial)
            self._best.add(trial)
        self._position = changes.position
        return self._overview.with_trials(changes.open)

    def _head(self, reading: Reading, overview: Overview) -> bytes:
        """The answer up to its trials."""
        tree = serialize_study_detail(
            reading.study,
            [],
            [],
            overview.intersection,
            overview.union,
            overview.attributes,
            overview.reports,
            dict(sorted(get_plotly_graph_objects(reading.study.system_attrs).items())),
            [],
        )
        del tree["trials"], tree["best_trials"]
        best = b",".join(self._texts.text(number).body for number in self._best.numbers)
        return json.dumps(tree).encode()[:-1] + b', "best_trials":[' + best + b'],"trials":['


def _separated(pieces: Iterator[Piece]) -> Iterator[Piece]:
    for place, piece in enumerate(pieces):
        if place:
            yield _COMMA
        yield piece


def _sendable(environ: WSGIEnvironment, pieces: list[Piece]) -> Answer:
    tag = base64.urlsafe_b64encode(digest_of(*(piece.digest for piece in pieces))).decode().rstrip("=")
    headers: Headers = [
        ("ETag", f'W/"{tag}"'),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Accept-Encoding"),
    ]
    if f'"{tag}"' in environ.get("HTTP_IF_NONE_MATCH", ""):
        return Answer("304 Not Modified", headers)
    headers.append(("Content-Type", "application/json"))
    if not accepts_gzip(environ):
        size = sum(piece.size for piece in pieces)
        return Answer("200 OK", [*headers, ("Content-Length", str(size))], map(inflated, pieces))
    body = joined(pieces)
    size = sum(map(len, body))
    return Answer("200 OK", [*headers, ("Content-Encoding", "gzip"), ("Content-Length", str(size))], body)


def _first_number(environ: WSGIEnvironment) -> int | None:
    """What ``after`` says, None if that is no number."""
    given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).get("after", ["0"])[-1]
    try:
        return int(given) if int(given) >= 0 else None
    except ValueError:
        return None
