"""The study file: every section, key and default. Files are read in `study.loading`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    match = re.fullmatch(r"\s*([0-9.]+)\s*([smhd])\s*", value) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(value, str):
        raise ValueError("a duration is a number of seconds or text such as 90s, 30m, 4h or 2d")
    return value


Duration = Annotated[float, Field(gt=0), BeforeValidator(_seconds)]
"""Seconds; written as a number or as 90s, 30m, 4h, 2d."""


class Section(BaseModel):
    """A part of the study file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StudySection(Section):
    """Which study this is. `name` defaults to the study file's; `metric` to the objective's first."""

    name: str | None = Field(None, min_length=1, max_length=200)
    metric: str | None = None
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[\w.+-]+", name):
            raise ValueError("a study's name has letters, digits and _ . + - only (it names folders)")
        return name


class BudgetSection(Section):
    """What ends the search. Trials are exact; the others stop new trials and let running ones end."""

    trials: int | None = Field(100, ge=1)
    gpu_hours: float | None = Field(None, gt=0)
    trial_timeout: Duration | None = None
    until: dict[str, float] | None = None

    @model_validator(mode="after")
    def _some_end(self) -> "BudgetSection":
        if self.trials is None and self.gpu_hours is None and self.until is None:
            raise ValueError("a budget needs at least one of trials, gpu_hours, until")
        return self


class SplitSection(Section):
    """Fractions of the events, or a WatChMaL-style .npz file with train_idxs, val_idxs and test_idxs."""

    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = Field(42, ge=0, lt=2**32)
    file: str | None = None

    @model_validator(mode="after")
    def _leave_some(self) -> "SplitSection":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self


class FiducialSection(Section):
    """Keep events whose vertex is inside a cylinder, in cm from the centre; `axis` is the cylinder's."""

    radius: float | None = Field(None, gt=0)
    half_height: float | None = Field(None, gt=0)
    axis: Literal["x", "y", "z"] = "y"


class SelectSection(Section):
    """Which events are used: label values, true energy in MeV (low ≤ E < high), and where the vertex lies."""

    classes: tuple[int, ...] | None = None
    energy: tuple[float, float] | None = None
    fiducial: FiducialSection | None = None


class DataSection(Section):
    """The HDF5 file and how it is laid out; the names are those of datasets in the file."""

    path: str
    target: str = "labels"
    events: str = "event_data"
    axes: Literal["NHWC", "NCHW", "NHW"] = "NHWC"
    energies: str = "energies"
    positions: str = "positions"
    labels: str = "labels"
    split: SplitSection = SplitSection()
    select: SelectSection | None = None
    cache: Literal["auto", "memory", "map"] = "auto"


class TrainingSection(Section):
    """How each trial trains; what is searched instead stands under `space`."""

    epochs: int = Field(12, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    early_stop: int | None = Field(None, ge=1)
    clip_norm: float | None = Field(None, gt=0)
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    deterministic: bool = True


class NamedSection(Section):
    """A sampler or pruner by Optuna's name, with its options: ``tpe`` or ``{name: tpe, n_startup_trials: 20}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[NamedSection, BeforeValidator(_named)]


class SearchSection(Section):
    """How parameters are proposed and bad trials stopped."""

    sampler: Named = NamedSection(name="tpe")
    pruner: Named = NamedSection(name="asha")


class RetrySection(Section):
    """How often a trial is taken up again after each class of failure."""

    lost: int = Field(3, ge=0)
    oom: int = Field(0, ge=0)
    error: int = Field(0, ge=0)


class WorkersSection(Section):
    """Devices: ``auto``, ``cpu``, ``cuda:0,cuda:1`` or a list; trials at a time on each."""

    devices: str | tuple[str, ...] = "auto"
    per_device: int = Field(1, ge=1)


class LeaseSection(Section):
    """How long a silent agent keeps its trials, and how often it says that it lives."""

    seconds: Duration = 60.0
    renew: Duration = 15.0
    patience: Duration = 1800.0

    @model_validator(mode="after")
    def _renewed_in_time(self) -> "LeaseSection":
        if self.renew * 2 > self.seconds:
            raise ValueError(f"renew ({self.renew} s) must be at most half of seconds ({self.seconds} s)")
        return self


class FolderSection(Section):
    """Where files go; null means beside the SQLite file, or in the current folder for another database."""

    dir: str | None = None


class CheckpointSection(FolderSection):
    """Where weights go, and of how many of the best trials they are kept."""

    keep: int = Field(5, ge=1)


class StudyConfig(Section):
    """A whole study."""

    study: StudySection = StudySection()
    budget: BudgetSection = BudgetSection()
    data: DataSection
    objective: Named = NamedSection(name="multiclass")
    training: TrainingSection = TrainingSection()
    space: dict[str, Any] = {}
    search: SearchSection = SearchSection()
    retry: RetrySection = RetrySection()
    workers: WorkersSection = WorkersSection()
    lease: LeaseSection = LeaseSection()
    checkpoint: CheckpointSection = CheckpointSection()
    artifacts: FolderSection = FolderSection()

    @property
    def name(self) -> str:
        """The study's name; set when the file is read."""
        if self.study.name is None:
            raise ValueError("the study has no name yet")
        return self.study.name

    def to_json(self) -> dict[str, Any]:
        """Every resolved value, as JSON types."""
        return self.model_dump(mode="json")


CHANGEABLE = ("budget", "retry", "workers", "lease")
"""Sections that may change once a study exists."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of a nested mapping by dotted key; lists are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
