"""How much memory this process may still take."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_memory(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int:
    """Bytes that can be allocated without swapping: the machine's, or less where something limits us.

    Containers, Slurm and Kubernetes limit a control group, `ulimit` a process; the machine's numbers do not show it.

    Args:
        root: where the control groups are mounted.
        membership: the file that names this process's control groups.
    """
    rooms = [_room(folder) for folder in _groups(root, membership)]
    rooms += [_process_room(resource.RLIMIT_AS, "vms"), _process_room(resource.RLIMIT_DATA, "data")]
    return max(0, min([psutil.virtual_memory().available, *[room for room in rooms if room is not None]]))


def _process_room(limit: int, used: str) -> int | None:
    """What is left below a limit of this process, or None without one."""
    most, _ = resource.getrlimit(limit)
    taken = getattr(psutil.Process().memory_info(), used, None)
    return None if most == resource.RLIM_INFINITY or taken is None else most - int(taken)


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's control groups and of all groups above them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            top = root / "memory" if controllers else root
            # In a container the path may be the host's and not exist here; the top is then our own group.
            yield from (top / step for step in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents))


def _room(folder: Path) -> int | None:
    """What is left below the limit of one group of version 2 or 1, or None without one."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = int((folder / limit).read_text())
            taken = int((folder / usage).read_text())
            statistics = _numbers((folder / "memory.stat").read_text())
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        return most - taken + statistics.get(cache, 0)  # pages of files give way to allocations
    return None


def _numbers(text: str) -> dict[str, int]:
    """Lines of a name and a number."""
    words = [line.split() for line in text.splitlines()]
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2}
