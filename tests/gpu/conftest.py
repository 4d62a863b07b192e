"""Without a GPU nothing here is worth starting, and nothing may look as if it had passed."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def gpu() -> None:
    """End the run where torch sees no GPU."""
    if not torch.cuda.device_count():
        pytest.exit("torch sees no GPU here, and these tests need one", returncode=1)
