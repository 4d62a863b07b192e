"""A part of the screen, and how parts share the lines there are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from study.screen.look import Look


@dataclass(frozen=True)
class Section:
    """Lines that belong together.

    Attributes:
        rank: The higher, the sooner it makes room; 0 never does.
        least: Lines below which nothing is cut from it; then it goes as a whole.
        what: What its further lines are called when some are cut off, or None to cut silently.
    """

    lines: Sequence[Text]
    rank: int
    least: int = 1
    what: str | None = None

    def cut(self, excess: int) -> "Section":
        """With so many lines less, but not fewer than the least."""
        kept = max(self.least, len(self.lines) - excess)
        if kept >= len(self.lines):
            return self
        if self.what is None or kept < 2:
            return replace(self, lines=self.lines[:kept])
        left_out = len(self.lines) - kept + 1
        more = Text(f"… {left_out} more {self.what}", style="bright_black")
        return replace(self, lines=[*self.lines[: kept - 1], more])


def fit(sections: Sequence[Section], look: Look) -> list[Text]:
    """The sections' lines, blank lines between them where there is room, no wider and no more than fit."""
    shown = [section for section in sections if section.lines]
    if look.height is not None:
        shown = _shortened(shown, look.height)
    spaced = look.height is None or _total(shown) + len(shown) - 1 <= look.height
    lines: list[Text] = []
    for section in shown:
        lines += [Text("")] if spaced and lines else []
        lines += section.lines
    return [_narrowed(line, look.width) for line in lines][: look.height]


def _shortened(sections: list[Section], height: int) -> list[Section]:
    """Cut sections to their least, then leave whole ones out, then cut those that must stay."""
    shown = list(sections)
    by_rank = sorted(range(len(shown)), key=lambda place: -shown[place].rank)
    for place in by_rank:
        if shown[place].rank > 0:
            shown[place] = shown[place].cut(max(0, _total(shown) - height))
    for place in by_rank:
        if _total(shown) > height and shown[place].rank > 0:
            shown[place] = replace(shown[place], lines=())
    return [section for section in shown if section.lines]


def _total(sections: Sequence[Section]) -> int:
    return sum(len(section.lines) for section in sections)


def _narrowed(line: Text, width: int | None) -> Text:
    narrow = line.copy()
    if width is not None:
        narrow.truncate(width, overflow="ellipsis")
    return narrow
