"""What every launcher offers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class AgentCommand:
    """The agents to start.

    Attributes:
        study: The study's name.
        storage: The database URL; passed through the environment, never on a command line.
        workers: Trials at a time, over all agents; None means one per device slot.
        devices: Overrides the study's devices, or None.
        log: File that an agent's output goes to.
    """

    study: str
    storage: str
    workers: int | None
    devices: str | None
    log: Path


class Running(Protocol):
    """Agents that have been started."""

    def poll(self) -> int | None:
        """Their exit status when all have ended (0 only if all did well), None while one runs."""
        ...

    def interrupt(self) -> None:
        """Ask them to hand their trials back and end; asked again, they end at once."""
        ...

    def kill(self) -> None:
        """End them, and everything they have started, without asking; safe when they have ended."""
        ...


class Launcher(Protocol):
    """Starts agents somewhere."""

    def check(self, devices: str | tuple[str, ...], per_device: int, workers: int | None) -> None:
        """Look, before anything is created, whether such agents can run.

        Raises:
            ConfigError: They cannot; a launcher that cannot tell says nothing, and the agents will.
        """
        ...

    def start(self, command: AgentCommand) -> Running:
        """Start the agents; returns at once."""
        ...
