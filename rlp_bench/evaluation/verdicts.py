"""Step 2: blind pairs, judged in the order that the evaluation says, sealed as "verdicts".

A judge is shown an instruction and two texts; who wrote which stays here. With order "both" every pair is
asked twice and an item counts only if both verdicts are there, so that a judge's taste for a side cancels.
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
"""Of replayed verdicts: the orders in which the file holds one; nobody asks for it by name."""
CHUNK = 512
"""Pairs a call to the judge, so that progress moves."""


@dataclass(frozen=True)
class Ask:
    """One question to the judge, and which side of it is the policy's."""

    item_id: str
    order: str
    pair: Pair


def orders_of(item: Item, output: str, order: str) -> tuple[str, ...]:
    """The orders in which one pair is shown. "single" ("random") is a function of item, answer and reference.

    AlpacaEval's position hangs on the instruction alone, the same for every model; ours on the pair as well.
    """
    if order == "both":
        return (POLICY_FIRST, REFERENCE_FIRST)
    if order in (POLICY_FIRST, REFERENCE_FIRST):
        return (order,)
    check_order(order)
    turned = int(content_id("order", item.id, output, item.reference or ""), 16) % 2
    return (REFERENCE_FIRST if turned else POLICY_FIRST,)


def check_order(order: str) -> None:
    """Raises UnknownName for an order that is not in ORDERS."""
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
    Rows in `known` are kept as they are, but those whose call failed.
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
    """The judge's verdicts, as many as there are pairs, each in [0, 1] or None with a reason."""
    verdicts: list[Verdict] = []
    size = CHUNK
    if hasattr(judge, "progress"):  # tells of every answer itself, and asks fastest what it is given at once
        size = max(1, len(pairs))
        judge.progress = lambda done, total, note="": progress(done, total, f"{judge.name}: judging, {note}")
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        given = judge.judge(part, seed)
        if len(given) != len(part):
            raise BenchError(
                f'judge "{judge.name}": gave {len(given)} verdicts on {len(part)} pairs; none can be used, '
                "for nobody knows which is missing"
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
    """Preference for the answer that is shown first, of each pair as it is and of the same pair turned."""
    asked = [
        shown
        for pair in pairs
        for shown in (pair, Pair(pair.instruction, pair.second, pair.first, pair.input))
    ]
    given = [verdict.preference for verdict in ask_judge(judge, asked, seed, progress)]
    return list(zip(given[::2], given[1::2], strict=True))


def preferences_over_orders(judge: Judge, pairs: Sequence[Pair], progress: Progress) -> list[float | None]:
    """Preference for the first answer of each pair over both orders; None where a verdict is missing."""
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
    """Verdicts on sealed outputs; also `scores.jsonl`, one row an item, on which paired comparisons are made.

    `rows` are the outputs to judge by item id: those of the artifact, and answers that only the judge knows.
    Calls that failed are made again by the next evaluation, and no others; the newer attempt is an artifact
    of its own.
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
    """Whether the call to the judge failed, so that asking again may help; a stored failure never changes."""
    return row["preference_first"] is None and str(row["reason"]).startswith("failed:")


def score_items(items: Sequence[Item], verdicts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row an item: the policy's score (mean over orders; None unless every order has a verdict) and
    why not.
    """
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
    """The verdict as a preference for the policy, whichever side it stood on."""
    first = float(row["preference_first"])
    return first if row["order"] == POLICY_FIRST else 1.0 - first


def read_verdicts(verdicts: Artifact) -> list[dict[str, Any]]:
    """The sealed verdict rows."""
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
