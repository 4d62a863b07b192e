"""How near a predicted memory is to what a GPU's allocator gives, and what a device has left."""

from functools import partial

import pytest
import torch

from models._family import Family, families
from models._hyperparameters import suggest
from objectives._footprint import predict_footprint
from objectives._learning import Learning
from study._admission import need_of
from study._peak import PeakMemory
from study._probing import DEFAULT, cuda_peak, small_steps
from study._random import RandomSuggester

pytestmark = pytest.mark.gpu
DEVICE = "cuda:0"
SHAPE = (38, 16, 40)


@pytest.mark.parametrize("family", families().values(), ids=list(families()))
def test_a_step_takes_what_is_predicted_and_what_the_libraries_add(family: Family[object]) -> None:
    suggester, learning = RandomSuggester(5), Learning(batch_size=128)
    for _ in range(5):
        build = partial(family.build, suggest(family.hyperparameters, suggester, ""), SHAPE, 3)

        predicted = predict_footprint(build, SHAPE, learning, half=True).total
        taken = cuda_peak(partial(small_steps, build, SHAPE, learning, DEVICE, "auto", 128), DEVICE)

        assert 0.4 * predicted < taken < DEFAULT(predicted)


def test_a_network_as_large_as_the_device_is_refused_and_a_small_one_is_not() -> None:
    _, total = torch.cuda.mem_get_info(DEVICE)

    def wide(width: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(38 * 16 * 40, width))

    huge = need_of(partial(wide, total // (4 * 38 * 16 * 40)), SHAPE, Learning(), DEVICE, "auto")
    small = need_of(partial(wide, 16), SHAPE, Learning(), DEVICE, "auto")

    assert huge is not None
    assert small is not None
    assert huge.excess > 0 > small.excess


def test_a_workers_peak_counts_what_its_allocator_holds() -> None:
    peak = PeakMemory(DEVICE)
    held = torch.empty(2**28, dtype=torch.uint8, device=DEVICE)

    assert (peak.risen() or 0) >= held.numel()
