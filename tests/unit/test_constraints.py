import pytest
import torch
from torch import nn

from objectives._latency import latency_ms
from study._constraints import Infeasible, check_constraints, constraints_of, limits_of
from study._failures import failed
from study._messages import state_name
from study.config import ConstraintsSection

BOTH = ConstraintsSection(max_parameters=100_000, max_latency_ms=2.5)


def test_a_cost_up_to_its_limit_is_allowed() -> None:
    check_constraints(BOTH, {"parameters": 100_000, "latency_ms": 2.5})
    check_constraints(ConstraintsSection(), {"parameters": 1e12, "latency_ms": 1e12})


def test_a_network_that_costs_more_is_refused_with_all_reasons() -> None:
    with pytest.raises(Infeasible) as caught:
        check_constraints(BOTH, {"parameters": 1_234_567, "latency_ms": 3.25})

    assert str(caught.value) == (
        "1,234,567 parameters, more than constraints.max_parameters 100,000; "
        "3.25 ms for one event, more than constraints.max_latency_ms 2.5"
    )


def test_optunas_constraint_is_the_share_by_which_a_known_cost_exceeds_its_limit() -> None:
    assert constraints_of(BOTH, {"parameters": 50_000}) == {"parameters": -0.5}
    assert constraints_of(BOTH, {"parameters": 100_000, "latency_ms": 5.0}) == {"parameters": 0.0, "latency_ms": 1.0}
    assert constraints_of(ConstraintsSection(), {"parameters": 5}) == {}


def test_limits_are_shown_as_inequalities() -> None:
    assert [str(limit) for limit in limits_of(BOTH)] == ["parameters ≤ 100,000", "latency_ms ≤ 2.5"]


def test_an_infeasible_trial_is_pruned_and_says_so() -> None:
    message = failed(Infeasible("too many"))

    assert (message.failure, message.reason, message.broken) == ("infeasible", "too many", False)
    assert state_name(message) == "PRUNED (infeasible)"


def test_measuring_the_latency_changes_neither_the_network_nor_the_number_of_threads() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    threads, state = torch.get_num_threads(), torch.get_rng_state()

    found = latency_ms(model, (2, 8, 8))

    assert found > 0
    assert model.training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_slower_network_has_the_higher_latency() -> None:
    small, large = (nn.Sequential(*(nn.Conv2d(2, 2, 3, padding=1) for _ in range(count))) for count in (1, 60))

    assert latency_ms(small, (2, 16, 16)) < latency_ms(large, (2, 16, 16))
