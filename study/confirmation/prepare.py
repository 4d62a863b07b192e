"""The study in which a search's leaders are trained again: created once, and grown when more is asked for."""

from collections.abc import Sequence

import numpy as np

from storage import _study_rows, studies
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import ConfigError
from storage.history import TrialRow, read_trials
from storage.retrainings import add_retrainings
from storage.studies import Budget, StudyRecord
from study.config import BudgetSection, ConstraintsSection, NamedSection, SearchSection, StudyConfig
from study.confirmation.link import CONFIRMS, confirmation_name, confirmed_study, find_confirmation, link_to
from study.leaders import leaders
from study.loading import validated
from study.plan import build_plan
from study.stored import StoredStudy, decoded, files_folder, resume

SEED_KEY = int.from_bytes(b"conf")
"""Makes the seeds of a confirmation others than those of its search."""

RANDOM, NO_PRUNER = NamedSection(name="random"), NamedSection(name="none")


def prepare_confirmation(database: Database, url: str, search: StoredStudy, *, top: int, seeds: int) -> int:
    """Enqueue every retraining of the best trials that is not there yet, in a study made for them; their number.

    Safe in several processes at once. What was asked for before stays: a smaller `top` or `seeds` takes nothing away.

    Args:
        database: Has the study.
        url: Of the database.
        search: The study whose best trials are trained again.
        top: So many of its best complete trials, or all if it has fewer.
        seeds: How often each is trained.

    Raises:
        ConfigError: It has no complete trial or several objectives, is a confirmation itself, or the name of
            its confirmation is taken.
    """
    of = confirmed_study(search.record.facts)
    if of is not None:
        raise ConfigError(f"study {search.name!r} is itself the confirmation of {of!r}; give that name")
    if len(search.objectives) > 1:
        names = ", ".join(objective.name for objective in search.objectives)
        raise ConfigError(
            f"study {search.name!r} has several objectives ({names}), so its best are a front; confirm ranks by one"
        )
    best = leaders(read_trials(database, search.study_id), *search.directions)[:top]
    if not best:
        raise ConfigError(f"study {search.name!r} has no complete trial to confirm")
    _check_inside(search, best)
    record = _study(database, url, search, len(best) * seeds)
    if record.config["space"] != search.record.config["space"]:
        raise ConfigError(
            f"the space of study {search.name!r} was changed after its confirmation had begun; `studyhall delete "
            f"{record.name}`, and confirm anew"
        )
    parameters = {row.number: row.parameters for row in best}
    added = add_retrainings(database, record.study_id, parameters, seeds, changed_by=user_and_host())
    resume(database, decoded(record))
    return added


def _check_inside(search: StoredStudy, best: Sequence[TrialRow]) -> None:
    """Refuse trials that the study's space, which was changed after them, would not train again as they were."""
    space = build_plan(search.config, search.folder).space
    searched = {parameter.name: parameter.range for parameter in space.searched}
    for row in best:
        for name, value in row.parameters.items():
            known = searched[name].contains(value) if name in searched else space.fixed.get(name, value) == value
            if not known:
                raise ConfigError(
                    f"trial {row.number} has {name} = {value!r}, which the space of {search.name!r} has no longer; "
                    "confirm fewer (--top), or take it into the space by `studyhall migrate`"
                )


def _study(database: Database, url: str, search: StoredStudy, trials: int) -> StudyRecord:
    """The confirmation's study, made if it is missing; nothing is in it before `add_retrainings`."""
    name = confirmation_name(search.name)
    if not _exists(database, name):
        _create(database, url, search, name, trials)
    found = find_confirmation(database, search.record)
    if found is None:
        raise ConfigError(
            f"there is a study {name!r}, and it does not confirm this study {search.name!r}; if it is that of "
            f"an earlier study of the name, `studyhall delete {name}`, else move it (backup, restore --as, delete)"
        )
    return found


def _exists(database: Database, name: str) -> bool:
    """Whether there is a study of that name, ours or another Optuna program's."""
    with database.read() as connection:
        try:
            _study_rows.id_of(connection, name)
        except KeyError:
            return False
    return True


def _create(database: Database, url: str, search: StoredStudy, name: str, trials: int) -> None:
    config = _config(search, name, trials)
    facts = {
        **search.record.facts,
        "files": files_folder(database, build_plan(config, search.folder)),
        CONFIRMS: link_to(search.record),
    }
    studies.create_study(
        url,
        name,
        directions=search.directions,
        metric_names=[objective.name for objective in search.objectives],
        config=config.to_json(),
        facts=facts,
        budget=Budget(0, None),  # an agent that joins before the retrainings are enqueued must start no trial
    )


def _config(search: StoredStudy, name: str, trials: int) -> StudyConfig:
    """The search's configuration, but for what makes a search of it."""
    given = search.config
    seed = int(np.random.SeedSequence([given.study.seed, SEED_KEY]).generate_state(1, np.uint32)[0])
    changed = given.model_copy(
        update={
            "study": given.study.model_copy(update={"name": name, "seed": seed}),
            "budget": BudgetSection(trials=trials, trial_timeout=given.budget.trial_timeout),
            "constraints": ConstraintsSection(),  # the leaders have met them, and a time is not the same twice
            "search": SearchSection(sampler=RANDOM, pruner=NO_PRUNER, repeat=True),
        }
    )
    return validated(changed.to_json(), default_name=name, source=f"the confirmation of study {search.name!r}")
