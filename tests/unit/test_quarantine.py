import pytest
import torch

from study._device_errors import DeviceError, device_error
from study._failures import failed
from study._quarantine import Quarantine

SEEN = "CUDA error: {}\nCUDA kernel errors might be asynchronously reported at some other API call."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uncorrectable ECC error encountered", DeviceError.FATAL),
        ("CUDA-capable device(s) is/are busy or unavailable", DeviceError.FATAL),
        ("initialization error", DeviceError.FATAL),
        ("unspecified launch failure", DeviceError.SUSPECT),
        ("an illegal memory access was encountered", DeviceError.SUSPECT),
        ("CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`", DeviceError.SUSPECT),
        ("device-side assert triggered", None),
        ("out of memory", None),
        ("operation not permitted when stream is capturing", None),
    ],
)
def test_an_error_of_cuda_says_whether_the_device_is_out_of_order(text: str, said: DeviceError | None) -> None:
    error = torch.AcceleratorError(SEEN.format(text))

    message = failed(error)

    assert device_error(error) is said
    assert (message.failure == "device") is (said is not None)
    assert message.device_lost is (said is DeviceError.FATAL)


@pytest.mark.parametrize(
    "error", [ValueError("CUDA error: unspecified launch failure"), RuntimeError("unspecified launch failure")]
)
def test_what_cuda_has_not_raised_says_nothing_of_a_device(error: Exception) -> None:
    assert device_error(error) is None


def test_memory_that_cuda_itself_cannot_give_is_out_of_memory() -> None:
    assert failed(torch.AcceleratorError(SEEN.format("out of memory"))).failure == "oom"


def test_a_device_is_closed_after_two_different_trials_in_a_row() -> None:
    devices = Quarantine(["cuda:0", "cuda:1", "cuda:0"])

    assert devices.failed("cuda:0", 7, "launch failure") is None
    assert devices.failed("cuda:0", 7, "launch failure") is None
    assert devices.failed("cuda:1", 8, "launch failure") is None
    assert devices.failed("cuda:0", 8, "launch failure") == (
        "2 trials in a row failed on it, the last by: launch failure"
    )


def test_a_success_begins_a_new_row() -> None:
    devices = Quarantine(["cuda:0"])
    devices.failed("cuda:0", 7, "launch failure")

    devices.succeeded("cuda:0")

    assert devices.failed("cuda:0", 8, "launch failure") is None


def test_a_trial_avoids_the_device_that_failed_it_while_another_may_try_it() -> None:
    devices = Quarantine(["cuda:0", "cuda:1"])
    devices.failed("cuda:0", 7, "launch failure")
    devices.succeeded("cuda:0")

    assert (devices.avoided("cuda:0"), devices.avoided("cuda:1")) == ([7], [])

    devices.close("cuda:1", "GPU is lost")
    assert devices.avoided("cuda:0") == []
    assert (devices.in_service, devices.causes) == (["cuda:0"], {"cuda:1": "GPU is lost"})


def test_a_trial_that_failed_on_every_device_avoids_none() -> None:
    devices = Quarantine(["cuda:0", "cuda:1"])
    for device in ("cuda:0", "cuda:1"):
        devices.failed(device, 7, "launch failure")

    assert devices.avoided("cuda:0") == devices.avoided("cuda:1") == []
