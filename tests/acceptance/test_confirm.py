import json
import os
import signal

from lab import ODD, Lab, finished, until


def test_a_search_is_confirmed_after_an_interrupt_and_its_winner_exported(lab: Lab) -> None:
    study = lab.study(space=ODD | {"odd.pause": 0.05, "lr": {"float": [1.0e-3, 1.0e-1]}}, search={"pruner": "none"})
    assert lab.run("launch", study.name, "--workers", "2")[0] == 0
    command = ("confirm", "q", "--top", "2", "--seeds", "2", "--workers", "2")

    process = lab.start(*command)
    assert until(lambda: "trial 1 starts" in lab.log("q-confirm"))
    os.killpg(process.pid, signal.SIGINT)
    status, output = finished(process)
    assert status == 130, output
    assert "the same command continues" in output

    status, output = lab.run(*command)
    assert status == 0, output
    assert "test events, opened for trial" in output
    status, output = lab.run(*command, "--json")
    told = json.loads(output[output.index("{") :])
    assert (status, told["open"], [leader["counted"] for leader in told["leaders"]]) == (0, 0, [2, 2])
    assert len(lab.trials("q-confirm")) == 4

    status, output = lab.run("export", "q", "--to", "best", "--json")
    (exported,) = json.loads(output)
    assert (status, exported["trial"]) == (0, told["winner"])
    assert exported["metrics"]["test"] == told["test"]
    assert "confirmed 20" in lab.run("status", "q")[1]


def test_what_cannot_be_confirmed_is_said_in_one_line(lab: Lab) -> None:
    lab.create(space=ODD)

    assert lab.run("confirm", "nothing")[0] == 2
    status, output = lab.run("confirm", "q", "--sedes", "3")
    assert (status, output.strip()) == (2, "error: there is no option --sedes; did you mean --seeds?")
    status, output = lab.run("confirm", "q")
    assert (status, output.strip()) == (2, "error: study 'q' has no complete trial to confirm")
