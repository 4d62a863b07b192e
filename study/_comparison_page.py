"""A comparison as one HTML page that needs no other file."""

import base64
from collections.abc import Sequence
from html import escape

from study.comparing import Comparison
from study.screen.comparison import differences, results

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1240px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto }
th, td { text-align: left; padding: .3em .8em; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
th { font-weight: 600; white-space: nowrap }
img { max-width: 100%; height: auto }
.warning { background: #fff3cd; border-left: 4px solid #e69f00; padding: .5em 1em }
"""


def comparison_page(comparison: Comparison, png: bytes) -> str:
    """The page: warnings, curves, results, and in what the configurations differ."""
    names = ", ".join(study.name for study in comparison.studies)
    warnings = "".join(f'<p class="warning">{escape(warning)}</p>\n' for warning in comparison.warnings)
    image = base64.b64encode(png).decode("ascii")
    differing = _table(differences(comparison)) or "<p>Their configurations do not differ.</p>\n"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(names)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(names)}</h1>\n{warnings}"
        f'<img alt="Best value so far by trials, epochs and time" src="data:image/png;base64,{image}">\n'
        f"<h2>Results</h2>\n{_table(results(comparison))}"
        f"<h2>Configuration</h2>\n{differing}</body>\n</html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows[1:])
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
