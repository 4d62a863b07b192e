import pytest
import torch
from torch import nn

from models._layers import ACTIVATIONS, BatchNorm, GlobalPool, dense, fitted_kernel, halved, halving_pool, initialise


def test_batch_normalisation_of_one_value_per_channel_uses_the_running_statistics() -> None:
    layer = BatchNorm(3)
    layer.load_state_dict(layer.state_dict() | {"running_mean": torch.ones(3)})

    output = layer.train()(torch.full((1, 3, 1, 1), 3.0))

    torch.testing.assert_close(output, torch.full((1, 3, 1, 1), 2.0), rtol=1e-4, atol=0)
    assert torch.equal(layer.state_dict()["running_mean"], torch.ones(3))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 5), (1, 3, 2, 1)], ids=str)
def test_batch_normalisation_is_otherwise_torchs(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape)
    theirs = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)

    assert torch.equal(BatchNorm(3).train()(values), theirs.train()(values))


def test_batch_normalisation_refuses_other_ranks() -> None:
    with pytest.raises(ValueError, match="3 dimensions; batch normalisation takes"):
        BatchNorm(3)(torch.zeros(2, 3, 4))


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("window", [2, 3])
def test_pooling_halves_every_side_and_keeps_one_pixel(kind: str, window: int) -> None:
    for size in [(1, 1), (1, 2), (2, 3), (5, 1), (16, 40), (7, 9)]:
        pooled = halving_pool(kind, window, size)(torch.ones(1, 1, *size))

        assert tuple(pooled.shape[2:]) == halved(size, window)
        assert torch.equal(pooled, torch.ones_like(pooled))  # the rim does not count


def test_a_kernel_is_cut_to_the_map() -> None:
    assert fitted_kernel(7, (16, 40)) == (7, 7)
    assert fitted_kernel(7, (4, 2)) == (5, 3)
    assert fitted_kernel(3, (1, 1)) == (1, 1)


def test_global_pooling_is_the_mean_or_the_maximum() -> None:
    values = torch.tensor([[[[0.0, 1.0], [2.0, 9.0]]]])

    assert GlobalPool("mean")(values).tolist() == [[3.0]]
    assert GlobalPool("max")(values).tolist() == [[9.0]]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_initialised_layer_keeps_a_unit_second_moment(name: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layer = nn.Sequential(*dense(1024, 1024, batchnorm=False, dropout=0.0, then=name))
    initialise(layer, name)

    output = layer(torch.randn(256, 1024))

    assert output.square().mean().item() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_stack_of_initialised_layers_keeps_the_size_of_the_signal(name: str) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers = [layer for _ in range(8) for layer in dense(512, 512, batchnorm=False, dropout=0.0, then=name)]
    network = nn.Sequential(*layers)
    initialise(network, name)

    output = network(torch.randn(64, 512))

    assert 0.5 < output.square().mean().item() < 2.0
