"""An agent with a clock: a study's agent in this process, which notes when each of its steps begins and ends.

    python -P benchmarks/common/timed_agent.py URL STUDY NOTES

Lines of NOTES are JSON: what, begin and end in seconds of the machine's monotonic clock, which workers share.
"""

import functools
import json
import sys
import time
from pathlib import Path
from typing import IO, Any

from storage import attempts
from study import _ledger, agent, proposals
from study._child import Worker
from study._ledger import Ledger
from study._pool import Pool
from study._signals import PREEMPTION, handled

STEPS: tuple[tuple[Any, str, str], ...] = (
    (Worker, "receive", "receive"),
    (Worker, "send", "send"),
    (attempts, "report", "report"),
    (Ledger, "end", "end"),
    (attempts, "finish", "finish"),
    (_ledger, "remove_all_but", "remove files"),
    (_ledger, "keep_best_weights", "keep best"),
    (agent.Agent, "_renew", "renew"),
    (agent, "claim", "claim"),
    (proposals.Proposals, "propose", "propose"),
    (proposals, "make_sampler", "make sampler"),
    (proposals, "sample", "sample"),
    (attempts, "sample", "write parameters"),
    (Pool, "replace", "replace"),
)
"""Owner, attribute and name of each step that is timed."""


def timed(owner: Any, attribute: str, name: str, notes: IO[str]) -> None:
    """Put a clock around a function."""
    inner = getattr(owner, attribute)

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        try:
            return inner(*args, **kwargs)
        finally:
            notes.write(json.dumps({"what": name, "begin": begin, "end": time.monotonic()}) + "\n")

    setattr(owner, attribute, outer)


def main() -> None:
    """Run the agent, with one worker, to its study's end."""
    url, name, path = sys.argv[1:]
    # Else each worker would import this file, and all that it imports, after its fork; `python -m study` is not either.
    del sys.modules["__main__"].__file__
    with Path(path).open("a", encoding="utf-8", buffering=1) as notes:
        for owner, attribute, step in STEPS:
            timed(owner, attribute, step, notes)
        run = agent.Agent(url, name, workers=1, devices="cpu")
        with handled(PREEMPTION, run.end):
            run.run()


if __name__ == "__main__":
    main()
