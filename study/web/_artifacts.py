"""Files of trials come from anybody: a browser shows harmless kinds, and runs nothing of them."""

from study.web._wsgi import Answer

POLICY = "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"
SHOWN = frozenset(
    (
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "text/plain",
        "text/csv",
        "application/json",
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
    )
)
"""Kinds that a browser may show; others are downloaded."""


def is_artifact(path: str) -> bool:
    """Whether a path leads to the file of a trial or study."""
    return path.startswith("/artifacts")


def sandbox(answer: Answer) -> None:
    """Keep a file from acting on the page's origin."""
    answer.set("Access-Control-Allow-Origin", None)
    answer.set("Content-Security-Policy", POLICY)
    answer.set("Cache-Control", "private, no-cache")
    kind = answer.header("Content-Type").partition(";")[0].strip().lower()
    if kind not in SHOWN and answer.status.startswith("2"):
        answer.set("Content-Disposition", "attachment")
