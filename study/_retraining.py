"""A trial trained once more, and in what it differs from the record: bit for bit, or not at all."""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from optuna.trial import TrialState
from safetensors import SafetensorError
from safetensors.torch import load

from objectives._fit_settings import EpochResult
from storage import files
from storage.history import TrialRow
from study._training import WEIGHTS_DIGEST, TrialData, TrialRun
from study._trial_log import epoch_line
from study._trial_record import epoch_json
from study.plan import Facts, Plan

logger = logging.getLogger(__name__)

TIMES = ("seconds", "events_per_second")
"""Of an epoch: they are never the same."""


@dataclass(frozen=True)
class Retrained:
    """A training to compare with.

    Attributes:
        value: The study's metric at the best epoch; NaN when there is none.
        digest: Of the best epoch's weights, SHA-256; None when there are none.
        weights: The best epoch's weights in safetensors format, or None when they were not kept.
    """

    epochs: Sequence[EpochResult]
    value: float
    digest: str | None
    weights: bytes | None


@dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded.

    Attributes:
        part: ``epochs``, ``value`` or ``weights``.
        text: What was recorded and what there is now.
    """

    part: str
    text: str


def epochs_of(row: TrialRow) -> int | None:
    """How many epochs to train for the same end: as far as a trial came; None if it ended by itself."""
    return None if row.state is TrialState.COMPLETE else max(row.values, default=0)


def retrain_here(
    plan: Plan, facts: Facts, row: TrialRow, data: TrialData, device: str, *, epochs: int | None
) -> Retrained:
    """Train a trial in this process, with this process's threads.

    Args:
        device: Torch's name.
        epochs: As `epochs_of` gives it.

    Raises:
        NonFiniteLoss: The loss is no number any more.
    """
    run = TrialRun(plan, facts, row.number, row.parameters, device)
    results = []
    for result in islice(run.epochs(data, should_stop=lambda: False), epochs):
        logger.info("%s", epoch_line(epoch_json(result)))
        results.append(result)
    if not results:
        return Retrained([], math.nan, None, None)
    weights = run.weights()
    return Retrained(results, run.value, digest_of(weights), weights)


def digest_of(weights: bytes) -> str:
    """What tells whether two trials' weights are the same."""
    return hashlib.sha256(weights).hexdigest()


def differences(
    plan: Plan, row: TrialRow, history: Sequence[Mapping[str, Any]], again: Retrained
) -> Iterator[Difference]:
    """All in which a training differs from the record of a trial.

    Args:
        plan: The study.
        row: The trial.
        history: Its epochs as `study.curves.read_history` gives them; may lack some, which are not compared.
        again: The training.
    """
    yield from _epochs(plan.metric, row, history, again)
    if row.value is not None and not _same(row.value, again.value):
        yield Difference("value", f"{plan.metric} {_changed(row.value, again.value)}")
    yield from _weights(row, again)


def _epochs(metric: str, row: TrialRow, history: Sequence[Mapping[str, Any]], again: Retrained) -> Iterator[Difference]:
    if row.state is TrialState.COMPLETE or len(again.epochs) < len(row.values):
        recorded = max(row.values, default=0)
        if recorded != len(again.epochs):
            yield Difference("epochs", f"{recorded} epochs on record, {len(again.epochs)} now")
    known = {int(epoch["epoch"]): _flat(epoch) for epoch in history}
    found: list[tuple[int, str]] = []
    for result in again.epochs:
        now = _flat(epoch_json(result))
        before = {key: value for key, value in known.get(result.epoch, {}).items() if key in now}
        lines = [f"{key} {_changed(value, now[key])}" for key, value in before.items() if not _same(value, now[key])]
        if result.epoch in row.values and not _same(row.values[result.epoch], result.metrics[metric]):
            lines.insert(0, f"reported {metric} {_changed(row.values[result.epoch], result.metrics[metric])}")
        if lines:
            found.append((result.epoch, "; ".join(lines)))
    if found:
        more = f" ({len(found) - 1} later epochs differ too)" if len(found) > 1 else ""
        yield Difference("epochs", f"epoch {found[0][0]} is the first that differs: {found[0][1]}{more}")


def _weights(row: TrialRow, again: Retrained) -> Iterator[Difference]:
    recorded = row.attributes.get(WEIGHTS_DIGEST)
    if recorded is not None and recorded != again.digest:
        yield Difference("weights", f"digest {str(recorded)[:16]}… on record, {str(again.digest)[:16]}… now")
    if row.weights is None or again.digest is None:
        return
    if not files.exists(row.weights):
        yield Difference("weights", f"the file {row.weights} is missing")
        return
    kept = files.read_file(row.weights)
    if digest_of(kept) != again.digest:
        changed = recorded is not None and digest_of(kept) != recorded
        why = "has changed since it was recorded; it " if changed else ""
        yield Difference("weights", f"the file {row.weights} {why}differs: {_tensors(kept, again.weights)}")


def _tensors(kept: bytes, weights: bytes | None) -> str:
    """Which tensors of two files differ, and by how much."""
    try:
        before, now = load(kept), load(weights or b"")
    except (SafetensorError, ValueError):
        return "it cannot be read as weights"
    if {name: tensor.shape for name, tensor in before.items()} != {name: t.shape for name, t in now.items()}:
        return "its tensors have other names or shapes"
    changed = {
        name: float((before[name].double() - now[name].double()).abs().max())
        for name in before
        if before[name].numel() and not before[name].equal(now[name])
    }
    shown = ", ".join(f"{name} by up to {largest:.3g}" for name, largest in changed.items())
    return f"{len(changed)} of {len(before)} tensors, {shown}" if changed else "not in its tensors"


def _flat(epoch: Mapping[str, Any]) -> dict[str, Any]:
    tree = {key: value for key, value in epoch.items() if key not in (*TIMES, "metrics", "epoch")}
    return tree | dict(epoch.get("metrics") or {})


def _same(before: Any, now: Any) -> bool:
    both_nan = isinstance(before, float) and isinstance(now, float) and math.isnan(before) and math.isnan(now)
    return bool(before == now) or both_nan


def _changed(before: Any, now: Any) -> str:
    by = f", {now - before:+.3g}" if isinstance(before, int | float) and isinstance(now, int | float) else ""
    return f"{before!r} on record, {now!r} now{by}"
