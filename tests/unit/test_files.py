"""Files: whole or not at all, on a file system and at an fsspec URL."""

import uuid
from pathlib import Path

import pytest

from storage import files


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    return str(tmp_path / "files") if request.param == "folder" else f"memory://{uuid.uuid4().hex}"


def test_what_is_written_is_read_back(place):
    files.write_file(files.join(place, "trial-1", "a.pt"), b"content")

    assert files.read_file(files.join(place, "trial-1", "a.pt")) == b"content"
    assert files.list_folder(files.join(place, "trial-1")) == ["a.pt"]


def test_writing_again_replaces(place):
    name = files.join(place, "a.pt")
    files.write_file(name, b"old")

    files.write_file(name, b"new")

    assert files.read_file(name) == b"new"


def test_reading_what_is_not_there_is_an_os_error(place):
    with pytest.raises(OSError, match=r"none\.pt"):
        files.read_file(files.join(place, "none.pt"))


def test_a_folder_is_removed_with_all_it_holds_and_removing_nothing_is_fine(place):
    files.write_file(files.join(place, "trial-1", "a.pt"), b"content")

    files.remove(files.join(place, "trial-1"))
    files.remove(files.join(place, "trial-1"))

    assert not files.exists(files.join(place, "trial-1"))
    assert files.list_folder(files.join(place, "trial-1")) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    name = str(tmp_path / "a.pt")
    files.write_file(name, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_file(name, b"new")

    assert Path(name).read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pt"]
