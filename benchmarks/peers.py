"""The whole thing against what a user would pick instead: the same search by each system, on two cores.

    make bench-peers
    python -P benchmarks/peers.py --seeds 1 --trials 12 --events 1500 --systems optuna,studyhall

The same space, simulated events, split, budget of trials, highest number of epochs, seeds, networks, initial weights
(of a trial's number) and learning for all. Compared are

    optuna         what a tutorial shows: two processes on one SQLite database, Optuna's default sampler and pruner, an
                   event-by-event memory-mapped Dataset, torch's DataLoader, a plain training loop
    ray            Ray Tune with OptunaSearch and ASHA (first rung 1 epoch, factor 3), reused actors, the same training
    studyhall      a study file and `studyhall launch --workers 2`, all defaults
    our-search     as optuna, but with Studyhall's default sampler and halving: what remains is storage and training
    their-search   as studyhall, but with Optuna's default sampler and median pruner: what remains is the search

The others get what helps them: the DataLoader's number of workers is measured first; one thread per process; the
events' statistics are computed beforehand (studyhall computes its own in its time); Ray's loggers and dashboard are
off; the two Optuna processes share one import of torch; nobody writes checkpoints of others' trials.

Time counts from the start of the command, imports and all, to its end. An epoch counts when its validation metric is
recorded: by the others' own log, for studyhall when it is seen in its database. `time to quality` is until the first
epoch with 99 % of the best validation accuracy that the worst system reached with that seed. CPU time is that of the
whole tree of processes (`common/peer_supervisor.py`). `test` is of the best trial that the system would name: the best
complete one, with Ray the best of all. The order of the systems turns with the seed, so that the machine's drift
favours none.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "common"))
import peer_systems
from peer_comparison import figures, ratios, tables, to_json
from peer_data import prepare
from peer_space import EPOCHS, SPLIT
from peer_systems import SYSTEMS, Job, Run, run_system

BASE = "studyhall"
USUAL = ("optuna", "ray", "studyhall", "our-search")
"""Compared when no systems are named: 40 minutes for five seeds."""
DATA_SEED = 1


def main() -> None:
    """Measure and print."""
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        folder = (given.scratch or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        say(f"simulating {given.events} events")
        prepare(folder, given.events, DATA_SEED, SPLIT)
        loaders = loader_workers(folder) if needs_loader(given.systems) else 0
        runs = all_runs(given, folder, loaders)
    found = figures(runs)
    compared = ratios(found, BASE) if BASE in given.systems else []
    print(
        f"{given.trials} trials of at most {given.epochs} epochs, {given.events} events, DataLoader workers: {loaders}"
    )
    print(tables(found, compared, BASE))
    if given.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()}
        tree = to_json(settings | {"loader_workers": loaders}, runs, found, compared)
        given.json.write_text(json.dumps(tree, indent=1), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2400)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="at most, for each trial")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1")
    parser.add_argument("--systems", default=",".join(USUAL), help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    parser.add_argument("--scratch", type=Path, help="where files go and stay; default: a temporary folder")
    given = parser.parse_args()
    given.systems = given.systems.split(",")
    unknown = set(given.systems) - set(SYSTEMS)
    if unknown:
        parser.error(f"--systems: {', '.join(sorted(unknown))}; accepted are {', '.join(SYSTEMS)}")
    if problem := peer_systems.missing(given.systems):
        parser.error(problem)
    return given


def needs_loader(systems: list[str]) -> bool:
    """Whether any of them uses a DataLoader."""
    return bool({"optuna", "ray", "our-search"} & set(systems))


def loader_workers(folder: Path) -> int:
    """The best number of the DataLoader's workers."""
    command = [sys.executable, str(peer_systems.COMMON / "peer_loader.py"), "--data", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=peer_systems.environment())
    seconds = {int(workers): value for workers, value in json.loads(done.stdout).items()}
    best = min(seconds, key=seconds.__getitem__)
    measured = ", ".join(f"{workers}: {value:.1f} s" for workers, value in seconds.items())
    print(f"DataLoader workers, the same short training twice at once: {measured}; best: {best}", flush=True)
    return best


def all_runs(given: argparse.Namespace, folder: Path, loaders: int) -> list[Run]:
    """Every system with every seed."""
    runs = []
    for index in range(given.seeds):
        turn = index % len(given.systems)
        for system in given.systems[turn:] + given.systems[:turn]:
            seed = index + 1
            job = Job(folder, folder / f"{system}-{seed}", seed, given.trials, given.epochs, loaders)
            runs.append(run_system(system, job))
            say(described(runs[-1]))
    return runs


def described(run: Run) -> str:
    """A line about a run."""
    record = run.record
    processes = f" in {record.processes} processes" if record.processes else ""
    return (
        f"seed {run.seed} {run.system}: {run.wall_s:.1f} s, CPU {run.waited_cpu_s:.1f} s waited for, "
        f"{run.seen_cpu_s:.1f} s seen, {len(record.ends)} trials, {len(record.epochs)} epochs{processes}, "
        f"best {record.best:.4f}, test {run.test:.4f}"
    )


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
