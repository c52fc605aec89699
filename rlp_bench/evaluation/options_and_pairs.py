"""The other two kinds of suite: options scored by likelihood, and labelled pairs for a reward model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Engine, FewShotSuite, Suite
from rlp_bench.api.types import Artifact, LabelledPair, Prompting, Question, Sample
from rlp_bench.statistics import Estimate, estimate_mean
from rlp_bench.store.store import Store, fingerprint


def options_report(
    store: Store,
    engine: Engine,
    engine_name: str,
    policy: Artifact,
    path: Path,
    suite: Suite,
    items: Sequence[Question],
) -> dict[str, Any]:
    """Accuracy of the likeliest option. `path`: the checkpoint that is asked (best-of-n has no
    likelihood).
    """
    identity = {
        "step": "options",
        "version": 1,
        "policy": policy.fingerprint,
        "suite": {"name": suite.name, "version": suite.version},
        "items": fingerprint(sorted(item.id for item in items)),
        "engine": engine_name,
    }

    def build(folder: Path) -> Mapping[str, float]:
        asked = [[f" {option}" for option in item.options] for item in items]
        found = engine.options(path, [item.stem for item in items], asked)
        rows: list[dict[str, Any]] = [
            {
                "item_id": item.id,
                "subject": item.subject,
                "logprobs": list(given),
                "score": _hit(given, item.answer),
            }
            for item, given in zip(items, found, strict=True)
        ]
        write_lines(folder / "scores.jsonl", rows)
        return {"accuracy": sum(row["score"] for row in rows) / len(rows)}

    sealed = store.make("verdicts", fingerprint(identity), build, identity)
    rows = list(read_jsonl(sealed.path / "scores.jsonl"))
    return {
        **header(suite, "options", "accuracy.likeliest_option", sealed, identity["items"]),
        **accuracy([row["score"] for row in rows]),
        "subjects": _by(rows, "subject"),
        "protocol": "0-shot, sum of log-probabilities of each option after the bare stem",
        "model": "underlying policy" if path != policy.path else "policy",
    }


def pairs_report(
    store: Store,
    engine: Engine,
    engine_name: str,
    reward: Artifact | None,
    suite: Suite,
    items: Sequence[LabelledPair],
    prompting: Prompting,
) -> dict[str, Any]:
    """How often the run's reward model ranks a labelled pair rightly; equal scores count half."""
    count = {"suite": suite.name, "suite_version": suite.version, "kind": "pairs", "n_items": len(items)}
    if reward is None:
        return {
            **count,
            "accuracy": None,
            "standard_error": None,
            "n": 0,
            "reason": "the run has no reward model",
        }
    identity = {
        "step": "pairs",
        "version": 1,
        "reward": reward.fingerprint,
        "suite": {"name": suite.name, "version": suite.version},
        "items": fingerprint(sorted([item.id, str(item.label)] for item in items)),
        "prompting": prompting.render("{}"),
        "engine": engine_name,
    }

    def build(folder: Path) -> Mapping[str, float]:
        prompts = [prompting.render(item.instruction) for item in items for _ in (1, 2)]
        answers = [finished_sample(text) for item in items for text in (item.output_1, item.output_2)]
        scores = engine.score(reward.path, prompts, answers)
        rows: list[dict[str, Any]] = [
            {"item_id": item.id, "subset": item.subset, "score": _right(first, second, item.label)}
            for item, first, second in zip(items, scores[::2], scores[1::2], strict=True)
        ]
        write_lines(folder / "scores.jsonl", rows)
        return {"accuracy": sum(row["score"] for row in rows) / len(rows)}

    sealed = store.make("verdicts", fingerprint(identity), build, identity)
    rows = list(read_jsonl(sealed.path / "scores.jsonl"))
    return {
        **header(suite, "pairs", "accuracy.reward_order", sealed, identity["items"]),
        **accuracy([row["score"] for row in rows]),
        "subsets": _by(rows, "subset"),
    }


def finished_sample(text: str) -> Sample:
    """A given text as a response that ended itself; its length in tokens is the engine's to know."""
    return Sample(text, 0, True)


def _hit(logprobs: Sequence[float], answer: int) -> float:
    """1 for the right option, shared among options that are equally likely."""
    best = max(logprobs)
    likeliest = [i for i, value in enumerate(logprobs) if value == best]
    return float(answer in likeliest) / len(likeliest)


def _right(first: float, second: float, label: int) -> float:
    if first == second:
        return 0.5
    return float((first > second) == (label == 1))


def header(
    suite: Suite | FewShotSuite, kind: str, metric: str, sealed: Artifact, items: Any
) -> dict[str, Any]:
    """What every report of sealed scores begins with."""
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "kind": kind,
        "metric": metric,
        "data": {"items": items},
        "artifacts": {"verdicts": sealed.path.name},
        "scores": f"artifacts/{sealed.path.name}/scores.jsonl",
        "warnings": [],
    }


def accuracy(scores: Sequence[float]) -> dict[str, Any]:
    """Accuracy over questions with its error and interval, in percent."""
    e: Estimate = estimate_mean(scores)
    return {
        "accuracy": 100 * e.mean,
        "standard_error": 100 * e.se if e.n > 1 else None,
        "ci95": [100 * e.low, 100 * e.high],
        "n": e.n,
        "n_items": e.n,
        "n_scored": e.n,
    }


def _by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Accuracy by group; the overall one is over questions, not over groups (micro average)."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row["score"])
    return {
        name: {"accuracy": 100 * sum(scores) / len(scores), "n": len(scores)}
        for name, scores in sorted(groups.items())
    }
