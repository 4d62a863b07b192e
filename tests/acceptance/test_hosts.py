"""Hosts with names, addresses and links of their own run one study, and links fail; the commands are the page's."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hosts
import pytest
from lab import until
from optuna.trial import TrialState
from site_of_hosts import EPOCHS_EACH, SERVER, WORK, WORKERS, Site, commands

from storage import _optuna
from storage.tables import AttemptState

pytestmark = pytest.mark.engine

TRIALS = 30
"""So many that hosts which start later find some left, also on a machine that is busy."""
LONG_S = 240.0
"""For a study of a minute, and for the start of agents, on such a machine."""
OUTAGE_S = 8.0
"""More than a lease."""


@pytest.fixture
def site() -> Iterator[Site]:
    missing = hosts.what_is_missing()
    assert not missing, f"this test {missing}"
    folder = Path(tempfile.mkdtemp(prefix="studyhall-hosts-"))
    folder.chmod(0o755)  # the account under which root runs the server must be able to pass
    made = Site(folder)
    try:
        made.set_up()
        yield made
    finally:
        made.tear_down()
        shutil.rmtree(folder)
    assert made.left_over() == []


def exact(site: Site, trials: int) -> bool:
    """Whether every trial of the budget has one end and one curve, and no value twice."""
    found = site.trials()
    ends = [attempt.trial_id for attempt in site.attempts() if attempt.state is AttemptState.FINISHED]
    values = site.rows(_optuna.INTERMEDIATE_VALUES)
    assert [(trial.number, trial.state) for trial in found] == [(n, TrialState.COMPLETE) for n in range(trials)]
    assert sorted(ends) == [trial.trial_id for trial in found]
    curves = [(trial.trial_id, epoch) for trial in found for epoch in range(1, EPOCHS_EACH + 1)]
    return sorted((row.trial_id, row.step) for row in values) == curves


def epoch_of(attempt: Any) -> int:
    """The epoch at whose end an attempt's last checkpoint was made; 0 without one."""
    found = re.search(r"epoch-(\d+)-", attempt.checkpoint or "")
    return int(found[1]) if found else 0


def test_three_hosts_run_one_study_to_its_end_by_the_commands_of_the_page(site: Site) -> None:
    site.study(trials=TRIALS)
    (first,), (others,), (look,) = commands("The first host"), commands("The other hosts"), commands("Looking at it")
    (end,) = commands("The end")
    launched = site.start("node1", site.export + first)
    assert until(lambda: "node1" in site.running()), site.said("node1")

    assert site.run("node1", others) == 0, site.said("node1")
    assert until(lambda: set(site.running()) == set(WORKERS), LONG_S), [site.said(name) for name in WORKERS]
    status = site.output("node3", site.export + look.replace("status", "status --json"))

    assert launched.wait(LONG_S) == 0, site.said("node1")
    assert exact(site, TRIALS)
    assert {row["host"] for row in json.loads(status)["workers"]} == set(WORKERS)
    assert site.that_ended_trials() == set(WORKERS)
    assert site.run(SERVER, site.export + end) == 0, site.said(SERVER)
    assert (site.home / "best" / "model.safetensors").is_file()
    assert until(lambda: not site.lab.processes())


def test_a_host_that_is_cut_off_for_longer_than_its_lease_writes_nothing_more_of_its_trial(site: Site) -> None:
    site.create(trials=10)
    agents = [site.start(name, site.export + WORK) for name in WORKERS]
    assert until(lambda: len(site.running()) == 3 and any(map(epoch_of, site.running().values())), LONG_S)
    victim, lost = next((name, row) for name, row in site.running().items() if epoch_of(row))

    site.network.cut_off(site.network[victim])
    assert until(lambda: any(map(epoch_of, site.attempts_after(lost))))
    (again,) = site.attempts_after(lost)
    site.network.heal(site.network[victim])

    assert [agent.wait(LONG_S) for agent in agents] == [0, 0, 0], [site.said(name) for name in WORKERS]
    assert exact(site, 10)
    assert f"attempt {lost.attempt}: another agent has taken it over" in site.said(victim)
    assert site.hosts()[again.agent_id] != victim
    assert epoch_of(again) > epoch_of(lost)
    assert not Path(lost.checkpoint).parent.exists()
    assert [row for row in site.attempts() if row.agent_id == lost.agent_id and row.started_at > again.started_at]


def test_a_server_that_is_cut_off_from_all_and_then_restarted_costs_no_trial_an_attempt(site: Site) -> None:
    site.create(trials=6)
    restart = "".join(commands("When a host or the server is away"))
    agents = [site.start(name, site.export + WORK) for name in WORKERS]
    assert until(lambda: len(site.running()) == 3, LONG_S)

    site.network.cut_off(site.network[SERVER])
    assert not until(lambda: any(agent.poll() is not None for agent in agents), OUTAGE_S)
    site.network.heal(site.network[SERVER])
    assert site.run(SERVER, restart) == 0, site.said(SERVER)

    assert [agent.wait(LONG_S) for agent in agents] == [0, 0, 0], [site.said(name) for name in WORKERS]
    assert exact(site, 6)
    assert [trial.attempts for trial in site.trials()] == [1] * 6
