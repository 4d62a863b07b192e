"""Whom root runs a private database server as: PostgreSQL refuses root."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DatabaseError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Account:
    """A user other than root."""

    name: str
    uid: int
    gid: int


def server_account(*owned: Path) -> Account | None:
    """The owner of the first of these folders that is not root's, or ``nobody``; None where we are not root.

    Raises:
        DatabaseError: The machine has no such user.
    """
    if os.geteuid() != 0:
        return None
    owner = next((uid for folder in owned if folder.is_dir() and (uid := folder.stat().st_uid) != 0), None)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED) if owner is None else pwd.getpwuid(owner)
    except KeyError:
        user = repr(UNPRIVILEGED) if owner is None else f"with the number {owner}"
        raise DatabaseError(
            f"PostgreSQL refuses to run as root, and this machine has no user {user}; run the command as an "
            "ordinary user, or give the folder to one with chown"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def barrier(path: Path, account: Account | None) -> Path | None:
    """The topmost folder on the way to `path` that the account may not pass, by its permission bits."""
    if account is None:
        return None
    return next((folder for folder in reversed(path.resolve().parents) if not _may_pass(folder, account)), None)


def _may_pass(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
