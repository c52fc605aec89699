"""Confidence histograms of synthetic preferences: counts per tenth, accepted and rejected."""

from collections.abc import Sequence
from typing import Any

from rlp_bench.analysis.preference_accuracy import synthetic
from rlp_bench.api.types import Artifact
from rlp_bench.run.records import RunRecord

BINS = 10
MEASURES = {"confidence": "share of the largest cluster", "probability": "probability of the chosen response"}


def confidences(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """One row per stage that made synthetic preferences, with all methods that use it; counts summed over seeds.

    `from` is the source of the counts: "rows" (a value per prompt), "metrics" (the stage's histogram over all prompts,
    if rows have no values), or None if the stage stores neither. `without`: number of prompts without a value.
    """
    users: dict[str, set[str]] = {}
    stages: dict[str, tuple[RunRecord, Artifact]] = {}
    for record in records:
        for artifact in synthetic(record):
            users.setdefault(artifact.fingerprint, set()).add(record.method)
            stages.setdefault(artifact.fingerprint, (record, artifact))
    found: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
    for key, (record, artifact) in stages.items():
        methods = tuple(sorted(users[key]))
        provenance = artifact.manifest["provenance"]
        mine = _of_artifact(artifact)
        row = found.setdefault(
            (provenance["trainer"], methods),
            {
                **mine,
                "trainer": provenance["trainer"],
                "methods": list(methods),
                "threshold": provenance.get("settings", {}).get("confidence"),
                "seeds": [],
            },
        )
        if row["seeds"]:
            for name in ("accepted", "rejected"):
                row[name] = [a + b for a, b in zip(row[name], mine[name], strict=True)]
            row["without"] += mine["without"]
        row["seeds"].append(record.seed)
    return sorted(found.values(), key=lambda row: (row["trainer"] != "spg", row["trainer"], row["methods"]))


def _of_artifact(artifact: Artifact) -> dict[str, Any]:
    accepted = artifact.rows()
    offered = artifact.rows("rejected.jsonl") if (artifact.path / "rejected.jsonl").exists() else []
    for key, measure in MEASURES.items():
        if any(key in row for row in (*accepted, *offered)):
            yes, no = ([row[key] for row in rows if row.get(key) is not None] for rows in (accepted, offered))
            without = len(accepted) + len(offered) - len(yes) - len(no)
            return _row("rows", measure, counted(yes), counted(no), without)
    counts = [artifact.metrics.get(f"confidence_up_to_{(b + 1) / BINS:.1f}") for b in range(BINS)]
    if all(count is not None for count in counts):
        return _row("metrics", MEASURES["confidence"], [0] * BINS, [int(count or 0) for count in counts], 0)
    return _row(None, "", [0] * BINS, [0] * BINS, len(accepted) + len(offered))


def _row(
    source: str | None, measure: str, accepted: list[int], rejected: list[int], without: int
) -> dict[str, Any]:
    return {
        "from": source,
        "measure": measure,
        "accepted": accepted,
        "rejected": rejected,
        "without": without,
    }


def counted(values: Sequence[float]) -> list[int]:
    """Histogram of values in [0, 1] by tenth; bins include their lower edge, so that a threshold separates two bins."""
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, int(value * BINS + 1e-9)))] += 1
    return counts
