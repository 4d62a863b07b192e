"""How a study is to be shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """The room there is, and what is wanted in it.

    Attributes:
        width: Characters of a line, or None for any.
        height: Lines, or None for any.
        plain: Without characters that draw, for files and other programs.
        trials: Of the best, so many are shown.
        notice: What is more urgent than everything else, or None.
        hint: A last line, where there is room.
    """

    width: int | None = None
    height: int | None = None
    plain: bool = False
    trials: int = 5
    notice: str | None = None
    hint: str | None = None
