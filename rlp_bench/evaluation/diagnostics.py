"""Effects of training on the policy, measured on dev prompts outside all suites: KL and reward model accuracy.

Two samples per prompt at temperature 1 from the SFT policy and from the final policy. A pair counts if the evaluation's
judge (without label noise) prefers one of the two; exact ties are dropped and counted.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Engine, Judge, Progress
from rlp_bench.api.report import KL, Agreement
from rlp_bench.api.types import Artifact, Decoding, Pair, Sample, prompt_id
from rlp_bench.evaluation.verdicts import preferences_over_orders
from rlp_bench.recipes.data_sources import Response
from rlp_bench.recipes.schema import Recipe
from rlp_bench.statistics import estimate_mean, pairwise_credit
from rlp_bench.store.store import Store, fingerprint

Prompt = Mapping[str, str]
INDIRECT = ("best_of_n.json", "constant.json")
"""Files of policy folders that wrap the policy of another folder, given by their key "policy"."""


class Diagnostics:
    """Measurements on one set of dev prompts; all artifacts are stored and shared by runs."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        recipe: Recipe,
        prompts: Sequence[Prompt],
        progress: Progress,
    ) -> None:
        self.store, self.engine, self.engine_name = store, engine, recipe.engine_label
        self.prompts, self.seed, self.progress = prompts, recipe.decoding.seed, progress
        self.decoding = Decoding(1.0, 1.0, recipe.decoding.max_response_tokens)
        prompting = recipe.stage_prompting()
        self.rendered = [prompting.render(p["instruction"], p.get("input", "")) for p in prompts]
        self.common = {
            "version": 1,
            "prompts": fingerprint(self.rendered),
            "engine": self.engine_name,
            "seed": self.seed,
            "max_response_tokens": self.decoding.max_response_tokens,
        }

    def samples(self, policy: Artifact) -> Artifact:
        """Two responses per dev prompt, as a "samples" artifact."""
        identity = {"step": "dev_samples", **self.common, "policy": policy.fingerprint}

        def build(folder: Path) -> Mapping[str, float]:
            self.progress(0, len(self.prompts), "dev: sampling")
            drawn = self.engine.sample(policy.path, self.rendered, self.decoding, n=2, seed=self.seed)
            rows = [
                {
                    "instruction": prompt["instruction"],
                    "input": prompt.get("input", ""),
                    "responses": [{"text": s.text, "tokens": s.tokens, "finished": s.finished} for s in pair],
                }
                for prompt, pair in zip(self.prompts, drawn, strict=True)
            ]
            write_lines(folder / "rows.jsonl", rows)
            return {"samples": 2 * len(rows)}

        return self.store.make("samples", fingerprint(identity), build, identity)

    def labels(self, samples: Artifact, judge: Judge) -> list[float | None]:
        """The judge's preference for the first response of each pair, over both orders; None if it gave none."""
        identity = {
            "step": "dev_labels",
            "version": 2,
            "samples": samples.fingerprint,
            "judge": dict(judge.manifest()),
        }

        def build(folder: Path) -> None:
            pairs = [
                Pair(row["instruction"], first["text"], second["text"], row["input"])
                for row in samples.rows()
                for first, second in [row["responses"]]
            ]
            given = preferences_over_orders(judge, pairs, self.progress)
            write_lines(folder / "rows.jsonl", [{"preference": preference} for preference in given])

        sealed = self.store.make("verdicts", fingerprint(identity), build, identity)
        return [row["preference"] for row in sealed.rows()]

    def scores(self, samples: Artifact, reward: Artifact) -> list[tuple[float, float]]:
        """The reward model's scores of both responses of each pair."""
        found = self._numbers(
            {"step": "dev_scores", "samples": samples.fingerprint, "reward": reward.fingerprint},
            lambda prompts, responses: self.engine.score(reward.path, prompts, responses),
            samples,
        )
        return list(zip(found[::2], found[1::2], strict=True))

    def logprobs(self, samples: Artifact, policy: Artifact) -> list[float]:
        """Summed log-probability of each response in nats, two per prompt."""
        return self._numbers(
            {"step": "dev_logprobs", "samples": samples.fingerprint, "policy": policy.fingerprint},
            lambda prompts, responses: self.engine.logprobs(policy.path, prompts, responses),
            samples,
        )

    def _numbers(self, what: Mapping[str, Any], compute: Any, samples: Artifact) -> list[float]:
        identity = {**what, "version": 1, "engine": self.engine_name}

        def build(folder: Path) -> None:
            responses = [
                Sample(r["text"], r["tokens"], r["finished"])
                for row in samples.rows()
                for r in row["responses"]
            ]
            numbers = compute([prompt for prompt in self.rendered for _ in (1, 2)], responses)
            write_lines(folder / "rows.jsonl", [{"value": float(number)} for number in numbers])

        sealed = self.store.make("verdicts", fingerprint(identity), build, identity)
        return [row["value"] for row in read_jsonl(sealed.path / "rows.jsonl")]

    def accuracy(self, policy: Artifact, reward: Artifact, judge: Judge, gold: Judge | None) -> Agreement:
        """Accuracy of the reward model on the policy's pairs, against the judge pool's majority and gold."""
        samples = self.samples(policy)
        scores = self.scores(samples, reward)
        pool = agreement(scores, self.labels(samples, judge))
        found: Agreement = {
            "n": pool["n"],
            "pool_accuracy": pool["accuracy"],
            "pool_se": pool["se"],
            "pool_ties": pool["ties"],
            "pool_missing": pool["missing"],
        }
        if gold is not None:
            by_gold = agreement(scores, self.labels(samples, gold))
            found["gold_accuracy"], found["gold_se"] = by_gold["accuracy"], by_gold["se"]
            found["gold_n"], found["gold_ties"] = by_gold["n"], by_gold["ties"]
            found["gold_missing"] = by_gold["missing"]
        return found

    def kl(self, policy: Artifact, sft: Artifact) -> KL:
        """KL(policy || SFT) in nats per response: mean of log π − log π_sft over the policy's own samples.

        The error is over prompts (the two samples of a prompt are averaged first). For best-of-n, the upper bound
        log n − (n−1)/n relative to its base policy (Beirami et al. 2024, arXiv 2401.01879, Theorem 1).
        """
        n = best_of(policy)
        if n is not None:
            return {
                "mean": math.log(n) - (n - 1) / n,
                "se": None,
                "estimator": "bound: log n - (n-1)/n",
                "n": n,
            }
        if policy.fingerprint == sft.fingerprint:
            return {
                "mean": 0.0,
                "se": 0.0,
                "estimator": "zero: the SFT policy itself",
                "n": len(self.prompts),
            }
        samples = self.samples(policy)
        gaps = [
            a - b for a, b in zip(self.logprobs(samples, policy), self.logprobs(samples, sft), strict=True)
        ]
        by_prompt = [(a + b) / 2 for a, b in zip(gaps[::2], gaps[1::2], strict=True)]
        e = estimate_mean(by_prompt, bounds=(-math.inf, math.inf))
        se = e.se if e.n > 1 else None
        return {"mean": e.mean, "se": se, "estimator": "sample mean of log pi - log pi_sft", "n": e.n}


class Right(TypedDict):
    """Accuracy of a ranking: a fraction with its standard error; `n` excludes ties and missing labels."""

    accuracy: float | None
    se: float | None
    n: int
    ties: int
    missing: int


def agreement(scores: Sequence[tuple[float, float]], labels: Sequence[float | None]) -> Right:
    """Accuracy (fraction) of score pairs against preference labels; ties and missing labels are dropped and counted."""
    hits = []
    for (first, second), label in zip(scores, labels, strict=True):
        if label is not None and label != 0.5:
            hits.append(pairwise_credit(first, second, label > 0.5))
    ties = sum(label == 0.5 for label in labels)
    missing = sum(label is None for label in labels)
    if not hits:
        return {"accuracy": None, "se": None, "n": 0, "ties": ties, "missing": missing}
    e = estimate_mean(hits)
    return {"accuracy": e.mean, "se": e.se if e.n > 1 else None, "n": e.n, "ties": ties, "missing": missing}


def best_of(policy: Artifact) -> int | None:
    """n of a best-of-n policy; None for other policies."""
    path = policy.path / "best_of_n.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["n"]) if path.exists() else None


def underlying(policy: Artifact) -> Path:
    """The checkpoint folder that generates: the inner policy of a wrapper such as best-of-n, else the policy's own."""
    path = policy.path
    while inner := next((f for n in INDIRECT if (f := path / n).exists()), None):
        path = (path / json.loads(inner.read_text(encoding="utf-8"))["policy"]).resolve()
    return path


def responses_of(row: Mapping[str, Any]) -> list[Response]:
    """The (text, finished) responses of a row of samples."""
    return [(response["text"], response["finished"]) for response in row["responses"]]


def dev_prompts(source: Any, n: int, evaluated: set[str]) -> list[dict[str, str]]:
    """The first n dev prompts, without those in an evaluated suite (ids in `evaluated`), which would be leakage."""
    rows = source.split("dev", n)
    return [row for row in rows if prompt_id(row) not in evaluated]
