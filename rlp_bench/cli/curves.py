"""`rlp-bench curves`: proxy reward, gold utility and reward-model accuracy along PPO."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_json, write_text
from rlp_bench.cli.options import STORE, Json, RecipeName, Sets, StoreFolder, plugin_names, suite_aliases
from rlp_bench.display import Display, print_json, print_text, show, table

if TYPE_CHECKING:
    from rlp_bench.matrix.trajectory import Point

Methods = Annotated[
    list[str] | None,
    typer.Option("--method", help="Methods that end in PPO.", autocompletion=plugin_names("method")),
]
Betas = Annotated[list[float] | None, typer.Option("--beta", help="KL coefficient; repeatable.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Seed; repeatable.")]
Snapshots = Annotated[
    list[int] | None, typer.Option("--snapshot", help="Rollouts of the snapshots to evaluate; repeatable.")
]
WinRateOn = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="Also evaluate every snapshot's win rate on this suite.",
        autocompletion=suite_aliases,
    ),
]
AtKL = Annotated[
    list[float] | None,
    typer.Option("--at-kl", help="Compare the methods with the first at this KL; needs --suite; repeatable."),
]


def curves(
    methods: Methods = None,
    betas: Betas = None,
    seeds: Seeds = None,
    snapshots: Snapshots = None,
    suite: WinRateOn = None,
    at_kl: AtKL = None,
    out: Annotated[Path, typer.Option("--out", help="NAME.json and NAME.svg are written.")] = Path("curves"),
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Show proxy reward, gold utility and reward-model accuracy along PPO, by KL: table, JSON and plot."""
    methods, overrides = methods or ["ppo"], overrides or []
    for method in methods:
        registry.origin("method", method)
    from rlp_bench.matrix.trajectory import matched_kl, trace
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.store.store import Store

    ppo = load_recipe(recipe, overrides).stages.get("ppo", {})
    betas = betas or [ppo.get("beta", 0.02)]
    snapshots = snapshots or ppo.get("snapshots", [])
    _check(methods, betas, snapshots, suite, at_kl or [])
    opened = Store(store)
    with Display(quiet=as_json) as display:
        points = [
            point
            for method in methods
            for seed in seeds or [0]
            for point in trace(recipe, overrides, method, betas, seed, snapshots, suite, opened, display)
        ]
    data, picture = _write(points, out)
    rows, matched = (
        [point.row() for point in points],
        [row for kl in at_kl or [] for row in matched_kl(points, kl)],
    )
    if as_json:
        print_json({"points": rows, "matched": matched, "data": str(data), "picture": str(picture)})
        return
    show(_points_table(rows), *([_matched_table(matched)] if matched else []))
    print_text(f"data: {data}\npicture: {picture}")


def _check(
    methods: Sequence[str],
    betas: Sequence[float],
    snapshots: Sequence[int],
    suite: str | None,
    at_kl: Sequence[float],
) -> None:
    """Checks the options.

    Raises:
        BenchError: there are no snapshots, or nothing to compare at equal KL.
    """
    if at_kl and (suite is None or len(methods) < 2 or len(betas) > 1):
        raise BenchError(
            "curves: --at-kl compares two methods or more on a suite at one beta; give --method twice and --suite"
        )
    if not snapshots:
        raise BenchError("curves: no snapshots to evaluate; give --snapshot (repeatable)")


def _write(points: "Sequence[Point]", out: Path) -> tuple[Path, Path]:
    """Writes NAME.json and NAME.svg; returns their paths."""
    rows = [point.row() for point in points]
    out.parent.mkdir(parents=True, exist_ok=True)
    data, picture = out.with_suffix(".json"), out.with_suffix(".svg")
    write_json(data, rows)
    write_text(picture, registry.load("board", "curves")().render(rows, "svg"))
    return data, picture


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


def _matched_table(rows: Sequence[dict[str, Any]]) -> Any:
    columns = [">KL", "difference", ">points", "95 %", ">p", ">smallest detectable"]
    return table("At equal KL, paired over items and seeds", columns, [_matched_line(row) for row in rows])


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
