"""A real terminal without a window: tmux."""

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest
from lab import until


class Terminal:
    """A pane in which one command runs; its server, and with it the command, ends with the context."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        if shutil.which("tmux") is None:
            pytest.fail("tmux is missing: apt-get install tmux")
        self._server = ["tmux", "-u", "-L", f"studyhall-{uuid.uuid4().hex[:12]}", "-f", "/dev/null"]
        own = {key: value for key, value in os.environ.items() if key not in ("TMUX", "TMUX_PANE", "COLUMNS", "LINES")}
        shell = f"trap : INT; {shlex.join(map(str, command))}; echo exit status $?; cat"
        subprocess.run(
            [
                *(*self._server, "start-server", ";", "set", "-g", "status", "off", ";"),
                *("set", "-g", "default-terminal", "screen-256color", ";"),
                *("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(cwd), "sh", "-c", shell),
            ],
            env={**own, "LC_ALL": "C.UTF-8", **environment},
            check=True,
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tmux("kill-server")

    def screen(self, *, colours: bool = False) -> str:
        """What is seen now."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def shows(self, *words: str, seconds: float = 90.0) -> bool:
        """Whether all words are seen at once, within some seconds."""
        return until(lambda: all(word in self.screen() for word in words), seconds)

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as when a window is dragged."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def press(self, key: str) -> None:
        """A key by tmux's name, such as C-c."""
        self._tmux("send-keys", key)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run([*self._server, *arguments], capture_output=True, text=True, check=False)
        return done.stdout
