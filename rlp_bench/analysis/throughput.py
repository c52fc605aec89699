"""Throughput and cost of stages, methods and a whole matrix: seconds, rates, memory, FLOPs, device-hours, cost.

Figures come from each stage's meter.json. A stage shared by several methods counts once in the total; a method's
figures cover all its stages from the base model on. Unknown figures are None, never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlp_bench.analysis.measured_flops import FORMULA, Flops, parameters_of, stage_flops, summed
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.types import Artifact
from rlp_bench.run.records import read_record
from rlp_bench.store.manifest import read_meter
from rlp_bench.store.store import Store

TOKENS = ("tokens_trained", "tokens_sampled")
RATES = (*TOKENS, "samples", "steps")
EXTENSIVE = ("wall_seconds", "cpu_seconds", *RATES, "flops", "device_hours", "cost")
"""Figures that add up over stages and are divided when averaging."""
UNMETERED = ("checkpoint", "data")
"""Pseudo-trainers of artifacts that no stage made."""
NOTES = (
    "Seconds are those of training stages, without evaluation and judging.",
    "A rate divides by the wall seconds of the stages that have the counter; a step is an update, in PPO a rollout.",
    "A device-hour is one hour of a stage's wall-clock time on its device; the cost is hours times the price.",
    "A figure after >= is a lower bound: a stage was resumed (only its last attempt is metered), or called a model "
    "without counting tokens.",
)


@dataclass
class Stage:
    """One artifact made by a stage, with its figures and the methods that use it."""

    label: str
    trainer: str
    kind: str
    fingerprint: str
    figures: Mapping[str, Any] | None
    """meter.json; None if there is none."""
    steps: float | None
    """Rows of log.jsonl; None if the stage was resumed."""
    parameters: int | None
    flops: Flops
    methods: set[str] = field(default_factory=set)

    @property
    def shared(self) -> bool:
        """Whether more than one method uses it."""
        return len(self.methods) > 1

    def amount(self, name: str) -> float | None:
        """A counter of the meter, or `steps`; None if it was not counted."""
        if name == "steps":
            return self.steps
        found = (self.figures or {}).get("counters", {}).get(name)
        return None if found is None else float(found)


@dataclass(frozen=True)
class Terms:
    """Device price and peak, given by the user."""

    price: float | None = None
    """Dollars per device-hour."""
    peak_flops: float | None = None
    """Peak FLOP/s of the device."""
    peak_source: str = "unknown"


def throughput(
    store: Store, folders: Sequence[Path], tuning: Sequence[Path] = (), terms: Terms | None = None
) -> dict[str, Any]:
    """The report over runs: stages in groups, methods, total.

    Args:
        folders: folders of finished runs of one recipe.
        tuning: folders of hyperparameter-tuning runs, reported only under `tuning`.
    """
    terms = terms or Terms()
    stages: dict[str, Stage] = {}
    runs = [_read_run(store, folder, stages) for folder in folders]
    for record, fingerprints in runs:
        for one in fingerprints:
            stages[one].methods.add(record["method"])
    extra: dict[str, Stage] = {}
    for folder in tuning:
        _read_run(store, folder, extra)
    extra = {key: stage for key, stage in extra.items() if key not in stages}
    first = runs[0][0]
    return {
        "recipe_id": first["recipe_id"],
        "runs": len(runs),
        "seeds": sorted({record["seed"] for record, _ in runs}),
        "machines": sorted({_machine(record) for record, _ in runs}),
        "devices": sorted({record["recipe"]["compute"]["device"] for record, _ in runs}),
        "formula": FORMULA,
        "notes": list(NOTES),
        "price_per_device_hour": terms.price,
        "peak_flops_per_second": terms.peak_flops,
        "peak_source": terms.peak_source,
        "stages": _stage_rows(stages.values(), terms),
        "methods": _method_rows(runs, stages, terms),
        "total": totals(stages.values(), terms),
        "unshared_wall_seconds": sum(
            (stages[one].figures or {}).get("wall_seconds", 0.0)
            for _, fingerprints in runs
            for one in fingerprints
        ),
        "tuning": totals(extra.values(), terms) if extra else None,
    }


def one_recipe(folders: Sequence[Path]) -> None:
    """Checks that the runs are finished and of one recipe.

    Raises:
        BenchError: they are of several recipes.
        DataError: a run is not finished.
    """
    records = [read_record(folder) for folder in folders]
    for folder, record in zip(folders, records, strict=True):
        if record["status"] != "done":
            raise DataError(f'run "{folder.name}": is not finished; run the same command again to resume it')
    ids = sorted({record["recipe_id"] for record in records})
    if len(ids) > 1:
        raise BenchError(
            f"report throughput: {len(ids)} recipes in the runs ({', '.join(ids)}); expected runs of one recipe"
        )


def _machine(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    return f"{machine['processor'] or machine['architecture']}, {machine['cores']} cores"


def _read_run(store: Store, folder: Path, stages: dict[str, Stage]) -> tuple[dict[str, Any], list[str]]:
    """(record, fingerprints of its trained stages); adds new stages to `stages`."""
    record = read_record(folder)
    models: dict[str, int | None] = {}
    trained = []
    for row in record["stages"]:
        if row["trainer"] in UNMETERED:
            if row["trainer"] == "checkpoint":
                models[row["stage"]] = _base_parameters(record)
            continue
        trained.append(row["fingerprint"])
        if row["fingerprint"] not in stages:
            artifact = store.get(row["kind"], row["fingerprint"])
            stages[row["fingerprint"]] = _stage(row, artifact, models)
        models[row["stage"]] = stages[row["fingerprint"]].parameters
    return record, trained


def _base_parameters(record: Mapping[str, Any]) -> int | None:
    from rlp_bench.recipes.base_checkpoint import locate

    return parameters_of(locate(record["recipe"]["base"]["checkpoint"]))


def _stage(row: Mapping[str, Any], artifact: Artifact, models: Mapping[str, int | None]) -> Stage:
    log = artifact.path / "log.jsonl"
    figures = read_meter(artifact.path) or None
    parameters = parameters_of(artifact.path)
    if parameters is None:  # it made no model: the first one that it was given did the work
        given = [
            name
            for names in row["inputs"].values()
            for name in (names if isinstance(names, list) else [names])
        ]
        parameters = next((models[name] for name in given if models.get(name)), None)
    whole = figures is not None and figures.get("attempts", 1) == 1
    steps = float(log.read_bytes().count(b"\n")) if log.exists() and whole else None
    flops = stage_flops((figures or {}).get("counters", {}), parameters)
    return Stage(
        row["stage"], row["trainer"], row["kind"], row["fingerprint"], figures, steps, parameters, flops
    )


def _stage_rows(stages: Iterable[Stage], terms: Terms) -> list[dict[str, Any]]:
    """A row per (label, trainer, methods that use it), averaged over its artifacts (usually one per seed)."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Stage]] = {}
    for stage in stages:
        groups.setdefault((stage.label, stage.trainer, tuple(sorted(stage.methods))), []).append(stage)
    return [
        {
            "stage": label,
            "trainer": trainer,
            "methods": list(methods),
            "shared": len(methods) > 1,
            "parameters": _same([stage.parameters for stage in found]),
            "flops_source": "; ".join(sorted({stage.flops.source for stage in found})),
            **averaged(totals(found, terms), len(found)),
        }
        for (label, trainer, methods), found in groups.items()
    ]


def _same(values: Sequence[int | None]) -> int | None:
    return values[0] if len(set(values)) == 1 else None


def _method_rows(
    runs: Sequence[tuple[Mapping[str, Any], Sequence[str]]], stages: Mapping[str, Stage], terms: Terms
) -> list[dict[str, Any]]:
    """A row per method, averaged over its runs."""
    by_method: dict[str, list[Sequence[str]]] = {}
    for record, fingerprints in runs:
        by_method.setdefault(record["method"], []).append(fingerprints)
    rows = []
    for method, lineages in by_method.items():
        used = [stages[one] for lineage in lineages for one in lineage]  # a shared stage counts once per run
        shared = sum((stage.figures or {}).get("wall_seconds", 0.0) for stage in used if stage.shared)
        row = averaged(totals(used, terms), len(lineages))
        for name in ("steps", "steps_per_second"):  # updates and rollouts do not add up
            row.pop(name)
        rows.append(
            {"method": method, "runs": len(lineages), **row, "shared_wall_seconds": shared / len(lineages)}
        )
    return rows


def totals(stages: Iterable[Stage], terms: Terms) -> dict[str, Any]:
    """Sums over stages, and rates over the stages that have the counter."""
    every = list(stages)
    metered = [stage for stage in every if stage.figures is not None]
    wall = _sum(stage.figures["wall_seconds"] for stage in metered if stage.figures)
    found: dict[str, Any] = {
        "artifacts": len(every),
        "unmetered": len(every) - len(metered),
        "resumed": sum((stage.figures or {}).get("attempts", 1) > 1 for stage in metered),
        "wall_seconds": wall,
        "cpu_seconds": _sum(stage.figures["cpu_seconds"] for stage in metered if stage.figures),
        "peak_bytes": max((s.figures["peak_rss_bytes"] for s in metered if s.figures), default=None),
        "peak_device_bytes": max(
            (
                s.figures["peak_device_bytes"]
                for s in metered
                if s.figures and "peak_device_bytes" in s.figures
            ),
            default=None,
        ),
    }
    for name in RATES:
        counted = [(stage, amount) for stage in metered if (amount := stage.amount(name)) is not None]
        found[name] = _sum(amount for _, amount in counted)
        found[f"{name}_per_second"] = _rate(found[name], [stage for stage, _ in counted])
    return {**found, **_work(metered, wall, terms)}


def _work(metered: Sequence[Stage], wall: float | None, terms: Terms) -> dict[str, Any]:
    """FLOPs, utilization, device-hours and cost."""
    flops, lacking = summed(stage.flops for stage in metered)
    speed = _rate(flops, [stage for stage in metered if stage.flops.amount is not None])
    hours = None if wall is None else wall / 3600
    return {
        "flops": flops,
        "flops_formula": _sum(s.flops.formula for s in metered if s.flops.formula is not None),
        "flops_missing": sorted({f"{s.label}: {name}" for s in metered for name in s.flops.missing}),
        "flops_are_all": not lacking,
        "flops_per_second": speed,
        "utilisation": speed / terms.peak_flops if speed is not None and terms.peak_flops else None,
        "device_hours": hours,
        "cost": hours * terms.price if hours is not None and terms.price is not None else None,
    }


def _sum(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(sum(known)) if known else None


def _rate(amount: float | None, stages: Sequence[Stage]) -> float | None:
    seconds = sum(stage.figures["wall_seconds"] for stage in stages if stage.figures)
    return None if amount is None or seconds <= 0 else amount / seconds


def averaged(found: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The totals with EXTENSIVE figures divided by n; rates, peaks and fractions are unchanged."""
    return {
        name: value / n if name in (*EXTENSIVE, "flops_formula") and value is not None else value
        for name, value in found.items()
    }
