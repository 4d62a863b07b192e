"""A Docker engine of the tests' own: it runs while they do, and keeps its images in their cache."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

CACHE_VARIABLE = "STUDYHALL_TEST_CACHE"
PROGRAMS = ("dockerd", "docker", "iptables", "debootstrap", "openssl", "curl")
INSTALL = "tests/helpers/docker_programs.sh"
PERSON = 61234
"""User and group of whoever types the commands: an ordinary user who may use the engine."""
START_S = 60.0


class Engine:
    """A running engine.

    Attributes:
        cache: The tests' cache.
        home: The home folder of the person who types commands.
    """

    def __init__(self, cache: Path, folder: Path) -> None:
        self.cache, self._folder = cache, folder
        self.home = folder / "home"
        self._socket = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.home.mkdir()
        os.chown(self.home, PERSON, PERSON)
        places = [f"--data-root={self.cache}/docker", f"--exec-root={self._folder}/exec"]
        places += [f"--pidfile={self._folder}/pid", f"--host={self._socket}", f"--group={PERSON}"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(["dockerd", "--log-level", "warn", *places], stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while self._run(["docker", "version"]).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"dockerd does not start: {self.log.read_text()[-2000:]}", pytrace=False)
            time.sleep(0.2)

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self._folder / "dockerd.log"

    def stop(self) -> None:
        """Remove containers, volumes and images without a name, keep the others, and end it."""
        containers = self.docker("ps", "--all", "--quiet").split()
        if containers:
            self.docker("rm", "--force", "--volumes", *containers)
        for kind in ("volume", "network", "image"):
            self.docker(kind, "prune", "--force")
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def docker(self, *arguments: str | Path, stdin: IO[bytes] | None = None) -> str:
        """What a docker command prints, which must succeed."""
        done = self._run(["docker", *arguments], stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        return self._run(["docker", "image", "inspect", name]).returncode == 0

    def _run(self, command: Sequence[str | Path], stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOCKER_HOST": self._socket, "DOCKER_BUILDKIT": "0"}
        return subprocess.run(command, env=environment, stdin=stdin, capture_output=True, text=True, check=False)

    def typed(self, line: str, folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a line as the person does who types it in a terminal in a folder."""
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.home), "DOCKER_HOST": self._socket, **settings}
        return subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=clean,
            user=PERSON,
            group=PERSON,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """An engine inside the context; one at a time per cache."""
    _require_programs()
    cache = Path(os.environ.get(CACHE_VARIABLE, "~/.cache/studyhall-test")).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="studyhall-docker-"))  # short: a socket's path has 107 characters at most
    folder.chmod(0o755)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        engine = Engine(cache, folder)
        try:
            engine.start()
            yield engine
        finally:
            engine.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _require_programs() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found; as root, run {INSTALL}", pytrace=False)
    if os.geteuid() != 0:
        pytest.fail("a Docker engine of the tests' own needs root", pytrace=False)
