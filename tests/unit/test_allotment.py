import time

import pytest

from study.allotment import LEAVE_S, WORTH_S, Allotment


@pytest.mark.parametrize(
    ("left_s", "enough", "over"),
    [
        (LEAVE_S + WORTH_S + 5.0, True, False),
        (LEAVE_S + WORTH_S - 5.0, False, False),
        (LEAVE_S + 5.0, False, False),
        (LEAVE_S - 5.0, False, True),
        (-5.0, False, True),
    ],
)
def test_near_the_end_of_a_job_no_trial_begins_and_then_the_agent_leaves(
    left_s: float, enough: bool, over: bool
) -> None:
    allotment = Allotment(time.time() + left_s)

    assert (allotment.enough, allotment.over) == (enough, over)


def test_without_an_end_there_is_always_enough() -> None:
    assert (Allotment(None).enough, Allotment(None).over) == (True, False)
