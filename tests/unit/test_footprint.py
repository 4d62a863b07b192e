from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from models._family import Family, families
from models._hyperparameters import suggest
from objectives._footprint import footprint, predict_footprint
from objectives._learning import Learning
from study._random import RandomSuggester

SHAPE = (1, 6, 10)
EVENT = 60 * 4  # bytes
WEIGHTS = 4 * (60 * 10 + 10)  # bytes
SGD = Learning(optimizer="sgd", momentum=0.0, batch_size=100)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 10))


@pytest.mark.parametrize(
    ("learning", "moments"),
    [
        (SGD, 0),
        (Learning(optimizer="sgd", momentum=0.9), 1),
        (Learning(optimizer="adam"), 2),
        (Learning(optimizer="adamw"), 2),
        (Learning(optimizer="rmsprop", momentum=0.0), 1),
        (Learning(optimizer="rmsprop", momentum=0.9), 2),
    ],
)
def test_weights_their_copy_gradients_and_moments_are_kept(learning: Learning, moments: int) -> None:
    found = predict_footprint(linear, SHAPE, learning)

    assert found.parameters == 60 * 10 + 10
    assert found.kept == (3 + moments) * WEIGHTS


def test_a_step_holds_three_batches_and_the_outputs() -> None:
    found = predict_footprint(linear, SHAPE, SGD)

    outputs = 10 * 4
    assert 100 * (3 * EVENT + outputs) <= found.step <= 100 * (3 * EVENT + 2 * outputs)


def test_an_augmented_batch_is_a_fourth() -> None:
    plain, rotated = (
        predict_footprint(linear, SHAPE, Learning(batch_size=64, rotate=turned)) for turned in (False, True)
    )

    assert rotated.step - plain.step == 64 * EVENT


def test_a_batch_of_validation_counts_where_it_takes_more_than_a_step() -> None:
    def wide() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(60, 600), nn.ReLU(), nn.Linear(600, 10))

    trained, small, large = (
        predict_footprint(wide, SHAPE, Learning(batch_size=32), evaluated=events) for events in (0, 32, 4096)
    )

    assert small == trained
    assert large.kept == trained.kept
    assert large.step >= 4096 * (2 * EVENT + 600 * 4)
    assert large.step < 4096 * (2 * EVENT + 3 * 600 * 4)


def test_what_is_kept_for_the_backward_pass_grows_with_depth_and_batch() -> None:
    def deep(layers: int) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(
            nn.Flatten(), *(nn.Sequential(nn.Linear(60, 60), nn.Tanh()) for _ in range(layers))
        )

    shallow, deeper = (predict_footprint(deep(layers), SHAPE, SGD).step for layers in (10, 20))
    larger = predict_footprint(deep(20), SHAPE, SGD, events=200).step

    assert deeper - shallow == pytest.approx(10 * 100 * 60 * 4, rel=0.05)  # tanh keeps its output, a layer its input
    assert larger == pytest.approx(2 * deeper, rel=0.05)


def test_half_precision_keeps_half_of_the_activations_and_all_of_the_weights() -> None:
    def wide() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(64 * 60, 10))

    full, half = (predict_footprint(wide, SHAPE, SGD, events=1000, half=half) for half in (False, True))

    assert half.kept == full.kept
    assert 0.5 * full.step < half.step < 0.7 * full.step


@pytest.mark.parametrize("family", families().values(), ids=list(families()))
def test_shapes_alone_tell_the_same_as_a_real_step(family: Family[object]) -> None:
    suggester, shape = RandomSuggester(3), (3, 9, 12)
    for _ in range(4):
        build = partial(family.build, suggest(family.hyperparameters, suggester, ""), shape, 3)
        learning = Learning(batch_size=16)

        predicted, real = predict_footprint(build, shape, learning), footprint(build(), shape, learning)
        assert predicted.kept == real.kept
        assert predicted.step == pytest.approx(real.step, rel=0.05)


def test_nothing_of_a_prediction_stays_and_the_random_generator_is_left_alone() -> None:
    state = torch.get_rng_state()

    huge = predict_footprint(lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 2**34), nn.Dropout()), SHAPE, SGD)

    assert huge.total > 2**40
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_that_needs_numbers_says_so() -> None:
    class Curious(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input.flatten(1)) * float(input.sum())

    with pytest.raises(RuntimeError, match="meta"):
        predict_footprint(lambda: Curious(60, 10), SHAPE, SGD)
