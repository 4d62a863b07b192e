"""A trial that is interrupted or killed, and goes on elsewhere, ends with the same bits as one that never was."""

import contextlib
import hashlib
import random
import threading
from collections.abc import Callable
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, until
from safetensors.torch import load

from objectives._fit_settings import EpochResult
from storage import files
from storage.claims import Refusal
from study import _checkpoints
from study._messages import Checkpointed, Done, HandedBack, Order, TrialJob
from study._preload import Warm
from study._training import load_trial_data
from study._worker import _attempt
from study.agent import Agent
from study.files import WEIGHTS
from study.plan import build_plan
from study.stored import decoded

DROPPING: dict[str, Any] = {
    "cnn": {"cnn.dropout": 0.3, "cnn.width": 8, "cnn.depth": 2},
    "mlp": {"mlp.dropout": 0.3, "mlp.width": 32, "mlp.depth": 2},
    "resnet": {"resnet.dropout": 0.3, "resnet.width": 8},
    "densenet": {"densenet.dropout": 0.3, "densenet.growth": 8},
}
LEARNING = {"batch_size": 32, "rotate": True, "flip_horizontal": True, "flip_vertical": True}


class Killed(BaseException):
    """Nothing of the worker's own runs any more."""


class Told:
    """An agent that takes its trial back at a certain batch, and remembers what it was told.

    Attributes:
        turns: How often the worker has begun a batch, of training or validation, or has told something.
    """

    def __init__(self, back_at: int | None = None, killed_at: int | None = None, prune_at: int | None = None) -> None:
        self.batches, self.back_at = 0, back_at
        self.turns, self.killed_at = 0, killed_at
        self.prune_at = prune_at
        self.messages: list[object] = []
        self.curve: list[EpochResult] = []

    def send(self, message: object) -> None:
        self._turn()
        self.messages.append(message)

    def ask(self, epoch: EpochResult) -> Order:
        self._turn()
        self.curve.append(epoch)
        return Order.PRUNE if epoch.epoch == self.prune_at else Order.CONTINUE

    def wants_trial_back(self) -> bool:
        self._turn()
        self.batches += 1
        return self.batches == self.back_at

    @property
    def named(self) -> list[str]:
        """The checkpoints that it was told of."""
        return [message.place for message in self.messages if isinstance(message, Checkpointed)]

    def _turn(self) -> None:
        self.turns += 1
        if self.turns == self.killed_at:
            raise Killed


def numbers(results: list[EpochResult]) -> list[tuple[object, ...]]:
    """What must not depend on interruptions: everything but times."""
    return [(r.epoch, r.training_loss, r.validation_loss, dict(r.metrics), r.learning_rate) for r in results]


@pytest.fixture
def warm(tmp_path: Path) -> Callable[..., Warm]:
    """What a worker holds, for a space."""

    def make(epochs: int = 3, pruner: str = "none", **space: Any) -> Warm:
        lab = Lab(tmp_path / "lab")
        plan = {"training": {"epochs": epochs}, "search": {"pruner": pruner}, "budget": {"trials": 1}}
        lab.create(space=space | LEARNING, **plan)
        stored = decoded(lab.record())
        plan = build_plan(stored.config, stored.folder)
        return Warm(plan, stored.facts, load_trial_data(plan, stored.facts), ("everything",))

    return make


def run(warm: Warm, folder: Path, told: Told, resume: str | None = None) -> object:
    sampled = {p.name: p.default for p in warm.plan.space.searched}
    return _attempt(told, warm, TrialJob(4, sampled, str(folder), resume), "cpu")  # type: ignore[arg-type]


CASES = [(family, "adamw", "cosine") for family in DROPPING]
CASES += [("cnn", "sgd", "one_cycle"), ("cnn", "adam", "constant"), ("cnn", "rmsprop", "cosine")]


@pytest.mark.parametrize(("family", "optimizer", "schedule"), CASES)
def test_curve_value_and_weights_are_those_of_an_uninterrupted_trial(
    warm: Callable[..., Warm], tmp_path: Path, family: str, optimizer: str, schedule: str
) -> None:
    held = warm(model=family, optimizer=optimizer, schedule=schedule, **DROPPING[family])
    whole = Told()
    expected = run(held, tmp_path / "whole", whole)
    assert isinstance(expected, Done)

    for point in (1, whole.batches // 2 + 1, whole.batches):
        first, second = Told(back_at=point), Told()
        dropped = run(held, tmp_path / f"first-{point}", first)
        assert isinstance(dropped, HandedBack)
        ended = run(held, tmp_path / f"second-{point}", second, dropped.checkpoint)

        assert isinstance(ended, Done)
        assert ended.values == expected.values
        assert numbers(first.curve + second.curve) == numbers(whole.curve)
        assert digest(tmp_path / f"second-{point}") == digest(tmp_path / "whole")


SCHEDULES = cycle(["cosine", "one_cycle", "constant"])
KILLS = [(*case, next(SCHEDULES)) for case in product(DROPPING, ("sgd", "adam", "adamw", "rmsprop"))]


@pytest.mark.parametrize(("family", "optimizer", "schedule"), KILLS)
def test_a_trial_killed_anywhere_again_and_again_ends_with_the_bits_of_one_that_never_was(
    warm: Callable[..., Warm], tmp_path: Path, family: str, optimizer: str, schedule: str
) -> None:
    held = warm(epochs=4, pruner="asha", model=family, optimizer=optimizer, schedule=schedule, **DROPPING[family])
    whole = Told()
    expected = run(held, tmp_path / "whole", whole)
    assert isinstance(expected, Done)

    chance, attempts, ended, resume = random.Random(f"{family} {optimizer}"), list[Told](), None, None
    while ended is None:
        attempts.append(Told(killed_at=chance.randint(1, whole.turns)))
        folder = tmp_path / f"attempt-{len(attempts)}"
        with contextlib.suppress(Killed):
            ended = run(held, folder, attempts[-1], resume)
        resume = (attempts[-1].named or [resume])[-1]

    assert len(attempts) > 1
    assert isinstance(ended, Done)
    assert ended.values == expected.values
    reported = [result for attempt in attempts for result in attempt.curve]
    assert {result.epoch for result in reported} == {1, 2, 3, 4}
    assert all(result in numbers(whole.curve) for result in numbers(reported))
    assert digest(folder) == digest(tmp_path / "whole")


def test_a_checkpoint_is_written_at_each_rung_that_the_trial_survives_and_it_goes_on_from_there(
    warm: Callable[..., Warm], tmp_path: Path
) -> None:
    held = warm(epochs=10, pruner="asha", model="mlp", **DROPPING["mlp"])
    whole, pruned, again = Told(), Told(prune_at=3), Told()

    run(held, tmp_path / "whole", whole)
    run(held, tmp_path / "pruned", pruned)
    run(held, tmp_path / "again", again, whole.named[1])

    assert [Path(place).name for place in whole.named] == [f"epoch-{rung}-step-0.pt" for rung in (1, 3, 9)]
    assert [Path(place).name for place in pruned.named] == ["epoch-1-step-0.pt"]
    assert [result.epoch for result in again.curve] == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("pruner", ["none", "median", "successive_halving"])
def test_other_pruners_have_no_rungs(warm: Callable[..., Warm], tmp_path: Path, pruner: str) -> None:
    held = warm(epochs=4, pruner=pruner, model="mlp", **DROPPING["mlp"])
    told = Told()

    run(held, tmp_path / "whole", told)

    assert not told.named


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["missing", "cut short", "of another trial"])
def test_without_a_usable_checkpoint_the_trial_begins_anew_and_ends_the_same(
    warm: Callable[..., Warm], tmp_path: Path, damage: str
) -> None:
    held = warm(model="mlp", **DROPPING["mlp"])
    whole, again = Told(), Told()
    expected = run(held, tmp_path / "whole", whole)
    dropped = run(held, tmp_path / "first", Told(back_at=4))
    assert isinstance(expected, Done)
    assert isinstance(dropped, HandedBack)
    place = Path(str(dropped.checkpoint))
    if damage == "missing":
        place.unlink()
    elif damage == "cut short":
        place.write_bytes(place.read_bytes()[:100])
    else:
        other = Told(back_at=4)
        stranger = _attempt(
            other,
            held,
            TrialJob(5, {p.name: p.default for p in held.plan.space.searched}, str(tmp_path / "other"), None),
            "cpu",
        )  # type: ignore[arg-type]
        assert isinstance(stranger, HandedBack)
        place.write_bytes(Path(str(stranger.checkpoint)).read_bytes())

    ended = run(held, tmp_path / "second", again, str(place))

    assert isinstance(ended, Done)
    assert numbers(again.curve) == numbers(whole.curve)


def test_checkpoints_come_after_30_seconds_and_50_times_what_one_costs(
    warm: Callable[..., Warm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = warm(model="mlp", **DROPPING["mlp"])
    monkeypatch.setattr(_checkpoints, "LEAST_S", 0.0)
    monkeypatch.setattr(_checkpoints, "COST", 0.0)
    often = Told()

    run(held, tmp_path / "often", often)
    monkeypatch.setattr(_checkpoints, "COST", 1e9)
    seldom = Told()
    run(held, tmp_path / "seldom", seldom)

    assert [type(m) for m in often.messages] == [Checkpointed, Checkpointed]  # none after the last epoch
    assert [type(m) for m in seldom.messages] == [Checkpointed]
    assert Path(often.messages[0].place).parent == tmp_path / "often"  # type: ignore[attr-defined]


def test_a_trial_goes_on_from_its_checkpoint_at_any_fsspec_url_and_leaves_only_its_weights(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    remote = f"file://{tmp_path}/remote"
    space = {"model": "odd_family.py:FAMILY", "odd.mood": "calm", "odd.pause": 0.3} | LEARNING
    plan = {"training": {"epochs": 6}, "search": {"pruner": "none"}, "checkpoint": {"dir": remote}}
    lab.create(space=space, budget={"trials": 1}, **plan)
    first = Agent(lab.url, "q", workers=1, devices="cpu")

    def end_after_two_epochs() -> None:
        until(lambda: any(len(trial.values) >= 2 for trial in lab.trials()))
        first.end()

    stop = threading.Thread(target=end_after_two_epochs)
    stop.start()
    assert first.run() is None
    stop.join()
    interrupted = lab.trials()[0]
    named = list((tmp_path / "remote").rglob("*.pt"))
    assert lab.work(workers=1) is Refusal.DONE

    trial = lab.trials()[0]
    assert (interrupted.attempts, trial.attempts) == (1, 2)
    assert len(named) == 1
    assert list(trial.values) == [1, 2, 3, 4, 5, 6]
    assert str(trial.weights).startswith(remote)
    assert load(files.read_file(str(trial.weights)))
    files_left = [path for path in (tmp_path / "remote").rglob("*") if path.is_file()]
    assert [path.name for path in files_left if path.parent.name != "artifacts"] == [WEIGHTS]
    lab.clean_up()
