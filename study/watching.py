"""Looking at a study again and again, cheaply, and whatever becomes of the database."""

import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime

from storage.database import Database
from storage.errors import AddressError, DatabaseError, SchemaError, StudyhallError
from storage.history import History
from study.stored import load_stored
from study.summary import Summary, summarise

LOOK_SHARE = 20.0
"""Looking may take one part in so many of the time: a large study must not be slowed down by it."""
SILENCE_S = 5.0
"""A look that takes longer is worth a word."""


class Study:
    """A study that is looked at again and again: each look reads only what has changed. One thread may use it."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._history: tuple[int, History] | None = None

    def look(self) -> Summary:
        """The study now.

        Raises:
            StudyMissing: There is none of that name (any more).
            DatabaseError: The database cannot be reached; the next look connects anew.
        """
        try:
            return self._look()
        except DatabaseError:
            self._database.close()
            raise

    def _look(self) -> Summary:
        stored = load_stored(self._database, self._name)
        if self._history is None or self._history[0] != stored.study_id:
            self._history = stored.study_id, History(self._database, stored.study_id)
        return summarise(self._database, stored, history=self._history[1])


def pause_s(took_s: float, least_s: float) -> float:
    """Seconds until the next look, after one that took so long."""
    return max(least_s, LOOK_SHARE * took_s)


@dataclass(frozen=True)
class Seen:
    """What is known of a study.

    Attributes:
        away_since: This machine's time since which the database has not been reached, or None.
        error: Why nothing more will be seen, or None.
        looks: So many have been tried.
    """

    summary: Summary
    away_since: datetime | None = None
    error: StudyhallError | None = None
    looks: int = 1


class Looker:
    """Looks in a thread of its own, so that a database that does not answer freezes no screen."""

    def __init__(self, study: Study, *, every_s: float) -> None:
        """Look once, in this thread, and then every so many seconds.

        Raises:
            StudyhallError: As `Study.look`.
        """
        self._study, self._every_s = study, every_s
        began = time.monotonic()
        self._seen = Seen(study.look())
        self._took_s = time.monotonic() - began
        self._began: float | None = None
        self._ended, self._news = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)
        self._thread.start()

    @property
    def seen(self) -> Seen:
        """The latest."""
        return self._seen

    @property
    def notice(self) -> str | None:
        """What is wrong with the database, or None."""
        began, since = self._began, self._seen.away_since
        if since is not None:
            return f"database away since {since:%H:%M:%S}, trying again"
        silent_s = 0.0 if began is None else time.monotonic() - began
        return f"the database has not answered for {silent_s:.0f}s" if silent_s > SILENCE_S else None

    def wait(self, seconds: float) -> None:
        """Wait so long, or until there is something new."""
        self._news.wait(seconds)
        self._news.clear()

    def end(self) -> None:
        """Look no more; one look may still be under way."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._ended.wait(pause_s(self._took_s, self._every_s)) and self._seen.error is None:
            self._began = time.monotonic()
            self._seen = self._next()
            self._took_s, self._began = time.monotonic() - self._began, None
            self._news.set()

    def _next(self) -> Seen:
        before = replace(self._seen, looks=self._seen.looks + 1)
        try:
            return Seen(self._study.look(), looks=before.looks)
        except (AddressError, SchemaError) as error:
            return replace(before, error=error)
        except DatabaseError:
            self._took_s = 0.0
            return replace(before, away_since=before.away_since or datetime.now())
        except StudyhallError as error:
            return replace(before, error=error)
