"""All studies of a database as they are looked at."""

import threading

from storage.changes import StudyMark, study_marks
from storage.database import Database
from storage.errors import StudyMissing
from study.web._page_watch import Watch


class Watches:
    """All studies of a database; threads may share it."""

    def __init__(self, database: Database) -> None:
        """Read nothing yet."""
        self._database = database
        self._lock = threading.Lock()
        self._known: dict[object, Watch] = {}

    def all(self) -> list[tuple[StudyMark, Watch]]:
        """Every study with its mark as it is now; those that are gone are forgotten."""
        marks = study_marks(self._database)
        with self._lock:
            self._known = {_key(mark): self._known.get(_key(mark)) or Watch(self._database, mark) for mark in marks}
            return [(mark, self._known[_key(mark)]) for mark in marks]

    def one(self, name: str) -> tuple[StudyMark, Watch]:
        """The study of that name.

        Raises:
            StudyMissing: There is none that Studyhall created.
        """
        marks = [mark for mark in study_marks(self._database, name) if mark.state is not None]
        if not marks:
            raise StudyMissing(f"there is no study {name!r} of Studyhall in the database; it may have been deleted")
        (mark,) = marks
        with self._lock:
            return mark, self._known.setdefault(_key(mark), Watch(self._database, mark))


def _key(mark: StudyMark) -> object:
    return mark.study_id, mark.name, mark.created_at
