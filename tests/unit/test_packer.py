"""An agent's devices filled with workers, with a pool and workers that only seem to be."""

import itertools
from types import SimpleNamespace

import pytest

from objectives._fit_settings import EpochResult
from study import _packer
from study._load import Load
from study._messages import Failed
from study._monitor import Monitor
from study._packer import Packer

GIB = 2.0**30


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Site:
    """A pool of which only devices, slots and claims are known, and what its devices tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, devices: list[str], most: int = 16) -> None:
        self.clock, self.slots, self.tokens = Clock(), itertools.count(), itertools.count()
        self.workers: list[SimpleNamespace] = []
        self.loads = {device: Load(0.1, 70 * GIB) for device in devices}
        monkeypatch.setattr(_packer, "time", self.clock)
        monkeypatch.setattr(_packer, "load_of", lambda device, monitor: self.loads[device])
        for device in devices:
            self.add(device)
        self.packer = Packer(self, devices, most, Monitor(()))  # type: ignore[arg-type]

    def add(self, device: str) -> None:
        worker = SimpleNamespace(slot=next(self.slots), device=device, claim=None, retiring=False, peak_bytes=0.0)
        self.workers.append(worker)
        self.begin(worker)

    def retire(self, worker: SimpleNamespace) -> None:
        self.workers = [other for other in self.workers if other is not worker]

    def begin(self, worker: SimpleNamespace) -> None:
        worker.claim = SimpleNamespace(token=f"trial {next(self.tokens)}")

    def train(self, rate: float = 100.0, seconds: float = 5.0) -> None:
        """Every worker trains an epoch, and the agent looks around."""
        self.clock.now += seconds + 1
        for worker in self.workers:
            if worker.claim is not None:
                self.packer.peak(worker, 1 * GIB)
                self.packer.epoch(worker, EpochResult(1, 0.0, 0.0, {}, 0.1, seconds, rate))
        self.packer.adjust()

    def on(self, device: str) -> list[int]:
        return [worker.slot for worker in self.workers if worker.device == device and not worker.retiring]


def test_each_device_grows_by_what_it_tells_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0", "cuda:1"])
    site.loads["cuda:1"] = Load(0.95, 70 * GIB)

    for _ in range(2):
        site.train()

    assert (site.on("cuda:0"), site.on("cuda:1")) == ([0, 2], [1])


def test_an_epoch_that_began_before_all_trained_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    site.train()
    site.clock.now -= 3.0

    site.train()
    assert site.on("cuda:0") == [0]
    site.train()

    assert site.on("cuda:0") == [0, 1]


def test_nothing_is_decided_while_a_worker_has_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(2):
        site.train()
    site.workers[1].claim = None

    for _ in range(5):
        site.train()

    assert site.on("cuda:0") == [0, 1]


def test_a_worker_without_use_goes_when_its_trial_ends_and_its_slot_never_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(2):
        site.train(rate=100.0)
    for _ in range(2):
        site.train(rate=50.0)
    assert site.on("cuda:0") == [0]
    assert len(site.workers) == 2

    site.workers[1].claim = None
    site.packer.adjust()

    assert [worker.slot for worker in site.workers] == [0]


def test_a_worker_that_was_to_go_goes_also_when_all_were_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(2):
        site.train(rate=100.0)
    for _ in range(2):
        site.train(rate=50.0)
    for worker in site.workers:
        worker.retiring = False

    site.packer.adjust()

    assert site.on("cuda:0") == [0]


def test_a_gpus_workers_must_fit_into_what_is_free_and_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(10):
        taken = len(site.workers) * (GIB + _packer.CUDA_CONTEXT_BYTES)
        site.loads["cuda:0"] = Load(0.1, 5.2 * GIB - taken)
        site.train()

    assert len(site.on("cuda:0")) == 3  # of 1.2 GiB and a context each


def test_parts_of_the_cpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cpu:0", "cpu:1"])
    site.loads = dict.fromkeys(site.loads, Load(0.1, 1.5 * GIB))

    for _ in range(4):
        site.train()

    assert (len(site.on("cpu:0")), len(site.on("cpu:1"))) == (1, 1)


@pytest.mark.parametrize(
    "message", [Failed("oom", "no", "no"), Failed("infeasible", "no", "no", constraints={"memory": 0.2})]
)
def test_a_trial_without_memory_beside_others_costs_its_worker(
    monkeypatch: pytest.MonkeyPatch, message: Failed
) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(2):
        site.train()

    assert site.packer.crowded(site.workers[1], message)
    assert site.on("cuda:0") == [0]
    assert not site.packer.crowded(site.workers[0], message)
    for _ in range(9):
        site.workers[1:] = []
        site.train()
    assert site.on("cuda:0") == [0]


def test_other_failures_and_other_devices_are_no_concern_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, ["cuda:0"])
    for _ in range(2):
        site.train()
    site.add("cuda:7")
    site.add("cuda:7")

    assert not site.packer.crowded(site.workers[1], Failed("nan", "no", "no"))
    assert not site.packer.crowded(site.workers[-1], Failed("oom", "no", "no"))
    site.train()
    assert len(site.on("cuda:7")) == 2
