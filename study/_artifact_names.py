"""The files that each trial carries, by name; a worker, which knows no database, writes them."""

REPORT, CURVE, CONFIG, LOG, RECORD = range(1, 6)
KINDS = {
    REPORT: ("1-report.png", "image/png"),
    CURVE: ("2-curve.csv", "text/csv"),
    CONFIG: ("3-config.yaml", "text/yaml"),
    LOG: ("4-log.txt", "text/plain"),
    RECORD: ("5-diagnostics.json", "application/json"),
}
"""File name and type of each; the dashboard sorts them by name."""


def artifact_id(kind: int, token: str) -> str:
    """The id of an attempt's artifact, and its file's name."""
    return f"{kind}-{token}"
