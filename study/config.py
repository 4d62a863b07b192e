"""The study file: every section, key and default. Files are read in `study.loading`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from study._values import (
    ClassWeights,
    Count,
    Devices,
    Duration,
    Energies,
    Flag,
    Fraction,
    Number,
    PerDevice,
    Positive,
    Seed,
    StudyName,
    Text,
    Times,
    Whole,
)


class Section(BaseModel):
    """A part of the study file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_headings(cls, tree: Any) -> Any:
        """A heading with nothing below it is null in YAML; it means the section's defaults."""
        if not isinstance(tree, Mapping):
            return tree
        return {key: value for key, value in tree.items() if value is not None or not cls._heads_section(key)}

    @classmethod
    def _heads_section(cls, key: object) -> bool:
        field = cls.model_fields.get(key) if isinstance(key, str) else None
        kind = field.annotation if field else None
        if isinstance(kind, type) and issubclass(kind, Section):
            return not issubclass(kind, NamedSection)
        return get_origin(kind) is dict


class StudySection(Section):
    """Which study this is. `name` defaults to the study file's; `metric` to the objective's first.

    `metrics` gives several objectives, the first of which chooses a trial's best epoch.
    """

    name: StudyName | None = None
    metric: Text | None = None
    metrics: tuple[Text, ...] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_way(self) -> "StudySection":
        if self.metric is not None and self.metrics is not None:
            raise ValueError("metric and metrics are both given; metric is for one objective, metrics for several")
        if self.metrics is not None and len(self.metrics) < 2:
            raise ValueError("metrics is for two or more objectives; for one give metric")
        return self


class BudgetSection(Section):
    """What ends the search. Trials are exact; the others stop new trials and let running ones end."""

    trials: Count | None = 100
    gpu_hours: Positive | None = None
    wall_time: Duration | None = None
    no_improvement: Count | None = None
    trial_timeout: Duration | None = None
    until: dict[str, Number] | None = None

    @model_validator(mode="after")
    def _some_end(self) -> "BudgetSection":
        ends = (self.trials, self.gpu_hours, self.wall_time, self.no_improvement, self.until or None)
        if all(end is None for end in ends):
            raise ValueError("a budget needs at least one of trials, gpu_hours, wall_time, no_improvement, until")
        return self


class SplitSection(Section):
    """Fractions of the events, or a WatChMaL-style .npz file with train_idxs, val_idxs and test_idxs."""

    validation: Annotated[Fraction, Field(gt=0)] = 0.1
    test: Fraction = 0.1
    seed: Seed = 42
    file: Text | None = None

    @model_validator(mode="after")
    def _leave_some(self) -> "SplitSection":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} and test {self.test} leave nothing to train on")
        return self


class FiducialSection(Section):
    """Keep events whose vertex is inside a cylinder, in cm from the centre; `axis` is the cylinder's."""

    radius: Positive | None = None
    half_height: Positive | None = None
    axis: Literal["x", "y", "z"] = "y"

    @model_validator(mode="after")
    def _some_length(self) -> "FiducialSection":
        if self.radius is None and self.half_height is None:
            raise ValueError("a fiducial volume needs radius or half_height, in cm")
        return self


class SelectSection(Section):
    """Which events are used: label values, true energy in MeV (low ≤ E < high), and where the vertex lies."""

    classes: Annotated[tuple[Whole, ...], Field(min_length=1)] | None = None
    energy: Energies | None = None
    fiducial: FiducialSection | None = None


class DataSection(Section):
    """The HDF5 file and how it is laid out; the names are those of datasets in the file.

    `pixels` is for files of digitised hits: a .npz file of the tubes' places in the image. `device`: whether GPUs
    hold the events where they fit (auto), or each batch comes from the host. So many first channels as
    `float16_channels` says, the charges usually, are rounded to float16, in which a GPU holds them.
    """

    path: Text
    target: Text = "labels"
    events: Text = "event_data"
    axes: Literal["NHWC", "NCHW", "NHW"] = "NHWC"
    energies: Text = "energies"
    positions: Text = "positions"
    labels: Text = "labels"
    pixels: Text | None = None
    first_pmt: Times = 0
    split: SplitSection = SplitSection()
    select: SelectSection | None = None
    cache: Literal["auto", "memory", "map", "stream"] = "auto"
    device: Literal["auto", "host"] = "auto"
    float16_channels: Whole = 0

    @model_validator(mode="after")
    def _hits_make_nhwc(self) -> "DataSection":
        if self.pixels is not None and self.axes != "NHWC":
            raise ValueError(f"axes are {self.axes}, but images made of hits (pixels) have NHWC; leave axes out")
        return self


class TrainingSection(Section):
    """How each trial trains; what is searched instead stands under `space`."""

    epochs: Count = 12
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    early_stop: Count | None = None
    clip_norm: Positive | None = None
    class_weights: Literal["balanced"] | ClassWeights | None = None
    deterministic: Flag = True
    cuda_graph: Flag = True


class NamedSection(Section):
    """A sampler or pruner by Optuna's name, with its options: ``tpe`` or ``{name: tpe, n_startup_trials: 20}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: Text

    @property
    def options(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


def _named(value: object) -> object:
    if value is None:
        raise ValueError("give a name, or leave the key out; `pruner: none` switches pruning off")
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[NamedSection, BeforeValidator(_named)]


class SearchSection(Section):
    """How parameters are proposed and bad trials stopped; `repeat`: a configuration may be trained again."""

    sampler: Named = NamedSection(name="tpe")
    pruner: Named = NamedSection(name="asha")
    repeat: Flag = False


class ConstraintsSection(Section):
    """What a network may cost; a trial whose network costs more is infeasible and not trained. Null: anything."""

    max_parameters: Count | None = None
    max_latency_ms: Positive | None = None


class RetrySection(Section):
    """How often a trial is taken up again after each class of failure."""

    lost: Times = 3
    oom: Times = 0
    error: Times = 0


class WorkersSection(Section):
    """Devices: ``auto``, ``cpu``, ``cuda:0,cuda:1`` or a list; trials at a time on each; how long a batch may take."""

    devices: Devices = "auto"
    per_device: PerDevice = 1
    stall: Duration | None = 600.0


class LeaseSection(Section):
    """How long a silent agent keeps its trials, and how often it says that it lives."""

    seconds: Duration = 60.0
    renew: Duration = 15.0
    patience: Duration = 1800.0

    @model_validator(mode="after")
    def _renewed_in_time(self) -> "LeaseSection":
        if self.renew * 2 > self.seconds:
            raise ValueError(f"renew ({self.renew:g} s) must be at most half of seconds ({self.seconds:g} s)")
        return self


class FolderSection(Section):
    """Where files go; null means beside the SQLite file, or in the current folder for another database."""

    dir: Text | None = None


class CheckpointSection(FolderSection):
    """Where weights go, and of how many of the best trials they are kept."""

    keep: Count = 5


class StudyConfig(Section):
    """A whole study."""

    study: StudySection = StudySection()
    budget: BudgetSection = BudgetSection()
    data: DataSection
    objective: Named = NamedSection(name="multiclass")
    training: TrainingSection = TrainingSection()
    space: dict[str, Any] = {}
    constraints: ConstraintsSection = ConstraintsSection()
    search: SearchSection = SearchSection()
    retry: RetrySection = RetrySection()
    workers: WorkersSection = WorkersSection()
    lease: LeaseSection = LeaseSection()
    checkpoint: CheckpointSection = CheckpointSection()
    artifacts: FolderSection = FolderSection()

    @model_validator(mode="before")
    @classmethod
    def _prune_by_choice(cls, tree: Any) -> Any:
        """With several objectives a bad beginning in one of them does not mean a bad trial: nothing is pruned."""
        sections = {key: tree.get(key) for key in ("study", "search")} if isinstance(tree, Mapping) else {}
        study, search = (section or {} for section in sections.values()) if sections else ({}, {})
        if not isinstance(study, Mapping) or not isinstance(search, Mapping):
            return tree
        if study.get("metrics") is None or "pruner" in search:
            return tree
        return {**tree, "search": {**search, "pruner": "none"}}

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
