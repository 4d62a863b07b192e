"""The command line. Heavy packages are imported by the commands that need them, so that help is quick."""

import sys
from collections.abc import Callable
from pathlib import Path

from study.cli import (
    cache,
    comparing,
    confirming,
    controlling,
    data,
    database,
    drilling,
    keeping,
    logs,
    looking,
    migrating,
    replaying,
    reproducing,
    results,
    running,
    serving,
    watching,
)
from study.cli._common import EXIT_INTERRUPTED, app, complain

COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("demo", running.demo),
    ("simulate", data.simulate),
    ("inspect", data.inspect),
    ("init", data.init),
    ("check", running.check),
    ("create", running.create),
    ("launch", running.launch),
    ("worker", running.worker),
    ("list", looking.list_),
    ("status", looking.status),
    ("watch", watching.watch),
    ("logs", logs.logs),
    ("compare", comparing.compare),
    ("replay", replaying.replay),
    ("dashboard", serving.dashboard),
    ("confirm", confirming.confirm),
    ("reproduce", reproducing.reproduce),
    ("export", results.export),
    ("report", results.report),
    ("evaluate", results.evaluate),
    ("predict", results.predict),
    ("pause", controlling.pause),
    ("resume", controlling.resume),
    ("stop", controlling.stop),
    ("retry", controlling.retry),
    ("enqueue", controlling.enqueue),
    ("migrate", migrating.migrate),
    ("delete", keeping.delete),
    ("gc", keeping.gc),
    ("backup", keeping.backup),
    ("restore", keeping.restore),
    ("drill", drilling.drill),
    ("doctor", looking.doctor),
)

ENGINES_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Commands that start agents pass options that they do not know to the launcher."""
START_AGENTS = ("launch", "confirm")

for name, command in COMMANDS:
    app.command(name, context_settings=ENGINES_OPTIONS if name in START_AGENTS else None)(command)
app.add_typer(database.app, name="database")
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Run the command line; the exit status is 0 done, 1 failed, 2 bad input, 130 interrupted."""
    clash = _shadowed()
    if clash:
        complain(clash)
        sys.exit(2)
    try:
        app()
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(EXIT_INTERRUPTED)


def _shadowed() -> str | None:
    """Why another package of one of our names hides ours, or None."""
    import models
    import objectives
    import storage

    ours = Path(__file__).resolve().parents[2]
    for package in (models, objectives, storage):
        found = Path(str(package.__file__)).resolve()
        if found.parents[1] != ours:
            return (
                f"Studyhall needs its package {package.__name__!r}, but Python found {found}; run from another "
                "folder, or rename yours"
            )
    return None
