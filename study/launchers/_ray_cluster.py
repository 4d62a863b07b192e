"""A Ray cluster: one that is there, or one of our own on this machine, and what it has room for."""

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import study
from storage.errors import ConfigError

STORE_BYTES = 100 * 2**20
"""Object store of a cluster of our own, which passes no data through it; Ray takes no less than 75 MiB."""

KNOCK_S = 10.0
"""For the cluster's head to accept a connection."""


@dataclass(frozen=True)
class Share:
    """What one agent asks the cluster for."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        gpus = f" and {counted(self.gpus, 'GPU')}" if self.gpus else ""
        return f"{counted(self.cpus, 'CPU')}{gpus}"

    def fits(self, resources: dict[str, float]) -> int:
        """How many such shares a node with these resources has."""
        cpus = int(resources.get("CPU", 0.0) // self.cpus)
        return min(cpus, int(resources.get("GPU", 0.0) // self.gpus)) if self.gpus else cpus


def counted(count: float, noun: str) -> str:
    """A number of things in words."""
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def installed() -> ModuleType:
    """The package ray.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError("--on ray needs the package ray: pip install 'studyhall[ray]'") from None
    module: ModuleType = ray
    return module


def connect(address: str) -> None:
    """Become a driver of the cluster.

    Raises:
        ConfigError: It cannot be reached.
    """
    ray = installed()
    try:
        if "://" not in address:
            _knock(ray, address)
        _init(address=address)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"--ray-address {address}: no Ray cluster can be used there: {_first_line(error)}; accepted: auto "
            "(a cluster that this host belongs to), HOST:6379, or ray://HOST:10001 (with the package ray[client])"
        ) from None


def _knock(ray: ModuleType, address: str) -> None:
    """Fail at once where nobody listens: Ray itself would try for ten minutes."""
    found = ray._private.services.canonicalize_bootstrap_address(address)
    if found is not None:
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def start_own(cpus: int, gpus: int) -> None:
    """Start a cluster on this machine that ends with this process, and become its driver."""
    _init(
        address="local",
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        _node_ip_address="127.0.0.1",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _init(**options: Any) -> None:
    ray = installed()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    with _signals_kept(), contextlib.chdir(Path(study.__file__).parents[1]):
        # Ray's workers look for modules in the current folder first: one called `models` must not hide ours.
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; and a closed terminal must not end its processes before the agents have ended.

    Ctrl-C does not reach them: Ray blocks it.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def shut_down() -> None:
    """Leave the cluster; one of our own ends. Safe when that has happened."""
    installed().shutdown()


def room(share: Share) -> tuple[int, str]:
    """How many such shares the connected cluster's nodes have in all, used or not, and those nodes in words."""
    nodes = [node["Resources"] for node in installed().nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    words = f"{counted(len(nodes), 'node')} with {counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} in all"
    return sum(share.fits(node) for node in nodes), words
