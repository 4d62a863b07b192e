"""Agents end a search when its time is over or nothing improves, and go on when that is raised."""

from lab import CNN, ODD, Lab

from storage.claims import Refusal
from storage.database import Database
from study._improvement import improvement
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update, load_stored
from study.summary import Summary, summarise

WIDTHS = CNN | {"cnn.width": {"int": [4, 8]}, "lr": {"float": [1e-4, 1e-1], "log": True}}


def relaunch(lab: Lab, *sets: str) -> None:
    create_or_update(lab.url, build_plan(*load_config(lab.folder / "q.yaml", sets, environment={})))


def look(lab: Lab) -> Summary:
    database = Database(lab.url)
    try:
        return summarise(database, load_stored(database, "q"))
    finally:
        database.close()


def test_a_search_stops_when_so_many_trials_brought_nothing_and_goes_on_when_more_are_allowed(lab: Lab) -> None:
    lab.create(space=WIDTHS, budget={"trials": 60, "no_improvement": 3})

    assert lab.work(workers=1) is Refusal.DONE
    seen, count = look(lab), len(lab.trials())
    assert improvement(lab.trials(), "maximize").since == 3
    assert (seen.state, seen.finished) == ("finished", count)
    assert str(seen.reason).startswith("no better accuracy than ")
    assert str(seen.reason).endswith(" in the last 3 trials")
    assert lab.work(workers=1) is Refusal.DONE
    assert len(lab.trials()) == count

    relaunch(lab, "budget.no_improvement=5")
    assert look(lab).state == "running"
    lab.work(workers=1)
    assert improvement(lab.trials(), "maximize").since == 5


def test_a_goal_is_found_though_another_agent_ended_the_trials_before(lab: Lab) -> None:
    lab.create(space=WIDTHS, budget={"trials": 2, "no_improvement": 30})
    lab.work(workers=1)
    relaunch(lab, "budget.trials=60", "budget.no_improvement=3")

    lab.work(workers=1)

    assert improvement(lab.trials(), "maximize").since == 3


def test_a_search_ends_with_its_wall_time_and_its_running_trials_end_well(lab: Lab) -> None:
    lab.create(space=ODD | {"odd.pause": 0.2}, budget={"trials": 1000, "wall_time": "2s"})

    assert lab.work(workers=2) is Refusal.DONE
    seen = look(lab)
    assert (seen.state, seen.reason) == ("finished", "budget.wall_time 2s is over")
    assert 0 < seen.finished < 1000
    assert all(trial.state.is_finished() for trial in lab.trials())

    relaunch(lab, f"budget.trials={seen.finished + 1}", "budget.wall_time=1h")
    lab.work(workers=1)
    assert (look(lab).finished, look(lab).reason) == (seen.finished + 1, None)
