"""The token of the dashboard, and the file in which it is kept."""

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from storage.errors import ConfigError

FILE = "dashboard-token"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where a user's own state lies: ``$XDG_STATE_HOME/studyhall``, else ``~/.local/state/studyhall``."""
    given = environment.get("XDG_STATE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return base / "studyhall"


def read_token(file: Path) -> str:
    """The token in a file.

    Raises:
        ConfigError: The file cannot be read, or is empty.
    """
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"the dashboard's token cannot be read from {file}: {reason}; name another file") from error
    if not token:
        raise ConfigError(f"{file} is empty; it must hold the dashboard's token, one line")
    return token


def kept_token(folder: Path) -> tuple[str, Path]:
    """The user's own token and its file; made the first time, which several processes may do at once.

    Raises:
        ConfigError: Others may read the file, or it cannot be read.
        OSError: The folder or file cannot be made.
    """
    file = folder / FILE
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(file)
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"others may read {file} (mode {mode:03o}); delete it for a new token, or `chmod 600` it if nobody has"
        )
    return read_token(file), file


def _make(file: Path) -> None:
    """Write it beside and link it: whoever finds the file finds it whole, and of two makers one wins."""
    own = file.with_name(f".{FILE}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(f"{secrets.token_urlsafe(32)}\n")
        with contextlib.suppress(FileExistsError):
            os.link(own, file)
    finally:
        own.unlink()
