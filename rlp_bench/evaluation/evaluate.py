"""Evaluation: policy or answers -> verdicts (blind, both orders) -> report.

Each step is stored under the fingerprint of its inputs, so that an interrupted evaluation resumes, a repeated one is a
cache hit, and aggregating again never calls the judge again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.api.protocols import Engine, Progress
from rlp_bench.api.report import REPORT_VERSION, Provenance, Report, write_report
from rlp_bench.api.types import Artifact
from rlp_bench.display import Display
from rlp_bench.endpoint import limit_spending
from rlp_bench.evaluation.dry_run import estimate
from rlp_bench.evaluation.endpoint_policy import evaluate_endpoint, is_endpoint
from rlp_bench.evaluation.evaluator import Evaluation, totals
from rlp_bench.evaluation.render import render, summarize
from rlp_bench.evaluation.resolve import with_data
from rlp_bench.evaluation.targets import (
    evaluate_outputs,
    evaluate_policy,
    evaluate_suites_of_run,
    silent,
)
from rlp_bench.evaluation.verdicts import check_order
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.records import REPORT, RunRecord, last_of, stand_ins
from rlp_bench.run.runner import StageRunner
from rlp_bench.store.store import Store

__all__ = ["eval_command", "evaluate_run", "render", "summarize"]


def evaluate_run(
    run: RunRecord,
    store: Store,
    recipe: Recipe,
    engine: Engine,
    suites: list[str] | None = None,
    progress: Progress = silent,
    *,
    judge: str | None = None,
    order: str | None = None,
) -> Report:
    """The report of a run: every suite, KL to the SFT policy, reward model accuracy, lengths, controls.

    `suites`: aliases of the recipe or installed names; None: the recipe's evaluation suites.
    """
    names = list(dict.fromkeys(suites or recipe.evaluation.suites or recipe.suites))
    evaluation = Evaluation(store, recipe, engine, judge, order, progress)
    reports = evaluation.suites(names, run.policy, last_of(run.lineage, "reward"))
    return {
        "report_version": REPORT_VERSION,
        "store": str(store.root.resolve()),
        "recipe": recipe.id,
        "method": run.method,
        "seed": run.seed,
        "judge": dict(evaluation.judge.manifest()),
        "order": evaluation.order,
        "suites": reports,
        **evaluation.diagnostics(run.policy, run.lineage),
        **totals(reports),
        "controls": {report["alias"]: report["controls"] for report in reports if "controls" in report},
        "provenance": _provenance(run, recipe),
    }


def eval_command(
    *,
    suites: Sequence[str] | None = None,
    run: str | None = None,
    policy: str | Path | None = None,
    outputs: Path | None = None,
    judge: str | None = None,
    order: str | None = None,
    allow_missing: bool = False,
    data: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    base_url: str | None = None,
    budget: str | None = None,
    dry_run: bool = False,
    store: Store,
    progress: Progress = silent,
) -> Any:
    """`rlp-bench eval`: the `Report` of --outputs FILE, --policy FOLDER, --run NAME or, by default, the newest run.

    With `dry_run`, its requests and costs (`rlp_bench.evaluation.dry_run`).

    Raises:
        BenchError: the arguments do not fit together.
    """
    given = [f"--{name}" for name, value in (("run", run), ("policy", policy), ("outputs", outputs)) if value]
    if len(given) > 1:
        raise BenchError(f"eval: {' and '.join(given)} were given; expected one of them")
    if order is not None:
        check_order(order)
    if base_url is not None and not is_endpoint(str(policy)):
        raise BenchError(
            "eval --base-url: applies to --policy openai:MODEL only; for a judge, give base_url=... in --judge"
        )
    if dry_run:
        asked = suites if data is None or outputs is not None else on_data(suites, data)
        return estimate(
            suites=asked, run=run, policy=None if policy is None else str(policy), outputs=outputs, judge=judge,
            order=order, allow_missing=allow_missing, data=data, recipe=recipe, overrides=overrides,
            base_url=base_url, store=store,
        )  # fmt: skip
    limit_spending(budget)
    common: dict[str, Any] = {
        "suites": suites, "judge": judge, "order": order, "store": store, "progress": progress,
        "allow_missing": allow_missing,
    }  # fmt: skip
    if outputs is not None:
        return evaluate_outputs(
            outputs=Path(outputs),
            data=data,
            recipe=recipe,
            overrides=overrides,
            **common,
        )
    if data is not None:
        common["suites"] = on_data(suites, data)
    if policy is not None and is_endpoint(str(policy)):
        return evaluate_endpoint(str(policy), base_url=base_url, recipe=recipe, overrides=overrides, **common)
    if policy is not None:
        return evaluate_policy(Path(policy), recipe=recipe, overrides=overrides, **common)
    if recipe is not None or overrides:
        raise BenchError("eval of a run: the run's own recipe is used; leave out --recipe and --set")
    return _evaluate_named_run(run, **common)


def on_data(suites: Sequence[str] | None, data: Path) -> list[str]:
    """References "suite:data" of the named suites on --data, for evaluating a policy."""
    if not suites:
        raise BenchError("eval --data: no suite; give --suite NAME, e.g. --suite mmlu --data FOLDER")
    return [with_data(name, data) for name in suites]


def _evaluate_named_run(run: str | None, *, store: Store, **common: Any) -> Report:
    from rlp_bench.run.records import find_run

    record = find_run(store, run)
    reports = evaluate_suites_of_run(record.recipe, record.policy, record.lineage, store=store, **common)
    return {
        "recipe": record.recipe.id,
        "method": record.method,
        "seed": record.seed,
        "source": {"run": str(record.path)},
        "suites": reports,
    }


def _provenance(run: RunRecord, recipe: Recipe) -> Provenance:
    return {
        "kind": "rerun",
        "policy": run.policy.fingerprint,
        "stages": {label: _content(artifact) for label, artifact in run.lineage},
        "decoding": recipe.decoding.model_dump(mode="json"),
        "annotator": recipe.annotator.model_dump(mode="json"),
        "trained_on_judge": any(artifact.kind == "preferences" for _, artifact in run.lineage)
        and recipe.annotator.judge.partition(":")[0] == recipe.judge.name.partition(":")[0],
    }


def _content(artifact: Artifact) -> str:
    return str(artifact.manifest.get("content", artifact.fingerprint))


def evaluate_record(
    record: RunRecord, store: Store, suites: Sequence[str] | None, display: Display
) -> Report:
    """Evaluates a run and writes report.json to its folder."""
    with StageRunner(record.recipe, store, display) as runner:
        task = display.task("evaluate")
        report = evaluate_run(
            record,
            store,
            record.recipe,
            runner.engine,
            suites=list(suites) if suites else None,
            progress=task,
        )
        task.close()
    report["recipe"] = record.group
    report["stand_ins"] = stand_ins(record.lineage)
    with store.writing(record.path):
        write_report(record.path / REPORT, report)
    return report
