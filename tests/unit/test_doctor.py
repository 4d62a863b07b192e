import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from study import doctor
from study._gpus import Gpu
from study._nvml import Reading
from study.cli import app
from study.doctor import examine

UNREACHABLE = "postgresql://joe:secret@127.0.0.1:1/studies"


class Usage(NamedTuple):
    total: int = 10**12
    used: int = 0
    free: int = 2**40


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage())


def test_a_healthy_machine_ends_with_0_and_nothing_is_created(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--storage", f"sqlite:///{tmp_path}/x.db"])

    assert result.exit_code == 0
    for subject in ("python", "cpu", "memory", "disk", "torch", "optuna", "gpu", "database"):
        assert f"ok  {subject}: " in result.stdout
    assert not list(tmp_path.iterdir())


def test_an_unreachable_database_ends_with_1_and_keeps_its_password() -> None:
    result = CliRunner().invoke(app, ["doctor", "--storage", UNREACHABLE])

    assert result.exit_code == 1
    assert "bad database: postgresql+psycopg://joe:***@127.0.0.1:1/studies: " in result.stdout
    assert "--storage URL" in result.stdout
    assert "secret" not in result.output


@pytest.mark.parametrize("url", ["rubbish", "redis://x", "sqlite:////no/such/folder/x.db", "sqlite://"])
def test_a_url_that_cannot_be_a_database_ends_with_1(url: str) -> None:
    assert CliRunner().invoke(app, ["doctor", "--storage", url]).exit_code == 1


def test_findings_are_valid_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", "--storage", f"sqlite:///{tmp_path}/x.db"])

    findings = json.loads(result.stdout)
    assert {"subject", "found", "good", "remedy"} == set(findings[0])
    assert all(finding["good"] for finding in findings)


def test_what_is_bad_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free=2**30))

    bad = {finding.subject: finding for finding in examine(UNREACHABLE) if not finding.good}

    assert {"disk", "torch", "h5py", "database"} <= set(bad)
    assert all(finding.remedy for finding in bad.values())
    assert bad["torch"].remedy == "pip install torch"


def test_a_gpu_is_told_with_what_it_does_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = Reading(81920.0, 8192.0, (7,), utilisation=37.0, power_w=251.4, temperature_c=55.0, ecc_errors=2)
    monkeypatch.setattr(doctor, "visible_gpus", lambda: [Gpu("cuda:0", "A GPU", now)])

    (gpu,) = (finding for finding in examine(UNREACHABLE) if finding.subject == "gpu")

    assert gpu.good
    assert "72.0 of 80.0 GiB free, used by process 7), 37 % busy, 251 W, 55 °C, 2 uncorrectable" in gpu.found


def test_a_gpu_that_is_out_of_order_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Gpu("cuda:0", "A GPU"), Gpu("cuda:1", "A GPU", Reading(fault="GPU is lost"))]
    monkeypatch.setattr(doctor, "visible_gpus", lambda: gpus)

    (gpu,) = (finding for finding in examine(UNREACHABLE) if finding.subject == "gpu")

    assert not gpu.good
    assert "cuda:1 (A GPU, out of order: GPU is lost)" in gpu.found
    assert gpu.remedy.startswith("reset cuda:1 or restart")
