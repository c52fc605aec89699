"""Step 2: blind pairs, judged in the evaluation's order, stored as "verdicts".

A judge sees an instruction and two texts, but not their authors. With order "both" every pair is judged in both orders,
and an item counts only if both verdicts exist, so that position bias cancels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Judge, Progress
from rlp_bench.api.types import Artifact, Item, Pair, Verdict, content_id, mean_over_orders
from rlp_bench.evaluation.outputs import Outputs, reference_hash
from rlp_bench.store.store import Store, fingerprint

POLICY_FIRST, REFERENCE_FIRST = "policy_first", "reference_first"
ORDERS = ("both", "single", "random", POLICY_FIRST, REFERENCE_FIRST)
AS_STORED = "as_stored"
"""For replayed verdicts: the orders that the file has; not an option of the user."""
CHUNK = 512
"""Pairs per call of the judge, for progress reports."""


@dataclass(frozen=True)
class Ask:
    """One request to the judge, with the side that the policy's answer is on (`order`)."""

    item_id: str
    order: str
    pair: Pair


def orders_of(item: Item, output: str, order: str) -> tuple[str, ...]:
    """The orders in which one pair is shown. "single" ("random") is a hash of item, answer and reference.

    Departs: AlpacaEval's position depends on the instruction only and is the same for every model.
    """
    if order == "both":
        return (POLICY_FIRST, REFERENCE_FIRST)
    if order in (POLICY_FIRST, REFERENCE_FIRST):
        return (order,)
    check_order(order)
    turned = int(content_id("order", item.id, output, item.reference or ""), 16) % 2
    return (REFERENCE_FIRST if turned else POLICY_FIRST,)


def check_order(order: str) -> None:
    """Raises UnknownName if `order` is not in ORDERS."""
    if order not in ORDERS:
        raise UnknownName(f'order "{order}" is not known; {nearest(order, ORDERS)}')


def judge_items(
    items: Sequence[Item],
    outputs: Outputs,
    judge: Judge,
    order: str,
    progress: Progress,
    seed: int = 0,
    known: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Verdict rows {item_id, order, preference_first, reason, raw}, in the items' order.

    No answer: reason "missing: no output". No reference: "missing: ...". Equal texts: a tie without a call.
    Rows in `known` are reused, except those whose call failed.
    """
    kept = {(row["item_id"], row["order"]): dict(row) for row in known if not failed(row)}
    asks: list[Ask] = []
    settled: dict[str, dict[str, Any]] = {}
    for item in items:
        row = outputs.get(item.id)
        if row is None:
            settled[item.id] = _row(item.id, POLICY_FIRST, Verdict(None, "missing: no output"))
        elif item.reference is None:
            settled[item.id] = _row(item.id, POLICY_FIRST, Verdict(None, "missing: nothing to compare with"))
        elif row["output"] == item.reference:
            settled[item.id] = _row(item.id, POLICY_FIRST, Verdict(0.5, raw="identical"))
        else:
            asks += [
                Ask(item.id, o, _pair(item, row["output"], o))
                for o in _orders(judge, item, row["output"], order)
            ]
    open_asks = [ask for ask in asks if (ask.item_id, ask.order) not in kept]
    given = ask_judge(judge, [ask.pair for ask in open_asks], seed, progress)
    for ask, verdict in zip(open_asks, given, strict=True):
        kept[ask.item_id, ask.order] = _row(ask.item_id, ask.order, verdict)
    answered: dict[str, list[dict[str, Any]]] = {}
    for ask in asks:
        answered.setdefault(ask.item_id, []).append(kept[ask.item_id, ask.order])
    return [row for item in items for row in answered.get(item.id) or [settled[item.id]]]


def ask_judge(judge: Judge, pairs: Sequence[Pair], seed: int, progress: Progress) -> list[Verdict]:
    """The judge's verdicts, one per pair, each in [0, 1] or None with a reason.

    Raises:
        BenchError: the judge returns another number of verdicts, or a preference outside [0, 1].
    """
    verdicts: list[Verdict] = []
    size = CHUNK
    if hasattr(judge, "progress"):  # reports every answer itself, and is fastest with all pairs in one call
        size = max(1, len(pairs))
        judge.progress = lambda done, total, note="": progress(done, total, f"{judge.name}: judging, {note}")
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        given = judge.judge(part, seed)
        if len(given) != len(part):
            raise BenchError(
                f'judge "{judge.name}": returned {len(given)} verdicts for {len(part)} pairs; expected one per pair, '
                "in order; fix the judge"
            )
        verdicts += given
        progress(len(verdicts), len(pairs), f"{judge.name}: judging")
    for verdict in verdicts:
        if verdict.preference is not None and not 0 <= verdict.preference <= 1:
            raise BenchError(
                f'judge "{judge.name}": preference {verdict.preference!r}; expected a number in [0, 1]'
            )
    return verdicts


def in_both_orders(
    judge: Judge, pairs: Sequence[Pair], seed: int, progress: Progress
) -> list[tuple[float | None, float | None]]:
    """Preferences for the answer shown first, for each pair as given and swapped; None if there is no verdict."""
    asked = [
        shown
        for pair in pairs
        for shown in (pair, Pair(pair.instruction, pair.second, pair.first, pair.input))
    ]
    given = [verdict.preference for verdict in ask_judge(judge, asked, seed, progress)]
    return list(zip(given[::2], given[1::2], strict=True))


def preferences_over_orders(judge: Judge, pairs: Sequence[Pair], progress: Progress) -> list[float | None]:
    """Preference for the first answer of each pair, averaged over both orders; None if a verdict is missing."""
    return [
        None if first is None or turned is None else mean_over_orders(first, turned)
        for first, turned in in_both_orders(judge, pairs, 0, progress)
    ]


def seal_verdicts(
    store: Store,
    items: Sequence[Item],
    outputs: Artifact,
    rows: Outputs,
    judge: Judge,
    order: str,
    progress: Progress,
    seed: int = 0,
) -> Artifact:
    """Verdicts on stored outputs, with `scores.jsonl` (one row per item) for paired comparisons.

    `rows` are the outputs to judge by item id: those of the artifact, and answers found in stored verdicts only.
    The next evaluation retries failed calls only; every attempt is an artifact.
    """
    identity = {
        "step": "verdicts",
        "version": 1,
        "outputs": outputs.fingerprint,
        "answers": fingerprint(sorted([key, row["output"]] for key, row in rows.items())),
        "references": reference_hash(items),
        "judge": dict(judge.manifest()),
        "order": order,
        "seed": seed,
    }

    attempt, known = 0, list[dict[str, Any]]()
    while store.has("verdicts", fingerprint({**identity, "attempt": attempt})):
        sealed = store.get("verdicts", fingerprint({**identity, "attempt": attempt}))
        known = read_verdicts(sealed)
        if not any(failed(row) for row in known):
            return sealed
        attempt += 1

    def build(folder: Path) -> Mapping[str, float]:
        verdicts = judge_items(items, rows, judge, order, progress, seed, known)
        write_lines(folder / "rows.jsonl", verdicts)
        scores = score_items(items, verdicts)
        write_lines(folder / "scores.jsonl", scores)
        return {"verdicts": len(verdicts), "scored": sum(row["score"] is not None for row in scores)}

    identity = {**identity, "attempt": attempt}
    return store.make("verdicts", fingerprint(identity), build, identity)


def failed(row: Mapping[str, Any]) -> bool:
    """Whether the judge's call failed, so that a retry may succeed; other missing verdicts are final."""
    return row["preference_first"] is None and str(row["reason"]).startswith("failed:")


def score_items(items: Sequence[Item], verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per item: the policy's score (mean over orders; None with a reason unless every order has a verdict)."""
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for row in verdicts:
        by_item.setdefault(row["item_id"], []).append(row)
    scores = []
    for item in items:
        rows = by_item[item.id]
        reason = next((row["reason"] for row in rows if row["preference_first"] is None), "")
        score = None if reason else sum(policy_preference(row) for row in rows) / len(rows)
        scores.append(
            {
                "item_id": item.id,
                "subset": item.subset,
                "category": item.category,
                "score": score,
                "reason": reason,
            }
        )
    return scores


def policy_preference(row: Mapping[str, Any]) -> float:
    """The verdict as a preference for the policy's answer, whichever side it was on."""
    first = float(row["preference_first"])
    return first if row["order"] == POLICY_FIRST else 1.0 - first


def read_verdicts(verdicts: Artifact) -> list[dict[str, Any]]:
    """The stored verdict rows."""
    return list(read_jsonl(verdicts.path / "rows.jsonl"))


def _orders(judge: Judge, item: Item, output: str, order: str) -> tuple[str, ...]:
    if order != AS_STORED:
        return orders_of(item, output, order)
    holds: Callable[[Pair], bool] = getattr(judge, "holds", lambda pair: False)
    held = tuple(o for o in (POLICY_FIRST, REFERENCE_FIRST) if holds(_pair(item, output, o)))
    return held or (POLICY_FIRST,)


def _pair(item: Item, output: str, order: str) -> Pair:
    reference = item.reference or ""
    first, second = (output, reference) if order == POLICY_FIRST else (reference, output)
    return Pair(item.instruction, first, second, item.input)


def _row(item_id: str, order: str, verdict: Verdict) -> dict[str, Any]:
    reason = verdict.reason
    if verdict.preference is None and not reason:
        reason = "unparsed"
    return {
        "item_id": item_id,
        "order": order,
        "preference_first": verdict.preference,
        "reason": reason,
        "raw": verdict.raw,
    }
