"""The commands of docs/local.md, run as they stand there."""

import re
import subprocess
from pathlib import Path

from lab import ODD, Lab, until
from optuna.trial import TrialState

COMMANDS = re.findall(
    r"^(?:nohup )?(studyhall launch .*)$",
    "".join(re.findall(r"^```sh\n(.*?)^```", (Path(__file__).parents[2] / "docs/local.md").read_text(), re.M | re.S)),
    re.M,
)


def shell(lab: Lab, line: str) -> subprocess.CompletedProcess[str]:
    """A line as a user types it, with the virtual environment's programs on the path."""
    process = lab.start_shell(line)
    output, _ = process.communicate(timeout=500)
    return subprocess.CompletedProcess(line, process.returncode, output)


def test_each_launch_of_the_page_does_what_it_says(lab: Lab) -> None:
    preview, launch, on_parts, detached = COMMANDS
    study = {"space": ODD, "workers": {"devices": "cpu"}, "search": {"pruner": "none"}}
    lab.study("study", budget={"trials": 2}, **study)

    seen = shell(lab, preview)

    assert seen.returncode == 0, seen.stdout
    assert re.fullmatch(r"1 agent on this machine with \d+ workers?: \d+ on cpu\n", seen.stdout)
    assert not (lab.folder / "study.db").exists()
    assert shell(lab, launch).returncode == 0
    assert [trial.state for trial in lab.trials("study")] == [TrialState.COMPLETE] * 2

    lab.study("study", budget={"trials": 6}, **study)
    assert shell(lab, on_parts).returncode == 0
    devices = {str(trial.attributes["device"]) for trial in lab.trials("study")[2:]}
    assert devices <= {"cpu:0", "cpu:1"}
    assert devices

    lab.study("study", budget={"trials": 7}, **study)
    assert shell(lab, f"nohup {detached}").returncode == 0
    assert until(lambda: [trial.state for trial in lab.trials("study")] == [TrialState.COMPLETE] * 7)
    assert lab.leaves_no_process(20)
    assert "study" in (lab.folder / "launch.log").read_text()
