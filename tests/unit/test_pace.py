"""The host keeps ahead of a GPU, but not far."""

import pytest
import torch

from objectives._pace import Pace


class Gpu:
    """A queue of steps that take so long each, and the time that passes while somebody waits for it."""

    def __init__(self, seconds):
        self.seconds, self.now, self.queued, self.waits = seconds, 0.0, 0, []

    def wait(self, device):
        self.now += self.seconds * self.queued
        self.waits.append(self.queued)
        self.queued = 0

    def run(self, steps):
        pace = Pace(torch.device("cuda:0"), wait=self.wait, clock=lambda: self.now)
        for _ in range(steps):
            self.queued += 1
            if pace.tick():
                assert self.queued == 0
        return self.waits


@pytest.mark.parametrize(
    ("seconds", "steps"), [(1e-4, 100), (1e-2, 25), (0.1, 2), (3.0, 1)], ids=["quick", "usual", "slow", "very slow"]
)
def test_it_waits_for_the_first_step_and_then_for_a_quarter_of_a_second_of_them_or_a_hundred(seconds, steps):
    waits = Gpu(seconds).run(1 + 3 * steps)

    assert waits == [1, steps, steps, steps]


def test_on_a_cpu_every_step_is_done_and_nothing_is_waited_for():
    def refuse(device):
        raise AssertionError

    pace = Pace(torch.device("cpu"), wait=refuse)

    assert [pace.tick() for _ in range(3)] == [True] * 3
