"""Run records: run.json in a run's folder, from which the run can be evaluated and compared later."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.api.files import write_json
from rlp_bench.api.types import Artifact
from rlp_bench.plan.graph import Node, Plan
from rlp_bench.recipes.base_checkpoint import base_artifact
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.provenance import machine, versions
from rlp_bench.store.store import Store, fingerprint

RECORD = "run.json"
REPORT = "report.json"


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
    """Writes run.json: recipe, method, seed, machine, each stage's fingerprint and (once sealed) content hash."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    earlier = read_record(folder) if (folder / RECORD).exists() else {}
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
    write_json(folder / RECORD, record)


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
        DataError: it is missing or not JSON.
    """
    try:
        found: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f'run "{folder}": has no {RECORD}; `rlp-bench ls runs` lists the runs') from None
    except ValueError:
        raise DataError(f'run "{folder}": {RECORD} is not JSON; run the same command again') from None
    return found


def run_folders(store: Store) -> list[Path]:
    """The folders of all runs of a store, newest last."""
    return sorted((path.parent for path in store.runs.glob(f"*/*/{RECORD}")), key=_when)


def _when(folder: Path) -> tuple[int, str]:
    return ((folder / RECORD).stat().st_mtime_ns, folder.name)


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
    recipe = Recipe.model_validate_json(json.dumps(record["recipe"]))
    lineage = list(_lineage(record, recipe, store))
    policy = next(artifact for label, artifact in lineage if label == record["final"])
    tuned = record.get("tuned")
    return RunRecord(recipe, record["method"], record["seed"], folder, policy, lineage, tuned)


def _lineage(record: Mapping[str, Any], recipe: Recipe, store: Store) -> Iterator[tuple[str, Artifact]]:
    for stage in record["stages"]:
        if stage["trainer"] == "checkpoint":
            yield stage["stage"], base_artifact(recipe.base.checkpoint)
        else:
            yield stage["stage"], store.get(stage["kind"], stage["fingerprint"])


def stand_ins(lineage: Sequence[tuple[str, Artifact]]) -> list[str]:
    """Stages that are stand-ins for the method they are named after (metric `stand_in`); tables mark such methods."""
    return [label for label, artifact in lineage if artifact.metrics.get("stand_in")]
