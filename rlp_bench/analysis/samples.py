"""Side-by-side samples of methods: the paper's Tables 3, 6 and 7 as views of a store.

outputs: the answers of several methods to an instruction (Table 3). pairs: the synthetic preferences of several methods
for a prompt (Table 6). accepted: prompts that RLP-SPG accepted and rejected, with its confidence (Table 7).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.analysis.preference_accuracy import measured, synthetic
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.report import item_scores, read_report, suite_of
from rlp_bench.api.types import Item, prompt_id
from rlp_bench.display import Display
from rlp_bench.evaluation.evaluator import gold_judge
from rlp_bench.evaluation.resolve import load_judge, load_suite
from rlp_bench.recipes.data_sources import open_source
from rlp_bench.run.records import REPORT, RunRecord
from rlp_bench.store.store import Store

View = list[dict[str, Any]]


def outputs_view(
    store: Store, records: Sequence[RunRecord], alias: str, item: str | None, category: str | None, n: int
) -> View:
    """Instructions with the reference and every run's answer: text, tokens, score in [0, 1] (None: no verdict).

    Args:
        item: an id or its prefix, or words of the instruction; None: the first n, sorted by id.
        category: only items of that category (or subset).

    Raises:
        UnknownName: no item matches.
        DataError: a run is not evaluated on the suite.
    """
    items = {i.id: i for i in load_suite(alias, records[0].recipe.suites).items() if isinstance(i, Item)}
    chosen = [i for i in items.values() if category in (None, i.category, i.subset)]
    if item is not None:
        chosen = [i for i in chosen if i.id.startswith(item) or item.lower() in i.instruction.lower()]
    if not chosen:
        kinds = {i.category for i in items.values()} | {i.subset for i in items.values()}
        hint = (
            nearest(category, kinds)
            if category
            else f"give words of an instruction, as {next(iter(items.values())).instruction!r}"
        )
        raise UnknownName(f'samples: no item of "{alias}" fits {item or category!r}: {hint}')
    answers = [(record, *_answers(store, record, alias)) for record in records]
    return [
        {
            "id": one.id,
            "instruction": one.instruction,
            "category": one.category or one.subset,
            "reference": one.reference,
            "answers": [
                {
                    "method": record.method,
                    "seed": record.seed,
                    "text": rows[one.id]["output"],
                    "tokens": rows[one.id]["tokens"],
                    "score": scores.get(one.id),
                }
                for record, rows, scores in answers
                if one.id in rows
            ],
        }
        for one in sorted(chosen, key=lambda i: i.id)[:n]
    ]


def _answers(store: Store, record: RunRecord, alias: str) -> tuple[dict[str, Any], dict[str, float]]:
    path = record.path / REPORT
    suite = suite_of(read_report(path), alias) if path.exists() else None
    if suite is None or "outputs" not in suite.get("artifacts", {}):
        raise DataError(
            f'samples: run "{record.path.name}" has no answers to "{alias}"; `rlp-bench eval --run {record.path.name}`'
        )
    path = store.file(f"artifacts/{suite['artifacts']['outputs']}/outputs.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {row["item_id"]: row for row in rows}, item_scores(store.file, suite)


def pairs_view(
    store: Store,
    records: Sequence[RunRecord],
    item: str | None,
    category: str | None,
    n: int,
    display: Display,
) -> View:
    """Prompts with a synthetic preference of every run: chosen, rejected, pool and gold preference.

    Raises:
        DataError: no run made synthetic preferences, or no prompt matches.
    """
    found: dict[str, dict[str, Any]] = {}
    judge = load_judge(records[0].recipe.judge.name)
    gold = gold_judge(records[0].recipe)
    makers = 0
    for record in records:
        source = open_source(record.recipe.data.source)
        for artifact in synthetic(record):
            makers += 1
            preferences = {r["id"]: r for r in measured(store, artifact, judge, gold, source, display)}
            for row in artifact.rows():
                key = prompt_id(row)
                entry = found.setdefault(
                    key,
                    {
                        "id": key,
                        "instruction": row["instruction"],
                        "category": row.get("category", ""),
                        "pairs": [],
                    },
                )
                entry["pairs"].append(
                    {
                        "method": record.method,
                        "seed": record.seed,
                        "chosen": row["chosen"],
                        "rejected": row["rejected"],
                        "sure": row.get("confidence", row.get("probability")),
                        "pool": preferences[key]["pool"],
                        "gold": preferences[key]["gold"],
                    }
                )
    if not makers:
        raise DataError(
            "samples --view pairs: none of these runs made synthetic preferences; give --method rlp_spg"
        )
    fitting = [
        e
        for e in found.values()
        if len(e["pairs"]) == makers and category in (None, e["category"]) and _fits(e, item)
    ]
    if not fitting:
        raise DataError(
            "samples --view pairs: no prompt has a pair of every method; give fewer methods, or no filter"
        )
    return sorted(fitting, key=lambda e: str(e["id"]))[:n]


def accepted_view(record: RunRecord, item: str | None, category: str | None, n: int) -> View:
    """n accepted and n rejected prompts, with confidence, reason and cluster sizes.

    Raises:
        DataError: the method does not select prompts.
    """
    makers = [a for a in synthetic(record) if (a.path / "rejected.jsonl").exists()]
    if not makers:
        raise DataError(
            f"samples --view accepted: method {record.method} accepts nothing; give --method rlp_spg"
        )
    view: View = []
    for name, accepted in (("rows.jsonl", True), ("rejected.jsonl", False)):
        rows = [
            {
                "id": prompt_id(row),
                "instruction": row["instruction"],
                "category": row.get("category", ""),
                "accepted": accepted,
                "confidence": row.get("confidence"),
                "reason": row.get("reason", ""),
                "clusters": _sizes(row.get("clusters", [])),
                "chosen": row.get("chosen"),
                "rejected": row.get("rejected"),
            }
            for row in makers[0].rows(name)
        ]
        rows = [row for row in rows if category in (None, row["category"]) and _fits(row, item)]
        view += sorted(rows, key=lambda row: row["id"])[:n]
    return view


def _fits(row: Mapping[str, Any], item: str | None) -> bool:
    return item is None or row["id"].startswith(item) or item.lower() in row["instruction"].lower()


def _sizes(clusters: Sequence[int]) -> list[int]:
    """Cluster sizes, in descending order."""
    return sorted((clusters.count(c) for c in set(clusters)), reverse=True)
