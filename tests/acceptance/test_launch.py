import contextlib
import json
from collections.abc import Callable

import psutil
import pytest
from lab import ODD, Lab, finished, started
from optuna.trial import TrialState
from sqlalchemy import select

from storage.database import Database
from storage.tables import CHANGES

Make = Callable[..., Lab]


def changes(lab: Lab) -> list[tuple[str, str, str, bool]]:
    database = Database(lab.url)
    with database.read() as connection:
        rows = connection.execute(select(CHANGES).order_by(CHANGES.c.change_id)).all()
    database.close()
    return [(row.key, row.old, row.new, "@" in row.changed_by and row.changed_at is not None) for row in rows]


def ended_once(lab: Lab, trials: int) -> bool:
    """Whether exactly so many trials were started, with numbers without a gap, and each has its end."""
    rows = lab.trials()
    assert [row.number for row in rows] == list(range(trials))
    assert {row.state.name for row in rows} <= {"COMPLETE", "PRUNED"}
    return all(row.attempts == 1 for row in rows)


def test_a_study_is_run_continued_extended_and_guarded(make_lab: Make) -> None:
    lab = make_lab("straße und räume")
    study = lab.study(budget={"trials": 5})
    elsewhere = lab.folder.parent / "elsewhere"
    for package in ("models", "storage", "study", "objectives"):
        (elsewhere / package).mkdir(parents=True)
        (elsewhere / package / "__init__.py").write_text("raise ImportError('not this one')")
    relative = f"../{lab.folder.name}/{study.name}"

    status, output = lab.run("launch", relative, "--workers", "4", cwd=elsewhere)
    assert (status, ended_once(lab, 5)) == (0, True), output
    first_log = lab.log()
    assert all(first_log.count(f"trial {number} {row.state.name}") == 1 for number, row in enumerate(lab.trials()))

    status, output = lab.run("launch", relative, cwd=elsewhere)
    assert (status, lab.log()) == (0, first_log), output
    assert "finished" in output

    more = ["--set", "budget.trials=8", "--set", "workers.per_device=2", "--set", "lease.seconds=30"]
    status, output = lab.run("launch", relative, "--workers", "2", *more, "--set", "retry.lost=7", cwd=elsewhere)
    assert (status, ended_once(lab, 8)) == (0, True), output
    assert changes(lab) == [
        ("budget.trials", "5", "8", True),
        ("lease.seconds", "60.0", "30.0", True),
        ("retry.lost", "3", "7", True),
        ("workers.per_device", "1", "2", True),
    ]

    status, output = lab.run(
        "launch", relative, *more, "--set", "retry.lost=7", "--set", "training.epochs=3", cwd=elsewhere
    )
    assert status == 2
    assert "training.epochs: 2 in the database, 3 given" in output
    assert "--set study.name=q-2" in output
    assert "Traceback" not in output
    assert ended_once(lab, 8)
    assert lab.leaves_no_process()


def test_two_launches_at_once_share_one_budget(lab: Lab) -> None:
    lab.study(budget={"trials": 9}, space=ODD | {"odd.pause": 0.4})  # long enough for the later one to find some left

    both = [lab.start("launch", "q.yaml", "--workers", "2") for _ in range(2)]
    ends = [finished(process) for process in both]

    assert [status for status, _ in ends] == [0, 0], ends
    assert ended_once(lab, 9)
    assert len({trial.agent_id for trial in lab.trials()}) == 2


def test_two_workers_at_once_share_one_budget_and_a_password_stays_private(make_lab: Make, postgresql_url: str) -> None:
    lab = make_lab(url=postgresql_url.replace("postgres@", "postgres:s3cr3t-word@"))
    lab.create(budget={"trials": 8})

    both = [lab.start("worker", "q", "--workers", "2") for _ in range(2)]
    commands = set()
    while any(process.poll() is None for process in both):
        for process in lab.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile
                commands.add(" ".join(process.cmdline()))
    ends = [finished(process) for process in both]

    assert [status for status, _ in ends] == [0, 0], ends
    assert ended_once(lab, 8)
    assert any("forkserver" in command for command in commands)
    everything = [*commands, *(output for _, output in ends), json.dumps(lab.record().config)]
    assert not any("s3cr3t-word" in text for text in everything)


def test_what_a_user_gives_wrongly_is_one_message_and_an_exit_status(lab: Lab) -> None:
    lab.study()
    missing = f"sqlite:///{lab.folder}/missing.db"
    lab.create("known")
    commands = {
        ("launch", "q.yaml", "--workers", "0"): (2, "'--workers'"),
        ("launch", "q.yaml", "--devices", "cuda:7"): (2, "no device 'cuda:7'"),
        ("launch", "q.yaml", "--on", "nowhere"): (2, "--on: 'nowhere' is unknown"),
        ("worker", "unknown"): (2, "no study 'unknown'"),
        ("worker", "known", "--devices", "cuda:7"): (2, "no device 'cuda:7'"),
        ("worker", "q", "--storage", missing): (1, "there is no database"),
    }

    running = [lab.start(*command) for command in commands]
    ends = [finished(process) for process in running]

    for command, (status, output), (expected, words) in zip(commands, ends, commands.values(), strict=True):
        assert (status, words in output) == (expected, True), (command, output)
        assert output.count("error") <= 1
        assert "Traceback" not in output
    assert not (lab.folder / "missing.db").exists()
    with pytest.raises(Exception, match="no study 'q'"):
        lab.record()


def test_why_trials_failed_is_seen_in_launch_and_in_status(lab: Lab) -> None:
    space = ODD | {"odd.mood": {"choice": ["calm", "error"]}}
    lab.create(queue=[{"odd.mood": "error"}] * 5 + [{"odd.mood": "calm"}], space=space, budget={"trials": 6})

    status, output = lab.run("launch", "q.yaml", "--workers", "1")
    shown, text = lab.run("status", "q")
    again, _ = lab.run("launch", "q.yaml", "--workers", "1")

    assert status == 1
    assert "5 trials in a row failed with: ValueError: the user's own mistake" in output
    assert shown == 0
    assert "failures: 5 error, last trial 4, FAIL (error): ValueError: the user's own mistake" in text
    assert again == 0
    assert [trial.state.name for trial in lab.trials()] == ["FAIL"] * 5 + ["COMPLETE"]


def test_a_database_of_the_first_version_is_listed_shown_and_continued(lab: Lab) -> None:
    lab.create(budget={"trials": 1})
    database = Database(lab.url)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE studyhall_alembic_version")
        connection.exec_driver_sql("ALTER TABLE studyhall_studies DROP COLUMN reap_after")
    database.close()

    assert lab.run("list")[0] == 0
    assert lab.run("status", "q")[0] == 0
    assert lab.run("launch", "q.yaml", "--workers", "1")[0] == 0
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE]


def test_a_study_begins_with_the_best_of_another_once(lab: Lab) -> None:
    searched = {"lr": {"float": [1.0e-3, 1.0e-1]}}
    assert lab.run("launch", lab.study("old", space=ODD | searched).name, "--workers", "2")[0] == 0
    new = lab.study("new", space=ODD | {"lr": {"float": [1.0e-3, 9.0e-2]}})
    command = ("launch", new.name, "--from", "old", "--top", "2", "--history", "--workers", "2")

    status, output = lab.run(*command)

    assert status == 0, output
    assert "history: " in output
    assert "COMPLETE" in {trial.state.name for trial in lab.trials("new") if trial.ours}
    told = lab.run("status", "new")[1]
    assert "began with the 2 best of study old" in told
    assert "of an older study (not counted)" in told
    assert lab.run(*command)[0] == 0
    taken = [trial for trial in lab.trials("new") if "origin" in trial.attributes and trial.ours]
    assert len(taken) == 2
    assert started(lab.trials("new")) == 4


def test_what_a_study_cannot_begin_with_is_said_in_one_line(lab: Lab) -> None:
    study = lab.study()

    status, output = lab.run("create", study.name, "--top", "2")
    assert (status, output.strip()) == (2, "error: --top says what to take from an older study; give that with --from")
    status, output = lab.run("create", study.name, "--history")
    assert (status, "give that with --from" in output) == (2, True)
    status, output = lab.run("create", study.name, "--from", "nothing")
    assert (status, len(output.splitlines())) == (2, 1)
    assert "no study 'nothing'" in output
