"""`compare` and `curves`: what several runs say together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_json
from rlp_bench.display import Display, print_json, show, table
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store


def compare_command(
    pairs: Sequence[str], recipe_name: str, overrides: Sequence[str], suite: str, root: Path, as_json: bool
) -> None:
    """Paired tests of "candidate:baseline" pairs on one suite, over the seeds that both have."""
    from rlp_bench.analysis.compare import compare, means, scores_by_method, stand_in_methods

    wanted = [_pair(text) for text in pairs]
    recipe = load_recipe(recipe_name, overrides)
    store = Store(root)
    scores = scores_by_method(store, recipe.id, suite)
    rows, by_method = compare(scores, wanted), means(scores)
    if as_json:
        print_json({"recipe": recipe.id, "suite": suite, "methods": by_method, "comparisons": rows})
        return
    marks = stand_in_methods(store, recipe.id)
    named = {name: name + (" (stand-in)" if name in marks else "") for name in by_method}
    methods = [
        (
            named[name],
            f"{m['win_rate']:.1f}",
            f"{m['ci95'][0]:.1f} to {m['ci95'][1]:.1f}",
            len(m["seeds"]),
            m["n_items"],
        )
        for name, m in sorted(by_method.items(), key=lambda item: item[1]["win_rate"])
    ]
    compared = [
        (
            f"{named[r['candidate']]} - {named[r['baseline']]}",
            f"{r['difference']:+.1f}",
            f"{r['ci95'][0]:+.1f} to {r['ci95'][1]:+.1f}",
            f"{r['p']:.2g}",
            f"{r['p_holm']:.2g}",
            r["verdict"],
        )
        for r in rows
    ]
    show(
        table(f"{suite}, {recipe.id}", ["method", ">win rate", "95 %", ">seeds", ">items"], methods),
        table("Paired, points", ["difference", ">mean", "95 %", ">p", ">Holm p", "verdict"], compared),
    )


def _pair(text: str) -> tuple[str, str]:
    candidate, colon, baseline = text.partition(":")
    if not colon or not candidate or not baseline:
        raise BenchError(f'compare "{text}": expected candidate:baseline, for example rlp_spg:ppo')
    return candidate, baseline


def curves_command(
    methods: Sequence[str],
    recipe_name: str,
    overrides: Sequence[str],
    betas: Sequence[float],
    seeds: Sequence[int],
    snapshots: Sequence[int],
    suite: str | None,
    at_kl: Sequence[float],
    out: Path,
    root: Path,
    as_json: bool,
) -> None:
    """Trains what is missing, measures every snapshot, writes NAME.json and NAME.svg."""
    from rlp_bench.matrix.trajectory import matched_kl, trace

    for method in methods:
        registry.origin("method", method)
    ppo = load_recipe(recipe_name, overrides).stages.get("ppo", {})
    betas = betas or [ppo.get("beta", 0.02)]
    snapshots = snapshots or ppo.get("snapshots", [])
    if at_kl and (suite is None or len(methods) < 2 or len(betas) > 1):
        raise BenchError(
            "curves: --at-kl compares two methods or more on a suite at one beta; give --method twice and --suite"
        )
    if not snapshots:
        raise BenchError("curves: no rollout count to look at; give --snapshot (repeatable)")
    store = Store(root)
    with Display(quiet=as_json) as display:
        points = [
            point
            for method in methods
            for seed in seeds
            for point in trace(recipe_name, overrides, method, betas, seed, snapshots, suite, store, display)
        ]
    rows = [point.row() for point in points]
    out.parent.mkdir(parents=True, exist_ok=True)
    data, picture = out.with_suffix(".json"), out.with_suffix(".svg")
    write_json(data, rows)
    picture.write_text(registry.load("board", "curves")().render(rows, "svg"), encoding="utf-8")
    matched = [row for kl in at_kl for row in matched_kl(points, kl)]
    if as_json:
        print_json({"points": rows, "matched": matched, "data": str(data), "picture": str(picture)})
        return
    show(_points_table(rows))
    if matched:
        columns = [">KL", "difference", ">points", "95 %", ">p", ">smallest detectable"]
        show(
            table(
                "At equal KL, paired over items and seeds", columns, [_matched_line(row) for row in matched]
            )
        )
    print(f"data: {data}\npicture: {picture}")


def _points_table(rows: Sequence[dict[str, Any]]) -> Any:
    columns = [
        "method",
        ">beta",
        ">seed",
        ">rollouts",
        ">KL",
        ">proxy",
        ">gold",
        ">RM acc",
        ">length",
        ">win",
    ]
    lines = [
        (
            row["method"],
            f"{row['beta']:g}",
            row["seed"],
            row["rollouts"],
            f"{row['kl']:.2f}",
            f"{row['proxy']:+.2f}",
            "" if row["gold"] is None else f"{row['gold']:.2f}",
            "" if row["accuracy"] is None else f"{row['accuracy']:.3f}",
            f"{row['length']:.1f}",
            "" if row["win_rate"] is None else f"{row['win_rate']:.1f}",
        )
        for row in rows
    ]
    return table("Along PPO", columns, lines)


def _matched_line(row: dict[str, Any]) -> tuple[Any, ...]:
    name = f"{row['candidate']} - {row['baseline']}"
    if row["difference"] is None:
        return f"{row['kl']:g}", name, "", row["reason"], "", ""
    low, high = row["ci95"]
    seen = f"{row['smallest_detectable_difference']:.1f}"
    return (
        f"{row['kl']:g}",
        name,
        f"{row['difference']:+.1f}",
        f"{low:+.1f} to {high:+.1f}",
        f"{row['p']:.2g}",
        seen,
    )
