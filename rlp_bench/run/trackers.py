"""Writes training curves from each stage's log.jsonl to TensorBoard, W&B or trackio, by accelerate's trackers.

The log is replayed after the stage is sealed, so trackers cannot change a result or a fingerprint. Each curve is
written once per tracker, to the folder of the first run that needed the stage:
RUN/tracking/<tracker>/<stage>-<8 hex of its fingerprint>/. (trackio stores the curves in $TRACKIO_DIR; the folder only
marks them as written.)
"""

import netrc
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.api.files import unique_beside
from rlp_bench.api.types import Artifact
from rlp_bench.store.store import Store

LOG = "log.jsonl"
FOLDER = "tracking"
PROJECT = "rlp-bench"
TRACKERS: dict[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Tracker -> packages, one of which must be installed."""
STEP_KEYS = ("step", "rollout")
"""Keys with the step of a row of log.jsonl; without one, the row number is used."""


def chosen_trackers(given: Sequence[str] | None) -> list[str]:
    """The trackers named by `--track` (repeated or comma-separated), without duplicates.

    Raises:
        UnknownName: there is no such tracker.
        BenchError: its package, its key or accelerate is missing.
    """
    names = [name.strip() for text in given or () for name in text.split(",")]
    for name in names:
        if name not in TRACKERS:
            raise UnknownName(f'--track "{name}": no such tracker; {nearest(name, TRACKERS)}')
        if not any(map(_installed, TRACKERS[name])):
            raise BenchError(
                f'--track "{name}": package {TRACKERS[name][0]} is not installed; '
                f"`pip install {TRACKERS[name][0]}`, or leave --track out: log.jsonl is always written"
            )
        if not _installed("accelerate"):
            raise BenchError(
                f'--track "{name}": package accelerate is not installed; `pip install "rlp-bench[trackers]"`'
            )
        if name == "wandb" and not _wandb_can_write():
            raise BenchError(
                '--track "wandb": $WANDB_API_KEY is not set; set it, or WANDB_MODE=offline to keep the curves here'
            )
    return list(dict.fromkeys(names))


def _installed(package: str) -> bool:
    """Whether the package is installed; a folder of that name in the current directory does not count."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _wandb_can_write() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE", "online") != "online":
        return True
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    return False


class Tracking:
    """Writes the curves of stages to the given trackers."""

    def __init__(self, store: Store, names: Sequence[str]) -> None:
        self.store, self.names = store, names

    def stages(self, run: Path, stages: Iterable[tuple[str, Artifact]]) -> None:
        """Writes the curves of the given (label, artifact) pairs that no run of the store has written yet.

        Args:
            run: the run's folder, created if missing.
        """
        for label, artifact in stages:
            log = artifact.path / LOG
            if "files" in artifact.manifest and LOG in artifact.manifest["files"]:
                for name in self.names:
                    if self._written(name, artifact):
                        continue
                    with self.store.writing(run / FOLDER / name):
                        if not self._written(name, artifact):  # or another process has just done it
                            self._write(name, run, label, artifact, list(steps(artifact.rows(log.name))))

    def _written(self, name: str, artifact: Artifact) -> bool:
        mark = artifact.fingerprint[:8]
        return any(self.store.runs.glob(f"*/*/{FOLDER}/{name}/[!.]*-{mark}"))

    def _write(
        self, name: str, run: Path, label: str, artifact: Artifact, rows: list[tuple[int, dict[str, float]]]
    ) -> None:
        stage = f"{label}-{artifact.fingerprint[:8]}"
        place = run / FOLDER / name
        partial = unique_beside(place / stage)
        partial.mkdir(parents=True)
        config = {"run": run.name, "stage": label, **_flat(artifact.manifest["provenance"].get("settings"))}
        about = {
            "wandb": {
                "name": f"{run.name}/{label}",
                "group": run.name,
                "dir": str(partial),
                "config": config,
            },
            "trackio": {
                "name": f"{run.name}-{label}",
                "group": run.name,
                "config": config,
                "auto_log_cpu": False,
                "auto_log_gpu": False,
            },
        }
        project = partial.name if name == "tensorboard" else PROJECT
        with redirect_stdout(sys.stderr), _accelerator(name, place) as accelerator:
            accelerator.init_trackers(project, init_kwargs=about)
            for step, values in rows:
                accelerator.log(values, step=step)
            # accelerate's end_training leaves trackio's run active; it would print a message at exit
            end = import_module("trackio").finish if name == "trackio" else accelerator.end_training
            end()
        partial.rename(place / stage)


def steps(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields (step, metrics) of every row of a log; metrics exclude the step and non-numeric values."""
    for place, row in enumerate(rows):
        key = next((key for key in STEP_KEYS if key in row), None)
        values = {
            name: float(value)
            for name, value in row.items()
            if name != key and isinstance(value, int | float) and not isinstance(value, bool)
        }
        yield (place if key is None else int(row[key])), values


@contextmanager
def _accelerator(name: str, place: Path) -> Iterator[Any]:
    """An Accelerator used only for tracking; resets accelerate's process-wide state afterwards."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    theirs = bool(PartialState._shared_state)
    try:
        yield Accelerator(cpu=None if theirs else True, log_with=[name], project_dir=str(place))
    finally:
        if not theirs:
            AcceleratorState._reset_state(reset_partial_state=True)


def _flat(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings as trackers accept them: numbers, strings and booleans; other values become strings."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in (settings or {}).items()
    }
