"""The test events for a confirmation's winner, opened as an export opens them."""

from collections.abc import Mapping

from storage.database import Database
from storage.history import read_trials
from storage.openings import list_openings
from storage.trial_details import find_trials
from study.openings import checked_validation, open_test
from study.plan import build_plan
from study.stored import StoredStudy
from study.weights import trial_weights


def open_for(
    database: Database, search: StoredStudy, number: int, *, opened: bool = True
) -> Mapping[str, float | None] | None:
    """A trial's metrics on the test events: those on record, else computed once and recorded.

    Args:
        search: The study that the trial is of.
        number: The trial's.
        opened: Whether to open the test events if that has not been done.

    Returns:
        None if they are not opened, or the study has none.

    Raises:
        DataError: The data or the trial's weights are not those it was trained with.
    """
    for opening in list_openings(database, search.study_id):
        if opening.number == number:
            return opening.metrics
    if not opened or not search.facts.events["test"]:
        return None
    plan = build_plan(search.config, search.folder)
    (row,) = read_trials(database, search.study_id, list(find_trials(database, search.study_id, [number]).values()))
    with trial_weights(search, plan, row) as weights:
        checked_validation(search, plan, row, weights)
        return open_test(database, search, plan, row, weights).metrics
