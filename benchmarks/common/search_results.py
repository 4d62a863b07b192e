"""Results of searches, kept in files from which a run continues."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""Of one search: its "task", "method", "slots" and "seed"; "of", what else it hangs on, as text; "goal", the regret to
come to; "epochs" until then if "reached", else all that it was given; "course", pairs of an epoch and the regret from
there on; "trials" that it began."""
Key = tuple[str, str, int, int, str]


def key(result: Result) -> Key:
    """Which search it is of; that with other curves or another definition of the method is another search."""
    return result["task"], result["method"], result["slots"], result["seed"], result["of"]


def read(files: Iterable[Path]) -> dict[Key, Result]:
    """The results of several files, of which some may not exist yet; of the same search the one that went further.

    Raises:
        ValueError: A file holds something else.
    """
    found: dict[Key, Result] = {}
    for file in files:
        if not file.exists():
            continue
        try:
            for result in json.loads(file.read_text(encoding="utf-8")):
                known = found.setdefault(key(result), result)
                if (result["reached"], result["epochs"]) > (known["reached"], known["epochs"]):
                    found[key(result)] = result
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} holds no results of this benchmark: give another file") from error
    return found


def write(file: Path, results: Collection[Result]) -> None:
    """Replace the file, which is whole at any time."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(list(results)), encoding="utf-8")
    part.replace(file)


def suffices(result: Result, most: int) -> bool:
    """Whether it tells how a search of at most so many epochs goes."""
    return bool(result["reached"]) or result["epochs"] >= most


def cut(result: Result, most: int) -> Result:
    """What it would be if it had ended after at most so many epochs."""
    return result | {
        "epochs": min(result["epochs"], most),
        "reached": result["reached"] and result["epochs"] <= most,
        "course": [point for point in result["course"] if point[0] <= most],
    }
