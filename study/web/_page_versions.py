"""Objects that a page polls: it says which version it knows, and is told what changed after it."""

import secrets
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
"""As JSON types."""


class Versions:
    """Objects by key, each with the version that last changed it. One thread at a time may use it."""

    def __init__(self) -> None:
        """Hold nothing; versions of another instance mean nothing to this one."""
        self._series, self._count = secrets.token_hex(6), 0
        self._objects: dict[int, Object] = {}
        self._changed: dict[int, int] = {}

    @property
    def version(self) -> str:
        """What a page that has seen everything knows."""
        return f"{self._series}-{self._count}"

    def put(self, objects: Mapping[int, Object], *, changed: bool = False) -> None:
        """Take objects over, those that differ as changes.

        Args:
            changed: Whether something else has changed too, which no object tells.
        """
        new = {key: value for key, value in objects.items() if self._objects.get(key) != value}
        if new or changed:
            self._count += 1
        self._objects.update(new)
        self._changed.update(dict.fromkeys(new, self._count))

    def keep(self, keys: set[int]) -> None:
        """Drop all others."""
        gone = self._objects.keys() - keys
        if gone:
            self._count += 1
        for key in gone:
            del self._objects[key], self._changed[key]

    def all(self) -> list[Object]:
        """Every object."""
        return list(self._objects.values())

    def since(self, version: str | None) -> list[Object] | None:
        """What changed after a version; None where it is not one of this instance's."""
        series, _, count = (version or "").partition("-")
        if series != self._series or not count.isdecimal():
            return None
        known = int(count)
        return [self._objects[key] for key, at in self._changed.items() if at > known]
