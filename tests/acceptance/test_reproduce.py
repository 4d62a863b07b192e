import json

from lab import CNN, Lab
from sqlalchemy import update

from storage import _optuna
from storage.database import Database


def test_a_trial_is_reproduced_and_a_changed_record_is_told_with_status_1(lab: Lab) -> None:
    study = lab.study(space=CNN, budget={"trials": 1}, training={"epochs": 2})
    assert lab.run("launch", study.name, "--workers", "1")[0] == 0

    status, output = lab.run("reproduce", "q", "--trial", "0")
    assert (status, "equal, bit for bit" in output) == (0, True), output

    database = Database(lab.url)
    with database.write() as connection:
        connection.execute(update(_optuna.TRIAL_VALUES).values(value=0.125))
        torch = _optuna.TRIAL_USER_ATTRIBUTES.c.key == "torch"
        connection.execute(update(_optuna.TRIAL_USER_ATTRIBUTES).where(torch).values(value_json='"1.0"'))
    database.close()
    status, output = lab.run("reproduce", "q", "--trial", "0")
    assert status == 1
    assert "differs: value: accuracy 0.125 on record" in output
    assert "most likely because of the environment: torch differs" in output
    status, output = lab.run("reproduce", "q", "--trial", "0", "--json")
    told = json.loads(output)
    assert (status, told["equal"], told["differences"][0]["part"]) == (1, False, "value")


def test_a_trial_that_is_not_there_is_said_in_one_line(lab: Lab) -> None:
    lab.create()

    status, output = lab.run("reproduce", "q", "--trial", "3")

    assert (status, output.strip()) == (2, "error: study 'q' has no trial 3")
