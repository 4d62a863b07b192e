"""How many worker processes the reference DataLoader should have: measured, not guessed.

    python peer_loader.py --data FOLDER

Two processes at once, as in the search, each run a short trial of a network in the middle of the space with 0, 1 and 2
workers of its loaders, in turn and several times; each number's shortest time counts. Prints JSON: seconds by number.
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import torch
from peer_data import load_prepared
from peer_training import Reference, open_parts

PROCESSES = 2
EPOCHS = 3  # halving trains most trials for 1 to 3
ROUNDS = 3
NUMBERS = (0, 1, 2)
MIDDLE: dict[str, Any] = {
    "cnn.depth": 3,
    "cnn.width": 16,
    "cnn.kernel": 3,
    "cnn.dropout": 0.2,
    "optimizer": "adamw",
    "lr": 3e-3,
    "batch_size": 64,
    "normalize": "log1p",
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    together(data, 0)  # the file comes into memory
    rounds = [[together(data, workers) for workers in NUMBERS] for _ in range(ROUNDS)]
    print(json.dumps(dict(zip(NUMBERS, map(min, *rounds), strict=True))))


def together(data: Path, workers: int) -> float:
    """Seconds until the slower of two processes has trained."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=trial, args=(data, workers)) for _ in range(PROCESSES)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"a process with {workers} loader workers failed")
    return time.perf_counter() - began


def trial(data: Path, workers: int) -> None:
    """Train a little."""
    torch.set_num_threads(1)
    prepared = load_prepared(data)
    reference = Reference(prepared, open_parts(prepared), MIDDLE, 0, workers, None)
    for _ in range(EPOCHS):
        reference.epoch()


if __name__ == "__main__":
    main()
