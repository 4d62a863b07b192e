"""Which errors mean that memory was too small."""

import pytest

from study._failures import failed


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "oom"),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "oom"),
        ("CUDA error: out of memory", "oom"),
        ("cuDNN error: CUDNN_STATUS_BAD_PARAM", "error"),
    ],
)
def test_an_allocation_that_fails_in_a_library_is_out_of_memory(text: str, failure: str) -> None:
    assert failed(RuntimeError(text)).failure == failure
