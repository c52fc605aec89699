"""Answers of all methods to the same instructions, side by side."""

from .blocks import Results, Samples, Section, Text, absent
from .methods import LOOKS, in_order, marked

TITLE = "Answers side by side"


def answers(r: Results) -> Section:
    """The section with every instruction of the report, the reference and every method's answer."""
    given = r.get("samples") or {}
    rows = given.get("rows") or ()
    if not rows:
        return absent("answers", TITLE, "This report contains no answers.")
    methods = in_order(r, list(dict.fromkeys(a["method"] for row in rows for a in row["answers"])))
    first = [m for m in methods if m in LOOKS] or methods[:6]
    note = (
        f"{len(rows)} of {given['of']} instructions of {given['suite']}, the first in order of their ids (hashes), "
        f"seed {given['seed']}, {len(methods)} methods. Score: the judge's preference for the answer "
        "over the reference, 0 to 1, mean of both orders; without a verdict there is no score."
    )
    return Section(
        "answers",
        TITLE,
        [
            Text([note]),
            Samples(
                rows,
                methods,
                first,
                sorted({row.get("subset", "") for row in rows} - {""}),
                sorted({row.get("category", "") for row in rows} - {""}),
                {m: marked(r, m) for m in methods},
            ),
        ],
    )
