"""Plays the manifests' pods without a cluster: their commands, variables, users and rights, on hosts of their own.

A container here has the machine's files under a root that cannot be written, an overlay so that nothing of the machine
changes, its own mounts, processes and network, and no capability. What a kubelet, a scheduler and the control plane do
is not played, nor are the limits of resources.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
from hosts import Network
from kustomizations import Document, containers, pod_of

CONTAINER = """
set -e
root=$1; data=$2; names=$3; user=$4; shift 4
mount -t tmpfs tmpfs "$root"
mkdir "$root/upper" "$root/work" "$root/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/all"
cd "$root/all"
chmod o+x root # Python may lie there
mkdir -p data
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev/shm
mount --bind "$data" data
mount --bind "$names" etc/hosts
mount -o remount,bind,ro .
exec chroot . setpriv --reuid "$user" --regid "$user" --groups "$user" --no-new-privs --bounding-set=-all \\
    --inh-caps=-all sh -c 'cd /data && exec "$@"' sh "$@"
"""
IMAGE = {
    "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
    "USER": "studyhall",
    "HOME": "/nowhere",
}
"""The image's own variables."""


class Pods:
    """Starts containers of a kustomization's documents; the one of a document's name runs on the host of that name.

    Args:
        secrets: The keys of each secret.
    """

    def __init__(
        self, documents: list[Document], secrets: dict[str, dict[str, str]], network: Network, data: Path, mark: str
    ) -> None:
        self._documents = {(each["kind"], each["metadata"]["name"]): each for each in documents}
        self._secrets, self._network, self._data, self._mark = secrets, network, data, mark
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, kind: str, name: str, container: str, *, host: str, log: Path, **changed: str
    ) -> subprocess.Popen[bytes]:
        """Start a container on a host; `changed` replaces variables of its ConfigMaps."""
        document = self._documents[kind, name]
        pod = pod_of(document) or {}
        (found,) = [each for each in containers(document) if each["name"] == container]
        variables = IMAGE | {"LAB_MARK": self._mark} | self._variables(found) | changed
        root = log.with_suffix(f".{len(self._started)}.root")
        root.mkdir()
        user = str(pod["securityContext"]["runAsUser"])
        inside = (str(root), str(self._data), str(self._network.names), user)
        words = [_expanded(word, variables) for word in (*found["command"], *found["args"])]
        unshare = ("unshare", "--mount", "--pid", "--fork", "sh", "-c", CONTAINER, "sh", *inside)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(self._network[host].script), *unshare, *words],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._started.append(process)
        return process

    def _variables(self, container: Document) -> dict[str, str]:
        variables: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                variables |= self._documents["ConfigMap", source["configMapRef"]["name"]]["data"]
            else:
                variables |= self._secrets[source["secretRef"]["name"]]
        for entry in container.get("env", []):
            key = entry.get("valueFrom", {}).get("secretKeyRef")
            variables[entry["name"]] = self._secrets[key["name"]][key["key"]] if key else entry["value"]
        return variables

    def wait(self) -> None:
        """Wait until all have ended."""
        for process in self._started:
            process.wait()


def _expanded(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), word)


def terminate(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Send SIGTERM to a container's first process, as a kubelet does; the exit status, killed if it takes longer."""
    first = _first(process)
    first.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        first.kill()
        return process.wait()


def _first(process: subprocess.Popen[bytes]) -> psutil.Process:
    """The container's process 1: the only child of `unshare`, which waits for it."""
    while not (children := psutil.Process(process.pid).children()):
        time.sleep(0.05)
    return children[0]


def missing() -> str:
    """What the machine lacks for containers of this kind; nothing where it can."""
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", "mount -t tmpfs tmpfs /mnt && setpriv --version"],
        capture_output=True,
        text=True,
    )
    return "" if tried.returncode == 0 else f"needs mounts, namespaces and setpriv (util-linux): {tried.stderr.strip()}"


def own(folder: Path, user: int) -> None:
    """Give a folder with all in it to a user, as a volume's `fsGroup` does."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)
