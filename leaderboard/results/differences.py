"""Paired differences: against PPO by every judge, against the control, and at equal KL."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import escape

from .text import Bold, ends, label, listed, p_value, signed, table

Results = Mapping[str, Any]


def named_collapses(r: Results) -> list[str]:
    """A sentence with the methods that have a collapsed seed; [] if there is none."""
    if not r["collapsed"]:
        return []
    names = ", ".join(
        f"{escape.markdown(label(r, m))} (seed {listed(seeds)})" for m, seeds in r["collapsed"].items()
    )
    return [
        f"Collapsed seeds, more than five of the table's seed SDs below the method's median: {names}. Their methods' "
        "differences are shown with and without them, and are excluded from the shrinkage of variances.\n"
    ]


def differences(r: Results) -> str:
    """Every method against PPO, by every judge; every retrained reward model against the control."""
    parts = []
    if r["comparisons"]:
        parts.append(f"## Every method against PPO\n\n{compared(r, r['comparisons'], 'PPO')}")
    if any(r["comparisons_by"].values()):
        text = (
            "The same answers, paired in the same way, with the verdicts of other judges. Each column is corrected "
            "separately: points (95 %), Holm's p."
        )
        parts.append(f"### By other judges\n\n{text}\n\n{_by_judge(r)}")
    if r["against_control"]:
        text = (
            "`rm_retrain` only retrains the reward model on the same pairs with another random seed. The differences "
            "from it are the effect of what RLP adds, policy samples:"
        )
        rows = compared(r, r["against_control"], "rm_retrain")
        parts.append(f"## Every retrained reward model against the control\n\n{text}\n\n{rows}")
    return "\n\n".join(parts)


def compared(r: Results, rows: Sequence[Mapping[str, Any]], baseline: str) -> str:
    """One line per comparison, followed by the same comparison without collapsed seeds."""
    lines = []
    for row in rows:
        here = f"{signed(row['difference'])} ({ends(row['ci95'])})"
        p, corrected = p_value(row["p"]), p_value(row["p_holm"])
        seen = f"{row['smallest_detectable_difference']:.1f}"
        verdict = row["verdict"].partition(":")[0]
        lines.append([label(r, row["candidate"]), here, p, corrected, seen, verdict])
        less = row["without_collapsed"]
        if less:
            without = f"{signed(less['difference'])} ({ends(less['ci95'])})"
            gone = "; ".join(f"{m} seed {listed(seeds)}" for m, seeds in row["collapsed"].items())
            name = f"{label(r, row['candidate'])}, {len(less['seeds'])} seeds"
            lines.append([name, without, "", "", "", f"without collapsed: {gone}"])
    return table([f"method minus {baseline}", "points", "p", "Holm's p", "could see", "verdict"], lines)


def _by_judge(r: Results) -> str:
    judges = {judge: {row["candidate"]: row for row in rows} for judge, rows in r["comparisons_by"].items()}
    pool = {row["candidate"]: row for row in r["comparisons"]}
    rows = [
        [label(r, name), *(_judged(found.get(name)) for found in (pool, *judges.values()))] for name in pool
    ]
    return table(["method minus PPO", r["judge"]["name"], *judges], rows)


def _judged(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{signed(row['difference'])} ({ends(row['ci95'])}), {p_value(row['p_holm'])}"


def equal_kl(r: Results) -> str:
    """Win rate minus PPO's at the same KL."""
    kls = sorted({row["kl"] for row in r["matched_kl"]})
    if not kls:
        return ""
    names = list(dict.fromkeys(row["candidate"] for row in r["matched_kl"]))
    cell = {(row["candidate"], row["kl"]): row for row in r["matched_kl"]}
    rows = [[label(r, name), *(_matched_cell(cell[name, kl]) for kl in kls)] for name in names]
    text = (
        "Win rate minus PPO's at the same KL to the SFT policy, points (95 %): item scores interpolated between the "
        "two nearest snapshots, paired over items and seeds. Bold: different from 0 after Holm's correction over the "
        "whole table. Interpolation between distant points underestimates a concave curve, at low KL most for methods "
        "whose KL grows fast. Empty: a seed of one of the two does not reach that KL."
    )
    columns = ["method", *(f"KL {kl:g}" for kl in kls)]
    picture = "![Win rate against KL](figures/results-kl.svg)"
    return f"## At equal KL\n\n{text}\n\n{table(columns, rows)}\n\n{picture}"


def _matched_cell(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    text = f"{signed(row['difference'])} ({ends(row['ci95'])})"
    return Bold(text) if row["p_holm"] < 0.05 else text
