"""The files of Docker Compose agree with each other, with the command line and with the page about them."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from study.agent import HAND_BACK_S
from study.cli._common import app

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
TREE: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, dict[str, Any]] = TREE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "db"}
WORKERS = ("worker", "worker-gpu")
KEYS = {
    *("build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "image", "init", "logging"),
    *("ports", "profiles", "pull_policy", "restart", "secrets", "security_opt", "shm_size", "stop_grace_period"),
    *("user", "volumes"),
}
"""Of a service, those of the specification that are used."""
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
SETTING = re.compile(r"\$\{(\w+)(?::?[-?][^}]*)?\}")


def accepted(command: list[str]) -> dict[str, Any]:
    """What the command line reads of a command; what it refuses is an error."""
    words = [SETTING.sub("study", word) for word in command]
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        found = found.commands[words.pop(0)]
    given: dict[str, Any] = found.make_context("studyhall", words).params
    return given


def seconds(duration: str) -> float:
    units = {"s": 1, "m": 60}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+)([sm])", duration))


def page_commands() -> list[list[str]]:
    """What docs/compose.md has `docker compose run` do."""
    text = (ROOT / "docs" / "compose.md").read_text()
    found = re.findall(r"docker compose run --rm studyhall ([^`\n]*)", text)
    return [shlex.split(words) for words in found]


def test_the_file_has_the_sections_and_services_that_the_page_names() -> None:
    assert {key for key in TREE if not key.startswith("x-")} == {"name", "services", "secrets", "volumes"}
    assert set(SERVICES) == {"db", "init", "dashboard", *WORKERS, "studyhall"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_only_keys_of_the_specification_and_waits_for_services_that_exist(name: str) -> None:
    service = SERVICES[name]
    waits = service.get("depends_on", {})

    assert set(service) <= KEYS
    assert set(waits) <= set(SERVICES)
    assert {wait["condition"] for wait in waits.values()} <= CONDITIONS
    assert all(
        "healthcheck" in SERVICES[other] for other, wait in waits.items() if wait["condition"] == "service_healthy"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_and_volumes_of_a_service_are_declared(name: str) -> None:
    service = SERVICES[name]
    sources = [volume.split(":")[-2] if "${" not in volume else "./data" for volume in service["volumes"]]

    assert set(service["secrets"]) <= set(TREE["secrets"])
    assert all(source in TREE["volumes"] or source == "./data" for source in sources)
    for text in re.findall(r"/run/secrets/(\w+)", str(service)):
        assert text in service["secrets"]


def test_nothing_in_the_files_is_a_password() -> None:
    texts = [path.read_text() for path in (COMPOSE, ROOT / "Dockerfile", *(ROOT / "deploy" / "compose").iterdir())]

    assert all(
        set(secret) == {"file"} and secret["file"].startswith("./secrets/") for secret in TREE["secrets"].values()
    )
    assert not re.search(r"PASSWORD(?!_FILE)\w*[:=]\s*[^$\s]", "\n".join(texts))
    assert not re.search(r"://[^\s/]*:[^\s/]*@", "\n".join(texts))


@pytest.mark.parametrize("name", [name for name, service in OURS.items() if "command" in service])
def test_a_service_runs_a_command_that_exists_with_options_that_it_has(name: str) -> None:
    assert accepted(SERVICES[name]["command"])


@pytest.mark.parametrize("command", page_commands(), ids=" ".join)
def test_a_command_of_the_page_exists_with_options_that_it_has(command: list[str]) -> None:
    assert accepted(command)


@pytest.mark.parametrize("name", OURS)
def test_no_container_of_ours_has_more_rights_than_a_user(name: str) -> None:
    service = OURS[name]

    assert service["user"] == "${STUDYHALL_UID:-1000}:${STUDYHALL_GID:-1000}"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_dashboard_is_published_to_this_machine_only_unless_somebody_says_otherwise() -> None:
    assert SERVICES["dashboard"]["ports"] == ["${DASHBOARD:-127.0.0.1:8080}:8080"]
    assert "ports" not in SERVICES["db"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_gets_signals_and_the_time_to_hand_its_trials_back(name: str) -> None:
    worker = SERVICES[name]

    assert worker["init"] is True
    assert seconds(worker["stop_grace_period"]) >= 60 > HAND_BACK_S
    assert worker["restart"].startswith("on-failure")
    assert worker["profiles"]


def test_one_service_builds_the_image_that_all_of_ours_run() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["init"]
    assert {service["image"] for service in OURS.values()} == {"studyhall:${TORCH:-cpu}"}


def test_what_is_given_to_the_build_is_an_argument_of_it() -> None:
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))

    assert {argument.partition("=")[0] for argument in SERVICES["init"]["build"]["args"]} <= arguments


def test_what_the_image_is_made_of_exists_and_reaches_the_builder() -> None:
    dockerfile, kept = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if re.match(r"COPY (?!--from)", line)]
    sources = {source for sources in copied for source in sources}

    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if f"!{source}" not in kept] == []
    assert kept[1] == "*"


def test_every_setting_is_explained() -> None:
    page = (ROOT / "docs" / "compose.md").read_text()
    used = set(SETTING.findall(COMPOSE.read_text()))
    used |= {argument for argument in SERVICES["init"]["build"]["args"] if "=" not in argument}

    assert [setting for setting in used if f"`{setting}`" not in page] == []


def test_the_programs_in_the_image_can_be_executed() -> None:
    programs = [path for path in (ROOT / "deploy" / "compose").iterdir() if path.is_file()]

    assert {program.name for program in programs} == {"studyhall", "dashboard-answers"}
    assert all(program.stat().st_mode & 0o111 == 0o111 for program in programs)
