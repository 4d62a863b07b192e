"""Kubernetes' own client renders the manifests as we do, knows every field of them, and takes the page's commands.

No cluster is needed: `kubectl create --dry-run=client` of a file asks a server what kinds there are, but `kubectl set
image --local` reads pods and what makes them into the client's own types, which drop what they do not know.
"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustomizations import FOLDER, OVERLAYS, Document, containers, pod_of, rendered

pytestmark = pytest.mark.engine

PAGE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))


def kubectl(*arguments: str | Path, given: str = "") -> str:
    """What kubectl prints; it knows no cluster."""
    program = shutil.which("kubectl")
    assert program, "this test needs kubectl 1.31 or later, of Kubernetes' own releases: Debian 12's is too old"
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    ran = subprocess.run(
        [program, *arguments], input=given, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def by_name(documents: list[Document]) -> dict[tuple[str, str], Document]:
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """What of a tree is not in another that may hold more."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [entry for key in given for entry in lost(given[key], kept.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(kept, list):
        pairs = enumerate(zip(given, kept, strict=True))
        return [entry for number, (ours, theirs) in pairs for entry in lost(ours, theirs, f"{path}[{number}]")]
    return [] if str(given) == str(kept) else [f"{path}: {given!r} became {kept!r}"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_renders_what_our_own_checks_have_seen(overlay: str) -> None:
    theirs = list(yaml.safe_load_all(kubectl("kustomize", FOLDER / overlay)))

    assert by_name(theirs) == by_name(rendered(FOLDER / overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_client_knows_every_field_of_what_makes_pods(overlay: str) -> None:
    for document in (document for document in rendered(FOLDER / overlay) if pod_of(document) is not None):
        same = [f"{container['name']}={container['image']}" for container in containers(document)]
        given = yaml.safe_dump(document).replace("image: ", "image: not-")  # what does not change is not printed
        read = kubectl("set", "image", "--local", "-f", "-", *same, "-o", "yaml", given=given)
        assert lost(document, yaml.safe_load(read)) == []


def test_the_pages_patches_fit_the_jobs() -> None:
    jobs = {name: document for (kind, name), document in by_name(rendered(FOLDER / "base")).items() if kind == "Job"}
    patches = re.findall(r"kubectl patch job (\S+) -p ('[^']+')", PAGE)

    assert patches
    for name, patch in patches:
        given = yaml.safe_dump(jobs[name])
        changed = kubectl("patch", "--local", "-f", "-", "-p", shlex.split(patch)[0], "-o", "yaml", given=given)
        assert lost(yaml.safe_load(shlex.split(patch)[0]), yaml.safe_load(changed)) == []


def test_the_pages_passwords_become_secrets(tmp_path: Path) -> None:
    (made,) = re.findall(r"^\(umask.*?\)$", SHELL, re.DOTALL | re.MULTILINE)
    subprocess.run(["sh", "-ec", made], cwd=tmp_path, check=True)

    for name in ("database", "dashboard"):
        file = tmp_path / "secrets" / f"{name}.env"
        arguments = ("create", "secret", "generic", name, f"--from-env-file={file}")
        assert f"kubectl {' '.join(arguments[:-1])} --from-env-file=secrets/{name}.env" in SHELL
        secret = yaml.safe_load(kubectl(*arguments, "--dry-run=client", "-o", "yaml"))
        assert [*secret["data"]] == [file.read_text().partition("=")[0]]
        assert file.stat().st_mode & 0o077 == 0


def test_the_client_has_every_command_and_option_of_the_page() -> None:
    lines = [line for line in SHELL.splitlines() if line.startswith("kubectl ")]

    assert lines
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        ours = words[: words.index("--")] if "--" in words else words
        name = (
            ours[:3] if ours[:2] == ["create", "secret"] else ours[:2] if ours[0] in ("rollout", "config") else ours[:1]
        )
        shown = kubectl(*name, "--help") + kubectl("options")
        options = [word.partition("=")[0] for word in ours if word.startswith("-")]
        assert [option for option in options if not re.search(rf"{option}[ =,]", shown)] == [], line
