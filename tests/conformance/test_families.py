"""What every network family keeps to: each file of models/ is tested because it exists, and a user's example too."""

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from models._family import Family, Shape, families, load_family
from models._hyperparameters import Choice, Hyperparameter, Range, hyperparameters, suggest
from models.densenet import DenseNetHyperparameters
from models.resnet import ResNetHyperparameters

EXAMPLES = Path(__file__).parents[2] / "examples"
FAMILIES = [*families().values(), load_family("my_models.py:LENET", folder=EXAMPLES)]
SHAPES: list[Shape] = [(1, 1, 1), (1, 8, 8), (2, 1, 40), (38, 16, 40), (3, 224, 224)]
SMALL: Shape = (2, 9, 11)
OUTPUTS = 3

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)


def events(shape: Shape, count: int) -> torch.Tensor:
    return torch.randn(count, *shape).to(memory_format=torch.channels_last)


def default(family: Family[Any], shape: Shape) -> nn.Module:
    return family.build(family.hyperparameters(), shape, OUTPUTS)


def trained_step(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    logits = network.train()(batch)
    nn.functional.cross_entropy(logits, torch.arange(len(batch)) % OUTPUTS).backward()
    optimizer.step()
    return logits.detach()


def extremes(values: Range) -> tuple[Any, ...]:
    return values.options if isinstance(values, Choice) else (values.low, values.high)


def with_value(family: Family[Any], parameter: Hyperparameter, value: Any) -> Any:
    declared = {known.name: known for known in hyperparameters(family.hyperparameters)}
    chosen = {parameter.name: value}
    waiting = [parameter]
    while waiting:
        for name, accepted in waiting.pop().when.items():
            chosen[name] = next(option for option in accepted if declared[name].limits.contains(option))
            waiting.append(declared[name])
    return family.hyperparameters(**chosen)


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(family, parameter, value, id=f"{family.name}.{parameter.name}={value}")
        for family in FAMILIES
        for parameter in hyperparameters(family.hyperparameters)
        for value in extremes(getattr(parameter, kind))
    ]


def random_trials(count: int) -> list[optuna.Trial]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [study.ask() for _ in range(count)]


def test_families_are_named_like_their_files() -> None:
    named = {key: family.name for key, family in families().items()}

    assert named == {key: key for key in ("cnn", "densenet", "mlp", "resnet")}


@every_family
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_builds_and_trains_a_step_on_any_shape(family: Family[Any], shape: Shape) -> None:
    network = default(family, shape)

    logits = trained_step(network, events(shape, 2))

    assert logits.shape == (2, OUTPUTS)
    assert logits.isfinite().all()
    assert all(weight.isfinite().all() for weight in network.state_dict().values())


@every_family
@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_it_trains_on_a_batch_of_one_event(family: Family[Any], shape: Shape) -> None:
    logits = trained_step(default(family, shape), events(shape, 1))

    assert logits.shape == (1, OUTPUTS)
    assert logits.isfinite().all()


@every_family
def test_it_may_have_a_single_output(family: Family[Any]) -> None:
    network = family.build(family.hyperparameters(), SMALL, 1)

    assert network(events(SMALL, 4)).shape == (4, 1)


@every_family
@pytest.mark.parametrize("shape", [(1, 8, 8), (38, 16, 40)], ids=str)
def test_gradients_reach_every_parameter(family: Family[Any], shape: Shape) -> None:
    network = default(family, shape)

    trained_step(network, events(shape, 16))

    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == []


@every_family
def test_the_seed_decides_the_weights(family: Family[Any]) -> None:
    networks = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        networks.append(nn.utils.parameters_to_vector(default(family, SMALL).parameters()))

    assert torch.equal(networks[0], networks[1])
    assert not torch.equal(networks[0], networks[2])


@every_family
def test_the_logits_start_near_one_in_size(family: Family[Any]) -> None:
    logits = default(family, (38, 16, 40)).train()(events((38, 16, 40), 32))

    assert 0.01 < logits.square().mean().sqrt().item() < 3.0


@every_family
def test_evaluation_takes_each_event_alone(family: Family[Any]) -> None:
    network = default(family, SMALL)
    batch = events(SMALL, 6)
    trained_step(network, batch)

    together = network.eval()(batch)

    torch.testing.assert_close(together, torch.cat([network(event[None]) for event in batch]), rtol=1e-4, atol=1e-5)


@every_family
def test_the_memory_layout_changes_no_result(family: Family[Any]) -> None:
    network = default(family, (38, 16, 40)).eval()
    batch = events((38, 16, 40), 4)

    logits = network(batch)

    torch.testing.assert_close(logits, network(batch.contiguous()), rtol=1e-4, atol=1e-5)


@every_family
def test_the_state_survives_safetensors(family: Family[Any]) -> None:
    network, batch = default(family, SMALL), events(SMALL, 4)
    trained_step(network, batch)

    restored = default(family, SMALL)
    restored.load_state_dict(load(save(network.state_dict())))

    assert torch.equal(restored.eval()(batch), network.eval()(batch))


@every_family
def test_hyperparameters_are_frozen(family: Family[Any]) -> None:
    instance = family.hyperparameters()

    with pytest.raises(FrozenInstanceError):
        setattr(instance, hyperparameters(family.hyperparameters)[0].name, None)


@pytest.mark.parametrize(("family", "parameter", "value"), cases("range"))
def test_every_extreme_and_choice_trains(family: Family[Any], parameter: Hyperparameter, value: Any) -> None:
    network = family.build(with_value(family, parameter, value), SMALL, OUTPUTS)

    assert trained_step(network, events(SMALL, 2)).isfinite().all()


@pytest.mark.parametrize(("family", "parameter", "value"), cases("limits"))
def test_every_limit_builds(family: Family[Any], parameter: Hyperparameter, value: Any) -> None:
    with torch.device("meta"):  # no memory: some limits are far beyond this machine
        network = family.build(with_value(family, parameter, value), SMALL, OUTPUTS)

        assert network(torch.empty(2, *SMALL)).shape == (2, OUTPUTS)


@every_family
def test_values_beyond_the_limits_are_refused(family: Family[Any]) -> None:
    for parameter in hyperparameters(family.hyperparameters):
        with pytest.raises(ValueError, match=f"^{parameter.name} is 'absurd'; it must be "):
            family.hyperparameters(**{parameter.name: "absurd"})


@every_family
def test_random_suggestions_train_on_a_small_image(family: Family[Any]) -> None:
    for trial in random_trials(12):
        network = family.build(suggest(family.hyperparameters, trial, f"{family.name}."), (1, 8, 8), OUTPUTS)

        assert trained_step(network, events((1, 8, 8), 4)).isfinite().all()
        assert all(name.startswith(f"{family.name}.") for name in trial.params)


@pytest.mark.parametrize(
    ("layout", "parameters"),
    [("18", 11_689_512), ("34", 21_797_672), ("50", 25_557_032), ("101", 44_549_160), ("152", 60_192_808)],
)
def test_resnets_have_the_textbook_number_of_parameters(layout: str, parameters: int) -> None:
    hp = ResNetHyperparameters(layout=layout, width=64, stem="large")

    with torch.device("meta"):
        network = families()["resnet"].build(hp, (3, 224, 224), 1000)

    assert sum(weight.numel() for weight in network.parameters()) == parameters


@pytest.mark.parametrize(("layout", "parameters"), [("121", 7_978_856), ("169", 14_149_480), ("201", 20_013_928)])
def test_densenets_have_the_textbook_number_of_parameters(layout: str, parameters: int) -> None:
    hp = DenseNetHyperparameters(layout=layout, growth=32, stem="large")

    with torch.device("meta"):
        network = families()["densenet"].build(hp, (3, 224, 224), 1000)

    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_a_resnet_without_normalisation_keeps_the_signal_at_any_depth() -> None:
    hp = ResNetHyperparameters(stages=2, blocks=24, width=8, batchnorm=False)
    network = families()["resnet"].build(hp, (1, 8, 8), OUTPUTS)

    logits = network(events((1, 8, 8), 16))

    assert logits.abs().max() < 100
