"""The agents' log files of a study, as one stream of entries in the order of their time stamps."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

POLL_S = 0.5
"""Between two looks for new lines."""
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(,\d{3})?")


@dataclass(frozen=True)
class Entry:
    """One message of an agent, with the lines that follow it without a stamp of their own.

    Attributes:
        stamp: The agent's local time, as in the file; sorts as text. Empty before a file's first stamp.
        source: The file's name without its ending.
    """

    stamp: str
    source: str
    lines: tuple[str, ...]

    def concerns(self, number: int) -> bool:
        """Whether it names the trial."""
        return any(re.search(rf"\btrial {number}\b", line) for line in self.lines)


@dataclass
class _File:
    """How far a file has been read; the beginning of a line that is not written yet is kept."""

    path: Path
    position: int = 0
    begun: bytes = b""
    stamp: str = ""

    def read(self) -> list[Entry]:
        with self.path.open("rb") as file:
            if file.seek(0, 2) < self.position:  # somebody has begun it anew
                self.position, self.begun = 0, b""
            file.seek(self.position)
            fresh = file.read()
        self.position += len(fresh)
        *whole, self.begun = (self.begun + fresh).split(b"\n")
        return self._entries([line.decode("utf-8", errors="replace").rstrip("\r") for line in whole])

    def _entries(self, lines: Sequence[str]) -> list[Entry]:
        found: list[tuple[str, list[str]]] = []
        for line in lines:
            stamp = _STAMP.match(line)
            if stamp or not found:
                self.stamp = stamp.group() if stamp else self.stamp
                found.append((self.stamp, []))
            found[-1][1].append(line)
        return [Entry(stamp, self.path.stem, tuple(texts)) for stamp, texts in found]


@dataclass
class LogFiles:
    """All log files in a study's folder, also those that come later."""

    folder: Path
    _known: dict[Path, _File] = field(default_factory=dict)

    def read(self) -> list[Entry]:
        """What has been written since the last call, by time stamp."""
        for path in sorted(self.folder.glob("agent-*.log")):
            self._known.setdefault(path, _File(path))
        entries: list[Entry] = []
        for path, file in list(self._known.items()):
            try:
                entries += file.read()
            except FileNotFoundError:
                del self._known[path]
        return sorted(entries, key=lambda entry: entry.stamp)

    @property
    def found(self) -> int:
        """How many files there are so far."""
        return len(self._known)


class Marks:
    """Short names for log files; a file keeps its own."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def of(self, source: str) -> str:
        """The file's mark: the fewest last parts of its name that no other file has."""
        if source not in self._marks:
            parts = source.removeprefix("agent-").split("-")
            shorts = ["-".join(parts[start:]) for start in reversed(range(len(parts)))]
            taken = set(self._marks.values())
            self._marks[source] = next((short for short in shorts if short not in taken), source)
        return self._marks[source]

    def lines(self, entries: Sequence[Entry]) -> list[str]:
        """The entries' lines, each with its file's mark when there are several."""
        marks = [self.of(entry.source) for entry in entries]
        if len(self._marks) < 2:
            return [line for entry in entries for line in entry.lines]
        return [f"{mark}  {line}" for mark, entry in zip(marks, entries, strict=True) for line in entry.lines]


def follow(
    read: Callable[[], list[Entry]], over: Callable[[], bool], *, every_s: float = POLL_S
) -> Iterator[list[Entry]]:
    """New entries as they come, until something is over and what was written up to then has been read."""
    while True:
        last = over()
        yield read()
        if last:
            return
        time.sleep(every_s)
