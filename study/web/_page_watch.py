"""A study kept in memory while somebody looks at it: what has not changed is not read again."""

import threading
import time
from typing import Any

from storage.changes import StudyMark
from storage.database import Database
from storage.errors import StudyMissing
from storage.history import History, TrialRow
from study.importance import study_importances
from study.stored import StoredStudy, load_stored
from study.summary import Summary, summarise
from study.web._page_study import brief, failures, header, workers_of
from study.web._page_versions import Versions

FRESH_S = 1.0
"""A running study is read no more often, however many look at it."""
SETTLES_S = 90.0
"""Beyond a lease, after which silence tells nothing more about the agents of an unchanged study."""
KEPT_S = 600.0
"""So long the trials of a study stay in memory after the last look at its page."""


class Watch:
    """One study; threads may share it."""

    def __init__(self, database: Database, mark: StudyMark) -> None:
        """Read nothing yet."""
        self._database, self.mark = database, mark
        self._lock = threading.RLock()
        self._history: History | None = None
        self._summary: Summary | None = None
        self._stored: StoredStudy | None = None
        self._rows: dict[int, TrialRow] = {}
        self._versions = Versions()
        self._header: dict[str, Any] = {}
        self._answered: dict[str, Any] = {}
        self._compared: Summary | None = None
        self._failures: list[dict[str, Any]] = []
        self._importance: tuple[int, list[dict[str, Any]]] | None = None
        self._read_at = self._changed_at = self._wanted_at = -float("inf")

    def stored(self, mark: StudyMark) -> StoredStudy:
        """The study's record, read again when the mark differs.

        Raises:
            StudyMissing: It has been deleted.
            ConfigError: Its configuration cannot be read by this version.
        """
        with self._lock:
            self._notice(mark)
            if self._stored is None:
                self._stored = load_stored(self._database, mark.name)
            return self._stored

    def head(self, mark: StudyMark) -> dict[str, Any]:
        """The study in a list of studies.

        Raises:
            StudyMissing, ConfigError: As `stored`.
        """
        with self._lock:
            self._notice(mark)
            if self._header and not self._stale():
                return self._header
            self._read()
            if not self._lively() and time.monotonic() - self._wanted_at > KEPT_S:
                self._history = self._summary = self._compared = None
                self._rows, self._versions = {}, Versions()
            return self._header

    def detail(self, mark: StudyMark, since: str | None) -> dict[str, Any] | None:
        """Everything of the study's page; of trials only those that changed after a version. None if nothing did.

        Raises:
            StudyMissing, ConfigError: As `stored`.
        """
        with self._lock:
            self._wanted_at = time.monotonic()
            self._notice(mark)
            if self._summary is None or self._stale():
                self._read()
            summary, stored = self._summary, self.stored(mark)
            if summary is None:
                raise StudyMissing(f"the study {mark.name!r} was read and is gone")
            self._compare(summary)
            if since == self._versions.version and not self._lively():
                return None
            changed = self._versions.since(since)
            return {
                "version": self._versions.version,
                "full": changed is None,
                "study": self._header,
                "trials": self._versions.all() if changed is None else changed,
                "failures": self._failures,
                **workers_of(summary, stored.config.lease.seconds),
            }

    def importance(self, mark: StudyMark) -> list[dict[str, Any]]:
        """Which hyperparameters mattered; computed again when further trials have ended.

        Raises:
            StudyMissing, ConfigError: As `stored`.
        """
        with self._lock:
            self._wanted_at = time.monotonic()
            self._notice(mark)
            if self._summary is None or self._stale():
                self._read()
            rows = self._summary.trials if self._summary else ()
            ended = sum(row.settled for row in rows)
            if self._importance is None or self._importance[0] != ended:
                groups = study_importances(self._database, rows, self.stored(mark).objectives)
                self._importance = ended, [group.to_json() for group in groups]
            return self._importance[1]

    def _compare(self, summary: Summary) -> None:
        """Trials that have ended are the same objects at every reading."""
        if summary is self._compared:
            return
        new = {row.number: row for row in summary.trials if self._rows.get(row.number) is not row}
        if self._compared is None or any(row.failure for row in new.values()):
            self._failures = failures(summary.trials)
        self._rows.update(new)
        changed, self._answered, self._compared = self._answered != self._header, self._header, summary
        self._versions.put({number: brief(row) for number, row in new.items()}, changed=changed)

    def _notice(self, mark: StudyMark) -> None:
        if mark == self.mark and self._changed_at > 0:
            return
        self.mark, self._stored = mark, None
        self._changed_at, self._read_at = time.monotonic(), -float("inf")

    def _lively(self) -> bool:
        """Whether more may change than the mark tells."""
        lease = self._stored.config.lease.seconds if self._stored else 0.0
        settled = time.monotonic() - self._changed_at > lease + SETTLES_S
        return self.mark.running > 0 or (self.mark.agents > 0 and not settled)

    def _stale(self) -> bool:
        age = time.monotonic() - self._read_at
        return age == float("inf") or (self._lively() and age > FRESH_S)

    def _read(self) -> None:
        stored = self.stored(self.mark)
        self._history = self._history or History(self._database, self.mark.study_id)
        self._summary = summarise(self._database, stored, notice_lost=False, history=self._history)
        self._header, self._read_at = header(stored, self._summary, self.mark.seen_at), time.monotonic()
