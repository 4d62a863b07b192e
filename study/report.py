"""One page about an exported network: what it is, how it was trained, what it is good for."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storage.errors import ConfigError, StudyhallError
from study._report_page import GENERATOR
from study._report_sections import report_page
from study.bundle import METRICS, Bundle, load_bundle
from study.openings import measure

NAME = "report.html"
Diagnostics = Mapping[str, dict[str, Any] | None]


def write_report(folder: Path, to: Path | None = None, pair: str | None = None) -> Path:
    """Write the report of an export, beside its place and renamed; a report that is there is replaced.

    It is made from the export alone. The data file, where it can be read, adds events that are wrong; it is needed for
    an export without diagnostics. Test events are used only if they were opened for this trial when it was exported.

    Args:
        folder: The export.
        to: The HTML file; None means report.html in the folder.
        pair: "SIGNAL,BACKGROUND", the classes of the ROC curve; None means electron and gamma, or the first two.

    Returns:
        Where the report is.

    Raises:
        ConfigError: The folder is no export, the pair is none of its classes, or the file cannot be written there.
        FileExistsError: Another file is in its place.
        DataError: The export has no diagnostics, and the data cannot be read.
    """
    bundle = load_bundle(folder)
    path = to or folder / NAME
    _check_place(path)
    found = bundle.diagnostics or _computed(bundle)
    chosen = _pair(found, pair)
    beside = path.absolute().with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        beside.write_text(report_page(bundle, found, chosen), encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _check_place(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out {path}: the folder {path.absolute().parent} does not exist; create it first")
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder; give the name of a file to write")
    if path.exists() and GENERATOR.encode() not in path.read_bytes()[:2000]:
        raise FileExistsError(f"{path} exists and is no report; give another name with --out")


def _computed(bundle: Bundle) -> Diagnostics:
    """Diagnostics of the parts whose metrics are recorded, from the data."""
    try:
        model = bundle.network()
        parts = [part for part, metrics in bundle.metrics.items() if metrics is not None]
        return {part: measure(bundle.plan, bundle.facts, model, bundle.sampled, part).diagnostics for part in parts}
    except StudyhallError as error:
        raise type(error)(
            f"{bundle.folder / METRICS} has no diagnostics, and they cannot be computed: {error}; make the data "
            "readable there, or export the trial again"
        ) from None


def _pair(found: Diagnostics, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    classes: list[str] = next((part["classes"] for part in found.values() if part and part.get("roc")), [])
    if not classes:
        raise ConfigError(f"--pair {given}: this network has no ROC curves of two classes; leave --pair out")
    for split in range(len(given)):
        signal, background = given[:split].strip(), given[split + 1 :].strip()
        if given[split] == "," and signal != background and {signal, background} <= set(classes):
            return signal, background
    raise ConfigError(
        f"--pair {given}: accepted are two different classes as SIGNAL,BACKGROUND, of {', '.join(classes)}"
    )
