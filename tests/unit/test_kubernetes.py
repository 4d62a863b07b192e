"""The manifests for Kubernetes fit its schemas, and what they and their page name exists."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from kustomizations import FOLDER, OVERLAYS, Document, containers, pod_of, rendered
from typer.testing import CliRunner

from study.cli._common import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
VERSIONS = ("1.31", "1.37")
"""The oldest that the page names, and the newest whose schemas we have."""
DOCUMENTS = [(overlay, document) for overlay in OVERLAYS for document in rendered(FOLDER / overlay)]
CONTAINERS = [(overlay, container) for overlay, document in DOCUMENTS for container in containers(document)]


def label(parameter: object) -> str:
    if not isinstance(parameter, dict):
        return str(parameter)
    return f"{parameter['kind']}-{parameter['metadata']['name']}" if "kind" in parameter else str(parameter["name"])


def named(kind: str, name: str, overlay: str = "base") -> Document:
    """The one document of that kind and name."""
    documents = [document for found, document in DOCUMENTS if found == overlay and document["kind"] == kind]
    (document,) = [document for document in documents if document["metadata"]["name"] == name]
    return document


def pods(overlay: str) -> list[Document]:
    return [pod for found, document in DOCUMENTS if found == overlay and (pod := pod_of(document)) is not None]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("overlay", "document"), DOCUMENTS, ids=label)
def test_a_document_fits_the_schema_without_a_field_too_many(overlay: str, document: Document, version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(("overlay", "container"), CONTAINERS, ids=label)
def test_a_container_passes_the_pod_security_standard_restricted(overlay: str, container: Document) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_runs_as_an_ordinary_user_and_knows_nothing_of_the_cluster(overlay: str) -> None:
    for pod in pods(overlay):
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert context["runAsUser"] > 0
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


@pytest.mark.parametrize(("overlay", "container"), CONTAINERS, ids=label)
def test_a_container_says_what_it_needs_and_at_most_takes(overlay: str, container: Document) -> None:
    resources = container["resources"]

    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) >= {"cpu", "memory"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_volume_that_is_mounted_is_declared_and_tmp_can_be_written(overlay: str) -> None:
    for found, document in DOCUMENTS:
        pod = pod_of(document) if found == overlay else None
        if pod is None:
            continue
        claims = [claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])]
        mounts = [
            (mount["name"], mount["mountPath"]) for each in containers(document) for mount in each["volumeMounts"]
        ]
        assert {name for name, _ in mounts} == {volume["name"] for volume in pod["volumes"]} | set(claims)
        assert "/tmp" in [path for _, path in mounts]


@pytest.mark.parametrize(("overlay", "container"), CONTAINERS, ids=label)
def test_our_containers_run_commands_that_exist_with_options_that_exist(overlay: str, container: Document) -> None:
    if not container["image"].startswith("studyhall"):
        return
    words = container["args"]
    command = words[:2] if words[0] == "database" else words[:1]

    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})

    assert container["command"] == ["studyhall"]
    assert shown.exit_code == 0
    assert [word for word in words if word.startswith("--") and word not in shown.output] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_and_variables_that_are_named_are_there(overlay: str) -> None:
    maps = {d["metadata"]["name"]: d["data"] for found, d in DOCUMENTS if (found, d["kind"]) == (overlay, "ConfigMap")}

    for container in (container for found, container in CONTAINERS if found == overlay):
        sources = [
            source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source
        ]
        known = {name for source in sources for name in maps[source]}
        assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) <= known


def test_an_agent_has_more_time_to_end_than_it_takes_to_hand_its_trials_back() -> None:
    from study.agent import HAND_BACK_S

    grace_s = named("Job", "worker")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert grace_s >= 60
    assert grace_s > 5 * HAND_BACK_S


def test_a_jobs_policy_tells_bad_input_and_an_agent_that_was_told_to_end_by_their_exit_status() -> None:
    from study.agent import INTERRUPTED
    from study.cli._common import EXIT_BAD_INPUT

    rules = named("Job", "worker")["spec"]["podFailurePolicy"]["rules"]
    by_status = {rule["onExitCodes"]["values"][0]: rule["action"] for rule in rules if "onExitCodes" in rule}

    assert by_status == {EXIT_BAD_INPUT: "FailJob", INTERRUPTED: "Ignore"}
    assert [each["type"] for rule in rules for each in rule.get("onPodConditions", [])] == ["DisruptionTarget"]


def test_the_workers_are_as_many_as_their_indices_and_wait_until_there_is_a_study() -> None:
    spec = named("Job", "worker")["spec"]

    assert (spec["completionMode"], spec["suspend"]) == ("Indexed", True)
    assert spec["parallelism"] == spec["completions"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_gpus_are_asked_for_by_the_workers_of_their_overlay_alone() -> None:
    asking = [
        (overlay, container["name"])
        for overlay, container in CONTAINERS
        if any("gpu" in resource for kind in container["resources"].values() for resource in kind)
    ]

    assert asking == [("overlays/gpu", "worker")]


def test_nothing_is_exposed_beyond_the_cluster() -> None:
    services = [document["spec"] for _, document in DOCUMENTS if document["kind"] == "Service"]

    assert {spec.get("type", "ClusterIP") for spec in services} == {"ClusterIP"}
    assert not [document for _, document in DOCUMENTS if document["kind"] in ("Ingress", "Gateway")]


def test_the_external_database_leaves_nothing_of_ours() -> None:
    names = [document["metadata"]["name"] for overlay, document in DOCUMENTS if overlay == "overlays/external-database"]

    assert "database" not in names
    assert "dashboard" in names


def test_no_password_lies_in_a_file() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.yaml"))

    assert "kind: Secret" not in text
    assert re.findall(r"//[^/\s:]+:[^@\s]+@", text) == []


def test_the_page_names_files_that_exist() -> None:
    files = re.findall(r"`((?:base|overlays)/[\w./-]+)`", PAGE)
    folders = re.findall(r"-k (deploy/\S+)", SHELL)

    assert [file for file in files if not (FOLDER / file).exists()] == []
    assert [folder for folder in folders if not (ROOT / folder / "kustomization.yaml").is_file()] == []
    assert {folder.removeprefix("deploy/kubernetes/") for folder in folders} >= {"base"}


def test_the_page_names_objects_that_exist() -> None:
    kinds = {"job": "Job", "service": "Service", "deployment": "Deployment", "statefulset": "StatefulSet"}
    words = re.findall(r"\b(job|service|deployment|statefulset)[/ ]([a-z][\w-]+)", SHELL)

    assert words
    assert [word for word in words if not named(kinds[word[0]], word[1])] == []


def test_the_page_makes_the_secrets_that_the_pods_read() -> None:
    made = set(re.findall(r"create secret generic (\S+) --from-env-file", SHELL))
    keys = set(re.findall(r'"(\w+)=\$\(openssl', SHELL))
    read: list[Any] = [
        entry["valueFrom"]["secretKeyRef"] for _, c in CONTAINERS for entry in c.get("env", []) if "valueFrom" in entry
    ]

    assert made == {"database", "dashboard"}
    assert {entry["name"] for entry in read} == made
    assert {entry["key"] for entry in read} == keys


def test_the_pages_commands_of_ours_exist() -> None:
    named_ones = re.findall(r"-- studyhall (\w+)([^|\n]*)", SHELL)

    assert named_ones
    for name, rest in named_ones:
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0
        assert [word for word in re.findall(r"--[a-z-]+", rest) if word not in shown.output] == []


def test_the_pages_own_kustomization_renders(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    tree = yaml.safe_load(text)
    tree["resources"] = [str(FOLDER / "overlays" / "gpu")]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(tree))

    documents = rendered(tmp_path)
    (worker,) = [document for document in documents if document["metadata"]["name"] == "worker"]

    assert (worker["spec"]["completions"], worker["spec"]["parallelism"]) == (8, 8)
    assert [each["image"] for each in containers(worker)] == ["registry.example.org/studyhall:cu128"]
