"""A report's HTML: one page without scripts or anything that is elsewhere."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from study._report_figures import Picture

GENERATOR = '<meta name="generator" content="studyhall report">'
"""What tells a report from another file."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f24; --faint: #5c6370; --paper: #ffffff; --line: #d9dce1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --faint: #a2a9b4; --paper: #16181d; --line: #3a3f48; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 50rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .5rem 0 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem; } p { margin: .3rem 0 .8rem; }
.faint, figcaption { color: var(--faint); font-size: .9rem; }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
td:first-child { overflow-wrap: normal; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 1.2rem; } img { display: block; width: 100%; height: auto; background: #fff; border-radius: 4px; }
summary { cursor: pointer; font-size: 1.2rem; font-weight: bold; margin: 2rem 0 .5rem; }
"""


def page(title: str, subtitle: str, sections: Iterable[str]) -> str:
    """The whole page, from HTML sections."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{GENERATOR}
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="faint">{escape(subtitle)}</p>
{"".join(sections)}
</body>
</html>
"""


def section(heading: str, *content: str) -> str:
    """A heading and what belongs to it, in HTML."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{''.join(content)}</section>\n"


def folded(heading: str, *content: str) -> str:
    """As `section`, shown when the heading is clicked."""
    return f"<details>\n<summary>{escape(heading)}</summary>\n{''.join(content)}</details>\n"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers are to the right, with four digits after the point."""
    cells = [[_cell(value) for value in row] for row in rows]
    right = [bool(cells) and all(row[column][1] for row in cells) for column in range(len(head))]
    lines = ["<tr>" + "".join(_tag("th", text, right[i]) for i, text in enumerate(head)) + "</tr>"]
    lines += [
        "<tr>" + "".join(_tag("td", text, right[i]) for i, (text, _) in enumerate(row)) + "</tr>" for row in cells
    ]
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>\n"


def values(tree: Mapping[str, Any]) -> str:
    """A table of names and values."""
    rows = [[name, value if isinstance(value, str) else str(value)] for name, value in tree.items()]
    return table(["name", "value"], rows)


def picture(shown: Picture) -> str:
    """A figure with its caption, held in the page."""
    data = base64.b64encode(shown.png).decode("ascii")
    return (
        f'<h3>{escape(shown.title)}</h3>\n<figure>\n<img alt="{escape(shown.title, quote=True)}" '
        f'src="data:image/png;base64,{data}">\n<figcaption>{escape(shown.caption)}</figcaption>\n</figure>\n'
    )


def _cell(value: Any) -> tuple[str, bool]:
    if value is None:
        return "undefined", True
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (f"{value:,}" if isinstance(value, int) else f"{value:.4f}"), True
    return str(value), False


def _tag(name: str, text: str, right: bool) -> str:
    number = ' class="number"' if right else ""
    return f"<{name}{number}>{escape(text)}</{name}>"
