"""Whether a drilled study is what it would have been without a fault."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from optuna.trial import TrialState
from sqlalchemy import select

from storage.database import Database
from storage.history import TrialRow, read_trials
from storage.studies import load_study
from storage.tables import ATTEMPTS, AttemptState
from study._retraining import differences, retrain_here
from study._training import TrialData, load_trial_data
from study.drill._line import Arrival
from study.plan import Plan
from study.stored import StoredStudy, load_stored
from study.weights import one_thread


def attempts_per_trial(database: Database, name: str) -> list[int]:
    """How many attempts each trial took, by number."""
    return [trial.attempts for trial in read_trials(database, load_study(database, name).study_id)]


def exact_budget(database: Database, name: str) -> Iterator[str]:
    """What contradicts that exactly the budget's trials were started."""
    record = load_study(database, name)
    trials = read_trials(database, record.study_id)
    ours = sum(trial.ours for trial in trials)
    if not record.started == record.budget.trials == ours == len(trials):
        yield f"budget {record.budget.trials}: {record.started} counted, {ours} with attempts, {len(trials)} trials"


def none_lost(database: Database, name: str, killed_workers: int) -> Iterator[str]:
    """What contradicts that every trial has its end, and failed only if its worker was killed."""
    crashes = 0
    for number, trial in enumerate(read_trials(database, load_study(database, name).study_id)):
        if trial.number != number or not trial.state.is_finished():
            yield f"trial {trial.number} is {trial.state.name}, the {number}th by number"
        crashes += trial.failure == "crash"
        if trial.failure not in (None, "crash"):
            yield f"trial {trial.number} failed ({trial.failure}): {trial.attributes.get('reason', trial.message)}"
    if crashes > killed_workers:
        yield f"{crashes} trials crashed, but {killed_workers} workers were killed"


def none_doubled(database: Database, name: str, arrivals: Sequence[Arrival]) -> Iterator[str]:
    """What contradicts that each trial was finished once, by its last attempt, each attempt after the one before."""
    with database.read() as connection:
        columns = (ATTEMPTS.c.trial_id, ATTEMPTS.c.attempt, ATTEMPTS.c.state)
        mine = ATTEMPTS.c.study_id == load_study(database, name).study_id
        rows = connection.execute(select(*columns).where(mine).order_by(ATTEMPTS.c.attempt)).all()
    attempts: dict[int, list[AttemptState]] = defaultdict(list)
    for row in rows:
        attempts[row.trial_id].append(row.state)
        if row.attempt != len(attempts[row.trial_id]):
            yield f"attempt {row.attempt} at the trial with id {row.trial_id} is its {len(attempts[row.trial_id])}th"
    for trial_id, states in attempts.items():
        if states.count(AttemptState.FINISHED) != 1 or states[-1] is not AttemptState.FINISHED:
            yield f"the attempts at the trial with id {trial_id} ended as: {', '.join(states)}"
    finishes = {(a.number, a.attempt) for a in arrivals if (a.step, a.when) == ("finish", "after the commit")}
    for number, count in Counter(number for number, _ in finishes).items():
        if count > 1:
            yield f"{count} attempts finished trial {number}"


def equal_to_references(database: Database, name: str, plan: Plan) -> Iterator[str]:
    """What contradicts that each trial has the bits of the same trial trained here without a fault."""
    stored = load_stored(database, name)
    data = load_trial_data(plan, stored.facts)
    with one_thread():
        for trial in read_trials(database, stored.study_id):
            yield from _differences(stored, plan, data, trial)


def _differences(stored: StoredStudy, plan: Plan, data: TrialData, trial: TrialRow) -> Iterator[str]:
    """Of a trial that was pruned, or whose worker was killed, as far as it came."""
    again = retrain_here(plan, stored.facts, trial, data, "cpu", epochs=len(trial.values))
    for difference in differences(plan, trial, (), again):
        yield f"trial {trial.number}, {trial.attempts} attempts: {difference.part}: {difference.text}"
    if trial.state is TrialState.COMPLETE and trial.weights is None:
        yield f"trial {trial.number}: it is complete and has no weights"
