"""`rlp-bench compare`: paired tests of methods on the same items and seeds."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from rlp_bench.api.errors import BenchError
from rlp_bench.cli.options import STORE, Json, RecipeName, Sets, StoreFolder, SuiteAlias
from rlp_bench.display import print_json, show, table


def compare(
    pairs: Annotated[
        list[str], typer.Argument(help="candidate:baseline, for example rlp_spg:ppo; repeatable.")
    ],
    recipe: RecipeName = "micro",
    overrides: Sets = None,
    suite: SuiteAlias = "alpacafarm",
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Paired tests of methods on the same items and seeds, with Holm's correction over all pairs."""
    from rlp_bench.analysis.compare import compare as paired_tests
    from rlp_bench.analysis.compare import means, scores_by_method, stand_in_methods
    from rlp_bench.recipes.load import load_recipe
    from rlp_bench.store.store import Store

    wanted = [_pair(text) for text in pairs]
    recipe_id = load_recipe(recipe, overrides or []).id
    opened = Store(store)
    scores = scores_by_method(opened, recipe_id, suite)
    rows, by_method = paired_tests(scores, wanted), means(scores)
    if as_json:
        print_json({"recipe": recipe_id, "suite": suite, "methods": by_method, "comparisons": rows})
        return
    marks = stand_in_methods(opened, recipe_id)
    named = {name: name + (" (stand-in)" if name in marks else "") for name in by_method}
    show(_means_table(f"{suite}, {recipe_id}", by_method, named), _paired_table(rows, named))


def _pair(text: str) -> tuple[str, str]:
    candidate, colon, baseline = text.partition(":")
    if not colon or not candidate or not baseline:
        raise BenchError(f'compare "{text}": expected candidate:baseline, for example rlp_spg:ppo')
    return candidate, baseline


def _means_table(title: str, by_method: Mapping[str, Mapping[str, Any]], named: Mapping[str, str]) -> Any:
    lines = [
        (
            named[name],
            f"{m['win_rate']:.1f}",
            f"{m['ci95'][0]:.1f} to {m['ci95'][1]:.1f}",
            len(m["seeds"]),
            m["n_items"],
        )
        for name, m in sorted(by_method.items(), key=lambda item: item[1]["win_rate"])
    ]
    return table(title, ["method", ">win rate", "95 %", ">seeds", ">items"], lines)


def _paired_table(rows: Sequence[Mapping[str, Any]], named: Mapping[str, str]) -> Any:
    lines = [
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
    return table("Paired, points", ["difference", ">mean", "95 %", ">p", ">Holm p", "verdict"], lines)
