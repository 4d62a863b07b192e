"""Where and how precisely a network computes."""

import os
from contextlib import AbstractContextManager

import torch

from objectives._fit_settings import Precision


def prepare(name: str, precision: Precision, *, deterministic: bool) -> torch.device:
    """Return the device with its index, ready to compute.

    On CUDA this makes it the process's current device and sets PyTorch's process-wide switches.

    Raises:
        ValueError: this machine, or its PyTorch, has no such device.
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= found:
        raise ValueError(
            f"the device is {name!r}, but PyTorch sees {found} CUDA devices here; use cpu or a smaller index"
        )
    device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
    torch.cuda.set_device(device)
    if deterministic:
        # cuBLAS reads it when first used: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(deterministic)
    # Else each new tensor is filled first, so that a program which reads what it never wrote does so reproducibly.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by a property
    torch.backends.cudnn.benchmark = not deterministic
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    return device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return the context in which a network's forward pass runs: bf16 by default on CUDA, fp32 on a CPU."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def seed_device(device: torch.device, number: int) -> None:
    """Seed the global generators that a network on this device may draw from: its own and the CPU's.

    `torch.manual_seed` seeds those of every kind of device, at 100 times the cost.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)
