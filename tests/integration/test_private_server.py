import json
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from storage import _postgres_programs, _server_host
from storage.database import Database
from storage.errors import ConfigError, DatabaseError
from storage.private_server import PrivateServer
from storage.trials import open_storage


@pytest.fixture(scope="module")
def parent() -> Iterator[Path]:
    """A folder that the account under which root runs a server may pass, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="studyhall-servers-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared(parent: Path) -> Iterator[PrivateServer]:
    server = PrivateServer(parent / "shared")
    yield server
    server.stop()


@pytest.fixture
def server(shared: PrivateServer) -> PrivateServer:
    """A running server, made by the first test that needs it: later ones find what earlier ones left."""
    shared.start()
    return shared


@pytest.fixture
def folder(parent: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that does not exist; what runs in it is stopped."""
    new = parent / request.node.name
    yield new
    if (new / "data" / "PG_VERSION").exists():
        PrivateServer(new).stop()


def ask(url: str, statement: str) -> object:
    database = Database(url)
    try:
        with database.read() as connection:
            return connection.scalar(text(statement))
    finally:
        database.close()


def kill(server: PrivateServer) -> None:
    pid = server.status().pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=10)


def study_names(url: str) -> list[str]:
    storage = open_storage(url)
    try:
        return optuna.get_all_study_names(storage)
    finally:
        storage.close()


def create_study(url: str, name: str) -> None:
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name=name).optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    storage.close()


def rights(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_the_address_and_the_data_are_for_their_owner_alone(server: PrivateServer) -> None:
    assert rights(server.address_file) == "0o600"
    assert rights(server.folder / "data") == "0o700"
    assert rights(server.folder / "data" / "pg_hba.conf") == "0o600"


def test_a_running_server_is_left_alone(server: PrivateServer) -> None:
    before = server.status().pid, server.url()

    assert server.start() is False
    assert (server.status().pid, server.url()) == before


def test_a_running_server_refuses_another_port(server: PrivateServer) -> None:
    with pytest.raises(ConfigError, match="stop it first"):
        server.start(port=20001)


def test_the_status_shows_what_the_server_holds_but_not_its_password(server: PrivateServer) -> None:
    watched = Database(server.url())
    with watched.read():
        status = server.status()
    watched.close()

    assert status.running
    assert status.problem is None
    assert status.connections == 1
    assert status.size_bytes is not None
    assert status.size_bytes > 2**20
    assert str(make_url(server.url()).password) not in json.dumps(status.to_json())


def test_a_wrong_password_is_refused(server: PrivateServer) -> None:
    wrong = make_url(server.url()).set(password="wrong").render_as_string(hide_password=False)

    with pytest.raises(DatabaseError, match="password authentication failed"):
        ask(wrong, "SELECT 1")


def test_the_superuser_cannot_log_in(server: PrivateServer) -> None:
    url = make_url(server.url()).set(username="postgres", database="postgres")

    with pytest.raises(DatabaseError, match=r"no pg_hba[.]conf entry"):
        ask(url.render_as_string(hide_password=False), "SELECT 1")


def test_our_role_rules_nothing_but_its_database(server: PrivateServer) -> None:
    rights = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"

    assert ask(server.url(), rights) is False


def test_a_finished_transaction_is_on_the_disk(server: PrivateServer) -> None:
    assert ask(server.url(), "SELECT current_setting('fsync')") == "on"
    assert ask(server.url(), "SELECT current_setting('synchronous_commit')") == "on"
    assert ask(server.url(), "SELECT current_setting('data_checksums')") == "on"


def _shown(process: psutil.Process) -> list[str]:
    """What others may see of a process; nothing if it has ended meanwhile, as backends do."""
    try:
        return [f"{process.cmdline()} {process.environ()}"]
    except psutil.NoSuchProcess:
        return []


def test_the_password_is_in_no_process_list_and_no_log(server: PrivateServer) -> None:
    password = make_url(server.url()).password
    postmaster = psutil.Process(server.status().pid)

    shown = [line for process in (postmaster, *postmaster.children()) for line in _shown(process)]

    assert shown
    assert not any(str(password) in line for line in shown)
    assert str(password) not in (server.folder / "data" / "server.log").read_text()


def test_a_study_survives_a_restart(server: PrivateServer) -> None:
    url = server.url()
    create_study(url, "before the restart")

    server.restart()

    assert server.url() == url
    assert "before the restart" in study_names(url)


def test_a_killed_server_is_stopped_and_starts_again_with_its_data(server: PrivateServer) -> None:
    create_study(server.url(), "before the kill")

    kill(server)

    assert not server.status().running
    assert server.start() is True
    assert "before the kill" in study_names(server.url())


def test_a_stale_process_id_that_another_program_has_is_no_server(server: PrivateServer) -> None:
    kill(server)
    pid_file = server.folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))

    assert not server.status().running
    assert server.stop() is False
    assert server.start() is True


def test_two_starts_at_once_start_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: PrivateServer(folder).start(), range(2)))

    assert sorted(started) == [False, True]


def test_a_stop_is_a_stop_however_often(server: PrivateServer) -> None:

    assert [server.stop(), server.stop()] == [True, False]
    assert not server.status().running


def test_the_port_is_kept_and_a_program_that_has_it_meanwhile_is_named(server: PrivateServer) -> None:
    port = make_url(server.url()).port
    server.stop()

    with (
        socket.create_server(("127.0.0.1", port or 0)),
        pytest.raises(DatabaseError, match=f"port {port} on 127.0.0.1"),
    ):
        server.start()
    server.start()

    assert make_url(server.url()).port == port


def test_other_hosts_are_let_in_only_if_that_is_wanted_and_with_the_password(folder: Path) -> None:
    server = PrivateServer(folder)

    with pytest.raises(ConfigError, match="--allow-network"):
        server.start(listen="0.0.0.0")
    assert not folder.exists()
    server.start(listen="0.0.0.0", allow_network=True)
    rules = (folder / "data" / "pg_hba.conf").read_text().splitlines()

    assert rules == ["host studyhall studyhall all scram-sha-256"]
    assert make_url(server.url()).host == socket.gethostname()
    local = make_url(server.url()).set(host="127.0.0.1")
    assert ask(local.render_as_string(hide_password=False), "SELECT 1") == 1
    with pytest.raises(DatabaseError, match="password authentication failed"):
        ask(local.set(password="wrong").render_as_string(hide_password=False), "SELECT 1")


@pytest.mark.parametrize(
    ("listen", "allow_network", "message"),
    [
        ("127.0.0.1", True, "no effect"),
        ("host.invalid", False, "no host of that name"),
        ("192.0.2.1", True, "192.0.2.1"),  # an address of documentation: nobody's
        ("127.0.0.1' ", False, "--listen"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_refused(
    parent: Path, listen: str, allow_network: bool, message: str
) -> None:
    server = PrivateServer(parent / "refused")

    with pytest.raises(ConfigError, match=message):
        server.start(listen=listen, allow_network=allow_network)


def test_a_lost_address_is_replaced_with_a_new_password(server: PrivateServer) -> None:
    old = server.url()
    server.address_file.unlink()

    problem = server.status().problem
    server.restart()

    assert problem is not None
    assert "stop and start" in problem
    assert ask(server.url(), "SELECT 1") == 1
    with pytest.raises(DatabaseError, match="password authentication failed"):
        ask(old, "SELECT 1")


def test_what_a_killed_first_start_left_is_made_anew(folder: Path) -> None:
    (folder / "data.partial" / "base").mkdir(parents=True)
    folder.chmod(0o755)

    assert PrivateServer(folder).start() is True
    assert not (folder / "data.partial").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("thesis.tex", "other files"), ("PG_VERSION", "another PostgreSQL"), ("data", "no PostgreSQL data")],
)
def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_text("mine")

    with pytest.raises(ConfigError, match=message):
        PrivateServer(tmp_path).start()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_data_of_a_version_that_is_not_here_are_refused(server: PrivateServer) -> None:
    server.stop()
    version = server.folder / "data" / "PG_VERSION"
    real = version.read_text()
    version.write_text("9\n")

    with pytest.raises(DatabaseError, match=r"PostgreSQL 9, which cannot be found; here are 18"):
        server.start()
    version.write_text(real)


def test_a_first_start_that_fails_leaves_nothing_and_says_why(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))  # bytes in one file: like a disk that fills up
    try:
        with pytest.raises(DatabaseError, match="no database could be made"):
            PrivateServer(folder).start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_start_that_fails_says_why(server: PrivateServer) -> None:
    server.stop()
    configuration = server.folder / "data" / "postgresql.conf"
    real = configuration.read_text()
    configuration.write_text(real + "max_connections = many\n")

    with pytest.raises(DatabaseError, match=r"did not start: .*postgresql.conf.*server.log"):
        server.start()
    assert not (server.folder / "host.json").exists()
    configuration.write_text(real)


def test_a_folder_shared_between_hosts_is_served_by_one_of_them(
    server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.stop()
    record = server.folder / "host.json"
    record.write_text(json.dumps({"host": "node17", "machine": "another"}))
    monkeypatch.setattr(_server_host, "network_filesystem", lambda path: "nfs")

    with pytest.raises(DatabaseError, match="started on host node17"):
        server.start()
    with pytest.raises(DatabaseError, match="started on host node17"):
        server.stop()
    assert server.status().host == "node17"
    assert not server.status().running
    record.unlink()


def test_without_postgresql_the_extra_is_named(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_postgres_programs, "_folders", lambda: [])

    with pytest.raises(DatabaseError, match=r"pip install 'studyhall\[postgres\]'"):
        PrivateServer(parent / "none").start()


@pytest.mark.parametrize("action", ["stop", "status"])
def test_a_folder_without_a_server_is_refused(tmp_path: Path, action: str) -> None:
    with pytest.raises(ConfigError, match="there is no database server"):
        getattr(PrivateServer(tmp_path), action)()
