"""A stand-in for NVIDIA's management library (pynvml), with GPUs as a test describes them."""

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

MIB = 2**20
NOT_SUPPORTED, NOT_FOUND, GPU_IS_LOST, RESET_REQUIRED = 3, 6, 15, 16
TEXTS = {NOT_SUPPORTED: "Not Supported", NOT_FOUND: "Not Found", GPU_IS_LOST: "GPU is lost"}


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(TEXTS.get(value, f"error {value}"))
        self.value = value


@dataclass
class Card:
    """A GPU, or a part of one; `fails` is the error that every question to it gets."""

    uuid: str
    model: str = "A GPU"
    used_mb: float = 512.0
    total_mb: float = 81920.0
    pids: list[int] = field(default_factory=list)
    utilisation: int | None = 40
    power_mw: int | None = 250_000
    temperature_c: int | None = 55
    ecc_errors: int | None = 0
    parts: list["Card"] = field(default_factory=list)
    fails: int | None = None


class Library(ModuleType):
    """What `import pynvml` gives."""

    NVMLError = NVMLError
    NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED = GPU_IS_LOST, RESET_REQUIRED
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, NVML_TEMPERATURE_GPU = 1, 0, 0

    def __init__(self, *cards: Card, cuda: int = 99, starts: bool = True) -> None:
        super().__init__("pynvml")
        self.cards, self.cuda, self.starts = list(cards), cuda, starts
        self.sessions = 0

    def nvmlInit(self) -> None:
        if not self.starts:
            raise NVMLError(9)
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return self.cuda * 1000 + 40

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:
        every = [*self.cards, *(part for card in self.cards for part in card.parts)]
        for card in every:
            if card.uuid == uuid:
                return card
        raise NVMLError(NOT_FOUND)

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        if index >= len(card.parts):
            raise NVMLError(NOT_FOUND)
        return card.parts[index]

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return card.uuid

    def nvmlDeviceGetName(self, card: Card) -> str:
        return card.model

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        self._answers(card)
        return SimpleNamespace(total=card.total_mb * MIB, used=card.used_mb * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:
        self._answers(card)
        return [SimpleNamespace(pid=pid) for pid in card.pids]

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        return SimpleNamespace(gpu=self._known(card, card.utilisation))

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return self._known(card, card.power_mw)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        return self._known(card, card.temperature_c)

    def nvmlDeviceGetTotalEccErrors(self, card: Card, kind: int, counter: int) -> int:
        return self._known(card, card.ecc_errors)

    def _answers(self, card: Card) -> None:
        if card.fails is not None:
            raise NVMLError(card.fails)

    def _known(self, card: Card, value: int | None) -> int:
        self._answers(card)
        if value is None:
            raise NVMLError(NOT_SUPPORTED)
        return value
