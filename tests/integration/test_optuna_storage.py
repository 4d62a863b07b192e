"""Our storage is an Optuna storage: Optuna's own conformance suite, unchanged, on every database."""

from collections.abc import Iterator

import pytest
from optuna.testing.pytest_storages import StorageTestCase

from storage.trial_storage import TrialStorage
from storage.trials import open_storage


@pytest.fixture
def storage(url: str) -> Iterator[TrialStorage]:
    opened = open_storage(url)
    yield opened
    opened.close()


class TestStorage(StorageTestCase):
    """Every test of Optuna's suite."""
