"""Run records: run.json in a run's folder, from which the run can be evaluated and compared later."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rlp_bench.api.errors import DataError, StoreError, UnknownName, nearest
from rlp_bench.api.report import Report, artifacts_of, read_report
from rlp_bench.api.seals import read_sealed, write_sealed
from rlp_bench.api.types import Artifact
from rlp_bench.plan.graph import Node, Plan
from rlp_bench.recipes.base_checkpoint import base_artifact
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.provenance import machine, versions
from rlp_bench.store.store import Store, fingerprint

RECORD = "run.json"
REPORT = "report.json"
REMEDY = (
    "run the same `rlp-bench run` or `matrix` command again, which writes it anew, or remove the run's folder"
)


@dataclass(frozen=True)
class RunRecord:
    """A finished run: its final policy and its lineage, all artifacts in execution order."""

    recipe: Recipe
    method: str
    seed: int
    path: Path
    """The run's folder."""
    policy: Artifact
    lineage: list[tuple[str, Artifact]] = field(default_factory=list)
    """(label, artifact), e.g. ("sft", policy), ("reward", reward), ("ppo-2", policy); includes base and data."""
    tuned: Mapping[str, Any] | None = None
    """See `Plan.tuned`."""

    @property
    def group(self) -> str:
        """See `Plan.group`."""
        return self.recipe.id if self.tuned is None else f"{self.recipe.id}+tuned"

    def last(self, kind: str) -> Artifact | None:
        """The last artifact of a kind in the lineage; None if there is none."""
        return last_of(self.lineage, kind)

    def named(self, label: str) -> Artifact | None:
        """The artifact of a stage by label, e.g. `record.named("sft")`; None if there is none."""
        return next((artifact for name, artifact in self.lineage if name == label), None)


def last_of(lineage: Sequence[tuple[str, Artifact]], kind: str) -> Artifact | None:
    """The last artifact of a kind in a lineage; None if there is none."""
    return next((artifact for _, artifact in reversed(lineage) if artifact.kind == kind), None)


def run_folder(store: Store, plan: Plan) -> Path:
    """ROOT/runs/<recipe>/<method>-s<seed>-<8 hex of recipe id and final artifact>."""
    mark = fingerprint([plan.group, plan.final.fingerprint])[:8]
    return store.runs / plan.recipe.name / f"{plan.method}-s{plan.seed}-{mark}"


def write_record(folder: Path, plan: Plan, artifacts: Mapping[str, Artifact], status: str) -> None:
    """Writes run.json: recipe, method, seed, machine, each stage's fingerprint and (once sealed) content hash.

    Call it under `Store.writing(folder)`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    earlier: Mapping[str, Any] = {}
    with suppress(DataError):  # none yet, or damaged: then this one replaces it
        earlier = read_record(folder)
    record = {
        "record_version": 1,
        "status": status,
        "recipe_id": plan.group,
        "tuned": None if plan.tuned is None else dict(plan.tuned),
        "recipe": plan.recipe.model_dump(mode="json"),
        "method": plan.method,
        "seed": plan.seed,
        "final": plan.final.label,
        "stages": [_stage(node, artifacts.get(node.fingerprint)) for node in plan.nodes],
        "versions": versions(),
        "machine": machine(),
        "began": earlier.get("began", now),
        "written": now,
    }
    write_sealed(folder / RECORD, record)


def _stage(node: Node, artifact: Artifact | None) -> dict[str, Any]:
    return {
        "stage": node.label,
        "trainer": node.trainer,
        "kind": node.kind,
        "fingerprint": node.fingerprint,
        "content": artifact.manifest["content"] if artifact else None,
        "settings": dict(node.settings),
        "inputs": {
            name: [h.label for h in given] if isinstance(given, list) else given.label
            for name, given in node.inputs.items()
        },
    }


def read_record(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json.

    Raises:
        DataError: it is missing, damaged, or was changed.
    """
    try:
        found = read_sealed(folder / RECORD, f'run "{folder}"', REMEDY)
    except FileNotFoundError:
        raise DataError(f'run "{folder}": has no {RECORD}; `rlp-bench ls runs` lists the runs') from None
    if not _fits(found):
        raise DataError(f'run "{folder}": {RECORD} lacks a key, or has a value of another type; {REMEDY}')
    return found


def _fits(record: Mapping[str, Any]) -> bool:
    """Whether a record has what its readers need."""
    kinds = {
        "status": str, "recipe_id": str, "recipe": dict, "method": str, "seed": int, "final": str, "stages": list,
        "versions": dict, "machine": dict, "written": str,
    }  # fmt: skip
    return all(isinstance(record.get(key), kind) for key, kind in kinds.items()) and all(
        isinstance(stage, dict)
        and all(isinstance(stage.get(key), str) for key in ("stage", "trainer", "kind", "fingerprint"))
        and all(isinstance(stage.get(key), dict) for key in ("settings", "inputs"))
        for stage in record["stages"]
    )


def run_folders(store: Store) -> list[Path]:
    """The folders of all runs of a store, newest last."""
    return sorted((path.parent for path in store.runs.glob(f"*/*/{RECORD}")), key=_when)


def _when(folder: Path) -> tuple[int, str]:
    try:
        return ((folder / RECORD).stat().st_mtime_ns, folder.name)
    except OSError:  # removed just now
        return 0, folder.name


def find_run(store: Store, reference: str | None = None) -> RunRecord:
    """The run of a name, unique prefix or path; by default the newest finished run.

    Raises:
        UnknownName: there is no such run.
        StoreError: one of its artifacts is missing.
    """
    if reference is not None and (Path(reference) / RECORD).exists():
        return open_run(Path(reference), store)
    folders = run_folders(store)
    if reference is None:
        folders = [folder for folder in folders if read_record(folder)["status"] == "done"]
        if not folders:
            raise UnknownName(
                f'store "{store.root}": has no finished run; `rlp-bench run --method sft` makes one, '
                "or give --policy PATH or --outputs FILE"
            )
        return open_run(folders[-1], store)
    fitting = [
        f
        for f in folders
        if reference in (f.name, f"{f.parent.name}/{f.name}") or f.name.startswith(reference)
    ]
    if len(fitting) != 1:
        found = f"matches {len(fitting)} runs" if fitting else "does not exist"
        raise UnknownName(f'run "{reference}" {found}: {nearest(reference, [f.name for f in folders])}')
    return open_run(fitting[0], store)


def open_run(folder: Path, store: Store) -> RunRecord:
    """The record of a finished run, from its folder."""
    record = read_record(folder)
    if record["status"] != "done":
        raise DataError(f'run "{folder.name}": is not finished; run the same command again to resume it')
    try:
        recipe = Recipe.model_validate_json(json.dumps(record["recipe"]))
    except ValidationError as error:
        reason = f"its recipe is not valid ({error.error_count()} faults)"
        raise DataError(f'run "{folder.name}": {RECORD}: {reason}; {REMEDY}') from None
    lineage = list(_lineage(record, recipe, store))
    policy = next((artifact for label, artifact in lineage if label == record["final"]), None)
    if policy is None:
        raise DataError(f'run "{folder.name}": {RECORD} has no stage "{record["final"]}"; {REMEDY}')
    if (folder / REPORT).exists():
        check_evidence(folder, record, store)
    tuned = record.get("tuned")
    return RunRecord(recipe, record["method"], record["seed"], folder, policy, lineage, tuned)


def check_evidence(folder: Path, record: Mapping[str, Any], store: Store) -> Report:
    """The report of an evaluated run, after the check of all that it rests on and is still in the store.

    Raises:
        DataError: the report is missing, damaged or was changed.
        StoreError: an artifact of a stage, of answers or of verdicts was changed.
    """
    report = read_report(folder / REPORT)
    stages = {f"{stage['kind']}-{stage['fingerprint'][:16]}" for stage in record["stages"]}
    for name in sorted(stages | set(artifacts_of(report))):
        if (store.artifacts / name).is_dir():
            store.open(store.artifacts / name)
    return report


def _lineage(record: Mapping[str, Any], recipe: Recipe, store: Store) -> Iterator[tuple[str, Artifact]]:
    for stage in record["stages"]:
        if stage["trainer"] == "checkpoint":
            yield stage["stage"], base_artifact(recipe.base.checkpoint)
        else:
            artifact = store.get(stage["kind"], stage["fingerprint"])
            if stage.get("content") not in (None, artifact.manifest["content"]):
                raise StoreError(
                    f'artifact "{artifact.path.name}": is not the one that {RECORD} names; remove the folder '
                    f'"{artifact.path}" and run the same command again'
                )
            yield stage["stage"], artifact


def stand_ins(lineage: Sequence[tuple[str, Artifact]]) -> list[str]:
    """Stages that are stand-ins for the method they are named after (metric `stand_in`); tables mark such methods."""
    return [label for label, artifact in lineage if artifact.metrics.get("stand_in")]
