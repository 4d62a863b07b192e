"""One seed gives streams that do not depend on each other or on what was drawn before."""

import numpy as np
import pytest
import torch
from torch import nn

from objectives._seeds import Seeds, build_model


def test_streams_epochs_steps_and_seeds_all_differ():
    numbers = [
        draw
        for seed in range(3)
        for draw in [
            Seeds(seed).weights(),
            *(number for epoch in range(5) for number in Seeds(seed).network(epoch, 5)),
            *(Seeds(seed).augmentation(epoch).initial_seed() for epoch in range(5)),
        ]
    ]

    assert len(set(numbers)) == len(numbers)


def test_a_permutation_holds_every_event_once_and_differs_between_epochs():
    first, second = Seeds(4).permutation(0, 100), Seeds(4).permutation(1, 100)

    assert first.dtype == np.int64
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, Seeds(4).permutation(0, 100))


@pytest.mark.parametrize("seed", [-1, 1.0, True])
def test_a_seed_is_an_integer_from_0_up(seed):
    with pytest.raises(ValueError, match="it must be an integer from 0 up"):
        Seeds(seed)


def test_initial_weights_belong_to_the_seed_and_the_global_generator_is_left_as_it_was():
    def build(width, shape, outputs):
        return nn.Linear(width, outputs)

    before = torch.get_rng_state()
    first, again, other = (build_model(build, 4, (1, 1, 1), 2, seed).weight for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
