import socket
from collections.abc import Callable
from pathlib import Path

import jobs
import pytest
from sqlalchemy import update

from storage import agents, studies
from storage.clock import utc_now
from storage.database import Database
from storage.errors import DatabaseError, StudyMissing
from storage.tables import AGENTS

ALIVE_S = 60.0


@pytest.fixture
def study_id(url: str, database: Database) -> int:
    jobs.create(url)
    return studies.load_study(database, "study").study_id


def from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "machine_id", lambda: "another")


def test_workers_are_listed_as_last_seen(database: Database, study_id: int) -> None:
    agent = agents.register_agent(database, study_id, alive_s=ALIVE_S)
    agents.see_agent(database, agent, [agents.WorkerSeen(0, 11, "cpu"), agents.WorkerSeen(1, 12, "cuda:0")])
    agents.see_agent(database, agent, [agents.WorkerSeen(0, 11, "cpu"), agents.WorkerSeen(2, 13, "cuda:1")])

    workers = agents.list_workers(database, study_id)

    assert [(row.agent_id, row.slot, row.pid, row.device) for row in workers] == [
        (agent, 0, 11, "cpu"),
        (agent, 2, 13, "cuda:1"),
    ]
    assert all(row.host == socket.gethostname() for row in workers)
    assert all(0.0 <= row.idle_s < 10.0 for row in workers)


def test_an_agent_that_left_has_no_workers(database: Database, study_id: int) -> None:
    gone, here = (agents.register_agent(database, study_id, alive_s=ALIVE_S) for _ in range(2))
    for agent in (gone, here):
        agents.see_agent(database, agent, [agents.WorkerSeen(0, 11, "cpu")])

    agents.leave(database, gone)

    assert [row.agent_id for row in agents.list_workers(database, study_id)] == [here]


def test_workers_of_another_study_are_not_listed(url: str, database: Database, study_id: int) -> None:
    jobs.create(url, "another")
    other = studies.load_study(database, "another").study_id
    theirs = agents.register_agent(database, other, alive_s=ALIVE_S)
    agents.see_agent(database, theirs, [agents.WorkerSeen(0, 11, "cpu")])

    assert agents.list_workers(database, study_id) == []


def test_an_agent_of_a_study_that_is_gone_is_refused(database: Database) -> None:
    with pytest.raises(StudyMissing, match="has been deleted"):
        agents.register_agent(database, 4711, alive_s=ALIVE_S)


def test_sqlite_is_refused_while_an_agent_of_another_machine_lives(
    database: Database, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.register_agent(database, study_id, alive_s=ALIVE_S)
    from_elsewhere(monkeypatch)

    if database.url.get_backend_name() == "sqlite":
        with pytest.raises(DatabaseError, match=f"in use by {socket.gethostname()}, and SQLite serves one host"):
            agents.register_agent(database, study_id, alive_s=ALIVE_S)
    else:
        assert agents.register_agent(database, study_id, alive_s=ALIVE_S)


def test_sqlite_is_refused_also_for_another_study_of_the_file(
    sqlite_url: str, opened: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = opened(sqlite_url)
    jobs.create(sqlite_url, "one")
    jobs.create(sqlite_url, "two")
    one, two = (record.study_id for record in studies.list_studies(database))
    agents.register_agent(database, one, alive_s=ALIVE_S)
    from_elsewhere(monkeypatch)

    with pytest.raises(DatabaseError, match="SQLite serves one host"):
        agents.register_agent(database, two, alive_s=ALIVE_S)


@pytest.mark.parametrize("end", ["left", "silent"])
def test_sqlite_moves_to_another_machine_when_the_last_agent_is_gone(
    sqlite_url: str, opened: Callable[[str], Database], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    database = opened(sqlite_url)
    jobs.create(sqlite_url)
    agent = agents.register_agent(database, 1, alive_s=ALIVE_S)
    if end == "left":
        agents.leave(database, agent)
    else:
        with database.write() as connection:
            connection.execute(update(AGENTS).values(seen_at=utc_now(-2 * ALIVE_S)))
    from_elsewhere(monkeypatch)

    assert agents.register_agent(database, 1, alive_s=ALIVE_S)


def test_two_agents_of_one_machine_share_sqlite(sqlite_url: str, opened: Callable[[str], Database]) -> None:
    database = opened(sqlite_url)
    jobs.create(sqlite_url)

    first, second = (agents.register_agent(database, 1, alive_s=ALIVE_S) for _ in range(2))

    assert first != second


def test_a_machine_keeps_its_id_and_it_fits() -> None:
    assert 0 < len(agents.machine_id()) <= 64
    assert agents.machine_id() == agents.machine_id()


def test_a_user_without_a_name_is_recorded_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unnamed() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", unnamed)
    monkeypatch.setattr("os.getuid", lambda: 1234)

    assert agents.user_and_host() == f"1234@{socket.gethostname()}"


def test_a_machine_without_any_id_has_its_network_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    monkeypatch.setattr("uuid.getnode", lambda: 255)

    assert agents.machine_id() == "ff"
