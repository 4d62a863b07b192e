import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import WSGIApplication

import jobs
import optuna
import pytest
from browsing import Reply, ask
from jobs import took
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import event, update

from storage import agents, attempts, studies
from storage.agents import WorkerSeen
from storage.attempts import Claim
from storage.database import Database
from storage.endings import Artifact, Ending
from storage.epochs import record_epochs
from storage.history import read_trials
from storage.openings import record_opening
from storage.studies import Budget
from storage.tables import AGENTS, AttemptState
from storage.trials import open_storage
from study._yaml import parse_yaml
from study.config import StudyConfig
from study.loading import load_config
from study.web import _page_watch
from study.web.page import make_page

HOSTILE = ("<script>alert(1)</script>", "a/b?c#d", "x/trial/3", "\"quotes\" & 'more'", "ℏω 研究", "100%25 sure")
FACTS = {
    "fingerprint": {},
    "shape": [2, 8, 8],
    "axes": "NHWC",
    "statistics": {},
    "target": {},
    "events": {"training": 10, "validation": 5, "test": 5},
    "code": {},
    "folder": "/data",
    "files": "/data/files",
    "metric": "accuracy",
    "direction": "maximize",
}


def create(url: str, name: str = "q", **sections: Any) -> None:
    given = {"study": {"name": "q"}, "data": {"path": "events.h5"}, **sections}
    studies.create_study(
        url,
        name,
        directions=["maximize"],
        metric_names=["accuracy"],
        config=StudyConfig.model_validate(given).to_json(),
        facts=FACTS,
        budget=Budget(10, None),
    )


def complete(database: Database, claim: Claim, value: float = 0.5) -> None:
    attempts.report(database, claim, 1, value)
    attempts.finish(database, claim, Ending(TrialState.COMPLETE, values=(value,)))


def fail(database: Database, claim: Claim, failure: str, reason: str) -> None:
    attributes = {"failure": failure, "reason": reason}
    attempts.finish(
        database, claim, Ending(TrialState.FAIL, failure=failure, attributes=attributes, message=f"Traceback\n{reason}")
    )


def look(page: WSGIApplication, what: str, name: str | None = None, **query: Any) -> Reply:
    path = f"/studyhall/api/{what}" + ("" if name is None else f"/{name}")
    asked: list[WSGIApplication] = [
        lambda environ, start: page(environ | {"PATH_INFO": path.encode().decode("latin-1")}, start)
    ]
    return ask(asked[0], f"?{urlencode(query)}")


@pytest.fixture
def page(database: Database, monkeypatch: pytest.MonkeyPatch) -> WSGIApplication:
    monkeypatch.setattr(_page_watch, "FRESH_S", 0.0)
    return make_page(database)


@pytest.fixture
def study_id(url: str, database: Database) -> int:
    create(url)
    return studies.load_study(database, "q").study_id


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    said: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("SELECT") and "studies" in statement:
            said.append(statement)

    event.listen(database._engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(database._engine, "before_cursor_execute", note)


def test_an_empty_database_has_no_study(page: WSGIApplication) -> None:
    assert look(page, "studies").tree["studies"] == []


def test_a_database_without_our_tables_has_no_study(sqlite_url: str, tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")

    assert look(make_page(database), "studies").tree["studies"] == []

    database.close()


def test_a_study_is_listed_with_how_it_stands(page: WSGIApplication, database: Database, study_id: int) -> None:
    first, second, third = took(database, study_id), took(database, study_id), took(database, study_id)
    complete(database, first, 0.75)
    fail(database, second, "error", "ValueError: no")
    attempts.report(database, third, 1, 0.5)
    record_opening(database, study_id, first.trial_id, {"accuracy": 0.5}, opened_by="me@here")

    (study,) = look(page, "studies").tree["studies"]

    assert (study["name"], study["state"], study["budget"]) == ("q", "running", 10)
    assert study["counts"] == {"COMPLETE": 1, "FAIL": 1, "RUNNING": 1}
    assert study["best"] == {"number": 0, "value": 0.75}
    assert (study["test"], study["running"]) == (0.5, 1)


def test_a_study_of_another_optuna_program_is_listed_as_such(
    url: str, database: Database, page: WSGIApplication
) -> None:
    storage = open_storage(url)
    optuna.create_study(study_name="theirs", storage=storage).optimize(lambda trial: 1.0, n_trials=2)
    storage.close()

    (study,) = look(page, "studies").tree["studies"]

    assert (study["name"], study["state"], study["trials"]) == ("theirs", "optuna", 2)
    assert look(page, "study", "theirs").status == 404


def test_a_study_that_cannot_be_read_is_listed_with_the_reason(url: str, page: WSGIApplication) -> None:
    jobs.create(url, "broken")
    create(url, "good")

    broken, good = look(page, "studies").tree["studies"]

    assert "data" in broken["error"]
    assert "error" not in good
    assert look(page, "study", "broken").status == 422


def test_a_list_that_is_known_is_not_sent_again(url: str, page: WSGIApplication, database: Database) -> None:
    create(url, "one")
    create(url, "two")
    known = look(page, "studies").tree["version"]

    unchanged = look(page, "studies", since=known)
    complete(database, took(database, studies.load_study(database, "two").study_id))
    changed = look(page, "studies", since=known).tree

    assert (unchanged.status, unchanged.body) == (204, b"")
    assert [study["name"] for study in changed["studies"]] == ["two"]
    assert not changed["full"]
    assert len(changed["ids"]) == 2


def test_a_study_that_has_not_changed_is_not_read_again(
    page: WSGIApplication, database: Database, study_id: int
) -> None:
    complete(database, took(database, study_id))
    known = look(page, "studies").tree["version"]
    seen = look(page, "study", "q").tree["version"]

    with statements(database) as of_the_list:
        look(page, "studies", since=known)
    with statements(database) as of_the_study:
        answer = look(page, "study", "q", since=seen)

    assert len(of_the_list) == 1
    assert len(of_the_study) == 1
    assert answer.status == 204


def test_only_trials_that_changed_since_are_sent(page: WSGIApplication, database: Database, study_id: int) -> None:
    complete(database, took(database, study_id))
    running = took(database, study_id)
    whole = look(page, "study", "q").tree

    attempts.report(database, running, 1, 0.25)
    epoch = look(page, "study", "q", since=whole["version"]).tree
    took(database, study_id)
    new = look(page, "study", "q", since=epoch["version"]).tree
    again = look(page, "study", "q", since=new["version"]).tree

    assert (whole["full"], [trial["number"] for trial in whole["trials"]]) == (True, [0, 1])
    assert [(trial["number"], trial["value"]) for trial in epoch["trials"]] == [(1, 0.25)]
    assert [trial["number"] for trial in new["trials"]] == [2]
    assert again["trials"] == []
    assert len(again["running"]) == 2


@pytest.mark.parametrize("version", ["", "other-1", "other-x", "-", "é"])
def test_a_version_that_is_not_known_gets_everything(
    sqlite_url: str, opened: Callable[[str], Database], version: str
) -> None:
    create(sqlite_url)
    database = opened(sqlite_url)
    complete(database, took(database, studies.load_study(database, "q").study_id))

    answer = look(make_page(database), "study", "q", since=version).tree

    assert answer["full"]
    assert len(answer["trials"]) == 1


def test_what_runs_is_shown_with_its_worker(page: WSGIApplication, database: Database, study_id: int) -> None:
    agent = agents.register_agent(database, study_id, alive_s=60.0)
    busy = WorkerSeen(0, 11, "cuda:0", 512.0, 90.0, gpu_utilisation=87.0, gpu_power_w=251.0)
    lost = WorkerSeen(2, 13, "cuda:2", quarantined="GPU is lost")
    agents.see_agent(database, agent, [busy, WorkerSeen(1, 12, "cuda:1"), lost])
    claimed = jobs.claims.claim(database, study_id, agent_id=agent, slot=0, lease_s=60.0, lost_retries=3)
    assert isinstance(claimed, Claim)
    attempts.report(database, claimed, 1, 0.25)

    answer = look(page, "study", "q").tree

    (running,), (idle, out_of_service) = answer["running"], answer["idle"]
    assert running["worker"].endswith("/cuda:0#0")
    assert (running["number"], running["epoch"], running["value"], running["memory_mb"]) == (0, 1, 0.25, 512.0)
    assert idle["worker"].endswith("/cuda:1#1")
    assert (running["lost"], idle["lost"]) == (False, False)
    assert (running["gpu_utilisation"], running["gpu_used_mb"], running["gpu_power_w"]) == (87.0, None, 251.0)
    assert (idle["quarantined"], out_of_service["quarantined"]) == (None, "GPU is lost")
    assert (answer["study"]["workers"], answer["study"]["quarantined"]) == (2, 1)


def test_a_silent_worker_is_shown_as_lost_and_nothing_is_written(
    page: WSGIApplication, database: Database, study_id: int
) -> None:
    agent = agents.register_agent(database, study_id, alive_s=60.0)
    agents.see_agent(database, agent, [WorkerSeen(0, 11, "cpu")])
    jobs.claims.claim(database, study_id, agent_id=agent, slot=0, lease_s=-1.0, lost_retries=3)
    with database.write() as connection:
        long_ago = agents.utc_now(-300.0)
        connection.execute(update(AGENTS).values(seen_at=long_ago))
        connection.execute(update(agents.WORKERS).values(seen_at=long_ago))

    answer = look(page, "study", "q").tree

    assert [one["lost"] for one in answer["running"]] == [True]
    assert read_trials(database, study_id)[0].attempt_state is AttemptState.RUNNING


def test_failures_are_grouped_by_class_with_the_newest_reason(
    page: WSGIApplication, database: Database, study_id: int
) -> None:
    for failure, why in (("error", "ValueError: a"), ("crash", "killed"), ("error", "ValueError: b")):
        fail(database, took(database, study_id), failure, why)

    groups = {group["failure"]: group for group in look(page, "study", "q").tree["failures"]}

    assert groups["error"] | {"newest": 0} == {
        "failure": "error",
        "state": "FAIL",
        "count": 2,
        "reason": "ValueError: b",
        "newest": 0,
        "numbers": [2, 0],
    }
    assert groups["crash"]["count"] == 1


def test_a_trial_is_shown_with_epochs_attempts_and_files(
    page: WSGIApplication, database: Database, study_id: int
) -> None:
    attempts.hand_back(database, took(database, study_id))
    second = took(database, study_id)
    attempts.report(database, second, 1, 0.25)
    record_epochs(database, second, [{"epoch": 1, "training_loss": 2.0, "validation_loss": float("nan")}])
    running = look(page, "trial", "q", number=0).tree
    files = [Artifact("1-ab", "report.png", "image/png")]
    attempts.finish(database, second, Ending(TrialState.COMPLETE, values=(0.25,), artifacts=files))

    ended = look(page, "trial", "q", number=0, since=running["version"]).tree

    assert running["trial"]["values"] == [[1, 0.25]]
    assert running["epochs"] == [{"epoch": 1, "training_loss": 2.0, "validation_loss": None}]
    assert [attempt["state"] for attempt in ended["attempts"]] == ["interrupted", "finished"]
    place = f"artifacts/{study_id}/{second.trial_id}/1-ab"
    assert ended["artifacts"] == [
        {"artifact_id": "1-ab", "filename": "report.png", "mimetype": "image/png", "path": place}
    ]
    assert look(page, "trial", "q", number=0, since=ended["version"]).status == 204


def test_trials_beside_each_other_show_only_differences(
    page: WSGIApplication, url: str, stock: Callable[[str], RDBStorage], study_id: int
) -> None:
    study = optuna.load_study(study_name="q", storage=stock(url))
    distributions = {"lr": FloatDistribution(0.0, 1.0), "same": FloatDistribution(0.0, 1.0)}
    for lr, value, loss in ((0.1, 0.5, 3.0), (0.2, 0.75, 2.0), (0.3, 0.75, 4.0)):
        attributes = {"log_loss": loss, "alike": 1, "text": f"{lr}"}
        study.add_trial(
            create_trial(
                value=value,
                params={"lr": lr, "same": 0.5},
                distributions=distributions,
                user_attrs=attributes,
                intermediate_values={1: value},
            )
        )

    answer = look(page, "compare", "q", trials="2,0,1").tree

    rows = {row["key"]: (row["kind"], row["values"], row["best"]) for row in answer["differences"]}
    assert rows == {
        "accuracy": ("result", [0.75, 0.5, 0.75], [0, 2]),
        "lr": ("hyperparameter", [0.3, 0.1, 0.2], []),
        "log_loss": ("attribute", [4.0, 3.0, 2.0], [2]),
    }
    assert [trial["values"] for trial in answer["trials"]] == [[[1, 0.75]], [[1, 0.5]], [[1, 0.75]]]


@pytest.mark.parametrize(("trials", "status"), [("1", 400), ("0,x", 400), ("", 400), ("0,7", 404), ("0,-1", 400)])
def test_trials_that_cannot_be_compared_are_refused(
    sqlite_url: str, opened: Callable[[str], Database], trials: str, status: int
) -> None:
    create(sqlite_url)
    database = opened(sqlite_url)
    took(database, studies.load_study(database, "q").study_id)

    answer = look(make_page(database), "compare", "q", trials=trials)

    assert answer.status == status
    assert answer.tree["reason"]


def test_the_configuration_is_a_study_file_that_says_the_same(
    page: WSGIApplication, url: str, database: Database, tmp_path: Any
) -> None:
    create(
        url,
        space={"lr": {"float": [1e-5, 0.1], "log": True}, "model": "cnn", "optimizer": None},
        budget={"trials": None, "gpu_hours": 2.5},
        workers={"stall": None, "devices": ["cuda:0", "cuda:1"]},
        search={"sampler": {"name": "tpe", "n_startup_trials": 20}},
        data={"path": "events.h5", "select": {"fiducial": {"radius": 100.0}}},
    )

    answer = look(page, "config", "q.yaml")
    (tmp_path / "config.yaml").write_text(answer.text, encoding="utf-8")
    config, _ = load_config(tmp_path / "config.yaml", environment={})

    assert config.to_json() == studies.load_study(database, "q").config
    assert "Relative paths refer to /data" in answer.text
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''config.yaml"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_may_have_any_character(
    sqlite_url: str, opened: Callable[[str], Database], name: str, tmp_path: Any
) -> None:
    create(sqlite_url, name)
    database = opened(sqlite_url)
    complete(database, took(database, studies.load_study(database, name).study_id))
    page = make_page(database)

    with served(page) as fetched:
        inside = quote(name, safe="")
        study = json.loads(fetched(f"/studyhall/api/study/{inside}"))
        trial = json.loads(fetched(f"/studyhall/api/trial/{inside}?number=0"))
        config = fetched(f"/studyhall/api/config/{inside}.yaml").decode()
        shell = fetched(f"/studyhall/study/{inside}/trial/0").decode()

    assert study["study"]["name"] == trial["study"]["name"] == name
    assert parse_yaml(config, "config")["study"]["name"] == "q"
    assert name not in shell


@contextmanager
def served(page: WSGIApplication) -> Iterator[Callable[[str], bytes]]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with make_server("127.0.0.1", 0, page, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def fetched(path: str) -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
            connection.request("GET", path)
            body = connection.getresponse().read()
            connection.close()
            return body

        try:
            yield fetched
        finally:
            server.shutdown()
            thread.join()


def test_a_deleted_study_is_gone(page: WSGIApplication, url: str, database: Database, study_id: int) -> None:
    complete(database, took(database, study_id))
    known = look(page, "studies").tree["version"]
    look(page, "study", "q")

    storage = open_storage(url)
    optuna.delete_study(study_name="q", storage=storage)
    storage.close()

    for what in ("study/q", "trial/q?number=0", "config/q.yaml", "compare/q?trials=0,1", "export/q.zip"):
        answer = ask(page, f"/studyhall/api/{what}")
        assert (answer.status, "q" in answer.tree["reason"]) == (404, True)
    assert look(page, "studies", since=known).tree["ids"] == []


def test_a_study_made_anew_under_its_old_name_is_another(
    page: WSGIApplication, url: str, database: Database, study_id: int
) -> None:
    complete(database, took(database, study_id))
    known = look(page, "study", "q").tree["version"]
    storage = open_storage(url)
    optuna.delete_study(study_name="q", storage=storage)
    storage.close()
    create(url)

    answer = look(page, "study", "q", since=known).tree

    assert (answer["full"], answer["trials"]) == (True, [])


def test_values_that_are_no_numbers_become_null(page: WSGIApplication, database: Database, study_id: int) -> None:
    running = took(database, study_id)
    attempts.report(database, running, 1, float("nan"))
    attempts.report(database, running, 2, float("inf"))

    answer = look(page, "trial", "q", number=0)

    assert answer.tree["trial"]["values"] == [[1, None], [2, None]]
    assert b"NaN" not in answer.plain + look(page, "study", "q").plain


def test_the_page_is_files_without_anything_inline(sqlite_url: str, opened: Callable[[str], Database]) -> None:
    page = make_page(opened(sqlite_url))

    shell = ask(page, "/studyhall/")
    script = ask(page, "/studyhall/static/main.js")
    again = ask(page, "/studyhall/static/main.js", if_none_match=script.headers["etag"])

    assert "default-src 'self'" in shell.headers["content-security-policy"]
    assert "unsafe-inline" not in shell.headers["content-security-policy"]
    assert '<script type="module" src="/studyhall/static/main.js"></script>' in shell.text
    assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/studyhall/api/studies", 405),
        ("GET", "/studyhall/api/nothing", 404),
        ("GET", "/studyhall/static/../page.py", 404),
        ("GET", "/studyhall/static/page.py", 404),
        ("GET", "/studyhall", 303),
        ("HEAD", "/studyhall/api/export/q.zip", 405),
    ],
)
def test_other_requests_are_refused(
    sqlite_url: str, opened: Callable[[str], Database], method: str, path: str, status: int
) -> None:
    assert ask(make_page(opened(sqlite_url)), path, method).status == status


def test_a_server_may_have_moved_the_prefix(sqlite_url: str, opened: Callable[[str], Database]) -> None:
    page = make_page(opened(sqlite_url))
    moved: WSGIApplication = lambda environ, start: page(environ | {"SCRIPT_NAME": "/proxy/studyhall"}, start)  # noqa: E731

    assert '"/proxy/studyhall/static/main.js"' in ask(moved, "/").text


def test_what_mattered_is_told_and_computed_anew_when_trials_have_ended(
    page: WSGIApplication, database: Database, study_id: int
) -> None:
    space = {"lr": FloatDistribution(1e-4, 1e-1, log=True)}
    complete(database, took(database, study_id))
    (before,) = look(page, "importance", "q").tree["importance"]
    claim = took(database, study_id)
    attempts.sample(database, claim, {"lr": (1e-2, space["lr"])})
    complete(database, claim)

    (after,) = look(page, "importance", "q").tree["importance"]

    assert (before["trials"], before["note"]) == (1, "no parameter is searched, or no trial has begun")
    assert after["trials"] == 2
    assert after["note"].startswith("too few trials to tell anything: 2")
    assert look(page, "importance", "missing").status == 404
