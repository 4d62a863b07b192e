"""The studies' half of our Optuna storage."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from storage import _optuna, _study_rows
from storage._operations import new_token, once
from storage.database import Database, retried

T = TypeVar("T")


class StudiesPart(BaseStorage):
    """What Optuna's `BaseStorage` says of studies; every call is one transaction, tried again while it may pass."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """What it reads and writes through."""
        return self._database

    def _reading(self, work: Callable[[Connection], T]) -> T:
        return _read(self._database, work)

    def _writing(self, work: Callable[[Connection], T]) -> T:
        return _write(self._database, work)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """See `BaseStorage`."""

        def work(connection: Connection) -> int:
            study_id: int = once(connection, token, lambda: _study_rows.create(connection, directions, study_name))
            return study_id

        token = new_token()
        try:
            return self._writing(work)
        except IntegrityError as error:  # another process created it between our look and our insert
            raise DuplicatedStudyError(f"a study named {study_name!r} exists") from error

    def delete_study(self, study_id: int) -> None:
        """See `BaseStorage`."""
        self._writing(lambda connection: _study_rows.remove(connection, study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """See `BaseStorage`."""
        table = _optuna.STUDY_USER_ATTRIBUTES
        self._writing(lambda connection: _study_rows.set_attribute(connection, table, study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """See `BaseStorage`."""
        table = _optuna.STUDY_SYSTEM_ATTRIBUTES
        self._writing(lambda connection: _study_rows.set_attribute(connection, table, study_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """See `BaseStorage`."""
        return self._reading(lambda connection: _study_rows.id_of(connection, study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """See `BaseStorage`."""
        return self._reading(lambda connection: _study_rows.require(connection, study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See `BaseStorage`."""
        return self._reading(lambda connection: _study_rows.directions(connection, study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """See `BaseStorage`."""
        table = _optuna.STUDY_USER_ATTRIBUTES
        return self._reading(lambda connection: _study_rows.attributes(connection, table, study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See `BaseStorage`."""
        table = _optuna.STUDY_SYSTEM_ATTRIBUTES
        return self._reading(lambda connection: _study_rows.attributes(connection, table, study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        """See `BaseStorage`; by id."""
        return self._reading(_study_rows.read_all)


@retried
def _read(database: Database, work: Callable[[Connection], T]) -> T:
    with database.read() as connection:
        return work(connection)


@retried
def _write(database: Database, work: Callable[[Connection], T]) -> T:
    with database.write() as connection:
        return work(connection)
