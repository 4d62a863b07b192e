import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from lab import Lab, until, write_events

from study._crew import Crew
from study._forkserver import WorkersUnusable
from study._pool import Pool
from study.devices import device_slots

THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"


def never() -> bool:
    return False


def job_of(lab: Lab) -> dict[str, Any]:
    record = lab.record()
    return {"config": record.config, "facts": record.facts, "folder": record.facts["folder"]}


def listen(pool: Pool, holds: Callable[[], bool]) -> bool:
    """Greet workers until something holds."""
    crew = Crew(pool, ledger=None)  # type: ignore[arg-type]  greeting writes nothing
    return until(lambda: crew.listen(0.1, []) or holds())


def test_workers_are_warm_forks_of_a_process_with_one_thread_and_so_are_their_replacements(lab: Lab) -> None:
    lab.create()
    with Pool(["cpu", "cpu"], job_of(lab), threads=3) as pool:
        pool.start(never)
        assert listen(pool, lambda: all(worker.warm for worker in pool.workers))
        assert {worker.warm for worker in pool.workers} == {("torch", "models", "training events", "validation events")}
        (server,) = {psutil.Process(worker.pid).parent() for worker in pool.workers}
        (lab.folder / "events.h5").unlink()
        first = psutil.Process(pool.workers[0].pid)

        first.kill()

        assert listen(pool, lambda: pool.workers[0].pid != first.pid and bool(pool.workers[0].warm))
        assert psutil.Process(pool.workers[0].pid).parent() == server
        assert server.num_threads() == 1


def test_workers_of_all_devices_see_the_same_gpus_in_the_drivers_order(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK", raising=False)

    with Pool(device_slots("cpu:0,cpu:1", 2, None), job_of(lab), threads=1) as pool:
        pool.start(never)

        seen = [psutil.Process(worker.pid).environ() for worker in pool.workers]
    assert [(each["CUDA_VISIBLE_DEVICES"], each["CUDA_DEVICE_ORDER"]) for each in seen] == [("3,1", "PCI_BUS_ID")] * 4
    assert {each["PYTORCH_NVML_BASED_CUDA_CHECK"] for each in seen} == {"1"}
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_an_order_of_gpus_that_the_user_has_set_stays(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.create()
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")

    with Pool(["cpu"], job_of(lab), threads=1) as pool:
        pool.start(never)

        assert psutil.Process(pool.workers[0].pid).environ()["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
    assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: write_events(folder / "events.h5", seed=1), "is not the file that study 'q' was created with"),
        (lambda folder: (folder / "events.h5").unlink(), "events.h5"),
    ],
    ids=["another", "deleted"],
)
def test_events_that_cannot_be_loaded_are_one_clear_error(
    lab: Lab, spoil: Callable[[Path], object], reason: str
) -> None:
    lab.create()
    spoil(lab.folder)

    with Pool(["cpu"], job_of(lab), threads=1) as pool, pytest.raises(WorkersUnusable, match=reason) as caught:
        pool.start(never)

    assert "Traceback" not in str(caught.value)


def test_a_users_file_that_starts_a_thread_when_imported_is_refused_and_the_reason_given(lab: Lab) -> None:
    users = lab.folder / "odd_family.py"
    users.write_text(THREAD + users.read_text())
    lab.create(space={"model": "odd_family.py:FAMILY"})

    with Pool(["cpu"], job_of(lab), threads=1) as pool, pytest.raises(WorkersUnusable, match="must start no thread"):
        pool.start(never)
