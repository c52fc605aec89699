"""Renders a table as LaTeX or as an HTML page; all texts are escaped."""

from collections.abc import Sequence

from rlp_bench.api import escape

STYLE = """\
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8886 }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas }
li { margin: .2rem 0 }"""


def latex_table(notes: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A booktabs tabular with the notes as comments above it; needs \\usepackage{booktabs}."""
    lines = [f"% {escape.line(' '.join(note.split()))}" for note in notes]
    lines += [
        rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        r"\toprule",
        _latex_row(header),
        r"\midrule",
    ]
    lines += [_latex_row(row) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape.latex, cells)) + r" \\"


def html_page(title: str, notes: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A self-contained HTML page with the table and the notes."""
    head = "".join(f'<th scope="col">{escape.html(cell)}</th>' for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape.html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    items = "\n".join(f"<li>{escape.html(note)}</li>" for note in notes)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape.html(title)}</title>
<style>
{STYLE}
</style>
<h1>{escape.html(title)}</h1>
<div>{table}</div>
<ul>
{items}
</ul>
</html>
"""
