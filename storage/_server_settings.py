"""Where a private database server listens, and whom it lets in."""

import errno
import ipaddress
import json
import random
import re
import socket
from dataclasses import asdict, dataclass

from storage.errors import ConfigError, DatabaseError

PORTS = range(20000, 32768)
"""Whence a free port is taken: below those that a system gives to outgoing connections, so that it stays free."""
TRIES = 100
LOOPBACK = "127.0.0.1"
WILDCARDS = ("*", "0.0.0.0", "::")
ROLE = DATABASE = "studyhall"


@dataclass(frozen=True)
class Settings:
    """The address that a server listens on.

    Raises:
        ConfigError: The address or the port cannot be one.
    """

    listen: str  # an address or name of this host, or one of WILDCARDS
    port: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.:%-]+|\*", self.listen, flags=re.ASCII):
            raise ConfigError(f"--listen {self.listen!r}: give one address or name of this host, or 0.0.0.0 for all")
        if not 1 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: accepted are 1 to 65535, and 0 for a free one")

    @property
    def host(self) -> str:
        """What clients connect to."""
        return socket.gethostname() if self.listen in WILDCARDS else self.listen

    def to_json(self) -> str:
        """For the file that keeps it."""
        return json.dumps(asdict(self))

    def configuration(self) -> str:
        """These settings in PostgreSQL's words."""
        return f"listen_addresses = '{self.listen}'\nport = {self.port}\n"

    def access(self) -> str:
        """PostgreSQL's rules of access: our role alone, to our database alone, with its password."""
        clients = ("127.0.0.0/8", "::1/128") if is_loopback(self.listen) else ("all",)
        return "".join(f"host {DATABASE} {ROLE} {client} scram-sha-256\n" for client in clients)


def is_loopback(listen: str) -> bool:
    """Whether only this host can connect to it.

    Raises:
        ConfigError: It names no host.
    """
    if listen in WILDCARDS:
        return False
    try:
        found = socket.getaddrinfo(listen, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ConfigError(f"--listen {listen}: there is no host of that name") from None
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def settings_from(text: str | None) -> Settings | None:
    """The settings that `Settings.to_json` wrote, or None where there are none that can be read."""
    try:
        return Settings(**json.loads(text or "null"))
    except (TypeError, ValueError):
        return None


def next_settings(stored: Settings | None, listen: str | None, port: int, allow_network: bool) -> Settings:
    """Where to listen: as asked, else as the last time, else on a free port of this host alone.

    Raises:
        ConfigError: The arguments do not fit together, or not this host.
        DatabaseError: Another program has the port.
    """
    listening = listen or (stored.listen if stored else LOOPBACK)
    if listen is not None or allow_network:
        check_listening(listening, allow_network)
    wanted = port or (stored.port if stored else 0)
    if wanted and port_in_use(listening, wanted):
        raise DatabaseError(
            f"port {wanted} on {listening} is in use by another program; end that, or give another port: --port N"
        )
    return Settings(listening, wanted or free_port(listening))


def check_listening(listen: str, allow_network: bool) -> None:
    """Refuse to open the server to a network unless that is wanted, and to be asked for what has no effect.

    Raises:
        ConfigError: One of the two.
    """
    loopback = is_loopback(listen)
    if not loopback and not allow_network:
        raise ConfigError(
            f"--listen {listen} lets other hosts connect, with the password in the address file; add "
            "--allow-network if you want that"
        )
    if loopback and allow_network:
        raise ConfigError(
            f"--allow-network has no effect with --listen {listen}, which only this host can reach; add "
            "--listen 0.0.0.0, or the address of one network"
        )


def free_port(listen: str) -> int:
    """A port that nobody listens on.

    Raises:
        ConfigError: The address is not of this host.
        DatabaseError: None is free.
    """
    for port in random.sample(PORTS, TRIES):
        if not port_in_use(listen, port):
            return port
    raise DatabaseError(f"no free port was found on {listen}; give one: --port N")


def port_in_use(listen: str, port: int) -> bool:
    """Whether another program has the port.

    Raises:
        ConfigError: The address is not of this host, or the port is not for ordinary users.
    """
    wildcard = "0.0.0.0" if listen == "*" else listen
    family, kind, protocol, _, address = socket.getaddrinfo(wildcard, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise ConfigError(f"--listen {listen} --port {port}: {error.strerror or error}") from None
    return False
