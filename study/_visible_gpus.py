"""Which GPUs ``CUDA_VISIBLE_DEVICES`` leaves to this process, by the rules of CUDA and in its order."""

import re
from collections.abc import Sequence

_ORDINAL = re.compile(r"[+-]?\d+")


def places_of(variable: str | None, uuids: Sequence[str]) -> list[int]:
    """Places of the visible GPUs among all of this machine, first ``cuda:0``.

    An entry that names no GPU ends the list, and one that comes twice makes it empty; torch and CUDA read it so.

    Args:
        variable: The value of ``CUDA_VISIBLE_DEVICES``, which names ordinals or (beginnings of) UUIDs; None if it is
            not set. Parts of GPUs (``MIG-…``) are not looked up here.
        uuids: Such as ``GPU-6b1c…``, of each GPU in the order of the PCI bus.
    """
    if variable is None:
        return list(range(len(uuids)))
    by_uuid = variable.startswith("GPU-")
    found: list[int] = []
    for entry in variable.split(","):
        place = _by_uuid(entry, uuids) if by_uuid else _by_ordinal(entry, len(uuids))
        if place is None:
            break
        if place in found:
            return []
        found.append(place)
    return found


def _by_ordinal(entry: str, count: int) -> int | None:
    # CUDA reads as C does: what follows the digits is not looked at.
    digits = _ORDINAL.match(entry.strip())
    return int(digits[0]) if digits and 0 <= int(digits[0]) < count else None


def _by_uuid(entry: str, uuids: Sequence[str]) -> int | None:
    named = [place for place, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
    return named[0] if len(named) == 1 else None
