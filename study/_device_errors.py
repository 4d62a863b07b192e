"""Errors of a GPU: which mean that the GPU is out of order, and which may be the fault of the trial that met them."""

import enum


class DeviceError(enum.Enum):
    """What an error says of the GPU on which it was met; after each of them the process can use it no more."""

    FATAL = "fatal"  # it is out of order, whatever runs on it
    SUSPECT = "suspect"  # a kernel failed: it is out of order, or the trial is at fault


_FATAL = (
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "GPU is lost",
    "device lost",
    "fallen off the bus",
    "no longer available",
    "device(s) is/are busy or unavailable",
    "no CUDA-capable device is detected",
    "no kernel image is available",
    "initialization error",
)
_SUSPECT = (
    "unspecified launch failure",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "hardware stack error",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "launch timed out and was terminated",
    "unknown error",
    "STATUS_EXECUTION_FAILED",
    "STATUS_INTERNAL_ERROR",
)
"""Texts of CUDA, cuBLAS and cuDNN; an assertion on the device is the trial's own mistake."""


def device_error(error: BaseException) -> DeviceError | None:
    """What an exception says of the GPU, or None: it is no error of one.

    Torch raises `torch.AcceleratorError`, older versions a plain `RuntimeError`, with CUDA's own text.
    """
    text = str(error)
    if not isinstance(error, RuntimeError) or not any(sign in text for sign in ("CUDA", "CUBLAS", "CUDNN", "cuDNN")):
        return None
    if any(sign in text for sign in _FATAL):
        return DeviceError.FATAL
    return DeviceError.SUSPECT if any(sign in text for sign in _SUSPECT) else None
