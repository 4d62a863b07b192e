"""Several hosts on one machine: network namespaces on a bridge, each with an address and a name of its own."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

PREFIX = "10.77.0"
CLONE_NEWNET = 0x40000000
"""Of `setns(2)`: the network of a namespace."""
ENTER = (
    'hostname "$1"; mount --bind "$2" /etc/hosts; mount --bind "$3" /proc/sys/kernel/random/boot_id; shift 3; exec "$@"'
)
"""A host has its own name, knows the others' names, and is a machine of its own for whoever asks which it is."""
SSH = """#!/bin/sh
# In ssh's place: a login on another host, which knows nothing of this shell's environment.
host=$1; shift
exec env -i {environment} "{folder}/enter-$host" sh -c "$*"
"""


def what_is_missing() -> str:
    """What this machine lacks to play several hosts; nothing where it can."""
    absent = [name for name in ("ip", "unshare", "mount") if shutil.which(name) is None]
    if absent:
        return f"needs {', '.join(absent)}: install Debian's packages iproute2, util-linux and mount"
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    made = _ip("netns", "add", probe := f"shp{uuid.uuid4().hex[:6]}", check=False)
    if made.returncode:
        return f"needs the right to make network namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN): {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return ""


def _ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("ip", *arguments), check=check, capture_output=True, text=True)


class Host:
    """One host: a namespace whose only way out is a port of the switch."""

    def __init__(self, name: str, address: str, namespace: str, folder: Path) -> None:
        self.name, self.address, self.namespace = name, address, namespace
        self.script = folder / f"enter-{name}"

    def write_script(self, names: Path, boot: Path) -> None:
        """Write the program that runs a command there."""
        enter = f"ip netns exec {self.namespace} unshare --uts sh -ec '{ENTER}' sh {self.name} '{names}' '{boot}'"
        self.script.write_text(f'#!/bin/sh\nexec {enter} "$@"\n')
        self.script.chmod(0o755)

    def shell(self, command: str) -> list[str]:
        """The command line that runs a shell's commands there, up to the first that fails."""
        return [str(self.script), "sh", "-ec", command]

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Whatever this thread connects to inside the context, it reaches from that host."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as outside, open(f"/run/netns/{self.namespace}") as network:
            _enter(libc, network.fileno())
            try:
                yield
            finally:
                _enter(libc, outside.fileno())

    def processes(self) -> list[int]:
        """The ids of those that run there."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).stdout.split()]


def _enter(libc: ctypes.CDLL, handle: int) -> None:
    if libc.setns(handle, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """Hosts on one switch, all of which see the same files.

    Packets of a host that is cut off vanish, both ways, and nobody is told: its link stays up. The switch is a bridge
    in a namespace of its own: in the machine's, rules of a firewall or of Docker might apply to it.

    Attributes:
        names: The file of their names and addresses.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._mark = f"sh{uuid.uuid4().hex[:8]}"
        self._switch = f"{self._mark}-switch"
        self._folder, self.names = folder, folder / "hosts"
        self.hosts = {
            name: Host(name, f"{PREFIX}.{number}", f"{self._mark}-{name}", folder)
            for number, name in enumerate(names, start=1)
        }

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def make(self) -> None:
        """Make switch, hosts and what enters them."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        names = [f"{host.address} {host.name}\n" for host in self.hosts.values()]
        self.names.write_text("127.0.0.1 localhost\n" + "".join(names))
        for host in self.hosts.values():
            self._make(host)

    def _make(self, host: Host) -> None:
        there = ("-n", host.namespace)
        _ip("netns", "add", host.namespace)
        _ip(*there, "link", "add", "eth0", "type", "veth", "peer", "name", host.name, "netns", self._switch)
        _ip(*there, "address", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip(*there, "link", "set", device, "up")
        _ip("-n", self._switch, "link", "set", host.name, "up")
        self.heal(host)
        boot = self._folder / f"boot-{host.name}"
        boot.write_text(f"{uuid.uuid4()}\n")
        host.write_script(self.names, boot)

    def cut_off(self, host: Host) -> None:
        """Let all packets from and to the host vanish."""
        _ip("-n", self._switch, "link", "set", host.name, "nomaster")

    def heal(self, host: Host) -> None:
        """Let them through."""
        _ip("-n", self._switch, "link", "set", host.name, "master", "switch")

    def write_ssh(self, environment: Mapping[str, str]) -> Path:
        """Write a program `ssh` that enters the hosts, with an environment of its own there; its folder."""
        folder = self._folder / "bin"
        folder.mkdir()
        own = " ".join(f'{name}="{value}"' for name, value in environment.items())
        (folder / "ssh").write_text(SSH.format(environment=own, folder=self._folder))
        (folder / "ssh").chmod(0o755)
        return folder

    def remove(self) -> None:
        """End every process of every host, and remove all namespaces, with which the links go."""
        known = _namespaces()
        for host in (host for host in self.hosts.values() if host.namespace in known):
            _end_all(host)
            _ip("netns", "del", host.namespace)
        if self._switch in known:
            _ip("netns", "del", self._switch)

    def left_over(self) -> list[str]:
        """The namespaces of this network that are still there."""
        return [name for name in _namespaces() if name.startswith(self._mark)]


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _ip("netns", "list").stdout.splitlines()]


def _end_all(host: Host, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while (left := host.processes()) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).send_signal(signal.SIGKILL)
        time.sleep(0.1)
