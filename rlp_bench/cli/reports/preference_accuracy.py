"""`rlp-bench report preference-accuracy`: accuracy of synthetic preferences and reward models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api.errors import DataError
from rlp_bench.cli.options import STORE, Json, RecipeName, Sets, StoreFolder, plugin_names
from rlp_bench.display import Display, print_json, show, table

if TYPE_CHECKING:
    from rlp_bench.run.records import RunRecord
    from rlp_bench.store.store import Store


def preference_accuracy(
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Only these; repeatable.", autocompletion=plugin_names("method")),
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Only these; repeatable.")] = None,
    pairs: Annotated[
        int | None,
        typer.Option("--pairs", help="Number of dev pairs for reward models; default: the recipe's.", min=1),
    ] = None,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Report the accuracy of synthetic preferences, with a length rule as baseline, and of reward models."""
    from rlp_bench.analysis.preference_accuracy import preference_report
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.store.store import Store

    read, opened = load_recipe(recipe, overrides or []), Store(store)
    records = finished(opened, read.id, methods or [], seeds or [])
    with Display(quiet=as_json) as display:
        found = preference_report(opened, read, records, display, pairs)
    if as_json:
        print_json(found)
        return
    show(
        _labels_table(found["labels"]),
        *_confidence_table(found["labels"]),
        _models_table(found["reward_models"]),
    )


def finished(
    store: "Store", recipe_id: str, methods: Sequence[str], seeds: Sequence[int]
) -> "list[RunRecord]":
    """The newest finished run of every method and seed of a recipe, preferring tuned runs.

    Raises:
        DataError: there are none.
    """
    from rlp_bench.run.records import open_run, read_record, run_folders

    newest: dict[tuple[str, int], Path] = {}
    for wanted in (recipe_id, f"{recipe_id}+tuned"):
        for folder in run_folders(store):
            record = read_record(folder)
            asked = (not methods or record["method"] in methods) and (not seeds or record["seed"] in seeds)
            if record["recipe_id"] == wanted and record["status"] == "done" and asked:
                newest[record["method"], record["seed"]] = folder
    if not newest:
        raise DataError(
            f'store "{store.root}": has no finished run of {recipe_id} with these methods and seeds; '
            "run `rlp-bench matrix` first"
        )
    return [open_run(newest[key], store) for key in sorted(newest)]


def _marked(row: Mapping[str, Any]) -> str:
    return row["method"] + (" (stand-in)" if row["stand_in"] else "")


def _percent(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    return f"{100 * cell['accuracy']:.1f} ({100 * cell['ci95'][0]:.1f} to {100 * cell['ci95'][1]:.1f})"


def _labels_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    columns = [
        "method",
        ">pairs",
        ">accepted",
        ">pool",
        ">gold",
        ">length rule",
        ">utility gap",
        ">tokens +/-",
        ">ties",
    ]
    lines = [
        (
            _marked(row),
            f"{row['pairs']:.0f}",
            f"{row['acceptance_rate']:.2f}",
            _percent(row["pool"]),
            _percent(row["gold"]),
            _percent(row["length_rule"]),
            "" if row["utility_gap"] is None else f"{row['utility_gap']:+.2f}",
            f"{row['chosen_tokens']:.1f}/{row['rejected_tokens']:.1f}",
            f"{row['ties']['pool']}/{row['ties']['gold']}",
        )
        for row in rows
    ]
    return table("Synthetic preferences: percent correct (95 %), without ties", columns, lines)


def _confidence_table(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    tables = []
    for row in rows:
        if row["confidence"] and row["method"] == "rlp_spg":
            bars = sorted(row["confidence"].items(), key=lambda item: float(item[0].rpartition("_")[2]))
            most = max(value for _, value in bars) or 1
            lines = [(n.rpartition("_")[2], f"{v:.0f}", "#" * round(40 * v / most)) for n, v in bars]
            tables.append(
                table("Confidence of RLP-SPG, prompts of all seeds", ["up to", ">prompts", ""], lines)
            )
            offered = row["offered_by_category"]
            shares = [
                (c, n, f"{row['accepted_by_category'].get(c, 0) / n:.2f}") for c, n in offered.items() if n
            ]
            tables.append(table("Accepted by category", ["category", ">prompts", ">share"], shares))
    return tables


def _models_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    def cell(row: Mapping[str, Any], place: str, key: str) -> str:
        value = row.get(place, {}).get("pool", {}).get(key)
        return "" if value is None else f"{value:.3f}"

    lines = [
        (
            row["method"],
            row["seed"],
            row["stage"],
            cell(row, "sft", "accuracy"),
            cell(row, "first", "accuracy"),
            cell(row, "first", "matched"),
            cell(row, "own", "accuracy"),
            cell(row, "own", "matched"),
        )
        for row in rows
    ]
    columns = ["method", ">seed", "stage", ">SFT pairs", ">first PPO", ">matched", ">own policy", ">matched"]
    return table("Reward models: pool accuracy; matched to the SFT pairs' |utility gap|", columns, lines)
