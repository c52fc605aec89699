"""Predicts parameters, memory, time and cost of each stage of a plan."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.plan.estimate.accelerators import Accelerator, accelerator
from rlp_bench.plan.estimate.flops import Amount, stage_amount
from rlp_bench.plan.estimate.memory import Memory, Setup, stage_moments, trained_parameters
from rlp_bench.plan.estimate.shapes import Shape, shape_of
from rlp_bench.plan.estimate.time import Seconds, stage_seconds
from rlp_bench.plan.estimate.workload import Lengths, Work, distributed, parameters_of_models, stage_works
from rlp_bench.plan.graph import Node, Plan
from rlp_bench.recipes.schema import Recipe


@dataclass(frozen=True)
class Needs:
    """The prediction of one stage; seconds, cost and fits are None where the accelerator is not known."""

    stage: str
    trainer: str
    work: Work
    setup: Setup
    parameters: Mapping[str, int]
    """Number of parameters by model."""
    trained: int
    memory: Memory
    """Peak memory."""
    moments: list[Memory]
    """Peak memory of loading and of each pass."""
    amount: Amount
    seconds: Seconds | None
    cost: float | None
    fits: bool | None

    def json(self) -> dict[str, Any]:
        """JSON values; bytes are per device."""
        counts = {"parameters": dict(self.parameters), "parameters_trained": self.trained}
        memory = {**asdict(self.memory), "total": self.memory.total}
        seconds = None if self.seconds is None else {**asdict(self.seconds), "total": self.seconds.total}
        return {
            **counts,
            "devices": self.setup.devices,
            "memory_bytes": memory,
            "moments": [{**asdict(one), "total": one.total} for one in self.moments],
            "tokens": {name: value for name, value in asdict(self.amount).items() if name != "flops"},
            "flops": self.amount.flops,
            "seconds": seconds,
            "cost": self.cost,
            "fits": self.fits,
        }


@dataclass(frozen=True)
class Prediction:
    """The prediction of a whole plan."""

    shape: Shape | None
    """None if nothing can be predicted; `problem` has the reason."""
    device: Accelerator | None
    devices: int
    """Number of devices held by the run, whether or not a stage uses them all."""
    price: float | None
    limits: Lengths
    lengths: Lengths
    stages: dict[str, Needs | None]
    """By label; None where the trainer does not implement `work`."""
    problem: str = ""

    @property
    def seconds(self) -> float | None:
        """Sum over the stages with a prediction; None if there are none."""
        known = [one.seconds.total for one in self.stages.values() if one and one.seconds]
        return sum(known) if known else None

    @property
    def cost(self) -> float | None:
        known = [one.cost for one in self.stages.values() if one and one.cost is not None]
        return sum(known) if known else None


def predict(plan: Plan, lengths: Lengths | None = None) -> Prediction:
    """The prediction of every stage of a plan.

    Args:
        lengths: expected tokens of a prompt and of a response, for time; default: the recipe's limits. Memory is
            always predicted at the limits.

    Raises:
        BenchError: no shape is known, or the accelerator is not in the table.
    """
    recipe = plan.recipe
    device = _device(recipe)
    limits = Lengths(recipe.prompting.max_prompt_tokens, recipe.prompting.max_response_tokens)
    expected = lengths or limits
    if expected.prompt > limits.prompt or expected.response > limits.response:
        raise BenchError(
            f"--lengths {expected.prompt:g},{expected.response:g}: longer than [prompting] allows; expected at most "
            f"{limits.prompt:g},{limits.response:g}"
        )
    made = [node for node in plan.nodes if node.trainer not in ("checkpoint", "data")]
    silent: dict[str, Needs | None] = dict.fromkeys([node.label for node in made])
    terms = (device, held(recipe), recipe.compute.price_per_hour, limits, expected)
    if not any(hasattr(node.instance, "work") for node in made):
        return Prediction(None, *terms, silent)
    try:
        shape = shape_of(recipe.base)
    except DataError as error:
        return Prediction(None, *terms, silent, str(error))
    longest = stage_works(plan, shape.d, limits, {})
    usual = stage_works(plan, shape.d, expected, {})
    nodes = {node.label: node for node in plan.nodes}
    stages: dict[str, Needs | None] = {}
    for label, most in longest.items():
        mean = usual[label]
        works = None if most is None or mean is None else (most, mean)
        stages[label] = _needs(nodes[label], *works, shape, recipe, device) if works else None
    return Prediction(shape, *terms, stages)


def held(recipe: Recipe) -> int:
    """Number of devices held by a run."""
    return recipe.compute.workers * recipe.compute.nodes


def setup_of(node: Node, recipe: Recipe) -> Setup:
    """How a stage is computed under a recipe; distributed stages use all devices, others one."""
    compute, training = recipe.compute, recipe.training
    trains = "training" in node.instance.uses
    several = distributed(node) and compute.strategy != "one"
    return Setup(
        precision=training.precision,
        strategy=compute.strategy if several else "one",
        devices=held(recipe) if several else 1,
        checkpointing=compute.activation_checkpointing and trains,
        lora_rank=training.lora_rank if trains else 0,
        lora_targets=training.lora_targets,
        cpu=compute.device == "cpu",
        engine=recipe.engine.name,
        sampler=getattr(training, "sampler", "transformers"),
    )


def _device(recipe: Recipe) -> Accelerator | None:
    name = recipe.compute.accelerator or ("cpu" if recipe.compute.device == "cpu" else "")
    return accelerator(name, recipe.compute.threads) if name else None


def _needs(
    node: Node, limits: Work, usual: Work, shape: Shape, recipe: Recipe, device: Accelerator | None
) -> Needs:
    setup = replace(setup_of(node, recipe), memory=device.memory if device else math.inf)
    moments = stage_moments(limits, shape, setup)
    memory = max(moments, key=lambda one: one.total)
    counts = {head: shape.count(head) for head in ("lm", "scalar")}
    seconds = cost = fits = None
    if device is not None:
        seconds = stage_seconds(usual, limits, shape, setup, device, recipe.compute.nodes)
        fits = memory.total * _on_one_machine(setup, recipe) <= device.room
        price = recipe.compute.price_per_hour
        cost = None if price is None else seconds.total / 3600 * held(recipe) * price
    trained = sum(trained_parameters(one, shape, setup) for one in limits.models.values() if one.trained)
    parameters = parameters_of_models(limits, counts)
    amount = stage_amount(usual, shape, setup)
    return Needs(
        node.label,
        node.trainer,
        limits,
        setup,
        parameters,
        trained,
        memory,
        moments,
        amount,
        seconds,
        cost,
        fits,
    )


def _on_one_machine(setup: Setup, recipe: Recipe) -> int:
    """Number of ranks that share one device's memory: on a CPU all workers of a node, otherwise 1."""
    return min(setup.devices, recipe.compute.workers) if setup.cpu else 1
