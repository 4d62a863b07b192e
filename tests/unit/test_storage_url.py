from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from storage._filesystem import network_filesystem
from storage.database import database_url, redacted
from storage.errors import DatabaseError


class Mount(NamedTuple):
    mountpoint: str
    fstype: str


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[Mount]:
    found = [Mount("/", "ext4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)
    return found


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ("postgres://u:p@h/lab", "postgresql+psycopg://u:p@h/lab"),
        ("postgresql://u:p@h:5433/lab?sslmode=require", "postgresql+psycopg://u:p@h:5433/lab?sslmode=require"),
        ("postgresql+psycopg2://h/lab", "postgresql+psycopg://h/lab"),
        ("mysql://h/lab", "mysql+pymysql://h/lab"),
        ("mysql+mysqldb://h/lab", "mysql+pymysql://h/lab"),
        ("mariadb://u:p%40ss@h/lab", "mysql+pymysql://u:p%40ss@h/lab"),
    ],
)
def test_a_server_is_opened_with_the_driver_that_is_installed(given: str, opened: str) -> None:
    assert database_url(given).render_as_string(hide_password=False) == opened


@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite+pysqlite:///{}", "{}"])
def test_an_sqlite_file_is_found_from_every_folder(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert database_url(form.format("study.db")).database == str(tmp_path / "study.db")
    assert database_url(form.format(tmp_path / "study.db")).database == str(tmp_path / "study.db")


@pytest.mark.parametrize("given", ["what:s3cret@ever", "", "study", "postgresql:me:s3cret@host/lab", "study.yaml"])
def test_what_is_no_url_is_refused_with_what_is_accepted(given: str) -> None:
    with pytest.raises(DatabaseError, match=r"is no database URL; accepted: sqlite:///FILE\.db, postgresql") as caught:
        database_url(given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("oracle://me:s3cret@h/lab", "'oracle' is not supported; accepted: sqlite"),
        ("redis://:s3cret@h", "'redis' is not supported"),
        ("sqlite+pysqlcipher://:s3cret@/lab.db", "not supported"),
        ("postgresql://me:s3cret@h:port/lab", "is no database URL"),
        ("postgresql://me:a@s3cret@h/lab", "%40"),
        ("mysql://me:s3cret@h", "names no database"),
        ("sqlite://", "lives in memory"),
        ("sqlite:///:memory:", "lives in memory"),
        ("sqlite:///file::memory:?cache=shared&uri=true", "lives in memory"),
        ("sqlite:///file:lab.db?mode=memory&uri=true", "lives in memory"),
        ("sqlite:///file:lab.db?mode=ro&uri=true", "the file's path alone"),
        ("sqlite://study.db", "write three slashes before a file: sqlite:///study.db"),
        ("sqlite:////no/such/folder/study.db", "the folder /no/such/folder does not exist; create it first"),
        ("sqlite:////tmp", "/tmp is a folder; name a file in it"),
    ],
)
def test_a_url_that_cannot_serve_is_refused_with_the_remedy(given: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint) as caught:
        database_url(given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:s3cret@h/lab", "postgresql://me:***@h/lab"),
        ("postgresql://h/lab?user=me&password=s3cret", "postgresql://h/lab?user=me"),
        ("mysql://h/lab?passwd=s3cret&charset=utf8mb4", "mysql://h/lab?charset=utf8mb4"),
        ("postgresql://me:a@s3cret@h/lab", "postgresql://***@h/lab"),
        ("postgresql:me:a@s3cret@h/lab", "postgresql:***@h/lab"),
        ("me:s3cret@h", "me:***@h"),
        ("sqlite:////data/study.db", "sqlite:////data/study.db"),
        ("study", "study"),
    ],
)
def test_a_password_is_never_shown(given: str, shown: str) -> None:
    assert redacted(given) == shown


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "gpfs", "beegfs", "cifs", "fuse.sshfs", "9p", "ceph", "NFS"])
def test_sqlite_on_a_network_file_system_is_refused(kind: str, mounts: list[Mount], tmp_path: Path) -> None:
    mounts.append(Mount(str(tmp_path), kind))

    with pytest.raises(DatabaseError, match=f"lies on {kind.lower()}, where SQLite's locks are not safe"):
        database_url(f"sqlite:///{tmp_path}/study.db")


def test_a_link_to_a_network_file_system_is_refused(mounts: list[Mount], tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "study.db").symlink_to(tmp_path / "far" / "study.db")
    mounts.append(Mount(str(tmp_path / "far"), "nfs4"))

    with pytest.raises(DatabaseError, match="lies on nfs4"):
        database_url(f"sqlite:///{tmp_path}/study.db")


@pytest.mark.parametrize(
    ("mounted", "kind"),
    [
        ([Mount("/data", "nfs4"), Mount("/data/local", "xfs")], None),
        ([Mount("/data/local", "xfs"), Mount("/data", "nfs4")], None),
        ([Mount("/data/local", "autofs"), Mount("/data/local", "nfs4")], "nfs4"),
        ([Mount("/data/loc", "nfs4")], None),
        ([Mount("/data", "fuseblk")], None),
    ],
)
def test_the_innermost_and_latest_mount_counts(mounts: list[Mount], mounted: list[Mount], kind: str | None) -> None:
    mounts.extend(mounted)

    assert network_filesystem(Path("/data/local/study")) == kind
