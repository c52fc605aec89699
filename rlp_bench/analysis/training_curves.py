"""Training curves of the stages of a matrix, from log.jsonl: one line per seed, thinned by averaging neighbors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api.types import Artifact
from rlp_bench.run.records import RunRecord

LOG = "log.jsonl"
POINTS = 100
"""Maximum number of points per line."""
CURVES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "score_mean": "reward",
    "kl_k1": "KL to the SFT policy, nats",
    "ref_perplexity": "perplexity under the SFT policy",
}
"""Key in a log's rows -> label; a log has the keys that its trainer writes."""
CLOCK = ("step", "rollout")


def training_curves(records: Sequence[RunRecord]) -> dict[str, Any]:
    """The curves of every stage that has a log; a stage shared by several methods appears once, with all of them.

    Returns:
        `groups`: rows {trainer, stage, methods, curves: {key: {label, lines: {seed: [[step, value], ...]}}}}, and
        `without`: trainers whose stages have no log.
    """
    users: dict[str, set[str]] = {}
    stages: dict[str, tuple[str, int, Artifact]] = {}
    without: set[str] = set()
    for record in records:
        for label, artifact in record.lineage:
            if (artifact.path / LOG).exists():
                users.setdefault(artifact.fingerprint, set()).add(record.method)
                stages.setdefault(artifact.fingerprint, (label, record.seed, artifact))
            elif _trainer(artifact) not in ("", "checkpoint", "data"):
                without.add(_trainer(artifact))
    groups: dict[tuple[str, str, tuple[str, ...]], dict[str, Any]] = {}
    for key, (label, seed, artifact) in stages.items():
        methods = tuple(sorted(users[key]))
        group = groups.setdefault(
            (_trainer(artifact), label, methods),
            {"trainer": _trainer(artifact), "stage": label, "methods": list(methods), "curves": {}},
        )
        for name, line in lines_of(artifact.rows(LOG)).items():
            curve = group["curves"].setdefault(name, {"label": CURVES[name], "lines": {}})
            curve["lines"][str(seed)] = line
    ordered = sorted(
        groups.values(), key=lambda g: (g["trainer"], -len(g["methods"]), g["stage"], g["methods"])
    )
    return {
        "groups": [group for group in ordered if group["curves"]],
        "without": sorted(without),
        "points": POINTS,
    }


def _trainer(artifact: Artifact) -> str:
    return str((artifact.manifest.get("provenance") or {}).get("trainer", ""))


def lines_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Key of CURVES -> thinned [[step, value], ...]; rows with a missing or non-finite value are skipped."""
    found = {}
    for name in CURVES:
        line = [
            [_clock(row, place), float(row[name])]
            for place, row in enumerate(rows)
            if isinstance(row.get(name), int | float) and math.isfinite(row[name])
        ]
        if line:
            found[name] = thinned(line)
    return found


def _clock(row: Mapping[str, Any], place: int) -> float:
    return float(next((row[name] for name in CLOCK if name in row), place))


def thinned(line: Sequence[Sequence[float]], most: int = POINTS) -> list[list[float]]:
    """At most `most` points, means of equally many neighbors (fewer for the last), rounded to six digits."""
    width = max(1, math.ceil(len(line) / most))
    found = []
    for start in range(0, len(line), width):
        part = line[start : start + width]
        found.append([float(f"{sum(p[i] for p in part) / len(part):.6g}") for i in (0, 1)])
    return found
