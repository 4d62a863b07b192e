import json
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lab import ODD, Lab, finished, until
from terminal import Terminal

STUDYHALL = Path(sys.executable).with_name("studyhall")
SLOW: dict[str, Any] = {
    "space": ODD | {"odd.pause": 0.15},
    "training": {"epochs": 4},
    "search": {"pruner": "none"},
    "budget": {"trials": 3},
    "lease": {"seconds": 4, "renew": 1},
}


def terminal(lab: Lab, *arguments: str, columns: int = 80, rows: int = 24) -> Terminal:
    environment = {"STUDYHALL_STORAGE": lab.url, "LAB_MARK": lab.mark, "OMP_NUM_THREADS": "1"}
    return Terminal([str(STUDYHALL), *arguments], cwd=lab.folder, environment=environment, columns=columns, rows=rows)


def agent_of(lab: Lab) -> Sequence[Any]:
    return lab.processes("worker", "--workers")


def test_watch_shows_a_study_from_its_first_trial_to_its_end(lab: Lab) -> None:
    lab.create(**SLOW)
    with terminal(lab, "watch", "q", "--every", "0.3") as pane:
        assert pane.shows("q: running", "0/3 trials", "no complete trial yet", "Ctrl-C leaves")
        process = lab.start("worker", "q", "--workers", "1")
        assert pane.shows("/cpu#0", "1/4", " MB"), pane.screen()
        assert pane.shows("1/3 trials", "best accuracy (maximize): ", "(trial 0, epoch"), pane.screen()

        pane.resize(50, 12)
        assert until(lambda: max(map(len, pane.screen().splitlines())) <= 50 and "/3 trials" in pane.screen())

        pane.resize(80, 24)
        assert pane.shows("exit status 0"), pane.screen()
        last = pane.screen()

    assert finished(process)[0] == 0
    assert "q: finished" in last
    assert "3/3 trials" in last
    assert "test events opened for 0 of 3 trials" in last


def test_a_killed_agent_is_seen_as_a_lost_worker_and_ctrl_c_leaves(lab: Lab) -> None:
    lab.create(**SLOW)
    process = lab.start("worker", "q", "--workers", "1")
    with terminal(lab, "watch", "q", "--every", "0.3") as pane:
        assert pane.shows("/cpu#0", "1/4"), pane.screen()

        process.send_signal(signal.SIGKILL)
        finished(process)
        assert pane.shows("1 worker lost: its trial goes on elsewhere", "1 waiting"), pane.screen()
        line = next(line for line in pane.screen(colours=True).splitlines() if "/cpu#0" in line)
        status, output = lab.run("status", "q")
        json_status, json_output = lab.run("status", "q", "--json")

        pane.press("C-c")
        assert pane.shows("exit status 0"), pane.screen()
        left = pane.screen()

    assert "\x1b[31m" in line
    assert (status, json_status) == (1, 1)
    assert re.search(
        r"error: worker \S+/cpu#0 \(process \d+\) is lost: its agent on \S+ has said nothing since", output
    )
    assert "resumed by other workers once their lease of 4 s has ended" in output
    assert '"lost": [' in json_output
    assert "Traceback" not in left
    assert "Ctrl-C leaves" not in left


def test_watch_waits_for_a_database_that_is_away(lab: Lab) -> None:
    lab.create(**SLOW)
    file, away = lab.folder / "study.db", lab.folder / "away.db"
    with terminal(lab, "watch", "q", "--every", "0.3") as pane:
        assert pane.shows("q: running")

        connection = sqlite3.connect(file)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        shutil.copy(file, away)
        file.write_bytes(b"no database at all" * 100)
        assert pane.shows("database away since ", "trying again", "q: running"), pane.screen()

        away.replace(file)
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        assert until(lambda: "database away" not in pane.screen()), pane.screen()
        pane.press("C-c")
        assert pane.shows("exit status 0")


def test_a_study_that_does_not_exist_is_the_usual_error(lab: Lab) -> None:
    lab.create()

    for command in ("watch", "status", "logs", "compare"):
        status, output = lab.run(command, "unknown")
        assert (status, "no study 'unknown'" in output) == (2, True), output
        assert "Traceback" not in output


def test_watch_ends_with_an_error_when_the_study_is_deleted(lab: Lab) -> None:
    lab.create()
    process = lab.start("watch", "q", "--every", "0.1")
    assert process.stdout is not None
    assert process.stdout.readline() == "0/4 trials, 0 running, 0 pruned, no result yet\n"

    lab.run("delete", "q", "--yes")

    status, output = finished(process)
    assert (status, "no study 'q'" in output) == (2, True)


def test_elsewhere_than_on_a_terminal_watch_prints_a_line_per_change_and_ctrl_c_leaves(lab: Lab) -> None:
    lab.create(budget={"trials": 2})
    lab.work()
    lab.run("launch", "q.yaml", "--set", "budget.trials=3", "--workers", "1")
    process = lab.start("watch", "q", "--forever", "--every", "0.1")
    assert process.stdout is not None
    first = process.stdout.readline()

    process.send_signal(signal.SIGINT)

    assert first.startswith("3/3 trials, 0 running, ")
    assert finished(process) == (0, "")


def test_launch_shows_what_watch_shows_and_leaves_the_result_on_the_screen(lab: Lab) -> None:
    lab.study(**{**SLOW, "budget": {"trials": 2}, "space": ODD | {"odd.pause": 0.6}})
    with terminal(lab, "launch", "q.yaml", "--workers", "1") as pane:
        assert pane.shows("q: running", "/2 trials", "/cpu#0", "/4 "), pane.screen()
        assert pane.shows("exit status 0"), pane.screen()
        last = pane.screen()

    assert last.count("q: ") == 1
    assert "q: finished" in last
    assert "2/2 trials" in last


def test_elsewhere_than_on_a_terminal_launch_prints_a_line_per_change(lab: Lab) -> None:
    lab.study(budget={"trials": 2})

    status, output = lab.run("launch", "q.yaml", "--workers", "1")

    lines = [line for line in output.splitlines() if re.match(r"\d/2 trials, ", line)]
    assert status == 0
    assert lines[0] == "0/2 trials, 0 running, 0 pruned, no result yet"
    assert lines[-1].startswith("2/2 trials, 0 running, ")
    assert len(lines) == len({*lines})
    assert "\x1b" not in output


def test_status_and_list_are_plain_when_they_are_read_by_a_program(lab: Lab) -> None:
    lab.create(budget={"trials": 2})
    lab.work()

    status, output = lab.run("status", "q", COLUMNS="30")
    listed, table = lab.run("list", COLUMNS="30")
    _, tree = lab.run("list", "--json")

    assert (status, listed) == (0, 0)
    assert output.isascii()
    assert "best accuracy (maximize): " in output
    assert table.splitlines()[0].split() == [
        *("study", "state", "trials", "best", "test", "metric", "run", "pruned", "failed", "GPU-h", "rate/h", "ETA")
    ]
    assert table.splitlines()[1].split()[:3] == ["q", "finished", "2/2"]
    assert {"rate", "eta_s", "test", "counts", "device_seconds"} <= json.loads(tree)[0].keys()


def test_compare_writes_tables_a_picture_and_a_page(lab: Lab) -> None:
    for name, epochs in (("short", 1), ("long", 2)):
        lab.create(name, budget={"trials": 2}, training={"epochs": epochs})
        lab.work(name)
    (lab.folder / "old.png").write_text("old")

    status, output = lab.run("compare", "short", "long", "--png", "old.png", "--html", "page.html")
    _, tree = lab.run("compare", "short", "long", "--json")
    unknown, message = lab.run("compare", "short", "other")

    assert status == 0, output
    assert re.search(r"^training\.epochs +1 +2$", output, re.MULTILINE)
    assert (lab.folder / "old.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in (lab.folder / "page.html").read_text()
    assert [len(study["curve"]["best"]) for study in json.loads(tree)["studies"]] == [2, 2]
    assert not [*lab.folder.glob(".*")]
    assert (unknown, "known are: 'long', 'short'" in message) == (2, True)


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_puts_the_screen_back(lab: Lab, signal_: signal.Signals) -> None:
    lab.create()
    with terminal(lab, "watch", "q") as pane:
        assert pane.shows("q: running")

        for process in lab.processes("studyhall", "watch"):
            if "sh -c" not in " ".join(process.cmdline()):
                process.send_signal(signal_)

        assert pane.shows("exit status 0")
        assert "q: running" not in pane.screen()
