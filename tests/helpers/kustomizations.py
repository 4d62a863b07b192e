"""Renders the kustomizations of deploy/kubernetes, as far as they go: resources, images, and two kinds of patches.

`kubectl kustomize` renders the same in tests/acceptance/test_kubectl.py, and the two are compared there.
"""

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("base", "overlays/gpu", "overlays/external-database")
Document = dict[str, Any]


def rendered(folder: Path) -> list[Document]:
    """The documents of a kustomization.

    Raises:
        ValueError: It uses something that is not understood here.
    """
    tree = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    unknown = set(tree) - {"apiVersion", "kind", "namespace", "resources", "images", "patches"}
    if unknown:
        raise ValueError(f"{folder}/kustomization.yaml uses {', '.join(sorted(unknown))}")
    documents = [found for name in tree["resources"] for found in _resource(folder / name)]
    for patch in tree.get("patches", []):
        documents = [kept for document in documents if (kept := _patched(document, patch)) is not None]
    for document in documents:
        if "namespace" in tree:
            document["metadata"]["namespace"] = tree["namespace"]
        for image in tree.get("images", []):
            _name_images(document, image)
    return documents


def _resource(path: Path) -> list[Document]:
    if path.is_dir():
        return rendered(path.resolve())
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _patched(document: Document, patch: Document) -> Document | None:
    target = patch["target"]
    if not re.fullmatch(target["kind"], document["kind"]) or target["name"] != document["metadata"]["name"]:
        return document
    steps = yaml.safe_load(patch["patch"])
    if isinstance(steps, dict):
        if steps.get("$patch") != "delete":
            raise ValueError(f"a patch of {target} merges")
        return None
    for step in steps:
        _apply(document, step)
    return document


def _apply(document: Document, step: Document) -> None:
    """One operation of RFC 6902; a path that does not exist raises `KeyError`."""
    *parents, last = [name.replace("~1", "/").replace("~0", "~") for name in step["path"].split("/")[1:]]
    at: Any = document
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    if step["op"] == "replace":
        at[last]  # must be there
    elif step["op"] != "add":
        raise ValueError(f"the operation {step['op']!r}")
    at[last] = step["value"]


def containers(document: Document) -> list[Document]:
    """The containers of a document's pods, those that run first included."""
    pod = pod_of(document)
    return [] if pod is None else [*pod.get("initContainers", []), *pod["containers"]]


def pod_of(document: Document) -> Document | None:
    """The specification of a document's pods, or None."""
    template = document.get("spec", {}).get("template")
    return None if template is None else template["spec"]


def _name_images(document: Document, image: Document) -> None:
    for container in containers(document):
        name, _, tag = container["image"].partition(":")
        if name == image["name"]:
            container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag or 'latest')}"
