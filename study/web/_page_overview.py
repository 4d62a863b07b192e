"""All studies side by side as JSON, each one read only when its mark says so."""

import threading
import time
from typing import Any

from storage.changes import StudyMark
from storage.errors import ConfigError, SchemaError, StudyMissing
from study.web._page_versions import Versions
from study.web._page_watch import Watch
from study.web._page_watches import Watches


class Overview:
    """The list of studies; threads may share it."""

    def __init__(self, watches: Watches) -> None:
        """Read nothing yet."""
        self._watches = watches
        self._lock = threading.Lock()
        self._versions = Versions()

    def answer(self, since: str | None) -> dict[str, Any] | None:
        """The studies that changed after a version, and the ids of all; None if nothing did."""
        lines = {mark.study_id: _line(mark, watch) for mark, watch in self._watches.all()}
        found = {study_id: line for study_id, line in lines.items() if line is not None}
        with self._lock:
            self._versions.keep(set(found))
            self._versions.put(found)
            if since == self._versions.version:
                return None
            changed = self._versions.since(since)
            return {
                "version": self._versions.version,
                "full": changed is None,
                "now": time.time(),
                "ids": list(found),
                "studies": self._versions.all() if changed is None else changed,
            }


def _line(mark: StudyMark, watch: Watch) -> dict[str, Any] | None:
    if mark.state is None:
        return _plain(mark) | {"state": "optuna"}
    try:
        return watch.head(mark)
    except StudyMissing:  # deleted after the mark was read
        return None
    except (ConfigError, SchemaError, KeyError, TypeError) as error:  # another version's, or damaged
        return _plain(mark) | {"state": str(mark.state), "error": str(error) or type(error).__name__}


def _plain(mark: StudyMark) -> dict[str, Any]:
    """What is known of a study without a configuration that can be read."""
    keys = ("name", "study_id", "trials", "running", "waiting", "started")
    return {key: getattr(mark, key) for key in keys}
