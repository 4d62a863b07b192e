"""What a process that could not put all events on its device keeps of them; stand-ins for what only CUDA has."""

import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from objectives._resident import Resident
from study import _holder, _residence
from study._holder import Alone, _Holder

PARTS: Any = SimpleNamespace(
    training=SimpleNamespace(source=None, axes="NHW", float16_channels=0),
    validation=SimpleNamespace(source=None, axes="NHW", float16_channels=0),
)
NO_LINE: Any = None


@pytest.fixture
def full(monkeypatch):
    """A device with room for one part only; whether that part was still in use, each time its memory was given back."""
    uploaded, seen = [], []

    def upload(*_):
        if uploaded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        tensor = torch.zeros(1, 1, 1, 1)
        uploaded.append(weakref.ref(tensor))
        return Resident((tensor,))

    monkeypatch.setattr(Resident, "upload", upload)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(uploaded[0]() is not None))
    for module in (_holder, _residence):
        monkeypatch.setattr(module, "bytes_of", lambda data: 0)
    return seen


def test_a_holder_that_holds_nothing_gives_back_what_it_had_filled(full):
    holder = _Holder(PARTS, "cpu", 1)

    assert holder._first() == Alone("CUDA out of memory")
    assert full == [False]


def test_a_worker_whose_own_copy_does_not_fit_gives_back_what_it_had_filled(full, monkeypatch):
    monkeypatch.setattr(_residence, "end_with_peer", lambda line, status: None)
    monkeypatch.setattr(_residence, "_answer", lambda line: Alone("no sharing", fits=True))

    data, told = _residence.settle(NO_LINE, PARTS, "cuda:0")

    assert data is PARTS
    assert told.endswith("each batch comes from the host: CUDA out of memory")
    assert full == [False]
