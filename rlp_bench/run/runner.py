"""Runs a plan: reuses sealed stages, runs missing ones, and records the run.

A run killed at any moment is resumed by the same command: sealed stages are reused, and an unfinished one resumes from
the checkpoints in its scratch folder.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_jsonl
from rlp_bench.api.protocols import Context
from rlp_bench.api.seals import write_sealed
from rlp_bench.api.types import Artifact, ProcessGroup, Training
from rlp_bench.display import Display, Task, describe
from rlp_bench.plan.graph import Handle, Node, Plan
from rlp_bench.recipes.data_sources import read_split
from rlp_bench.recipes.schema import Recipe
from rlp_bench.run.launcher import train_together, world_size
from rlp_bench.run.meter import StageMeter
from rlp_bench.run.noisy_annotator import NoisyAnnotator
from rlp_bench.run.provenance import stage_provenance
from rlp_bench.run.records import RunRecord, run_folder, write_record
from rlp_bench.store.manifest import METER
from rlp_bench.store.store import Store

Made = Callable[[Path, str, Artifact], None]
"""Callback (run folder, stage label, artifact), called as soon as a stage's artifact is available."""


def run_plan(plan: Plan, store: Store, display: Display, made: Made | None = None) -> RunRecord:
    """Runs every stage of the plan, writes run.json and returns the record; no evaluation."""
    runner = StageRunner(plan.recipe, store, display)
    folder = run_folder(store, plan)
    artifacts: dict[str, Artifact] = {}
    begin_record(plan, store)
    with runner:
        for node in plan.nodes:
            artifacts[node.fingerprint] = runner.make(node, artifacts, plan.seed)
            if made is not None:
                made(folder, node.label, artifacts[node.fingerprint])
    with store.writing(folder):
        write_record(folder, plan, artifacts, "done")
    lineage = [(node.label, artifacts[node.fingerprint]) for node in plan.nodes]
    policy = artifacts[plan.final.fingerprint]
    return RunRecord(plan.recipe, plan.method, plan.seed, folder, policy, lineage, plan.tuned)


def begin_record(plan: Plan, store: Store) -> None:
    """Writes the record of an unfinished run before its first stage, so that `gc` keeps its artifacts."""
    if all(is_done(node, store) for node in plan.nodes):
        return
    sealed = {
        node.fingerprint: store.get(node.kind, node.fingerprint)
        for node in plan.nodes
        if node.trainer != "checkpoint" and is_done(node, store)
    }
    with store.writing(run_folder(store, plan)):
        if not all(is_done(node, store) for node in plan.nodes):  # or another process has just finished it
            write_record(run_folder(store, plan), plan, sealed, "running")


def is_done(node: Node, store: Store) -> bool:
    """Whether the node's artifact exists."""
    return node.trainer == "checkpoint" or store.has(node.kind, node.fingerprint)


class StageRunner:
    """Runs stages; creates the engine and the annotator, which stages share, on first use."""

    def __init__(self, recipe: Recipe, store: Store, display: Display) -> None:
        self.recipe, self.store, self.display = recipe, store, display

    def __enter__(self) -> "StageRunner":
        set_threads(self.recipe.compute.threads)
        return self

    def __exit__(self, *error: object) -> None:
        close = getattr(self.__dict__.get("engine"), "close", None)
        if callable(close):
            close()

    @cached_property
    def engine(self) -> Any:
        """The recipe's engine on the recipe's device."""
        return make_engine(self.recipe)

    @cached_property
    def annotator(self) -> NoisyAnnotator:
        """The recipe's annotator with its label noise."""
        return NoisyAnnotator(
            registry.resolve("judge", self.recipe.annotator.judge), self.recipe.annotator.noise
        )

    def make(self, node: Node, artifacts: Mapping[str, Artifact], seed: int) -> Artifact:
        """The node's artifact, reused from the store or built."""
        if node.trainer == "checkpoint":
            base: Artifact = node.instance
            return base
        if self.store.has(node.kind, node.fingerprint):
            self.display.say(f"{node.label}: reused ({self.store.folder(node.kind, node.fingerprint).name})")
            # Left by a process that was killed after the artifact was complete.
            shutil.rmtree(self.store.scratch(node.fingerprint), ignore_errors=True)
            return self.store.get(node.kind, node.fingerprint)
        if node.trainer == "data":
            return self._make_data(node)
        return self._train(node, artifacts, seed)

    def _make_data(self, node: Node) -> Artifact:
        split, count = node.identity["split"], node.identity["n"]

        def build(out: Path) -> Mapping[str, float] | None:
            rows, drops, metrics = read_split(node.identity["suite"], node.instance, split, count)
            write_jsonl(out / "rows.jsonl", rows)
            if drops:
                write_jsonl(out / "dropped.jsonl", drops)
            return metrics

        provenance = stage_provenance(node.identity, node.label, _origin("suite", node.identity["suite"]))
        return self.store.make(node.kind, node.fingerprint, build, provenance)

    def _train(self, node: Node, artifacts: Mapping[str, Artifact], seed: int) -> Artifact:
        inputs = {name: _resolve(given, artifacts) for name, given in node.inputs.items()}
        scratch = self.store.scratch(node.fingerprint)
        meter, task = StageMeter(), self.display.task(node.label)

        def build(out: Path) -> Mapping[str, float]:
            attempts = _count_attempts(scratch)
            context = self._context(node, seed, scratch, task, meter)
            self.display.say(f"{node.label}: {'started' if attempts == 1 else 'resumed'}")
            compute = self.recipe.compute
            with meter:
                if world_size(compute) > 1 and getattr(node.instance, "distributed", False):
                    metrics = train_together(
                        node.trainer, node.settings, inputs, out, context, compute, self.display.warn
                    )
                else:
                    metrics = node.instance.train(inputs, out, context)
            figures = {**meter.figures(), "attempts": attempts, "trainer": node.trainer}
            write_sealed(out / METER, {**figures, "input_rows": _rows(inputs)})
            return metrics

        def waiting() -> None:
            self.display.say(f"{node.label}: waiting for another process that runs it")

        made_by = {**node.identity, "settings": dict(node.settings)}
        provenance = stage_provenance(made_by, node.label, _origin("trainer", node.trainer))
        artifact = self.store.make(node.kind, node.fingerprint, build, provenance, waiting)
        task.close()
        shutil.rmtree(scratch, ignore_errors=True)
        if meter.wall_seconds:
            self.display.say(f"{node.label}: {describe(meter.figures())}")
        return artifact

    def _context(self, node: Node, seed: int, scratch: Path, task: Task, meter: StageMeter) -> Context:
        uses = node.instance.uses
        prompting: Any = _Undeclared(node.trainer, "prompting")
        if "prompting" in uses:
            prompting = self.recipe.stage_prompting()
        return Context(
            seed=seed,
            device=self.recipe.compute.device,
            prompting=prompting,
            scratch=scratch,
            progress=task,
            meter=meter,
            engine=self.engine if "engine" in uses else _Undeclared(node.trainer, "engine"),
            annotator=self.annotator if "annotator" in uses else None,
            processes=self.recipe.compute.processes,
            training=self.recipe.stage_training() if "training" in uses else Training(),
            process_group=ProcessGroup(activation_checkpointing=self.recipe.compute.activation_checkpointing),
        )


def make_engine(recipe: Recipe) -> Any:
    """The recipe's engine on the recipe's device."""
    return registry.load("engine", recipe.engine.name)(**recipe.engine_options)


class _Undeclared:
    """Placeholder for a context field that the trainer's `uses` does not name; raises BenchError on access."""

    def __init__(self, trainer: str, section: str) -> None:
        self._trainer, self._section = trainer, section

    def __getattr__(self, name: str) -> Any:
        raise BenchError(
            f'trainer "{self._trainer}": uses context.{self._section} but its `uses` does not name '
            f'"{self._section}", so its fingerprint does not cover it; add it to `uses` and increment `version`'
        )


def set_threads(threads: int) -> None:
    """Sets the number of threads of this process and its children, before or after torch is imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def _resolve(given: Handle | list[Handle], artifacts: Mapping[str, Artifact]) -> Artifact | list[Artifact]:
    if isinstance(given, Handle):
        return artifacts[given.fingerprint]
    return [artifacts[handle.fingerprint] for handle in given]


def _rows(inputs: Mapping[str, Artifact | list[Artifact]]) -> dict[str, int]:
    """Rows of each data input, for cost estimates."""
    found = {}
    for name, given in inputs.items():
        files = [a.path / "rows.jsonl" for a in (given if isinstance(given, list) else [given])]
        if all(file.exists() for file in files):
            found[name] = sum(file.read_bytes().count(b"\n") for file in files)
    return found


def _count_attempts(scratch: Path) -> int:
    """Number of attempts at this stage, including this one."""
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "attempts").open("a") as file:
        file.write("+")
    return (scratch / "attempts").stat().st_size


def _origin(group: str, reference: str) -> str:
    return registry.origin(group, reference.partition(":")[0])
