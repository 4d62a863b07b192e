"""The GPUs that this process may use; asking makes no CUDA context."""

import logging
from dataclasses import dataclass, field

from study._nvml import Nvml, NvmlMissing, Reading, nvml

logger = logging.getLogger(__name__)

BUSY_SHARE = 0.1
"""Of a GPU's memory; more in use means that somebody works on it, also where a container hides the process."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as it is now.

    Attributes:
        name: Torch's name, such as ``cuda:0``: it counts those that ``CUDA_VISIBLE_DEVICES`` leaves visible.
        model: Such as ``NVIDIA H100 80GB HBM3``.
        reading: What the driver tells of it.
    """

    name: str
    model: str
    reading: Reading = field(default_factory=Reading)

    @property
    def busy(self) -> bool:
        """Whether somebody works on it already."""
        now = self.reading
        return bool(now.processes) or bool(now.total_mb and (now.used_mb or 0.0) > BUSY_SHARE * now.total_mb)

    def __str__(self) -> str:
        now = self.reading
        if now.fault is not None:
            return f"{self.name} ({self.model}, out of order: {now.fault})"
        if now.total_mb is None or now.used_mb is None:
            return f"{self.name} ({self.model})"
        free = f"{(now.total_mb - now.used_mb) / 1024:.1f} of {now.total_mb / 1024:.1f} GiB free"
        by = f", used by process {', '.join(map(str, now.processes))}" if now.processes else ""
        return f"{self.name} ({self.model}, {free}{by})"


def visible_gpus() -> list[Gpu]:
    """The GPUs that torch may use, in its order; none where it is built without CUDA or for a newer driver."""
    import torch

    if torch.version.cuda is None:
        return _counted() if torch.version.hip is not None else []
    try:
        with nvml() as session:
            if _too_old(session, int(torch.version.cuda.split(".")[0])):
                return []
            return [Gpu(f"cuda:{index}", model, session.read(index)) for index, model in enumerate(session.models)]
    except NvmlMissing as missing:
        gpus = _counted()
        if gpus:
            logger.warning("NVML does not answer (%s): GPUs that others use are not recognized", missing)
        return gpus


def _too_old(session: Nvml, needed: int) -> bool:
    known = session.cuda_version
    if not session.models or known is None or known >= needed:
        return False
    logger.warning(
        "the GPUs cannot be used: their driver knows CUDA %d, and this torch is built for CUDA %d; "
        "update the driver, or install the build of torch for CUDA %d",
        *(known, needed, known),
    )
    return True


def _counted() -> list[Gpu]:
    import torch

    return [Gpu(f"cuda:{index}", "GPU") for index in range(torch.cuda.device_count())]
