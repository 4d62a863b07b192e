"""The files of a private database server."""

import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import ConfigError, DatabaseError

OWN = {"address", "settings.json", "host.json", "lock", "data", "data.partial"}


class ServerFolder:
    """``address`` (the URL, for its owner's eyes), ``settings.json``, ``host.json`` while it runs, ``lock``, ``data``.

    What is written belongs to the folder's owner, also when root writes it, and nobody else may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.data = self.path / "data"
        self.partial = self.path / "data.partial"
        self.log = self.data / "server.log"

    def exists(self) -> bool:
        """Whether a server has been made here.

        Raises:
            DatabaseError: It is another user's.
        """
        if not self.data.is_dir():
            return False
        owner = self.data.stat().st_uid
        if os.geteuid() not in (0, owner):
            raise DatabaseError(f"the server in {self.path} belongs to {_name(owner)}; only they may look after it")
        return (self.data / "PG_VERSION").is_file()

    def require(self) -> None:
        """Refuse a folder without a server.

        Raises:
            ConfigError: There is none.
        """
        if not self.exists():
            raise ConfigError(
                f"there is no database server in {self.path}; make one with: studyhall database start --dir {self.path}"
            )

    def make(self) -> None:
        """Create the folder, or accept it if it is empty or ours.

        Raises:
            ConfigError: It holds something else.
        """
        if not self.path.exists():
            # Root's server runs under another account, which must be able to pass.
            self.path.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        names = {entry.name for entry in self.path.iterdir()}
        if self.exists():
            return
        if "PG_VERSION" in names:
            raise ConfigError(f"{self.path} is the data folder of another PostgreSQL; give a new or empty folder")
        if "data" in names:
            raise ConfigError(f"{self.data} is no PostgreSQL data folder; give a new or empty folder")
        if names - OWN:
            shown = ", ".join(sorted(names - OWN)[:3])
            raise ConfigError(f"{self.path} holds other files ({shown}); give a new or empty folder")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time start or stop the server; others wait."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _give_to_owner_of(self.path, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def write(self, name: str, text: str) -> None:
        """Write one of our files."""
        write_private(self.path / name, text)

    def read(self, name: str) -> str | None:
        """A file's text, or None where there is no such file."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        (self.path / name).unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that its folder's owner alone may read: beside, then renamed."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            _give_to_owner_of(path.parent, handle)
            file.write(text)
            file.flush()
            os.fsync(handle)
        os.replace(beside, path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk is reported without a name
        raise


def _give_to_owner_of(folder: Path, handle: int) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user with the number {uid}"
