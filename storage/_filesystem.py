"""Facts about the file system under a path."""

from pathlib import Path

import psutil

NETWORK = (
    *("nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "fuse", "9p", "ceph", "afs"),
    *("orangefs", "pvfs", "panfs", "wekafs", "glusterfs", "vboxsf", "hgfs"),
)
"""How the names of file systems begin whose locks other hosts may not see."""
LOCAL = ("fuseblk", "fuse.fuse-overlayfs")
"""FUSE file systems that only this host can reach: block devices, and the root of a rootless container."""


def network_filesystem(path: Path) -> str | None:
    """The kind of the network file system that holds `path`, or None where it is local."""
    path = path.resolve()
    best, kind = "", ""
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint
        if path.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, partition.fstype.lower()
    return kind if kind.startswith(NETWORK) and kind not in LOCAL else None
