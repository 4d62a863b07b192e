"""optuna-dashboard on our storage, in a real process."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable

from lab import Lab

from storage.trials import open_storage


def address(process: subprocess.Popen[str]) -> str:
    """Where the page is, as the command says."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+/dashboard/", line)
        if found:
            return found[0]
    raise AssertionError("no address was announced")


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def test_the_stock_dashboard_shows_a_study_and_ctrl_c_ends_it(make_lab: Callable[..., Lab], url: str) -> None:
    lab = make_lab(url=url)
    lab.create(budget={"trials": 2})
    lab.work(workers=1)

    process = lab.start("dashboard", "--port", "0")
    page = address(process)
    api = page.replace("dashboard/", "api/studies")
    studies = json.loads(fetched(api))["study_summaries"]
    study = json.loads(fetched(f"{api}/{studies[0]['study_id']}"))
    process.send_signal(signal.SIGINT)
    status = process.wait(20)
    process.communicate()

    assert [found["study_name"] for found in studies] == ["q"]
    assert [trial["number"] for trial in study["trials"]] == [0, 1]
    assert study["trials"][0]["values"]
    assert status == 130
    assert lab.leaves_no_process()


def test_an_empty_database_shows_a_page(lab: Lab) -> None:
    open_storage(lab.url).close()

    process = lab.start("dashboard", "--port", "0")
    page = address(process)
    text = fetched(page)
    process.send_signal(signal.SIGINT)
    process.wait(20)
    process.communicate()

    assert "<html" in text.lower()
