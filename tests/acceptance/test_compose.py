"""docs/compose.md, typed by an ordinary user into a real Docker engine."""

import re
import time
from collections.abc import Iterator

import pytest
from docker_engine import PERSON, running_engine
from docker_images import make_images
from docker_site import TRIALS, Attempt, Site, page
from lab import until

from study._artifact_names import LOG, artifact_id

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]  # the first run makes the images
PATIENCE_S = 240.0
GRACE_S = 60.0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Database and dashboard run, and a study file lies beside its events."""
    with running_engine() as engine:
        make_images(engine)
        site = Site(engine)
        site.follow("Set up")
        site.put_study()
        yield site


def test_a_second_up_changes_nothing(site: Site) -> None:
    before = {name: site.inspected(name) for name in site.containers()}
    token = site.secret("dashboard_token")

    site.type("docker compose up -d --wait")

    after = {name: site.inspected(name) for name in site.containers()}
    assert {name: found["State"]["StartedAt"] for name, found in after.items()} == {
        name: found["State"]["StartedAt"] for name, found in before.items()
    }
    assert len(after) == 2
    assert site.secret("dashboard_token") == token


def test_the_secrets_are_in_no_image_no_setting_and_no_command_line(site: Site) -> None:
    names = [*site.containers(), "studyhall:index"]
    told = [str(site.inspected(name)) for name in names]
    told += [site.engine.docker("history", "--no-trunc", "studyhall:index")]
    told += [site.engine.docker("top", name, "-eo", "pid,args") for name in site.containers()]
    told += [site.type("docker compose logs"), (site.folder / "docker-compose.yml").read_text()]

    assert site.secret("db_password") not in " ".join(told)
    assert site.secret("dashboard_token") not in " ".join(told)
    assert "PIP_FIND_LINKS" not in site.engine.docker("history", "--no-trunc", "studyhall:index")


def test_an_image_without_more_settings_runs_as_a_user_who_finds_nothing_of_the_host_in_it(site: Site) -> None:
    look = ["run", "--rm", "--entrypoint", "sh", "studyhall:index", "-c"]

    assert site.engine.docker(*look, "id -u") == "1000"
    assert site.engine.docker(*look, "ls -A /data /run/secrets 2> /dev/null; true") == "/data:"
    assert site.engine.docker("run", "--rm", "studyhall:index").startswith("Usage")


def test_the_dashboard_answers_whoever_has_the_token(site: Site) -> None:
    refused = site.tried(
        "curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8080/api/studies"
    )

    assert site.follow("Look at it", "curl").startswith("{")
    assert refused.stdout == "401"


def test_a_killed_workers_trial_goes_on_elsewhere_a_stop_hands_back_and_the_budget_is_exact(site: Site) -> None:
    site.follow("Run a study")
    assert until(lambda: users_of(site, "worker", "dashboard", "db").isdisjoint({"root", "0"}))

    lost = with_checkpoint(site)
    site.engine.docker("kill", lost.host)
    resumed = after(site, lost, "finished")
    assert resumed.attempt == 2
    assert resumed.host != lost.host
    assert first_epoch(site, resumed) > 4

    stopped = with_checkpoint(site, fresh=True)
    began = time.monotonic()
    site.follow("Stop and continue", "stop")
    assert time.monotonic() - began < GRACE_S
    assert [row.state for row in site.attempts() if row.trial == stopped.trial] == ["interrupted"]
    assert not [row for row in site.attempts() if row.state == "running"]

    site.follow("Stop and continue", "up")
    assert until(lambda: site.containers("worker") == [], PATIENCE_S)
    trials = site.status()["trials"]
    assert sorted(trial["number"] for trial in trials) == list(range(TRIALS))
    assert {trial["state"] for trial in trials} <= {"COMPLETE", "PRUNED"}


def test_people_see_the_study_and_take_its_result(site: Site) -> None:
    shown = site.follow("Look at it")
    site.follow("Take the result")

    best = site.folder / "data" / "best"
    assert site.secret("dashboard_token") in shown
    assert '"study"' in shown
    assert (best / "model.safetensors").read_bytes()
    assert "<html" in (best / "report.html").read_text()
    assert {path.stat().st_uid for path in (site.folder / "data").rglob("*")} == {PERSON}


def test_removing_it_leaves_the_data_and_no_command_of_the_page_untried(site: Site) -> None:
    site.follow("Remove")

    assert site.engine.docker("ps", "--all", "--quiet") == ""
    assert site.engine.docker("volume", "ls", "--quiet") == ""
    assert (site.folder / "data" / "best").is_dir()
    assert {line for lines in page().values() for line in lines} <= site.typed


def users_of(site: Site, *services: str) -> set[str]:
    """The users of all processes; for moments root, while Docker asks the database how it is."""
    told = [site.engine.docker("top", name, "-eo", "user,pid,args") for name in site.containers(*services)]
    return {line.split()[0] for text in told for line in text.splitlines()[1:]}


def with_checkpoint(site: Site, *, fresh: bool = False) -> Attempt:
    """Wait for a running attempt that has written a checkpoint, or for one that has just begun."""
    found: list[Attempt] = []

    def seen() -> bool:
        running = [row for row in site.attempts() if row.state == "running" and row.attempt == 1]
        found[:] = running if fresh else [row for row in running if row.checkpoint]
        return found != []

    assert until(seen, PATIENCE_S), site.type("docker compose logs worker")
    return found[0]


def after(site: Site, lost: Attempt, state: str) -> Attempt:
    """Wait for the next attempt at a trial to end so."""
    found: list[Attempt] = []

    def seen() -> bool:
        rows = [row for row in site.attempts() if row.trial == lost.trial]
        found[:] = [row for row in rows if row.attempt > lost.attempt and row.state == state]
        return found != []

    assert until(seen, PATIENCE_S), site.type("docker compose logs worker")
    return found[0]


def first_epoch(site: Site, attempt: Attempt) -> int:
    """The epoch with which an attempt that finished its trial began, by its log."""
    log = next((site.folder / "data").rglob(artifact_id(LOG, attempt.token))).read_text()
    match = re.search(rf"trial {attempt.trial}, attempt {attempt.attempt}, .*?epoch (\d+):", log, re.DOTALL)
    assert match, log
    return int(match[1])
