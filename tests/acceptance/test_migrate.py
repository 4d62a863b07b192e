import json

from lab import CNN, Lab

SPACE = CNN | {"lr": {"float": [1.0e-3, 1.0e-1], "log": True}}
WIDER = SPACE | {"lr": {"float": [1.0e-4, 1.0e-1], "log": True}}


def test_a_study_whose_space_was_widened_goes_on_with_what_it_has(lab: Lab) -> None:
    lab.create(space=SPACE, budget={"trials": 2}, search={"pruner": "none"})
    lab.work()
    study = lab.study(space=WIDER, budget={"trials": 4}, search={"pruner": "none"})

    status, output = lab.run("launch", study.name)
    assert (status, "migrate" in output) == (2, True), output
    status, output = lab.run("migrate", "q", study.name, "--dry-run")
    assert (status, "would change" in output) == (0, True), output
    status, output = lab.run("migrate", "q", "--set", "space.lr={float: [1.0e-4, 1.0e-1], log: true}", "--json")
    assert (status, [each["key"] for each in json.loads(output)["changes"]]) == (0, ["space.lr"]), output
    status, output = lab.run("launch", study.name, "--workers", "1")

    assert status == 0, output
    assert [trial.state.name for trial in lab.trials()] == ["COMPLETE"] * 4
    assert "this space already" in lab.run("migrate", "q", study.name)[1]
