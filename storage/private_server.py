"""A PostgreSQL of one's own, without root and without an administrator, for clusters that offer no database."""

import secrets
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage._postgres_programs import Programs, failure, find_programs
from storage._server_account import barrier, server_account
from storage._server_cluster import LISTEN_FILE, create_cluster, set_password
from storage._server_folder import ServerFolder, write_private
from storage._server_host import forget_host, other_host, record_host
from storage._server_process import clear_stale_lock, running_pid
from storage._server_settings import DATABASE, ROLE, Settings, check_listening, next_settings, settings_from
from storage._server_status import ServerStatus, examine
from storage.errors import ConfigError, DatabaseError

__all__ = ["PrivateServer", "ServerStatus"]

PATIENCE_S = 300
"""How long a start, which may have to repair what a kill left, or a stop may take."""
PASSWORD_BYTES = 24


class PrivateServer:
    """The server of one folder, which holds its data, settings and address.

    Several processes and hosts may call it at once. As root it runs under the account of the folder's owner, or of
    ``nobody`` where that is root. Its one role owns one database and nothing else; the superuser cannot log in.

    Args:
        folder: Of this server alone; `start` makes it.
    """

    def __init__(self, folder: Path) -> None:
        self._files = ServerFolder(folder)
        self.folder = self._files.path

    @property
    def address_file(self) -> Path:
        """Where the URL lies, with its password, readable by the owner alone."""
        return self.folder / "address"

    def url(self) -> str:
        """The URL, with its password.

        Raises:
            DatabaseError: The file is gone, or another user's.
        """
        try:
            text = self._files.read("address")
        except PermissionError:
            raise DatabaseError(f"{self.address_file} belongs to another user, who alone may read it") from None
        if not text:
            raise DatabaseError(f"{self.address_file} is gone; stop and start the server for a new password")
        return text.strip()

    def start(self, *, listen: str | None = None, port: int = 0, allow_network: bool = False) -> bool:
        """Start the server, and make it first where the folder is new.

        Args:
            listen: An address or name of this host, or 0.0.0.0; None is the last start's, and at first 127.0.0.1.
            port: 0 is the last start's, and at first a free one.
            allow_network: Consent to a `listen` that other hosts can reach; kept for later starts without `listen`.

        Returns:
            Whether it had to be started: False where it runs already.

        Raises:
            ConfigError: The folder holds something else, or the arguments do not fit.
            DatabaseError: It cannot be started; says why.
        """
        if listen is not None:
            check_listening(listen, allow_network)  # before a folder is made
        self._files.make()
        with self._files.locked():
            stored = settings_from(self._files.read("settings.json"))
            if self._runs():
                self._refuse_change(stored, listen, port)
                return False
            programs = self._programs()
            settings = next_settings(stored, listen, port, allow_network)
            if not self._files.exists():
                create_cluster(self._files, programs)
            clear_stale_lock(self._files.data)
            self._configure(programs, settings)
            self._control(programs, "start")
            return True

    def stop(self) -> bool:
        """Stop the server, ending its connections; whether it ran.

        Raises:
            ConfigError: The folder holds no server.
            DatabaseError: It runs on another host, or does not stop.
        """
        self._files.require()
        with self._files.locked():
            host = other_host(self._files)
            if host is not None:
                raise DatabaseError(self._elsewhere(host))
            ran = running_pid(self._files.data) is not None
            if ran:
                self._control(self._programs(), "stop")
            forget_host(self._files)
            return ran

    def restart(self) -> None:
        """Stop the server, ending its connections, and start it at the same address.

        Raises:
            ConfigError: The folder holds no server.
            DatabaseError: It runs on another host, or does not stop or start.
        """
        self.stop()
        self.start()

    def status(self) -> ServerStatus:
        """Look at the server.

        Raises:
            ConfigError: The folder holds no server.
        """
        self._files.require()
        return examine(self._files)

    def _runs(self) -> bool:
        """Whether the server runs, on whatever host; refuses where that cannot be known."""
        if not self._files.exists():
            return False
        host = other_host(self._files)
        if host is not None and not examine(self._files).running:
            raise DatabaseError(self._elsewhere(host))
        return host is not None or running_pid(self._files.data) is not None

    def _elsewhere(self, host: str) -> str:
        return (
            f"the server in {self.folder} was started on host {host} and not stopped there; stop it there with: "
            f"studyhall database stop --dir {self.folder}. If {host} is down for good, remove {self.folder}/host.json"
        )

    def _refuse_change(self, stored: Settings | None, listen: str | None, port: int) -> None:
        if stored and (listen not in (None, stored.listen) or port not in (0, stored.port)):
            raise ConfigError(
                f"the server in {self.folder} runs with --listen {stored.listen} --port {stored.port}; stop it "
                "first to change that"
            )

    def _programs(self) -> Programs:
        account = server_account(self._files.data, self.folder)
        closed = barrier(self._files.data, account)
        if account is not None and closed is not None:
            raise DatabaseError(
                f"PostgreSQL refuses to run as root, and {account.name!r} may not pass {closed} to {self.folder}; "
                "open that folder with chmod o+x, give another --dir, or run the command as an ordinary user"
            )
        made = self._files.exists()
        major = (self._files.data / "PG_VERSION").read_text(encoding="utf-8").strip() if made else None
        return find_programs(account, major)

    def _configure(self, programs: Programs, settings: Settings) -> None:
        password = self._password()
        if password is None:
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            set_password(self._files, programs, password)
        write_private(self._files.data / LISTEN_FILE, settings.configuration())
        write_private(self._files.data / "pg_hba.conf", settings.access())
        self._files.write("settings.json", settings.to_json())
        url = URL.create("postgresql", ROLE, password, settings.host, settings.port, DATABASE)
        self._files.write("address", url.render_as_string(hide_password=False) + "\n")

    def _password(self) -> str | None:
        try:
            return make_url((self._files.read("address") or "").strip()).password
        except (ArgumentError, ValueError):
            return None

    def _control(self, programs: Programs, action: str) -> None:
        data, log = self._files.data, self._files.log
        written = log.stat().st_size if log.exists() else 0
        if action == "start":
            record_host(self._files)
        options = ("-m", "fast") if action == "stop" else ("-l", str(log))
        ran = programs.run("pg_ctl", action, "-D", data, "-w", "-t", str(PATIENCE_S), *options)
        if ran.returncode == 0:
            return
        if running_pid(data) is not None:
            raise DatabaseError(f"the server in {self.folder} did not {action} within {PATIENCE_S} s; see {log}")
        if action == "start":
            forget_host(self._files)
            said = log.read_bytes()[written:].decode("utf-8", "replace") if log.exists() else ran.stderr
            reason = failure(said)
            raise DatabaseError(f"the server in {self.folder} did not start: {reason}; see {log}")
