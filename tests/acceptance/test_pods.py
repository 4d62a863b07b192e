"""The manifests' containers do their work with the rights that they are given, and end as the jobs' policies expect."""

import http.client
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hosts
import pods
import pytest
from kustomizations import FOLDER, rendered
from lab import ODD, Lab, until
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from storage.errors import DatabaseError
from storage.history import TrialRow
from storage.private_server import PrivateServer

pytestmark = pytest.mark.engine

NAME = "cherenkov-pid"
USER = 10001
TOKEN = secrets.token_hex(32)
LONG_S = 240.0
CALM = {
    "space": ODD | {"odd.pause": 0.2},
    "training": {"epochs": 5},
    "search": {"pruner": "none"},
    "checkpoint": {"dir": "files"},
}


class Cluster:
    """A database as `base` expects it, and hosts for the pods."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = hosts.Network(folder, ("database", "dashboard", "create-study", "worker-0", "worker-1"))
        self.server = PrivateServer(folder / "server")
        self.lab = Lab(folder / "data" / "pid", "postgresql://nowhere/")

    def set_up(self) -> None:
        """Start the database, which stands for the StatefulSet, and know its password as the secret does."""
        self.network.make()
        start = f"studyhall database start --dir {self.server.folder} --listen 0.0.0.0 --port 5432 --allow-network"
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LAB_MARK": self.lab.mark}
        subprocess.run(self.network["database"].shell(start), env=path, check=True)
        url = make_url(self.server.url())
        self.lab.url = url.set(host="127.0.0.1").render_as_string(hide_password=False)
        known = {"database": {"PGPASSWORD": str(url.password)}, "dashboard": {"STUDYHALL_DASHBOARD_TOKEN": TOKEN}}
        data = self.folder / "data"
        self.pods = pods.Pods(rendered(FOLDER / "base"), known, self.network, data, self.lab.mark)

    def write_study(self) -> None:
        """Put the study's files on the volume."""
        self.lab.study("study", study={"name": NAME}, budget={"trials": 8}, **CALM)
        pods.own(self.folder / "data", USER)

    def trials(self) -> list[TrialRow]:
        """The study's trials; none while there is no study."""
        with self.network["database"].inside():
            try:
                return self.lab.trials(NAME)
            except DatabaseError:
                return []

    def answer(self, path: str, **headers: str) -> int:
        """The status with which the dashboard's pod answers; 0 while it does not."""
        with self.network["dashboard"].inside():
            connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
            try:
                connection.request("GET", path, headers=headers)
                return connection.getresponse().status
            except OSError:
                return 0
            finally:
                connection.close()

    def said(self, name: str) -> str:
        """What a pod has logged."""
        return self.log(name).read_text(encoding="utf-8", errors="replace")

    def log(self, name: str) -> Path:
        """Where a pod's log lies."""
        return self.folder / f"{name}.log"

    def tear_down(self) -> None:
        """Leave nothing."""
        try:
            if self.server.folder.is_dir():
                self.server.stop()
        finally:
            self.network.remove()
        if hasattr(self, "pods"):
            self.pods.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    missing = hosts.what_is_missing() or pods.missing()
    assert not missing, f"this test {missing}"
    folder = Path(tempfile.mkdtemp(prefix="studyhall-pods-"))
    folder.chmod(0o755)  # the account under which root runs the server must be able to pass
    made = Cluster(folder)
    try:
        made.set_up()
        yield made
    finally:
        made.tear_down()
        shutil.rmtree(folder)
    assert made.network.left_over() == []
    assert made.lab.processes() == []


def test_dashboard_and_jobs_do_their_work_with_the_rights_of_their_manifests(cluster: Cluster) -> None:
    cluster.write_study()

    tables = cluster.pods.start("Deployment", "dashboard", "tables", host="dashboard", log=cluster.log("tables"))
    assert tables.wait(LONG_S) == 0, cluster.said("tables")
    dashboard = cluster.pods.start(
        "Deployment", "dashboard", "dashboard", host="dashboard", log=cluster.log("dashboard")
    )
    assert until(lambda: cluster.answer("/login") == 200), cluster.said("dashboard")
    create = cluster.pods.start("Job", "create-study", "create", host="create-study", log=cluster.log("create"))
    assert create.wait(LONG_S) == 0, cluster.said("create")
    agents = [
        cluster.pods.start("Job", "worker", "worker", host=name, log=cluster.log(name))
        for name in ("worker-0", "worker-1")
    ]
    assert until(lambda: sum(bool(t.values) and t.state is TrialState.RUNNING for t in cluster.trials()) == 2, LONG_S)
    told = pods.terminate(agents.pop(), 120)
    agents.append(cluster.pods.start("Job", "worker", "worker", host="worker-1", log=cluster.log("worker-1")))

    assert told == 130, cluster.said("worker-1")
    assert [agent.wait(LONG_S) for agent in agents] == [0, 0], [cluster.said("worker-0"), cluster.said("worker-1")]
    assert [(trial.number, trial.state) for trial in cluster.trials()] == [(n, TrialState.COMPLETE) for n in range(8)]
    assert "handed back" in cluster.said("worker-1")
    token = {"Authorization": f"Bearer {TOKEN}"}
    assert [cluster.answer("/studyhall/api/studies"), cluster.answer("/studyhall/api/studies", **token)] == [401, 200]
    assert pods.terminate(dashboard, 60) == 143, cluster.said("dashboard")


def test_an_agent_without_a_study_ends_with_the_status_that_fails_the_job(cluster: Cluster) -> None:
    tables = cluster.pods.start("Deployment", "dashboard", "tables", host="dashboard", log=cluster.log("tables"))
    assert tables.wait(LONG_S) == 0, cluster.said("tables")

    agent = cluster.pods.start(
        "Job", "worker", "worker", host="worker-0", log=cluster.log("worker-0"), STUDY_NAME="another"
    )

    assert agent.wait(LONG_S) == 2, cluster.said("worker-0")
