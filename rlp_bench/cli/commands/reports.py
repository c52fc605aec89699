"""`report preference-accuracy`, `report results` and `claims`: what the runs of a matrix say together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_json
from rlp_bench.display import Display, print_json, show, table
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.records import RunRecord, open_run, read_record, run_folders
from rlp_bench.store.store import Store


def preference_accuracy_command(
    recipe_name: str,
    overrides: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    pairs: int | None,
    root: Path,
    as_json: bool,
) -> None:
    """Measures the finished runs of a recipe, tuned or not, and prints two tables."""
    from rlp_bench.analysis.preference_accuracy import preference_report

    recipe, store = load_recipe(recipe_name, overrides), Store(root)
    records = finished(store, recipe.id, methods, seeds)
    with Display(quiet=as_json) as display:
        found = preference_report(store, recipe, records, display, pairs)
    if as_json:
        print_json(found)
        return
    show(
        _labels_table(found["labels"]),
        *_confidence_table(found["labels"]),
        _models_table(found["reward_models"]),
    )


def finished(store: Store, recipe_id: str, methods: Sequence[str], seeds: Sequence[int]) -> list[RunRecord]:
    """The newest finished run of every method and seed of a recipe, tuned ones before others.

    Raises:
        DataError: there is none.
    """
    newest: dict[tuple[str, int], Path] = {}
    for wanted in (recipe_id, f"{recipe_id}+tuned"):
        for folder in run_folders(store):
            record = read_record(folder)
            asked = (not methods or record["method"] in methods) and (not seeds or record["seed"] in seeds)
            if record["recipe_id"] == wanted and record["status"] == "done" and asked:
                newest[record["method"], record["seed"]] = folder
    if not newest:
        raise DataError(
            f'store "{store.root}": has no finished run of {recipe_id} that was asked for; '
            "`rlp-bench matrix` makes them"
        )
    return [open_run(newest[key], store) for key in sorted(newest)]


def results_command(name: str | None, out: Path, root: Path, as_json: bool) -> None:
    """Writes the results document, its pictures and its data."""
    from rlp_bench.analysis.matrix_results import open_matrix, results

    store = Store(root)
    matrix = open_matrix(store, name)
    with Display(quiet=as_json) as display:
        found = results(store, matrix, display)
    if as_json:
        print_json(found)
        return
    board = registry.load("board", "results")()
    figures = out.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in ("subsets", "kl"):
        (figures / f"results-{picture}.svg").write_text(
            board.render([found], f"{picture}.svg"), encoding="utf-8"
        )
    write_json(figures / "results.json", found["claims"])
    out.write_text(board.render([found], "md"), encoding="utf-8")
    show(_claims_table(found["claims"]))
    print(f"results: {out}\npictures: {figures}")


def claims_command(name: str | None, root: Path, as_json: bool) -> None:
    """The ledger of claims over the newest matrix."""
    from rlp_bench.analysis.matrix_results import open_matrix, results

    store = Store(root)
    matrix = open_matrix(store, name)
    with Display(quiet=as_json) as display:
        rows = results(store, matrix, display)["claims"]
    if as_json:
        print_json({"matrix": matrix["recipe_id"], "seeds": matrix["seeds"], "claims": rows})
    else:
        show(_claims_table(rows))


def _claims_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    lines = []
    for row in rows:
        text = row["text"] + (" (stand-in)" if row["stand_in"] else "")
        paper = "" if row["published_effect"] is None else f"{row['published_effect']:+.1f}"
        if row["verdict"] == "not run":
            lines.append((row["id"], text, paper, "", "", "", "not run"))
            continue
        ends = "{:+.1f} to {:+.1f}".format(*row["ci95"])
        seen = f"{row['detectable']:.1f}"
        lines.append(
            (
                row["id"],
                text,
                paper,
                f"{row['effect']:+.1f} ({ends})",
                f"{row['p_holm']:.2g}",
                seen,
                row["verdict"],
            )
        )
    return table(
        "Claims", ["id", "claim", ">paper", ">here, points", ">Holm p", ">could see", "verdict"], lines
    )


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
    return table("Synthetic preferences: percent right (95 %), ties dropped", columns, lines)


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
