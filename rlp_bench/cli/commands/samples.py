"""`samples`: answers, synthetic preferences and accepted prompts, to be read."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.analysis.samples import View, accepted_view, outputs_view, pairs_view
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.cli.commands.reports import finished
from rlp_bench.display import Display, print_json, print_text, show, table
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.records import RunRecord, stand_ins
from rlp_bench.store.store import Store

VIEWS = ("outputs", "pairs", "accepted")
Lines = tuple[list[str], list[list[str]]]


def samples_command(
    view: str,
    methods: Sequence[str],
    seed: int,
    suite: str,
    item: str | None,
    category: str | None,
    n: int,
    recipe_name: str,
    overrides: Sequence[str],
    markdown: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Prints a view of the finished runs of a recipe at one seed."""
    if view not in VIEWS:
        raise UnknownName(f'samples --view "{view}": {nearest(view, VIEWS)}')
    store = Store(root)
    records = _in_order(finished(store, load_recipe(recipe_name, overrides).id, methods, [seed]), methods)
    with Display(quiet=True) as display:
        if view == "outputs":
            found = outputs_view(store, records, suite, item, category, n)
        elif view == "pairs":
            makers = records if methods else [r for r in records if r.method in ("rlaif", "rlp_spg")]
            found = pairs_view(store, makers, item, category, n, display)
        else:
            chosen = next((r for r in records if r.method == "rlp_spg"), records[-1])
            found = accepted_view(chosen, item, category, n)
    if as_json:
        print_json({"view": view, "seed": seed, "rows": found})
        return
    marks = {r.method for r in records if stand_ins(r.lineage)}
    for title, (columns, rows) in RENDER[view](found, marks):
        if markdown:
            print_text(_markdown(title, columns, rows))
        else:
            show(table(title, columns, rows))


def _in_order(records: Sequence[RunRecord], methods: Sequence[str]) -> list[RunRecord]:
    """As asked for; the simplest plan first where nothing was."""
    if methods:
        return sorted(records, key=lambda r: methods.index(r.method))
    return sorted(records, key=lambda r: (len(r.lineage), r.method))


def _outputs(found: View, marks: set[str]) -> list[tuple[str, Lines]]:
    return [
        (
            f"{one['instruction']}  [{one['category']}, {one['id']}]",
            (
                ["method", ">score", ">tokens", "answer"],
                [["(reference)", "", "", str(one["reference"])]]
                + [
                    [_mark(a, marks), _number(a["score"]), str(a["tokens"]), a["text"]]
                    for a in one["answers"]
                ],
            ),
        )
        for one in found
    ]


def _pairs(found: View, marks: set[str]) -> list[tuple[str, Lines]]:
    return [
        (
            f"{one['instruction']}  [{one['category']}, {one['id']}]",
            (
                ["method", "chosen", "rejected", ">sure", ">pool", ">gold"],
                [
                    [
                        _mark(p, marks),
                        p["chosen"],
                        p["rejected"],
                        *(_number(p[key]) for key in ("sure", "pool", "gold")),
                    ]
                    for p in one["pairs"]
                ],
            ),
        )
        for one in found
    ]


def _accepted(found: View, marks: set[str]) -> list[tuple[str, Lines]]:
    tables = []
    for accepted in (True, False):
        rows = [
            [
                _number(r["confidence"]),
                r["instruction"],
                r["category"],
                " ".join(map(str, r["clusters"])),
                r["chosen"] or "",
                r["rejected"] or "",
                r["reason"],
            ]
            for r in found
            if r["accepted"] == accepted
        ]
        columns = [">confidence", "instruction", "category", "clusters", "chosen", "rejected", "reason"]
        tables.append(("Accepted" if accepted else "Not accepted", (columns, rows)))
    return tables


RENDER: dict[str, Callable[[View, set[str]], list[tuple[str, Lines]]]] = {
    "outputs": _outputs,
    "pairs": _pairs,
    "accepted": _accepted,
}


def _mark(row: Mapping[str, Any], marks: set[str]) -> str:
    return str(row["method"]) + (" (stand-in)" if row["method"] in marks else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    names = [column.lstrip(">") for column in columns]
    return "\n".join([f"**{title}**", "", line(names), "|" + "---|" * len(names), *map(line, rows), ""])
