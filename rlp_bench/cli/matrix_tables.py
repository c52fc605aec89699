"""Tables of `matrix`: the grid of methods and seeds, and the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.display import table
from rlp_bench.matrix.schedule import Matrix

STAND_IN = " (stand-in)"


def grid(matrix: Matrix, latest: dict[tuple[str, int], str]) -> Any:
    """One row per method, one column per seed: the win rate if evaluated, else the state of the run."""
    rows = []
    for method in matrix.methods:
        choice = matrix.choice(method)
        complete = not matrix.tuning_left(method)
        chosen = ", ".join(f"{k} {v:g}" for k, v in choice.items()) if choice and complete else ""
        rows.append([method, chosen, *(_cell(matrix, method, seed, latest) for seed in matrix.seeds)])
    return table(matrix.group, ["method", "tuned", *(f">seed {seed}" for seed in matrix.seeds)], rows)


def _cell(matrix: Matrix, method: str, seed: int, latest: dict[tuple[str, int], str]) -> str:
    run = matrix.runs.get((method, seed))
    if run is not None:
        return "done" if run["win_rate"] is None else f"{run['win_rate']:.1f}"
    mine = [job for job in matrix.jobs.values() if (job.method, job.seed) == (method, seed)]
    if any(job.key in matrix.failed for job in mine):
        return "failed"
    running = next((job.label for job in mine if job.key in matrix.running), latest.get((method, seed)))
    return f"({running})" if running else "."


def summary(matrix: Matrix) -> list[Any]:
    """Tables of win rates with KL and length, of differences from PPO (also at equal KL), and of budgets."""
    from rlp_bench.analysis.compute_budget import budget_rows
    from rlp_bench.analysis.item_scores import by_method, reports_of

    runs = [{"method": m, "seed": s, **run} for (m, s), run in matrix.runs.items()]
    suite = next((run["suite"] for run in runs if run["suite"]), None)
    if suite is None:
        return []
    reports = reports_of(matrix.store, runs)
    scores = by_method(matrix.store, reports, suite)
    marks = {m for m, seeds in reports.items() if any(r.get("stand_ins") for r in seeds.values())}
    named = {name: name + (STAND_IN if name in marks else "") for name in matrix.methods}
    tables = [_rates(suite, scores, reports, named)]
    if "ppo" in scores and len(scores) > 1:
        tables.append(_paired(scores, named))
    tables += _at_equal_kl(matrix, runs, named)
    columns, rows = budget_rows(matrix.store, [matrix.store.root / run["folder"] for run in runs])
    budget = [[named[row[0]], *row[1:]] for row in rows]
    return [*tables, table("Budget of a run, mean over seeds", columns, budget)]


def _rates(suite: str, scores: Any, reports: Mapping[str, Any], named: Mapping[str, str]) -> Any:
    from rlp_bench.analysis.compare import means

    found = means(scores)
    rates = [
        (
            named[name],
            f"{found[name]['win_rate']:.1f}",
            "{:.1f} to {:.1f}".format(*found[name]["ci95"]),
            _mean([r["kl"]["mean"] if r.get("kl") else None for r in reports[name].values()]),
            _mean([r["length_tokens"] for r in reports[name].values()]),
        )
        for name in named
        if name in found
    ]
    return table(f"Win rate, {suite}", ["method", ">percent", "95 %", ">KL", ">tokens"], rates)


def _paired(scores: Any, named: Mapping[str, str]) -> Any:
    from rlp_bench.analysis.compare import compare

    pairs = [(name, "ppo") for name in named if name in scores and name != "ppo"]
    lines = [
        (named[r["candidate"]], *_difference(r), f"{r['p_holm']:.2g}", r["verdict"])
        for r in compare(scores, pairs)
    ]
    columns = ["method", ">difference", "95 %", ">Holm p", "verdict"]
    return table("Paired with ppo, points", columns, lines)


def _at_equal_kl(matrix: Matrix, runs: Sequence[Mapping[str, Any]], named: Mapping[str, str]) -> list[Any]:
    """One table as a list; empty if no run reaches PPO's KL."""
    from rlp_bench.analysis.matrix_results import matched_to_ppo, points_of_matrix

    rows = matched_to_ppo(points_of_matrix(matrix.store, {"runs": runs}))
    lines = [
        (named[r["candidate"]], f"{r['kl']:g}", *_difference(r), f"{r['p']:.2g}")
        for r in rows
        if r["difference"] is not None
    ]
    columns = ["method", ">KL", ">difference", "95 %", ">p"]
    return [table("Compared with ppo at equal KL, points, uncorrected", columns, lines)] if lines else []


def _difference(row: Mapping[str, Any]) -> tuple[str, str]:
    return f"{row['difference']:+.1f}", "{:+.1f} to {:+.1f}".format(*row["ci95"])


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else ""
