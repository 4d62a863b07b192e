"""Parts of `train_step.py` that need processes of their own: workers at once, and torch.compile under a time limit."""

import contextlib
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from step_variants import BATCH, Variant, compiled, make_trainer, random_events, train_epoch

LAYOUTS = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Workers × threads of each; the first is the default of one worker."""


def _serve(connection: Connection) -> None:
    """Train what is asked for, until told to end: events per second from a moment on, for so long."""
    events, trainers = random_events(2 * BATCH), {}
    while (asked := connection.recv()) is not None:
        network, threads, at, seconds = asked
        torch.set_num_threads(threads)
        if network not in trainers:
            trainers[network] = make_trainer(network, Variant("default"), events, events, "cpu")
            train_epoch(trainers[network])
        time.sleep(max(0.0, at - time.monotonic()))
        done, began = 0, time.monotonic()
        while time.monotonic() < at + seconds:
            done += train_epoch(trainers[network])
        connection.send(done / (time.monotonic() - began))


class Workers:
    """Two processes that train at once when asked."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def rate(self, network: str, workers: int, threads: int, seconds: float) -> float:
        """Events per second of so many of them together."""
        at = time.monotonic() + 0.01
        for connection in self._connections[:workers]:
            connection.send((network, threads, at, seconds))
        return sum(connection.recv() for connection in self._connections[:workers])


@contextlib.contextmanager
def two_workers() -> Iterator[Workers]:
    """Start them; they end with the context."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [context.Process(target=_serve, args=(theirs,), daemon=True) for _, theirs in pipes]
    for process in processes:
        process.start()
    try:
        yield Workers([ours for ours, _ in pipes])
    finally:
        for ours, _ in pipes:
            ours.send(None)
        for process in processes:
            process.join()


def thread_rates(workers: Workers, network: str, repeats: int, seconds: float) -> dict[str, list[float]]:
    """Events per second of all workers together, for each layout and repeat; the layouts take turns."""
    rates: dict[str, list[float]] = {f"{workers} × {threads}": [] for workers, threads in LAYOUTS}
    for count, threads in LAYOUTS:
        workers.rate(network, count, threads, 0.0)  # builds the network, and makes the threads
    for repeat in range(repeats):
        for index in range(len(LAYOUTS)):
            count, threads = LAYOUTS[(index + repeat) % len(LAYOUTS)]
            rates[f"{count} × {threads}"].append(workers.rate(network, count, threads, seconds))
    return rates


def measure_compiled(network: str, device: str, repeats: int, batches: int, limit_s: float) -> dict[str, Any]:
    """Ratios of the compiled network to the default, and what compiling took, from a process of its own."""
    command = [sys.executable, str(Path(__file__)), network, device, str(repeats), str(batches)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"error": f"not done within {limit_s:g} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:120]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _timed(trainer: Any) -> float:
    began = time.perf_counter()
    train_epoch(trainer)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _compare(network: str, device: str, repeats: int, batches: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    events = random_events(batches * BATCH)
    plain = make_trainer(network, Variant("default"), events, events, device)
    fast = make_trainer(network, Variant("compiled", change=compiled), events, events, device)
    _timed(plain)
    first = _timed(fast)
    began = time.perf_counter()
    fast._validate(lambda: False)  # evaluation is compiled apart
    evaluation = time.perf_counter() - began
    pairs = [(_timed(plain), _timed(fast)) for _ in range(repeats)]
    began = time.perf_counter()
    fast._validate(lambda: False)
    evaluation -= time.perf_counter() - began
    return {
        "ratios": [one / other for one, other in pairs],
        "compile_s": first - median(other for _, other in pairs),
        "compile_evaluation_s": evaluation,
    }


if __name__ == "__main__":
    print(json.dumps(_compare(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
