"""`rlp-bench samples`: shows outputs, synthetic preferences and accepted prompts."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api import escape
from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.cli.options import STORE, Json, RecipeName, Seed, Sets, StoreFolder, SuiteAlias, plugin_names
from rlp_bench.display import Display, print_json, print_text, show, table

if TYPE_CHECKING:
    from rlp_bench.run.records import RunRecord
    from rlp_bench.store.store import Store

View = list[dict[str, Any]]
Lines = tuple[list[str], list[list[str]]]


def samples(
    view: Annotated[
        str,
        typer.Option("--view", help="outputs, pairs or accepted.", autocompletion=lambda: list(RENDER)),
    ] = "outputs",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="Method to show, in this order; repeatable.",
            autocompletion=plugin_names("method"),
        ),
    ] = None,
    seed: Seed = 0,
    suite: SuiteAlias = "alpacafarm",
    item: Annotated[
        str | None, typer.Option("--item", help="An item's id, or words from its instruction.")
    ] = None,
    category: Annotated[str | None, typer.Option("--category", help="Only items of this category.")] = None,
    n: Annotated[int, typer.Option("-n", help="Number of instructions.", min=1)] = 3,
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables.")] = False,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Show methods' outputs and preferences side by side."""
    if view not in RENDER:
        raise UnknownName(f'samples --view "{view}": {nearest(view, RENDER)}')
    from rlp_bench.cli.reports.preference_accuracy import finished
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.run.records import stand_ins
    from rlp_bench.store.store import Store

    opened, asked = Store(store), methods or []
    records = _in_order(finished(opened, load_recipe(recipe, overrides or []).id, asked, [seed]), asked)
    found = _view(view, opened, records, asked, suite, (item, category, n))
    if as_json:
        print_json({"view": view, "seed": seed, "rows": found})
        return
    marks = {r.method for r in records if stand_ins(r.lineage)}
    for title, (columns, rows) in RENDER[view](found, marks):
        if markdown:
            print_text(_markdown(title, columns, rows))
        else:
            show(table(title, columns, rows))


def _view(
    view: str,
    store: "Store",
    records: "Sequence[RunRecord]",
    methods: Sequence[str],
    suite: str,
    which: tuple[str | None, str | None, int],
) -> View:
    """The rows of a view; `which` is (item, category, number of instructions)."""
    from rlp_bench.analysis.samples import accepted_view, outputs_view, pairs_view

    if view == "outputs":
        return outputs_view(store, records, suite, *which)
    if view == "pairs":
        makers = records if methods else [r for r in records if r.method in ("rlaif", "rlp_spg")]
        with Display(quiet=True) as display:
            return pairs_view(store, makers, *which, display)
    chosen = next((r for r in records if r.method == "rlp_spg"), records[-1])
    return accepted_view(chosen, *which)


def _in_order(records: "Sequence[RunRecord]", methods: Sequence[str]) -> "list[RunRecord]":
    """The records in the order of `methods`; without methods, the shortest plan first."""
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
        return "| " + " | ".join(map(escape.markdown, cells)) + " |"

    names = [column.lstrip(">") for column in columns]
    return "\n".join(
        [f"**{escape.markdown(title)}**", "", line(names), "|" + "---|" * len(names), *map(line, rows), ""]
    )
