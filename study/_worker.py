"""A worker: a warm child process that trains one trial at a time for its agent."""

import os
import signal
import traceback
from multiprocessing.connection import Connection

from objectives._errors import Interrupted, NonFiniteLoss
from objectives._fit_settings import EpochResult
from storage.errors import DataError
from storage.files import write_file
from study import _preload
from study._messages import Done, Failed, HandedBack, Order, Ready, TrialJob
from study._training import TrialRun


def main(connection: Connection, device: str, threads: int) -> None:
    """Serve the agent at the other end of the pipe until it hangs up.

    Args:
        device: Torch's name, such as ``cpu`` or ``cuda:1``.
        threads: Threads that torch may use on the CPU.
    """
    # Ctrl-C reaches the whole process group; the agent decides what its workers do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warm = _preload.WARM
    try:
        connection.send(Ready(os.getpid(), warm.parts if warm else (), _preload.ERROR))
        if warm is None:
            return
        _use(device, threads)
        while True:
            job = connection.recv()
            if isinstance(job, TrialJob):
                connection.send(_attempt(connection, warm, job, device))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the agent is gone: leave no orphan


def _use(device: str, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    if device.startswith("cuda"):
        torch.cuda.set_device(device)


def _attempt(connection: Connection, warm: _preload.Warm, job: TrialJob, device: str) -> Done | Failed | HandedBack:
    try:
        return _train(connection, warm, job, device)
    except Interrupted:
        return HandedBack()
    except NonFiniteLoss as error:
        return Failed("nan", str(error))
    except MemoryError as error:
        return Failed("oom", str(error) or "out of memory")
    except DataError as error:
        return Failed("data", str(error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        out_of_memory = type(error).__name__ == "OutOfMemoryError"
        return Failed("oom" if out_of_memory else "error", traceback.format_exc())


def _train(connection: Connection, warm: _preload.Warm, job: TrialJob, device: str) -> Done | HandedBack:
    run = TrialRun(warm.plan, warm.facts, job.number, job.sampled, device)
    epochs = run.epochs(warm.data, should_stop=lambda: _told_to_stop(connection))
    pruned = False
    for epoch in epochs:
        order = _ask(connection, epoch)
        if order is Order.HAND_BACK:
            epochs.close()
            return HandedBack()
        if order is Order.PRUNE:
            epochs.close()
            pruned = True
            break
    if not pruned:
        write_file(job.weights, run.weights())
    return Done(run.value, pruned, run.attributes())


def _ask(connection: Connection, epoch: EpochResult) -> Order:
    connection.send(epoch)
    order = connection.recv()
    if not isinstance(order, Order):
        raise RuntimeError(f"the agent answered an epoch with {order!r}")
    return order


def _told_to_stop(connection: Connection) -> bool:
    """Whether the agent has ordered the trial back; raises EOFError when the agent is gone."""
    return connection.poll() and connection.recv() is Order.HAND_BACK
