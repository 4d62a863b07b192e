"""Where a worker's events are: on its device, lent by the holder or its own, or in the host's memory."""

import os
import pickle
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from objectives._events import Events
from objectives._resident import Resident
from study._failures import failed
from study._holder import Alone, Offer, Probe, Unusable, bytes_of, free_memory
from study._lifeline import end_with_peer
from study._messages import ORPHANED
from study._training import TrialData


class HolderUnusable(Exception):
    """The holder cannot use the device; the message says why."""


def settle(line: Connection, data: TrialData, device: str) -> tuple[TrialData, str]:
    """Take up residence: wait for the device's holder, and borrow its copy of the events if that can be.

    From now on this process ends as soon as the holder does, with the exit status `ORPHANED`.

    Args:
        line: To the holder.
        data: The host's.
        device: Torch's name.

    Returns:
        The events as they are to be used, and a line for the agent's log.

    Raises:
        HolderUnusable: As said.
    """
    end_with_peer(line, ORPHANED)
    size = f"{bytes_of(data) / 1e9:.2f} GB"
    answer = _answer(line)
    if isinstance(answer, Unusable):
        raise HolderUnusable(answer.reason)
    if isinstance(answer, Offer):
        lent = _with(data, Resident(answer.training), Resident(answer.validation))
        return lent, f"{device} holds the events ({size}), one copy for all of its workers"
    if not answer.fits:
        return data, f"{device} does not hold the events, each batch comes from the host: {answer.reason}"
    try:
        own = _with(
            data, *(Resident.upload(part.source, part.axes, device, part.float16_channels) for part in _parts(data))
        )
    except Exception as error:
        reason = failed(error).reason
    else:
        return own, f"{device} holds the events ({size}) once for each of its workers: {answer.reason}"
    free_memory()
    return data, f"{device} does not hold the events, each batch comes from the host: {reason}"


def _answer(line: Connection) -> Offer | Alone | Unusable:
    first = _opened(line)
    if isinstance(first, Alone | Unusable):
        return first
    _tell(line, _refusal(first))
    second = _opened(line)
    if isinstance(second, Offer | Alone | Unusable):
        return second
    return Alone(f"this machine does not let processes share its memory ({_refusal(second)})")


def _refusal(opened: object) -> str | None:
    """Why nothing can be borrowed, or None."""
    try:
        if isinstance(opened, Exception):
            raise opened
        return None if isinstance(opened, Probe) and opened.sound else "what is shared reads as something else"
    except Exception as error:  # of the driver too, when what it has opened is read
        return failed(error).reason


def _opened(line: Connection) -> Any:
    """What the holder says, or the exception that opening it has raised."""
    try:
        said = line.recv_bytes()
    except (EOFError, OSError):
        os._exit(ORPHANED)
    try:
        return pickle.loads(said)  # noqa: S301  from this agent's holder
    except Exception as error:
        return error


def _tell(line: Connection, message: object) -> None:
    try:
        line.send(message)
    except OSError:
        os._exit(ORPHANED)


def _parts(data: TrialData) -> tuple[Events, Events]:
    return data.training, data.validation


def _with(data: TrialData, training: Resident, validation: Resident) -> TrialData:
    return replace(
        data,
        training=replace(data.training, resident=training),
        validation=replace(data.validation, resident=validation),
    )
