"""Which study confirms which: by its name, and by when the confirmed one was created."""

from collections.abc import Mapping
from typing import Any

from storage import studies
from storage.database import Database
from storage.studies import StudyRecord

CONFIRMS = "confirms"
"""Among a confirmation's facts: the study that it confirms."""


def confirmation_name(name: str) -> str:
    """The name of the study that confirms the study of that name."""
    return f"{name}-confirm"


def link_to(record: StudyRecord) -> dict[str, Any]:
    """What a confirmation keeps of the study that it confirms.

    Names can be given anew; the time of creation goes with the study into a backup and back.
    """
    return {"study": record.name, "created_at": record.created_at.isoformat()}


def confirmed_study(facts: Mapping[str, Any]) -> str | None:
    """The name that the confirmed study had, or None if the facts are not a confirmation's."""
    link = facts.get(CONFIRMS)
    return None if link is None else str(link["study"])


def confirms(record: StudyRecord, confirmed: StudyRecord) -> bool:
    """Whether a study is the confirmation of another."""
    link = record.facts.get(CONFIRMS)
    return link is not None and link["created_at"] == link_to(confirmed)["created_at"]


def find_confirmation(database: Database, record: StudyRecord) -> StudyRecord | None:
    """The study that confirms this one, or None."""
    found = studies.find_study(database, confirmation_name(record.name))
    return found if found is not None and confirms(found, record) else None
