"""A user's cluster options, in a TOML file."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlp_bench.api.documents import parse_toml, read_text
from rlp_bench.api.errors import BenchError, DataError, nearest
from rlp_bench.recipes.trainer_settings import shown

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]


class Table(BaseModel):
    """A table of options; unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RayOptions(Table):
    """`--executor ray:FILE.toml`."""

    address: str = ""
    """Address: "auto", "HOST:PORT" or "ray://HOST:PORT"; empty: $RAY_ADDRESS, or without it a new local cluster."""
    cpus: Count | None = None
    """CPUs of a cluster started here; None: as many as --jobs."""
    memory_gb: Amount | None = None
    """Host memory of every stage; None: computed from the base checkpoint."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Retries of a job whose worker was lost."""


class Place(Table):
    """Options of one kind of job; None: the cluster's default or the recipe's value."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: Count | None = None
    """Time limit, minutes."""
    cpus: Count | None = None
    """None: from the recipe's [compute]."""
    gpus: Annotated[int, Field(ge=0)] | None = None
    """Per node; None: from the recipe's [compute]."""
    memory_gb: Amount | None = None
    """Host memory; None: computed from the base checkpoint."""
    sbatch: dict[str, str | int | bool] = {}
    """Further options of sbatch, without the leading dashes."""


class SlurmOptions(Place):
    """`--executor slurm:FILE.toml`."""

    executor: Literal["slurm", "local"] = "slurm"
    """"local": run in processes of this machine."""
    jobs: Count | None = None
    """Maximum number of jobs in the queue; None: 100, or --jobs if executor is "local"."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Resubmissions of a job that ended without a result."""
    timeouts: Annotated[int, Field(ge=0)] = 10
    """How often a job that reached its time limit is requeued, to resume from its checkpoints."""
    poll_seconds: Amount = 10.0
    """Interval at which the queue is checked for lost jobs; results are seen within a second."""
    setup: list[str] = []
    """Shell lines run before each job, e.g. "module load cuda"."""
    stages: dict[str, Place] = {}
    """Options by trainer, or by "data", "tune", "evaluate", that override the general ones."""

    def place(self, stage: str) -> Place:
        """The options of a stage."""
        own = self.stages.get(stage, Place())
        given = {name: getattr(own, name) for name in own.model_fields_set}
        return Place(**{name: getattr(self, name) for name in Place.model_fields}).model_copy(update=given)


Options = TypeVar("Options", RayOptions, SlurmOptions)


def load_options(file: str, model: type[Options]) -> Options:
    """The options in a TOML file.

    Raises:
        BenchError: the file is missing, not TOML, or invalid (one error per line).
    """
    path = Path(file)
    try:
        content = parse_toml(read_text(path, "TOML"))
    except DataError as error:
        raise BenchError(f"--executor: {error}") from None
    except ValueError as error:
        raise BenchError(f"{path.name}: not TOML: {error}") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            where = ".".join(str(part) for part in fault["loc"])
            known = Place if where.startswith("stages.") else model
            message = f"{shown(fault['input'])}: {fault['msg']}"
            if fault["type"] == "extra_forbidden":
                message = f"unknown option; {nearest(str(fault['loc'][-1]), known.model_fields)}"
            lines.append(f"{path.name}: {where}: {message}")
        raise BenchError("\n".join(dict.fromkeys(lines))) from None
