import re
import signal

import pytest
from lab import ODD, Lab, finished, until

SPACE = ODD | {"odd.mood": {"choice": ["calm", "error", "nan"]}}
FAILING = [{"odd.mood": "calm"}, {"odd.mood": "error"}, {"odd.mood": "nan"}, {"odd.mood": "error"}]


@pytest.fixture
def failed(lab: Lab) -> Lab:
    """A study of four trials, of which three fail."""
    lab.create(queue=FAILING, space=SPACE, budget={"trials": 4})
    lab.run("launch", "q.yaml", "--workers", "1")
    return lab


def test_logs_are_shown_as_a_whole_by_trial_and_by_failure(failed: Lab) -> None:
    status, everything = failed.run("logs", "q")
    _, last = failed.run("logs", "q", "--lines", "2")
    _, one = failed.run("logs", "q", "--trial", "1")
    _, why = failed.run("logs", "q", "--failed")
    missing, message = failed.run("logs", "q", "--trial", "99")
    refused, reason = failed.run("logs", "q", "--failed", "-f")

    assert status == 0
    assert everything.count("trial 0 starts on cpu (attempt 1)") == 1
    assert everything.splitlines()[-2:] == last.splitlines()
    assert re.match(r"trial 1: FAIL \(error\), 1 attempt, device time ", one)
    assert re.search(r"^1 +\S+#0 +\d{4}-\d\d-\d\d .* finished \(error\)$", one, re.MULTILINE)
    assert "trial 1 FAIL (error): ValueError: the user's own mistake" in one
    assert "trial 0" not in one
    assert "Traceback (most recent call last):" in one
    assert one.rstrip().endswith("and its second line")
    assert [line for line in why.splitlines() if not line.startswith("  ")] == ["nan: 1 trial", "", "error: 2 trials"]
    assert why.index("trial 1 FAIL") < why.index("trial 3 FAIL")
    assert (missing, "has no trial 99; its trials are 0 to 3" in message) == (2, True)
    assert (refused, "without --trial and --follow" in reason) == (2, True)


def test_the_epochs_of_a_trial_are_shown_while_it_runs(lab: Lab) -> None:
    lab.create(space=ODD | {"odd.pause": 0.8}, budget={"trials": 1}, training={"epochs": 50}, search={"pruner": "none"})
    process = lab.start("worker", "q", "--workers", "1")
    assert until(lambda: any(len(trial.values) >= 2 for trial in lab.trials()))

    status, output = lab.run("logs", "q", "--trial", "0")

    process.send_signal(signal.SIGTERM)
    assert finished(process)[0] == 130
    assert status == 0
    assert re.search(r"^epoch +training loss +validation loss +accuracy +learning rate +seconds$", output, re.MULTILINE)
    assert re.search(r"^1 +\d\.\d{4} +\d\.\d{4} +\d\.\d{4} ", output, re.MULTILINE), output
    assert re.search(r"^2 ", output, re.MULTILINE)
    assert " running\n" in output


def test_following_ends_with_the_study_and_survives_a_new_agents_log(lab: Lab) -> None:
    lab.create(budget={"trials": 4}, space=ODD | {"odd.pause": 0.05})
    folder = lab.folder / "study-files" / "q" / "logs"
    folder.mkdir(parents=True)
    (folder / "agent-20200101-000000-77.log").write_text("2020-01-01 00:00:00,000 INFO an old agent\nits second line\n")
    process = lab.start("logs", "q", "-f")
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(2)]

    lab.run("launch", "q.yaml", "--workers", "2")
    status, output = finished(process)

    assert first == ["2020-01-01 00:00:00,000 INFO an old agent\n", "its second line\n"]
    assert status == 0
    ends = re.findall(r"^\S+  \d{4}-.*trial (\d) (?:COMPLETE|PRUNED)", output, re.MULTILINE)
    assert sorted(ends) == ["0", "1", "2", "3"]


def test_ctrl_c_ends_following(lab: Lab) -> None:
    lab.create()
    folder = lab.folder / "study-files" / "q" / "logs"
    folder.mkdir(parents=True)
    (folder / "agent-1.log").write_text("2020-01-01 00:00:00,000 INFO begun\n")
    process = lab.start("logs", "q", "--follow")
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    status, output = finished(process)
    assert (status, output) == (130, "error: interrupted\n")


def test_without_log_files_the_database_tells(failed: Lab) -> None:
    for path in (failed.folder / "study-files" / "q" / "logs").iterdir():
        path.unlink()

    status, output = failed.run("logs", "q")
    _, one = failed.run("logs", "q", "--trial", "1")

    assert status == 0
    assert "no log file of study 'q' is in " in output
    assert re.search(r"^\S+ \S+ trial 0 starts$", output, re.MULTILINE)
    assert re.search(r"^\S+ \S+ trial 1 FAIL \(error\): ValueError: the user's own mistake$", output, re.MULTILINE)
    assert re.search(r"^\S+ \S+ trial 0 COMPLETE: accuracy \d", output, re.MULTILINE)
    assert "Traceback (most recent call last):" in one
