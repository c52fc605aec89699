"""What a kind of suite is, and what all kinds share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlp_bench.api.protocols import Engine, FewShotSuite, Judge, Progress, Suite
from rlp_bench.api.report import GroupResult, SuiteReport
from rlp_bench.api.types import Artifact, Decoding, Item, Pair, Prompting
from rlp_bench.evaluation.diagnostics import underlying
from rlp_bench.evaluation.outputs import Outputs, generate_outputs
from rlp_bench.evaluation.resolve import suite_identity
from rlp_bench.statistics import Estimate, estimate_mean
from rlp_bench.store.store import Store

Section = tuple[str, list[tuple[str, ...]]]
"""A title and its rows."""


@dataclass(frozen=True)
class Judged:
    """A suite already judged in this evaluation: what its subsets are computed from."""

    items: Sequence[Item]
    outputs: Artifact
    rows: Outputs
    report: SuiteReport


@dataclass(frozen=True)
class Asking:
    """What a kind is given: who answers, how, and who judges."""

    store: Store
    engine: Engine
    engine_name: str
    policy: Artifact
    reward: Artifact | None
    """The run's last reward model."""
    prompting: Prompting
    decoding: Decoding
    seed: int
    judge: Judge
    order: str
    second_judges: Sequence[str]
    progress: Progress
    allow_missing: bool = False
    judged: dict[str, Judged] = field(default_factory=dict)
    """Alias -> suite, of those judged so far."""

    @property
    def checkpoint(self) -> Path:
        """What is asked where answers are not sampled: best-of-n has no likelihood, nor does it decode greedily."""
        return underlying(self.policy)

    @property
    def model(self) -> str:
        """Which of the two `checkpoint` is, for the report."""
        return "underlying policy" if self.checkpoint != self.policy.path else "policy"

    def answers(self, items: Sequence[Item], suite: Suite) -> Artifact:
        """The policy's answer to every item, with the recipe's prompt and decoding, as an "outputs" artifact."""
        return generate_outputs(
            self.store,
            self.engine,
            self.policy,
            items,
            suite=suite_identity(suite),
            prompting=self.prompting,
            decoding=self.decoding,
            engine_name=self.engine_name,
            seed=self.seed,
            progress=self.progress,
        )


@dataclass(frozen=True)
class Prompts:
    """What a policy would be sent."""

    texts: Sequence[str]
    decoding: Decoding
    seed: int


def no_rows(report: SuiteReport) -> Iterable[tuple[str, ...]]:
    """Nothing to show."""
    return ()


def no_sections(report: SuiteReport) -> Iterable[Section]:
    """Nothing to show."""
    return ()


def nobody(report: SuiteReport) -> str:
    """No judge."""
    return ""


def never(suite: Suite) -> bool:
    """Not by writing."""
    return False


@dataclass(frozen=True)
class Kind:
    """A kind of suite. Only `name`, `headline` and `evaluate` must be given.

    `evaluate` asks, scores and reports. The report it returns names its file of scores by item (`scores`, see
    `rlp_bench.api.report`), in [0, 1]: compare, regress and the leaderboard pair items by it whatever the kind is, and
    where it is absent they show the headline alone.
    """

    name: str
    headline: str
    """Key of the report that holds the number tables show, in percent."""
    evaluate: Callable[[Asking, str, Any, list[Any]], SuiteReport]
    """(what is given, the suite's alias, the suite, its items) -> its report, sealed scores and all."""
    judged_by: Callable[[SuiteReport], str] = nobody
    """The last cell of its line in the summary: a judge, a reward model, a protocol."""
    beside: Callable[[SuiteReport], Iterable[tuple[str, ...]]] = no_rows
    """(suite, what, value): what its headline must not be read without."""
    groups: Callable[[SuiteReport], Iterable[Section]] = no_sections
    """Tables by subset, category, subject."""
    by_writing: Callable[[Suite], bool] = never
    """Whether a policy answers by writing, so that an endpoint can be asked."""
    prompts: Callable[[Any, Any, Sequence[Any], Prompting, Decoding, int], Prompts] | None = None
    """(engine, suite, items, prompting, decoding, seed) -> what an endpoint would be sent, for --dry-run."""
    pairs: Callable[[Sequence[Item], Mapping[str, str], str], list[Pair]] | None = None
    """(items, item id -> answer, order) -> what a judge would be asked; None where no judge is."""
    judge_outputs: Callable[..., SuiteReport] | None = None
    """As `win_rate.evaluate_suite`: judges answers from a file; None where a suite must ask a policy."""


def header(suite: Suite | FewShotSuite, kind: str, metric: str, sealed: Artifact, items: Any) -> SuiteReport:
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


def accuracy(scores: Sequence[float]) -> SuiteReport:
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


def accuracy_by(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, GroupResult]:
    """Accuracy by group; the overall one is over questions, not over groups (micro average)."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row["score"])
    return {
        name: {"accuracy": 100 * sum(scores) / len(scores), "n": len(scores)}
        for name, scores in sorted(groups.items())
    }


def with_error(value: float, error: float | None) -> str:
    """`46.8 ± 1.8`, the error being one standard error."""
    return f"{value:.2f} ± {error:.2f}" if error is not None else f"{value:.2f}"
