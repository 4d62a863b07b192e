"""The command line in real processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import Lab


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Make folders with events and a database; no process started there outlives the test."""
    labs: list[Lab] = []

    def make(name: str = "lab", url: str | None = None) -> Lab:
        labs.append(Lab(tmp_path / name, url))
        return labs[-1]

    yield make
    for lab in labs:
        lab.clean_up()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """A folder with events and a database on SQLite."""
    return make_lab()
