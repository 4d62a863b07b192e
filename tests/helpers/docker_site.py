"""A folder in which somebody runs Studyhall with Docker Compose, by the commands of docs/compose.md."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import odd_family
import yaml
from docker_engine import PERSON, Engine
from docker_images import ROOT, compose_plugin
from lab import write_events

PAGE = ROOT / "docs" / "compose.md"
COPIED = (
    *("Dockerfile", ".dockerignore", "docker-compose.yml", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
    *("deploy", "models", "objectives", "storage", "study"),
)
SETTINGS = {"TORCH": "index", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
"""A network without any index: the base image brings the wheels."""
TRIALS = 6
STUDY = {
    "budget": {"trials": TRIALS},
    "data": {"path": "events.h5", "split": {"validation": 0.25, "test": 0.1}},
    "training": {"epochs": 12},
    "search": {"pruner": {"name": "asha", "min_resource": 4, "reduction_factor": 4}},
    "lease": {"seconds": 5, "renew": 1},
    "space": {
        "model": "odd_family.py:FAMILY",
        "odd.mood": "calm",
        "odd.pause": 0.15,
        "optimizer": "sgd",
        "batch_size": 32,
        "normalize": "none",
    },
}
"""A trial takes 10 s, unless it is pruned after a third of it."""
ATTEMPTS = """
    SELECT number, attempt, studyhall_attempts.state, coalesce(checkpoint, ''), token, host
    FROM studyhall_attempts JOIN trials USING (trial_id) JOIN studyhall_agents USING (agent_id)
    ORDER BY number, attempt
"""


@dataclass(frozen=True)
class Attempt:
    """A row of the database: who tried which trial, and how that ended.

    Attributes:
        checkpoint: Where its last one lies, or nothing.
        host: The container, by the beginning of its id.
    """

    trial: int
    attempt: int
    state: str
    checkpoint: str
    token: str
    host: str


class Site:
    """The folder."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.folder = engine.home / "studyhall"
        self.typed: set[str] = set()
        plugins = engine.home / ".docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        shutil.copy(compose_plugin(engine.cache), plugins / "docker-compose")
        self.folder.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.folder / name)
        _give(engine.home)

    def put_study(self) -> None:
        """What a user brings: events, a family of his own, a study file."""
        data = self.folder / "data"
        write_events(data / "events.h5")
        shutil.copy(odd_family.__file__, data)
        (data / "study.yaml").write_text(yaml.safe_dump(STUDY))
        _give(data)

    def follow(self, heading: str, containing: str = "") -> str:
        """Type the page's commands under a heading, or those that contain something; what they print."""
        lines = [line for line in page()[heading] if containing in line]
        assert lines
        return "".join(self.type(line) for line in lines)

    def type(self, line: str) -> str:
        """Type a command, which must succeed; what it prints."""
        done = self.tried(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def tried(self, line: str) -> subprocess.CompletedProcess[str]:
        """Type a command."""
        self.typed.add(line)
        return self.engine.typed(line, self.folder, SETTINGS)

    def secret(self, name: str) -> str:
        """The content of a secret's file."""
        return (self.folder / "secrets" / name).read_text().strip()

    def containers(self, *services: str) -> list[str]:
        """Ids of the running containers."""
        return self.type(f"docker compose ps --quiet {' '.join(services)}").split()

    def inspected(self, identity: str) -> dict[str, Any]:
        """What the engine knows of a container or image."""
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", identity))[0]
        return found

    def attempts(self) -> list[Attempt]:
        """All attempts at the study's trials."""
        query = " ".join(ATTEMPTS.split())
        told = self.type(f'docker compose exec -T db psql -U studyhall -At -F "|" -c "{query}"')
        rows = [line.split("|") for line in told.splitlines()]
        return [Attempt(int(row[0]), int(row[1]), row[2], *row[3:]) for row in rows]

    def status(self) -> dict[str, Any]:
        """The study, as `status --json` tells."""
        told: dict[str, Any] = json.loads(self.type("docker compose run --rm -T studyhall status study --json"))
        return told


def page() -> dict[str, list[str]]:
    """The page's commands by heading."""
    commands: dict[str, list[str]] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        blocks: list[str] = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        if blocks:
            commands[section.partition("\n")[0]] = "".join(blocks).splitlines()
    return commands


def _give(folder: Path) -> None:
    """Let the person own all that lies there."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, PERSON, PERSON, follow_symlinks=False)
