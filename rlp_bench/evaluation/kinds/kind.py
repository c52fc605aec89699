"""`Kind`, the interface of a kind of suite, and code shared by all kinds."""

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
"""A table's title and rows."""


@dataclass(frozen=True)
class Judged:
    """A suite judged earlier in this evaluation; its subsets are computed from it."""

    items: Sequence[Item]
    outputs: Artifact
    rows: Outputs
    report: SuiteReport


@dataclass(frozen=True)
class Asking:
    """The context of `Kind.evaluate`: policy, decoding, judge and store."""

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
    """Alias -> suite judged so far."""

    @property
    def checkpoint(self) -> Path:
        """The checkpoint for likelihoods and greedy decoding, which best-of-n does not have: its inner policy."""
        return underlying(self.policy)

    @property
    def model(self) -> str:
        """Whether `checkpoint` is the policy itself or its inner policy, for the report."""
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
    """The prompts for a policy, with decoding."""

    texts: Sequence[str]
    decoding: Decoding
    seed: int


def no_rows(report: SuiteReport) -> Iterable[tuple[str, ...]]:
    """No rows."""
    return ()


def no_sections(report: SuiteReport) -> Iterable[Section]:
    """No sections."""
    return ()


def no_judge(report: SuiteReport) -> str:
    """An empty cell: no judge."""
    return ""


def not_generated(suite: Suite) -> bool:
    """False: answers are not generated text."""
    return False


@dataclass(frozen=True)
class Kind:
    """A kind of suite. Only `name`, `headline` and `evaluate` are required.

    `evaluate` queries the policy, scores and reports. Its report has the path of a file of scores in [0, 1] by item
    (`scores`, see `rlp_bench.api.report`), which compare, regress and the leaderboard use to pair items of any kind;
    without it they show the headline only.
    """

    name: str
    headline: str
    """Report key of the main result shown in tables, in percent."""
    evaluate: Callable[[Asking, str, Any, list[Any]], SuiteReport]
    """(context, the suite's alias, the suite, its items) -> report; also stores the scores."""
    judged_by: Callable[[SuiteReport], str] = no_judge
    """The last cell of the suite's line in the summary: a judge, a reward model, a protocol."""
    beside: Callable[[SuiteReport], Iterable[tuple[str, ...]]] = no_rows
    """Rows (suite, quantity, value) that qualify the headline."""
    groups: Callable[[SuiteReport], Iterable[Section]] = no_sections
    """Tables by subset, category, subject."""
    by_writing: Callable[[Suite], bool] = not_generated
    """Whether answers are generated text, so that an endpoint can be the policy."""
    prompts: Callable[[Any, Any, Sequence[Any], Prompting, Decoding, int], Prompts] | None = None
    """(engine, suite, items, prompting, decoding, seed) -> the prompts for an endpoint, for --dry-run."""
    pairs: Callable[[Sequence[Item], Mapping[str, str], str], list[Pair]] | None = None
    """(items, item id -> answer, order) -> the pairs for a judge, for --dry-run; None if the kind needs no judge."""
    judge_outputs: Callable[..., SuiteReport] | None = None
    """Judges answers from a file, as `win_rate.evaluate_suite` does; None if the kind needs a policy."""


def header(suite: Suite | FewShotSuite, kind: str, metric: str, sealed: Artifact, items: Any) -> SuiteReport:
    """The first keys of every report with stored scores."""
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
    """Accuracy in percent and n by group; the overall accuracy is a micro average, over questions."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row["score"])
    return {
        name: {"accuracy": 100 * sum(scores) / len(scores), "n": len(scores)}
        for name, scores in sorted(groups.items())
    }


def with_error(value: float, error: float | None) -> str:
    """`46.80 ± 1.80`, with one standard error."""
    return f"{value:.2f} ± {error:.2f}" if error is not None else f"{value:.2f}"
