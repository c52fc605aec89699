"""The single-file report: a page without network access that runs only its own script."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, UnknownName, nearest

FOLDER = Path(__file__).parent
FORMATS = ("html",)


class HtmlReport:
    """Renders the results of `rlp_bench.analysis.html_data.html_data`."""

    name = "html"
    version = "1"

    def render(self, reports: Sequence[Mapping[str, Any]], format: str = "html") -> str:
        """The page as HTML; equal results give equal bytes.

        Raises:
            UnknownName: another format.
            DataError: not exactly one result of a matrix.
        """
        if format not in FORMATS:
            raise UnknownName(f'board "html": no format "{format}"; {nearest(format, FORMATS)}')
        if len(reports) != 1 or "suites" not in reports[0] or "matrix" not in reports[0]:
            raise DataError(
                'board "html": expected one result of a matrix; `rlp-bench report html` makes and renders it'
            )
        return _page(reports[0])


def _page(r: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from . import answers, costs, training
    from . import leaderboard as board
    from .text import clean

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = (
        board.header, board.leaderboard, board.win_rates, board.claims, board.differences, board.subsets,
        training.by_kl, training.reward_models, training.preferences, answers.answers, training.curves,
        costs.throughput,
    )  # fmt: skip
    style, script = ((FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    return environment.get_template("report.html.j2").render(
        title=f"RLP bench: {r['matrix']['recipe_id']}",
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        sections=[part(r) for part in parts],
    )


def _hash(text: str) -> str:
    """The source expression of an inline text in a content security policy, which then allows no other text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
