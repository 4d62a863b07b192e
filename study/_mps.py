"""NVIDIA's Multi-Process Service: whether kernels of several processes run on a GPU at once, or take turns.

Its daemon is the machine's affair; it is never started here.
"""

import os
from pathlib import Path

PIPES = "/tmp/nvidia-mps"
"""Where the daemon listens, unless ``CUDA_MPS_PIPE_DIRECTORY`` names another folder."""


def mps_runs() -> bool:
    """Whether the daemon does, by the pipe that it listens at."""
    return Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY") or PIPES, "control").exists()


def sharing() -> str:
    """How a GPU's workers share it, in a sentence."""
    if mps_runs():
        return "workers of a GPU compute at once, by MPS"
    return "workers of a GPU take turns; by MPS they would compute at once: nvidia-cuda-mps-control -d starts it"
