"""What a person says about a cluster, in a TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlp_bench.api.errors import BenchError, nearest
from rlp_bench.recipes.trainer_settings import shown

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """Unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RayOptions(Table):
    """`--executor ray:FILE.toml`."""

    address: str = ""
    """Of the cluster: "auto", "HOST:PORT" or "ray://HOST:PORT"; empty: $RAY_ADDRESS, and without it a cluster here."""
    cpus: Count | None = None
    """Of a cluster started here; None: as many as --jobs."""
    memory_gb: Amount | None = None
    """Host memory of every stage, instead of what is read off the base checkpoint."""
    retries: Annotated[int, Field(ge=0)] = 3
    """How often a job is begun again whose worker was lost."""


class Place(Table):
    """Where one kind of job runs; None: the cluster's default, or what the recipe says."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: Count | None = None
    """Minutes."""
    cpus: Count | None = None
    """Instead of what the recipe's [compute] says."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """A node; instead of what the recipe's [compute] says."""
    memory_gb: Amount | None = None
    """Instead of what is read off the base checkpoint."""
    sbatch: dict[str, str | int | bool] = {}
    """Any further options of sbatch, without the dashes in front."""


class SlurmOptions(Place):
    """`--executor slurm:FILE.toml`."""

    executor: Literal["slurm", "local"] = "slurm"
    """"local" does the same in processes of this machine."""
    jobs: Count | None = None
    """Most jobs in the queue at once; None: 100, and --jobs where executor is "local"."""
    retries: Annotated[int, Field(ge=0)] = 3
    """How often a job is submitted again that ended without an answer."""
    timeouts: Annotated[int, Field(ge=0)] = 10
    """How often a job that ran out of time goes back into the queue, to go on from its checkpoints."""
    poll_seconds: Amount = 10.0
    """How often the queue is asked for jobs that are gone; answers are seen within a second."""
    setup: list[str] = []
    """Lines of shell before each job, e.g. "module load cuda"."""
    stages: dict[str, Place] = {}
    """By trainer, or "data", "tune", "evaluate": what is different for it."""

    def place(self, stage: str) -> Place:
        """What holds for a stage."""
        own = self.stages.get(stage, Place())
        given = {name: getattr(own, name) for name in own.model_fields_set}
        return Place(**{name: getattr(self, name) for name in Place.model_fields}).model_copy(update=given)


Options = TypeVar("Options", RayOptions, SlurmOptions)


def load_options(file: str, model: type[Options]) -> Options:
    """The options in a TOML file.

    Raises:
        BenchError: it is not there, not TOML, or has faults, one a line.
    """
    path = Path(file)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(
            f'--executor: "{file}": cannot be read ({error.strerror}); give a .toml file'
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path.name}: not TOML: {error}") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            where = ".".join(str(part) for part in fault["loc"])
            known = Place if where.startswith("stages.") else model
            said = f"{shown(fault['input'])}: {fault['msg']}"
            if fault["type"] == "extra_forbidden":
                said = f"unknown option; {nearest(str(fault['loc'][-1]), known.model_fields)}"
            lines.append(f"{path.name}: {where}: {said}")
        raise BenchError("\n".join(dict.fromkeys(lines))) from None
