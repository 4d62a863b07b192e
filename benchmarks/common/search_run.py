"""An asynchronous search over recorded curves: slots train an epoch at a time, as long as it took when recorded."""

import copy
import heapq
import math
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

import numpy as np
import optuna
from curve_table import CurveTable
from curve_tasks import EPOCHS, plan_of
from numpy.typing import NDArray
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from storage._rungs import Rung
from storage.trials import quiet_optuna
from study._halving import Halving
from study._pausing import PER_WORKER
from study._sampling import sample
from study._standings import Standings
from study.search import make_sampler


@dataclass(frozen=True)
class Method:
    """A sampler with a pruner.

    Attributes:
        name: in the table.
        sampler: the section `search.sampler` of the study file; of a stock one its name alone counts.
        stock: whether plain Optuna runs it, by its own study with MedianPruner; else our code does.
        halving: options of our rule; None trains every trial to its end.
        fair: whether the sampler is shown our order of the trials.
        pause: whether trials wait at their rung, and go on when they are promoted, instead of being stopped.
        foresees: what knows how trials end, for a bound: a "pruner", which stops after their first epoch those that
            would not come to the goal, or a "sampler", which proposes no such ones.
    """

    name: str
    sampler: dict[str, Any] = field(default_factory=lambda: {"name": "tpe"})
    stock: bool = False
    halving: dict[str, Any] | None = None
    fair: bool = False
    pause: bool = False
    foresees: str | None = None

    def definition(self) -> dict[str, Any]:
        """What differs from the defaults, but the name."""
        return {f.name: getattr(self, f.name) for f in fields(self)[1:] if getattr(self, f.name) != _default(f)}


def _default(of: Field[Any]) -> Any:
    return of.default if of.default_factory is MISSING else of.default_factory()


@dataclass
class Course:
    """What a search came to.

    Attributes:
        epochs: trained when the best complete trial became better.
        regrets: of that trial.
        used: epochs trained in all.
    """

    epochs: list[int] = field(default_factory=list)
    regrets: list[float] = field(default_factory=list)
    trials: int = 0
    used: int = 0

    def to_regret(self, regret: float) -> float:
        """Epochs until the regret was at most this; infinite if it never was."""
        return next((e for e, r in zip(self.epochs, self.regrets, strict=True) if r <= regret), math.inf)


class Search:
    """One run of a method on a task."""

    def __init__(self, method: Method, table: CurveTable, slots: int, seed: int) -> None:
        quiet_optuna()
        self._method, self._table, self._slots, self._seed = method, table, slots, seed
        self._plan = plan_of(table.task, seed, method.sampler)
        self._storage = InMemoryStorage()
        pruner = MedianPruner() if method.stock else NopPruner()
        sampler: BaseSampler = (TPESampler if method.sampler["name"] == "tpe" else RandomSampler)(seed=seed)
        self._study = optuna.create_study(
            storage=self._storage, direction=table.direction, pruner=pruner, sampler=sampler
        )
        self._sign = 1.0 if table.direction == "maximize" else -1.0
        self._halving = None if method.halving is None else Halving(table.direction, **method.halving)
        rungs = () if self._halving is None else self._halving.rungs(EPOCHS)
        self._standings = Standings(rungs, table.direction)
        self._rungs = {rung: Rung() for rung in rungs}
        self._curves: dict[int, tuple[NDArray[np.float64], float]] = {}
        """Values of the epochs, and the seconds of one, by trial id."""
        self._waiting: dict[int, int] = {}
        """Rung by trial id."""
        self._trials: dict[int, optuna.Trial] = {}
        self._goal = 0.0

    def run(self, budget: int, regret: float) -> Course:
        """Search until so many epochs are trained, or the regret is reached."""
        course, best = Course(), math.nan
        self._goal = regret
        queue: list[tuple[float, int, int, int]] = []  # time of the epoch's end, slot, trial id, epoch
        for slot in range(self._slots):
            trial_id, epoch = self._next()
            queue.append((self._seconds(trial_id) * (1 + 1e-3 * slot), slot, trial_id, epoch))
        heapq.heapify(queue)
        while course.used < budget:
            now, slot, trial_id, epoch = heapq.heappop(queue)
            course.used += 1
            ended = self._report(trial_id, epoch)
            if ended is TrialState.COMPLETE:
                value = self._value(trial_id, EPOCHS)
                if math.isnan(best) or self._sign * value > self._sign * best:
                    best = value
                    course.epochs.append(course.used)
                    course.regrets.append(self._table.regret(best))
                    if course.regrets[-1] <= regret:
                        break
            trial_id, epoch = (trial_id, epoch + 1) if ended is None else self._next()
            heapq.heappush(queue, (now + self._seconds(trial_id), slot, trial_id, epoch))
        course.trials = len(self._curves)
        return course

    def _seconds(self, trial_id: int) -> float:
        return self._curves[trial_id][1]

    def _value(self, trial_id: int, epochs: int) -> float:
        """The best value of the first epochs."""
        return self._table.value(self._curves[trial_id][0][:epochs])

    def _next(self) -> tuple[int, int]:
        """The trial that an idle slot trains next, and its epoch."""
        for rung in reversed(self._rungs):
            here = [trial_id for trial_id, at in self._waiting.items() if at == rung]
            first = min(here, key=lambda trial_id: self._better(rung, trial_id)[0], default=None)
            if first is not None and not self._stops(rung, first):
                return first, self._waiting.pop(first) + 1
        while True:
            trial_id, sampled = self._stock_trial() if self._method.stock else self._our_trial()
            self._curves[trial_id] = self._table.curve(sampled, [self._seed, len(self._curves)])
            if self._method.foresees != "sampler" or self._is_good(trial_id):
                return trial_id, 1

    def _is_good(self, trial_id: int) -> bool:
        return self._table.regret(self._value(trial_id, EPOCHS)) <= self._goal

    def _stock_trial(self) -> tuple[int, dict[str, Any]]:
        trial = self._study.ask()
        self._trials[trial._trial_id] = trial
        return trial._trial_id, self._plan.space.sample(trial)

    def _our_trial(self) -> tuple[int, dict[str, Any]]:
        trial_id = self._storage.create_new_trial(self._study._study_id)
        number = self._storage.get_trial(trial_id).number
        self._study.sampler = make_sampler(self._plan.config, number, self._plan.space)
        sampled, new = sample(self._study, self._plan.space, trial_id, view=self._shown)
        for name, (value, distribution) in new.items():
            self._storage.set_trial_param(trial_id, name, value, distribution)
        return trial_id, sampled

    def _shown(self, trials: Any) -> list[FrozenTrial]:
        if self._method.fair:
            return self._standings.shown(trials, self._waiting)
        return [_as_pruned(trial) if trial._trial_id in self._waiting else trial for trial in trials]

    def _report(self, trial_id: int, epoch: int) -> TrialState | None:
        """How the trial ends after this epoch, if it does; PRUNED too if it waits."""
        value = float(self._curves[trial_id][0][epoch - 1])
        if math.isnan(value):
            # Ours is told PRUNED, without a value; an objective of plain Optuna's returns NaN, which is told FAIL.
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL if self._method.stock else TrialState.PRUNED)
            return TrialState.FAIL
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        if epoch == EPOCHS:
            self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [self._value(trial_id, EPOCHS)])
            return TrialState.COMPLETE
        if self._method.foresees == "pruner":
            stopped = not self._is_good(trial_id)
        elif self._method.stock:
            stopped = self._method.sampler["name"] == "tpe" and self._trials[trial_id].should_prune()
        elif self._halving is not None and epoch in self._rungs:
            self._rungs[epoch].add(trial_id, value)
            spared = self._halving.spares(epoch, self._storage.get_trial(trial_id).number)
            stopped = not spared and self._stops(epoch, trial_id)
        else:
            stopped = False
        if not stopped:
            return None
        if self._method.pause:
            self._waiting[trial_id] = epoch
            self._give_up_surplus(epoch)
        else:
            self._end(trial_id, epoch)
        return TrialState.PRUNED

    def _better(self, rung: int, trial_id: int) -> tuple[int, int]:
        """How many stand above it at a rung, and how many others have come there."""
        value = float(self._curves[trial_id][0][rung - 1])
        standing = self._rungs[rung].standing(trial_id, value)
        return standing.higher if self._sign > 0 else standing.lower, standing.others

    def _stops(self, rung: int, trial_id: int) -> bool:
        better, others = self._better(rung, trial_id)
        return self._halving is not None and self._halving.stops(0.0, others, better)

    def _give_up_surplus(self, rung: int) -> None:
        here = [trial_id for trial_id, at in self._waiting.items() if at == rung]
        for trial_id in sorted(here, key=lambda trial_id: self._better(rung, trial_id)[0])[PER_WORKER * self._slots :]:
            del self._waiting[trial_id]
            self._end(trial_id, rung)

    def _end(self, trial_id: int, epoch: int) -> None:
        self._storage.set_trial_state_values(trial_id, TrialState.PRUNED, [self._value(trial_id, epoch)])


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state = TrialState.PRUNED
    return shown
