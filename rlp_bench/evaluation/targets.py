"""Evaluates the targets of `rlp-bench eval`: a run, a checkpoint folder, or a file of outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import read_bytes
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import sha256
from rlp_bench.api.protocols import Judge, Progress, Suite
from rlp_bench.api.report import Report, SuiteReport
from rlp_bench.api.types import Artifact, Item
from rlp_bench.evaluation.evaluator import Evaluation
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.kinds.win_rate import absent_items
from rlp_bench.evaluation.outputs import Answers, import_outputs, match_outputs, read_outputs_file
from rlp_bench.evaluation.resolve import load_judge, load_suite, rows_left_out
from rlp_bench.evaluation.stored_verdicts import StoredVerdicts, answers_as_judged
from rlp_bench.evaluation.verdicts import AS_STORED, POLICY_FIRST
from rlp_bench.evaluation.without_recipe import evaluation_recipe, with_settings
from rlp_bench.recipes.load import load_recipe
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import last_of
from rlp_bench.run.runner import make_engine
from rlp_bench.store.store import Store

DEFAULT_RECIPE, DEFAULT_SUITE = "micro", "alpacafarm"
VICUNA = "vicuna"


def silent(done: int, total: int, note: str = "") -> None:
    """A progress callback that reports nothing."""


class Subset:
    """The items of one subset of a suite, as a suite."""

    def __init__(self, whole: Suite, name: str) -> None:
        self.whole, self.name, self.version, self.kind = whole, name, whole.version, whole.kind

    def items(self) -> list[Item]:
        """Its items, in the order of the whole suite."""
        return [item for item in self.whole.items() if isinstance(item, Item) and item.subset == self.name]

    def absent(self) -> int:
        """Number of absent items of the subset, according to the whole suite."""
        count = getattr(self.whole, "absent", None)
        return count(self.name) if count else 0


def evaluate_outputs(
    *,
    outputs: Path,
    suites: Sequence[str] | None,
    judge: str | None,
    order: str | None,
    allow_missing: bool,
    data: Path | None,
    recipe: str | None,
    overrides: Sequence[str],
    store: Store,
    progress: Progress = silent,
) -> Report:
    """The report on a file of answers. All input is validated before anything is written.

    With `--data` or stored verdicts, suites are installed names and no recipe is read; otherwise the recipe's aliases,
    judge and order apply.
    """
    real = data is not None or (judge or "").partition(":")[0] == "replay"
    aliases: Mapping[str, str] = {}
    if not real:
        found = load_recipe(recipe or DEFAULT_RECIPE, overrides)
        aliases, judge, order = found.suites, judge or found.judge.name, order or found.judge.order
    if judge is None:
        raise BenchError(
            "eval --outputs --data: no judge; give --judge NAME, e.g. --judge replay:ANNOTATIONS.json"
        )
    names = list(suites or [DEFAULT_SUITE])
    judging = load_judge(judge)
    answers = read_outputs_file(outputs)
    reports: list[SuiteReport] = []
    for alias in names:
        suite = _suite(alias, aliases, data, judging, list(answers.values()))
        one = _judge_file(outputs, suite, answers, judging, order, allow_missing, store, progress)
        named = alias if alias in aliases else str(getattr(suite, "title", alias))
        reports.append({"alias": named, **one})
    return {"source": {"outputs": str(outputs), "sha256": sha256(read_bytes(outputs))}, "suites": reports}


def _suite(
    alias: str, aliases: Mapping[str, str], data: Path | None, judge: Judge, answers: list[Mapping[str, Any]]
) -> Suite:
    """The suite by name, with items from --data or from the verdict file."""
    if alias == VICUNA and VICUNA not in aliases:
        return Subset(_suite(DEFAULT_SUITE, aliases, data, judge, answers), VICUNA)
    suite = load_suite(alias if data is None else f"{alias}:{data}", aliases)
    if kind_of(alias, suite.kind).judge_outputs is None:
        raise DataError(
            f'suite "{alias}": asks a policy, not a file of answers; give --run or --policy instead of --outputs'
        )
    take = getattr(suite, "take", None)
    if data is None and take is not None and isinstance(judge, StoredVerdicts):
        taken: Suite = take(judge.rows(), answers)
        return taken
    return suite


def _judge_file(
    path: Path,
    suite: Suite,
    answers: Answers,
    judge: Judge,
    order: str | None,
    allow_missing: bool,
    store: Store,
    progress: Progress,
) -> SuiteReport:
    items = [item for item in suite.items() if isinstance(item, Item)]
    whole = (
        [item for item in suite.whole.items() if isinstance(item, Item)]
        if isinstance(suite, Subset)
        else items
    )
    absent_items(suite, items, allow_missing=allow_missing)
    matched = match_outputs(
        path,
        whole,
        answers,
        allow_missing=allow_missing,
        dropped_items=rows_left_out(suite) + rows_left_out(judge),
    )
    rows = matched.rows
    if isinstance(judge, StoredVerdicts):
        rows = answers_as_judged(path, items, rows, judge, allow_missing=allow_missing)
        # Asked in one order (replay turns verdicts stored in the other order), unless the file has both orders.
        order = AS_STORED if getattr(judge, "both_orders", False) else POLICY_FIRST
    kept = {key: row for key, row in rows.items() if not row.get("absent")}
    sealed = import_outputs(store, items, kept, path.name, answers.left_out)
    judged = kind_of(suite.name, suite.kind).judge_outputs
    assert judged is not None, "_suite has refused the others"
    report = judged(
        store, suite, items, sealed, rows, judge, order or "both", progress, allow_missing=allow_missing,
        excused=matched.excused,
    )  # fmt: skip
    if answers.left_out:
        report["warnings"].append(
            f"rows left out of the outputs file, because they cannot be used: {answers.left_out}"
        )
    report["warnings"] += matched.notes
    if isinstance(judge, StoredVerdicts):
        report["order"] = "as stored"
    if isinstance(suite, Subset):
        report["evidence"] = f"subset of {suite.whole.name}: not independent evidence"
    report["generator"] = sorted({str(row["generator"]) for row in kept.values() if row.get("generator")})
    return report


def evaluate_policy(
    policy: Path,
    *,
    suites: Sequence[str] | None,
    judge: str | None,
    order: str | None,
    recipe: str | None,
    overrides: Sequence[str],
    store: Store,
    progress: Progress = silent,
    allow_missing: bool = False,
) -> Report:
    """The report on a checkpoint folder; without diagnostics of its training."""
    from rlp_bench.recipes.base_checkpoint import base_artifact

    artifact = base_artifact(str(policy))
    found, named = evaluation_recipe(str(policy), suites, judge, recipe, overrides, endpoint=False)
    names = _aliases(found, suites)
    evaluation = Evaluation(store, found, make_engine(found), judge, order, progress, allow_missing)
    report: Report = {
        "source": {"policy": str(policy), "fingerprint": artifact.fingerprint},
        "suites": evaluation.suites(names, artifact, None),
    }
    return with_settings(report, found, named)


def evaluate_suites_of_run(
    recipe: Recipe,
    policy: Artifact,
    lineage: Sequence[tuple[str, Artifact]],
    *,
    suites: Sequence[str] | None,
    judge: str | None,
    order: str | None,
    store: Store,
    progress: Progress = silent,
    allow_missing: bool = False,
) -> list[SuiteReport]:
    """Suite reports of a run, optionally with another judge, order or selection of suites than its recipe's."""
    names = _aliases(recipe, suites)
    evaluation = Evaluation(store, recipe, make_engine(recipe), judge, order, progress, allow_missing)
    return evaluation.suites(names, policy, last_of(lineage, "reward"))


def _aliases(recipe: Recipe, suites: Sequence[str] | None) -> list[str]:
    """The suites to evaluate, by default those of the recipe. Raises for an unknown name before any work."""
    names = list(dict.fromkeys(suites or recipe.evaluation.suites or recipe.suites))
    for name in names:
        kind_of(name, load_suite(name, recipe.suites).kind)
    return names
