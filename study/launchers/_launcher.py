"""What every launcher offers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from study.devices import PerDevice


@dataclass(frozen=True)
class AgentOrder:
    """The agents that are wanted.

    Attributes:
        study: The study's name.
        storage: The database URL; passed through the environment, never on a command line.
        logs: Folder for the agents' output: a file ``agent-….log`` each.
        workers: Trials at a time, over all agents; None means one per device slot of one agent.
        devices: As ``workers.devices`` of the study file.
        per_device: Trials at a time on each device, or ``auto``.
        use_busy: Whether GPUs on which somebody else's processes run are taken too.
        gpus_per_agent: GPUs that an engine gives each agent, 0 for none.
        options: The engine's own options, each with the name that it has on the command line: ``slurm-partition``.
    """

    study: str
    storage: str
    logs: Path
    workers: int | None = None
    devices: str | tuple[str, ...] = "auto"
    per_device: PerDevice = 1
    use_busy: bool = False
    gpus_per_agent: int = 1
    options: Mapping[str, str] = field(default_factory=dict)


class Running(Protocol):
    """Agents that have been started."""

    @property
    def log(self) -> Path:
        """The log to look into first: of an agent that failed, if one has."""
        ...

    def poll(self) -> int | None:
        """Their exit status when all have ended (0 only if all did well), None while one runs or waits."""
        ...

    def interrupt(self) -> None:
        """Ask them to hand their trials back and end; asked again, they end at once."""
        ...

    def kill(self) -> None:
        """End them, and everything they have started, without asking; safe when they have ended."""
        ...


class Launcher(Protocol):
    """Starts agents somewhere."""

    def preview(self, order: AgentOrder) -> str:
        """Look, before anything is created, whether such agents can run, and say what `start` will do.

        Raises:
            ConfigError: They cannot; what a launcher cannot tell from here, the agents will.
        """
        ...

    def start(self, order: AgentOrder) -> Running:
        """Start the agents; returns at once."""
        ...
