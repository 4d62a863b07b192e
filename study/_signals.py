"""Signals that ask a process to end in good order."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a scheduler's or container's request, a closed terminal."""
PREEMPTION = (*ENDING, signal.SIGUSR1)
"""And what batch systems send some time before they kill."""


def take(signals: tuple[signal.Signals, ...], handler: Handler) -> dict[signal.Signals, Any]:
    """Let `handler` take the signals from now on; a hang-up that was ignored (``nohup``) stays ignored.

    Returns:
        What took them before.
    """
    ignored = [number for number in signals if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in signals if number not in ignored}


def hold(signals: tuple[signal.Signals, ...]) -> None:
    """Leave the signals pending from now on: the process is ending, and a late Ctrl-C must not spoil its status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)


@contextlib.contextmanager
def handled(signals: tuple[signal.Signals, ...], handler: Handler) -> Iterator[None]:
    """Let `handler` take the signals, as `take`, inside the context."""
    previous = take(signals, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes started inside never get the signals, even in their first instant.

    A terminal's Ctrl-C and a scheduler's SIGTERM reach every process of the job: workers must live on until their
    agent has decided what becomes of their trials.
    """
    resource_tracker.ensure_running()  # starting it would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PREEMPTION)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
