"""From an exception in a trial to its class of failure and its reason."""

import traceback

from objectives._errors import NonFiniteLoss
from storage.errors import DataError
from study._constraints import Infeasible
from study._device_errors import DeviceError, device_error
from study._messages import Failed

LONGEST_REASON, LONGEST_DETAILS = 500, 16_000
"""Characters; of a traceback the end tells most."""


def failed(error: BaseException) -> Failed:
    """The message that tells the agent of an exception."""
    if isinstance(error, NonFiniteLoss):
        return _plain("nan", str(error))
    if isinstance(error, Infeasible):
        return _plain("infeasible", str(error))
    if _out_of_memory(error):
        return _plain("oom", _first_line(error) or "out of memory")
    if isinstance(error, DataError):
        return _plain("data", str(error))
    if _unreadable(error):
        said = _first_line(error)
        return _plain("data", f"the events cannot be read (HDF5 says: {said}); copy or download the file again")
    details = "".join(traceback.format_exception(error))
    line = _first_line(error)
    reason = printable(f"{type(error).__name__}{f': {line}' if line else ''}")
    of_device = device_error(error)
    failure = "error" if of_device is None else "device"
    return Failed(
        *(failure, reason[:LONGEST_REASON], printable(details)),
        broken=of_device is not None or _breaks_process(error),
        device_lost=of_device is DeviceError.FATAL,
    )


def printable(text: str) -> str:
    """Text that every database takes: no NUL, no half surrogates, not too long."""
    return text[-LONGEST_DETAILS:].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _plain(failure: str, reason: str) -> Failed:
    details = printable(reason)
    return Failed(failure, (details.strip().splitlines() or [failure])[0][:LONGEST_REASON], details)


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


def _breaks_process(error: BaseException) -> bool:
    # After such an error of CUDA every later call of the process fails too.
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def _unreadable(error: BaseException) -> bool:
    # HDF5 has no error of its own; the innermost frame tells it from the other errors of files.
    raised_in = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    return isinstance(error, OSError) and any(name.startswith("h5py.") for name in raised_in)


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Of torch on the CPU, of CUDA outside of torch's own allocator, of cuBLAS and cuDNN."""
