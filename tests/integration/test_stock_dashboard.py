"""The stock dashboard on Optuna's own storage, while our storage works on the same database: each sees the other."""

import io
import json
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

import jobs
import optuna
import pytest
from jobs import took
from lab import until
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from optuna_dashboard import wsgi

from storage import attempts, studies
from storage.database import Database
from storage.endings import Ending
from storage.errors import LeaseLost
from storage.history import read_trials
from storage.trials import open_storage

Page = Callable[..., Any]


@pytest.fixture
def page(url: str, database: Database, stock: Callable[[str], RDBStorage]) -> Page:
    """Ask the dashboard's programming interface: its answer, JSON, or None where there is none."""
    jobs.create(url)
    application = wsgi(stock(url))

    def ask(method: str, path: str, **body: Any) -> Any:
        sent = json.dumps(body).encode()
        environ: dict[str, Any] = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent))}
        environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(sent)}
        setup_testing_defaults(environ)
        status: list[str] = []
        answer = b"".join(application(environ, lambda line, headers, error=None: status.append(line)))  # type: ignore[arg-type]
        assert status[0][0] == "2", (status, answer)
        return json.loads(answer) if answer else None

    return ask


def test_the_dashboard_shows_what_our_agents_write_as_they_write_it(page: Page, database: Database) -> None:
    study_id = studies.list_studies(database)[0].study_id
    claim = took(database, study_id)

    attempts.report(database, claim, 1, 0.25)
    running = page("GET", f"/api/studies/{study_id}")["trials"]
    attempts.finish(database, claim, Ending(TrialState.COMPLETE, values=(0.5,), attributes={"loss": 1.5}))
    assert until(
        lambda: page("GET", f"/api/studies/{study_id}")["trials"][0]["state"] != "Running"
    )  # it caches for 2 s
    ended = page("GET", f"/api/studies/{study_id}")["trials"]

    assert [trial["state"] for trial in running] == ["Running"]
    assert [(value["step"], value["value"]) for value in running[0]["intermediate_values"]] == [(1, 0.25)]
    assert [(trial["state"], trial["values"]) for trial in ended] == [("Complete", [0.5])]
    assert [attribute["key"] for attribute in ended[0]["user_attrs"]] == ["loss"]


def test_our_storage_reads_what_is_done_in_the_dashboard(url: str, page: Page, database: Database) -> None:
    storage = open_storage(url)
    storage.get_all_studies()
    study_id = studies.list_studies(database)[0].study_id
    claim = took(database, study_id)
    assert [trial.state for trial in storage.get_all_trials(study_id)] == [TrialState.RUNNING]

    made = page("POST", "/api/studies", study_name="theirs", directions=["minimize"])
    page("PUT", f"/api/studies/{study_id}/note", body="a note", version=1)
    page("POST", f"/api/trials/{claim.trial_id}/user-attrs", user_attrs={"seen": "by hand"})
    page("POST", f"/api/trials/{claim.trial_id}/tell", state="Complete", values=[0.75])

    assert [study.study_name for study in storage.get_all_studies()] == ["study", "theirs"]
    assert optuna.load_study(study_name="theirs", storage=storage)._study_id == made["study_summary"]["study_id"]
    assert any("note" in key for key in storage.get_study_system_attrs(study_id))
    (trial,) = storage.get_all_trials(study_id)
    assert (trial.state, trial.values, trial.user_attrs) == (TrialState.COMPLETE, [0.75], {"seen": "by hand"})
    storage.close()


def test_an_agent_whose_trial_is_ended_in_the_dashboard_drops_it_and_the_end_stays(
    page: Page, database: Database
) -> None:
    study_id = studies.list_studies(database)[0].study_id
    claim = took(database, study_id)

    page("POST", f"/api/trials/{claim.trial_id}/tell", state="Fail")
    with pytest.raises(LeaseLost, match="another Optuna program ended the trial"):
        attempts.report(database, claim, 1, 0.25)

    (trial,) = read_trials(database, study_id)
    assert (trial.state, trial.values) == (TrialState.FAIL, {})


def test_a_study_deleted_in_the_dashboard_is_gone_for_ours(url: str, page: Page, database: Database) -> None:
    storage = open_storage(url)
    study_id = studies.list_studies(database)[0].study_id
    storage.get_all_trials(study_id)

    page("DELETE", f"/api/studies/{study_id}")

    assert storage.get_all_studies() == []
    assert studies.list_studies(database) == []
    storage.close()
