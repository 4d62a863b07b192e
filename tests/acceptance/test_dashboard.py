"""optuna-dashboard behind our guard, in a real process."""

import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import psutil
import pytest
from browsing import fetch
from lab import Lab, until
from servers import Server

from storage.trials import open_storage

TOKEN = "correct-horse-battery-staple"
BEARER = f"Bearer {TOKEN}"


@contextmanager
def served(lab: Lab, *options: str, end: signal.Signals = signal.SIGINT, **environment: str) -> Iterator["Served"]:
    """A dashboard, ended by a signal."""
    own = {"STUDYHALL_DASHBOARD_TOKEN": TOKEN, "XDG_STATE_HOME": str(lab.folder / "state")}
    process = lab.start("dashboard", "--port", "0", *options, **(own | environment))
    page = Served(process)
    try:
        yield page
    finally:
        process.send_signal(end)
        page.status = process.wait(20)
        page.rest, _ = process.communicate()


class Served:
    """Where it is and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.status, self.rest, self.said = process, -1, "", ""
        assert process.stdout is not None
        for line in process.stdout:
            self.said += line
            found = re.search(r"http://[^/\s]+", line)
            if found:
                self.address = found[0]
                return
        raise AssertionError(f"no address was announced: {self.said}")


def test_a_study_is_shown_to_whoever_has_the_token_and_ctrl_c_ends_it(make_lab: Callable[..., Lab], url: str) -> None:
    lab = make_lab(url=url)
    lab.create(budget={"trials": 2})
    lab.work(workers=1)

    with served(lab) as page:
        refused = fetch(page.address, "/api/studies")
        studies = fetch(page.address, "/api/studies", authorization=BEARER).tree["study_summaries"]
        answer = fetch(page.address, f"/api/studies/{studies[0]['study_id']}?after=0", authorization=BEARER)

    assert refused.status == 401
    assert [found["study_name"] for found in studies] == ["q"]
    assert [trial["number"] for trial in answer.tree["trials"]] == [0, 1]
    assert answer.tree["trials"][0]["values"]
    assert page.status == 130
    assert lab.leaves_no_process()


def test_an_empty_database_shows_a_page(lab: Lab) -> None:
    open_storage(lab.url).close()

    with served(lab) as page:
        index = fetch(page.address, "/dashboard/", authorization=BEARER)

    assert "<html" in index.text.lower()
    assert "script-src 'self' 'unsafe-eval'" in index.headers["content-security-policy"]


def test_it_runs_with_fixed_hashes_on_which_optuna_dashboards_orders_depend(lab: Lab) -> None:
    open_storage(lab.url).close()

    with served(lab, PYTHONHASHSEED="random") as page:
        environment = psutil.Process(page.process.pid).environ()

    assert environment["PYTHONHASHSEED"] == "0"


@pytest.mark.parametrize(("end", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_it_at_once_and_quietly(lab: Lab, end: signal.Signals, status: int) -> None:
    open_storage(lab.url).close()

    with served(lab, end=end) as page:
        fetch(page.address, "/login")

    assert page.status == status
    assert "Traceback" not in page.rest


def test_a_database_file_that_does_not_exist_is_refused_and_not_made(lab: Lab) -> None:
    status, output = lab.run("dashboard", "--port", "0", STUDYHALL_DASHBOARD_TOKEN=TOKEN)

    assert status == 1
    assert "there is no database" in output
    assert not Path(lab.url.removeprefix("sqlite:///")).exists()


def test_without_a_terminal_the_token_stays_in_its_file(lab: Lab) -> None:
    open_storage(lab.url).close()
    file = lab.folder / "state" / "studyhall" / "dashboard-token"

    with served(lab, STUDYHALL_DASHBOARD_TOKEN="") as page:
        token = file.read_text().strip()
        status = fetch(page.address, "/api/studies", authorization=f"Bearer {token}").status

    assert status == 200
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in page.said
    assert token not in page.said + page.rest


def test_a_terminal_is_given_an_address_that_logs_in(lab: Lab) -> None:
    open_storage(lab.url).close()
    ours, theirs = pty.openpty()
    environment = {**os.environ, "STUDYHALL_STORAGE": lab.url, "STUDYHALL_DASHBOARD_TOKEN": TOKEN, "LAB_MARK": lab.mark}
    command = [Path(sys.executable).with_name("studyhall"), "dashboard", "--port", "0"]

    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment, cwd=lab.folder)
    os.close(theirs)
    said = ""
    while "Ctrl-C" not in said:
        said += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    status = process.wait(20)
    os.close(ours)

    assert re.search(rf"http://127\.0\.0\.1:\d+/#token={TOKEN} ", said)
    assert status == 130


def test_a_token_comes_from_a_file_that_is_named(lab: Lab) -> None:
    open_storage(lab.url).close()
    file = lab.folder / "token"
    file.write_text(f"{TOKEN}\n")

    with served(lab, "--token-file", str(file), STUDYHALL_DASHBOARD_TOKEN="") as page:
        status = fetch(page.address, "/api/studies", authorization=BEARER).status

    assert status == 200
    assert str(file) in page.said


def test_no_login_on_an_address_of_the_network_prints_a_warning(lab: Lab) -> None:
    open_storage(lab.url).close()

    with served(lab, "--no-login", "--host", "0.0.0.0") as open_to_all:
        pass
    with served(lab, "--no-login") as open_here:
        status = fetch(open_here.address, "/api/studies").status
        other = fetch(open_here.address, "/api/studies", host="evil.example").status

    assert "whoever reaches this address can read all studies" in open_to_all.said
    assert "warning" not in open_here.said
    assert (status, other) == (200, 403)


def test_a_port_in_use_is_one_line(lab: Lab) -> None:
    open_storage(lab.url).close()

    with served(lab) as page:
        port = page.address.rpartition(":")[2]
        status, output = lab.run("dashboard", "--port", port, STUDYHALL_DASHBOARD_TOKEN=TOKEN)

    assert status == 1
    assert f"port {port} of 127.0.0.1 is in use; give another with --port" in output
    assert "Traceback" not in output


def test_studies_are_deleted_only_where_that_was_allowed(lab: Lab) -> None:
    storage = open_storage(lab.url)
    study_id = optuna.create_study(study_name="mine", storage=storage)._study_id
    path = f"/api/studies/{study_id}"
    headers = {"authorization": BEARER, "content_type": "application/json"}

    with served(lab) as page:
        refused = fetch(page.address, path, "DELETE", "{}", **headers)
    with served(lab, "--allow-write") as page:
        foreign = fetch(page.address, path, "DELETE", "{}", origin="http://evil.example", **headers)
        left = [study.study_name for study in storage.get_all_studies()]
        done = fetch(page.address, path, "DELETE", "{}", origin=page.address, **headers)

    assert (refused.status, foreign.status, left, done.status) == (403, 403, ["mine"], 204)
    assert storage.get_all_studies() == []
    storage.close()


def test_the_program_of_the_page_is_sent_once_and_compressed(lab: Lab) -> None:
    open_storage(lab.url).close()

    with served(lab) as page:
        first = fetch(page.address, "/static/bundle.js", authorization=BEARER, accept_encoding="gzip")
        again = fetch(
            page.address,
            "/static/bundle.js",
            authorization=BEARER,
            if_none_match=first.headers["etag"],
            accept_encoding="gzip",
        )
        plain = fetch(page.address, "/static/bundle.js", authorization=BEARER)

    assert len(first.body) < len(first.plain) / 3
    assert (again.status, again.body) == (304, b"")
    assert first.headers["cache-control"] == "private, no-cache"
    assert plain.body == first.plain


def test_it_says_that_the_database_is_away_and_works_again_when_it_is_back(
    make_lab: Callable[..., Lab], postgresql_server: Server
) -> None:
    with postgresql_server.database() as url:
        name = url.rpartition("/")[2]
        lab = make_lab(url=url)
        storage = open_storage(url)
        study = f"/api/studies/{optuna.create_study(storage=storage)._study_id}"
        storage.close()
        paths = ["/api/studies", f"{study}?after=0", f"{study}/plot/slice", "/csv/1"]

        with served(lab) as page:
            before = statuses(page, paths)
            postgresql_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
            postgresql_server.run(ended)
            began = time.monotonic()
            away = [fetch(page.address, path, authorization=BEARER) for path in paths]
            waited = time.monotonic() - began
            postgresql_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            back = until(lambda: statuses(page, paths) == before, 30)

    assert [answer.status for answer in away] == [503] * len(paths)
    assert all(f"{name}: " in answer.tree["reason"] for answer in away)
    assert waited < 10 * len(paths)
    assert back


def statuses(page: Served, paths: list[str]) -> list[int]:
    return [fetch(page.address, path, authorization=BEARER).status for path in paths]
