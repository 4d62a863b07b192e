"""Download of an export: made by the command line in a process of its own, sent as a zip."""

import io
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from storage.database import Database
from study._values import plain_name
from study.web._page_http import problem
from study.web._wsgi import Answer

LONGEST_S = 1800.0
"""After so long an export is given up."""
PIECE = 1 << 16
"""Bytes sent at a time."""


class Exporter:
    """Makes one export at a time: each loads the data and computes for all it is worth."""

    def __init__(self, database: Database) -> None:
        """Prepare."""
        self._url = database.url.render_as_string(hide_password=False)
        self._busy = threading.Lock()

    def answer(self, name: str, trial: int | None) -> Answer:
        """The zip of the best trial, or of a certain one; the test events are not opened for it."""
        if not self._busy.acquire(blocking=False):
            return problem(HTTPStatus.TOO_MANY_REQUESTS, "another export is being made; try again when it is done")
        try:
            return self._made(name, trial)
        finally:
            self._busy.release()

    def _made(self, name: str, trial: int | None) -> Answer:
        with tempfile.TemporaryDirectory(prefix="studyhall-export-") as place:
            folder = Path(place) / plain_name(name)
            try:
                failure = self._run(name, trial, folder)
            except subprocess.TimeoutExpired:
                failure = f"the export was not done within {LONGEST_S:g} s; make it with `studyhall export`"
            if failure is not None:
                return problem(HTTPStatus.CONFLICT, failure)
            file = _zipped(folder)
        shown = f"{plain_name(name)}{'' if trial is None else f'-trial-{trial}'}.zip"
        length = ("Content-Length", str(file.seek(0, io.SEEK_END)))
        kind = ("Content-Type", "application/zip")
        return Answer("200 OK", [kind, length, *attachment(shown)], _Pieces(file))

    def _run(self, name: str, trial: int | None, to: Path) -> str | None:
        """Export into a folder; the reason if that failed."""
        options = ["--no-test", *([] if trial is None else ["--trial", str(trial)])]
        command = [sys.executable, "-P", "-m", "study", "export", *options, "--to", str(to), "--", name]
        done = subprocess.run(
            command,
            env=os.environ | {"STUDYHALL_STORAGE": self._url, "NO_COLOR": "1", "COLUMNS": "1000"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_S,
            check=False,
        )
        if done.returncode == 0:
            return None
        return done.stderr.strip() or f"`studyhall export` ended with status {done.returncode}"


def attachment(name: str) -> list[tuple[str, str]]:
    """Headers that make the browser save the answer under a name."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return [("Content-Disposition", disposition), ("Cache-Control", "no-store")]


def _zipped(folder: Path) -> BinaryIO:
    """A file without a name, which goes when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # `_Pieces` closes it
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return file


class _Pieces:
    """A file's content piece by piece, closed by the server at the end or when the browser goes away."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()
