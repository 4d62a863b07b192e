from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from objectives._events import Events
from objectives._footprint import predict_footprint
from objectives._source import FileSource
from storage.errors import ConfigError
from storage.hdf5 import write_events
from study import costs
from study._admission import ON_CPU, cpu_bytes
from study._random import RandomSuggester
from study._training import build_network
from study.config import StudyConfig
from study.costs import build_defaults, family_costs
from study.plan import Facts, Plan, build_plan, gather_facts, open_data

COUNT = 60
SMALL = {"model": {"choice": ["cnn", "mlp"]}, "cnn.width": {"int": [8, 16]}, "cnn.depth": 2}
LINEAR = """\
from dataclasses import dataclass
from torch import nn
from models._family import Family
from models._hyperparameters import integer

@dataclass(frozen=True)
class Hyperparameters:
    width: int = integer(4, 1, 8, help="units")

    def __post_init__(self):
        if {bad_values}:
            raise ValueError("odd widths do not work")

def build(hp, shape, outputs):
    if {bad_network}:
        raise RuntimeError("this network cannot be")
    return Net(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], outputs))

class Net(nn.Sequential):
    def forward(self, inputs):
        {in_forward}
        return super().forward(inputs)

NET = Family("linear", Hyperparameters, build)
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fitted(folder: Path, **space: Any) -> tuple[Plan, Facts, Events]:
    random = np.random.default_rng(0)
    block = {"event_data": random.random((COUNT, 4, 5, 2), dtype=np.float32), "labels": np.arange(COUNT) % 3}
    write_events(folder / "e.h5", [block], count=COUNT, overwrite=True)
    config = StudyConfig.model_validate({"study": {"name": "s"}, "data": {"path": "e.h5"}, "space": space})
    plan = build_plan(config, folder)
    dataset = open_data(plan)
    rows = dataset.split.training
    events = Events(FileSource(dataset.file, rows), dataset.targets[rows], dataset.axes)
    return plan, gather_facts(plan, dataset), events


def own_family(
    folder: Path, *, bad_values: str = "False", bad_network: str = "False", in_forward: str = "", **space: Any
) -> Any:
    text = LINEAR.format(bad_values=bad_values, bad_network=bad_network, in_forward=in_forward)
    (folder / "mine.py").write_text(text)
    return fitted(folder, model="mine.py:NET", **space)


def test_each_family_is_measured_at_its_defaults_and_at_random(tmp_path: Path) -> None:
    plan, facts, events = fitted(tmp_path, **SMALL)

    found = family_costs(plan, facts, events, draws=2)

    assert {name: len(items) for name, items in found.items()} == {"cnn": 3, "mlp": 3}
    for name, items in found.items():
        network = build_network(plan, facts, plan.space.defaults(name))
        assert items[0].parameters == sum(parameter.numel() for parameter in network.parameters())
        assert all(item.events_per_second > 0 and item.memory_mb > 0 for item in items)


def test_memory_is_what_the_training_is_admitted_by(tmp_path: Path) -> None:
    plan, facts, events = fitted(tmp_path, model="mlp", batch_size=4096)
    build = partial(build_network, plan, facts, plan.space.defaults("mlp"))

    (cost,) = family_costs(plan, facts, events, draws=0)["mlp"]

    footprint = predict_footprint(build, facts.shape, plan.space.learning(plan.space.defaults("mlp")))
    assert cost.memory_mb * 2**20 == cpu_bytes(footprint)


def test_the_memory_of_a_network_that_needs_numbers_is_found_by_a_small_step(tmp_path: Path) -> None:
    plan, facts, events = own_family(tmp_path, in_forward="float(inputs.sum())", batch_size=2**20)

    (cost,) = family_costs(plan, facts, events, draws=0)["mine.py:NET"]

    inputs = 4 * 2**20 * 40 * 4  # bytes: two batches gathered ahead, the one in work, and its copy that is flattened
    assert cost.memory_mb * 2**20 == pytest.approx(ON_CPU(inputs), rel=0.2)


def test_a_slow_family_is_drawn_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SLOW_S", 0.0)
    plan, facts, events = fitted(tmp_path, model="mlp")

    assert len(family_costs(plan, facts, events, draws=5)["mlp"]) == 1


def test_little_memory_means_a_smaller_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "available_memory", lambda: 1)
    plan, facts, events = fitted(tmp_path, model="mlp")

    assert family_costs(plan, facts, events, draws=0)["mlp"][0].events_per_second > 0


def test_the_number_of_threads_is_left_as_it_was(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    plan, facts, events = fitted(tmp_path, model="mlp")

    family_costs(plan, facts, events, draws=0)

    assert torch.get_num_threads() == 2


def test_families_that_can_be_built_have_no_failure(tmp_path: Path) -> None:
    plan, facts, _ = fitted(tmp_path)

    assert build_defaults(plan, facts) == {}


def test_a_network_that_cannot_be_built_is_told_with_the_reason(tmp_path: Path) -> None:
    plan, facts, _ = own_family(tmp_path, bad_network="True")

    assert build_defaults(plan, facts)["mine.py:NET"].endswith("RuntimeError: this network cannot be")


def test_values_that_do_not_go_together_are_found_without_building(tmp_path: Path) -> None:
    plan, facts, _ = own_family(tmp_path, bad_values="self.width % 2")

    (failure,) = build_defaults(plan, facts).values()

    assert "no network for events of 2×4×5 (C×H×W) with " in failure
    assert failure.endswith("ValueError: odd widths do not work")


def test_a_drawn_network_that_fails_is_told_with_its_values(tmp_path: Path) -> None:
    plan, facts, events = own_family(tmp_path, bad_network="hp.width != 4")

    with pytest.raises(ConfigError, match=r"with .*linear\.width \d.*RuntimeError: this network cannot be"):
        family_costs(plan, facts, events, draws=20)


@pytest.mark.parametrize("log", [False, True])
def test_random_draws_cover_their_range_and_nothing_else(log: bool) -> None:
    suggester = RandomSuggester(0)

    integers = {suggester.suggest_int("x", 1, 5, log=log) for _ in range(300)}
    numbers = [suggester.suggest_float("x", 0.1, 0.5, log=log) for _ in range(300)]
    stepped = {round(suggester.suggest_float("x", 0.1, 0.5, step=0.2), 6) for _ in range(50)}

    assert integers == {1, 2, 3, 4, 5}
    assert all(0.1 <= number <= 0.5 for number in numbers)
    assert stepped == {0.1, 0.3, 0.5}
    assert {suggester.suggest_int("x", 1, 7, step=3) for _ in range(50)} == {1, 4, 7}
    assert {suggester.suggest_categorical("x", ("a", "b")) for _ in range(50)} == {"a", "b"}
    assert RandomSuggester(0, "mlp").suggest_categorical("model", ("cnn", "mlp")) == "mlp"
