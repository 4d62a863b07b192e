"""What the last bits of a training depend on beside its configuration, data and seed."""

import torch

from study._processor import processor

PROCESSOR, INSTRUCTIONS, TORCH, THREADS = "processor", "instructions", "torch", "threads"
NAMES = (PROCESSOR, INSTRUCTIONS, TORCH, THREADS)


def environment(device: str) -> dict[str, str]:
    """Of this process, as text, so that no plot takes it for a number.

    Args:
        device: Torch's name, such as ``cpu`` or ``cuda:1``.
    """
    return {
        PROCESSOR: processor(device),
        INSTRUCTIONS: torch.backends.cpu.get_cpu_capability(),
        TORCH: str(torch.__version__),
        THREADS: str(torch.get_num_threads()),
    }
