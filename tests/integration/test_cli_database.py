import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner, Result

from study.cli import database


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that does not exist; the server that was made in it is stopped."""
    parent = Path(tempfile.mkdtemp(prefix="studyhall-server-"))
    parent.chmod(0o755)  # root's server runs under another account
    yield parent / "my server"
    run("stop", parent / "my server")
    shutil.rmtree(parent)


def run(command: str, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(database.app, [command, "--dir", str(folder), *options])


def test_a_server_is_started_shown_and_stopped_without_showing_its_password(folder: Path) -> None:
    answers = [run("start", folder), run("start", folder), run("status", folder), run("stop", folder)]
    answers += [run("stop", folder), run("status", folder)]

    assert [answer.exit_code for answer in answers] == [0, 0, 0, 0, 0, 1]
    started, again, shown, stopped, idle, last = (answer.output for answer in answers)
    assert "started: postgresql://studyhall:***@127.0.0.1:" in started
    assert f"export STUDYHALL_STORAGE=$(cat '{folder}/address')" in started
    assert "was running already" in again
    assert "state: running" in shown
    assert (stopped, idle) == ("stopped\n", "was not running\n")
    assert "state: stopped" in last
    password = make_url((folder / "address").read_text().strip()).password
    assert not any(str(password) in answer.output for answer in answers)


def test_the_status_is_json_on_request(folder: Path) -> None:
    run("start", folder)

    status = json.loads(run("status", folder, "--json").output)

    assert status["running"] is True
    assert status["pid"] > 0
    assert status["connections"] == 0


def test_listening_beyond_this_host_needs_consent(folder: Path) -> None:
    refused = run("start", folder, "--listen", "0.0.0.0")

    assert refused.exit_code == 2
    assert "--allow-network" in refused.output
    assert not folder.exists()


@pytest.mark.parametrize("command", ["stop", "status"])
def test_a_folder_without_a_server_is_bad_input(tmp_path: Path, command: str) -> None:
    refused = run(command, tmp_path)

    assert refused.exit_code == 2
    assert "database start --dir" in refused.output
