"""On which host a private database server runs, where its folder may be shared between hosts.

PostgreSQL's own lock knows processes of one host only; two servers on the same data would destroy them.
"""

import json
import socket

from storage._filesystem import network_filesystem
from storage._server_folder import ServerFolder
from storage.agents import machine_id

FILE = "host.json"


def record_host(folder: ServerFolder) -> None:
    """Write down that the server runs here."""
    folder.write(FILE, json.dumps({"host": socket.gethostname(), "machine": machine_id()}))


def forget_host(folder: ServerFolder) -> None:
    """Write down that it runs nowhere."""
    folder.remove(FILE)


def other_host(folder: ServerFolder) -> str | None:
    """The other host on which the server was started and not stopped, or None.

    On a local file system a record of another host is of a former name of this one.
    """
    text = folder.read(FILE)
    if text is None or network_filesystem(folder.path) is None:
        return None
    record = json.loads(text)
    here = socket.gethostname() == record["host"] or machine_id() == record["machine"]
    return None if here else str(record["host"])
