"""A study's trials as JSON: each finished one is written once, and a hundred of them compressed once."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial
from optuna_dashboard._serializer import serialize_frozen_trial

from study.web._gzip import Piece, RecentPieces, compressed, digest_of

BLOCK = 100
"""Trials in one compressed piece."""
RECENT = 256
"""Pieces kept of blocks that are not complete, or asked for in part."""

Notes = Mapping[int, Mapping[str, Any]]
"""Attributes of the study that belong to single trials, by the trial's id."""


class Text(NamedTuple):
    """A trial as JSON."""

    body: bytes
    digest: bytes


class TrialTexts:
    """All trials of a study by number. One thread at a time may use it."""

    def __init__(self, study_id: int) -> None:
        """Know no trial yet."""
        self._study_id = study_id
        self._trials: list[FrozenTrial | None] = []
        self._known = 0
        self._open: set[int] = set()
        self._notes: Notes = {}
        self._texts: dict[int, Text] = {}
        self._blocks: dict[int, Piece] = {}
        self._recent = RecentPieces(RECENT)

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def contiguous(self) -> bool:
        """Whether the numbers have no gap; a reader counts on a trial's number being its place."""
        return self._known == len(self._trials)

    def take(self, finished: Iterable[FrozenTrial], unfinished: Iterable[FrozenTrial], notes: Notes) -> None:
        """Take what is new.

        Args:
            finished: Trials that have finished since the last time.
            unfinished: All that have not.
            notes: The study's attributes that belong to trials.
        """
        ids = notes.keys() | self._notes.keys()
        changed = {trial_id for trial_id in ids if notes.get(trial_id) != self._notes.get(trial_id)}
        self._notes = notes
        self._open = set()
        for trial in finished:
            self._put(trial)
        for trial in unfinished:
            self._open.add(trial.number)
            if trial.number >= len(self._trials) or self._trials[trial.number] != trial:
                self._put(trial)
        if changed:
            for known in self._trials:
                if known is not None and known._trial_id in changed:
                    self._drop(known.number)

    def _put(self, trial: FrozenTrial) -> None:
        self._trials += [None] * (trial.number + 1 - len(self._trials))
        self._known += self._trials[trial.number] is None
        self._trials[trial.number] = trial
        self._drop(trial.number)

    def _drop(self, number: int) -> None:
        self._texts.pop(number, None)
        self._blocks.pop(number - number % BLOCK, None)

    def text(self, number: int) -> Text:
        """One trial."""
        known = self._texts.get(number)
        if known is None:
            known = self._texts[number] = self._written(number)
        return known

    def _written(self, number: int) -> Text:
        trial = self._trials[number]
        if trial is None:
            raise LookupError(f"no trial has number {number}")
        # The serializer looks through all attributes it is given, for each trial again.
        notes = dict(self._notes.get(trial._trial_id, {}))
        body = json.dumps(serialize_frozen_trial(self._study_id, trial, notes), separators=(",", ":")).encode()
        return Text(body, digest_of(body))

    def pieces(self, after: int) -> Iterator[Piece]:
        """The trials from a number on, as JSON without a comma between one piece and the next."""
        for start in range(after - after % BLOCK, len(self._trials), BLOCK):
            stop = min(start + BLOCK, len(self._trials))
            whole = start >= after and stop == start + BLOCK and self._open.isdisjoint(range(start, stop))
            yield self._block(start) if whole else self._part(max(start, after), stop)

    def _block(self, start: int) -> Piece:
        if start not in self._blocks:
            texts = [self.text(number) for number in range(start, start + BLOCK)]
            self._blocks[start] = compressed(b",".join(text.body for text in texts))
            for number in range(start, start + BLOCK):
                del self._texts[number]
        return self._blocks[start]

    def _part(self, start: int, stop: int) -> Piece:
        texts = [self.text(number) for number in range(start, stop)]
        digest = digest_of(*(text.digest for text in texts))
        return self._recent.of([b",".join(text.body for text in texts)], digest)
