"""The work of every stage of a plan, as described by its trainer: models, passes, numbers and lengths of rows.

A trainer may have `work(given)`; it gets the sizes of its inputs and returns plain values:

    given = {"rows": {input: [rows of each artifact]}, "responses": {input: responses per row}, "prompt": tokens,
             "response": tokens, "hidden": hidden size of the base}
    {"models": {name: {"head": "lm" | "scalar", "trained": bool, "shares": name of the model whose frozen weights it
                uses where adapters are trained}},
     "passes": [{"does": "train" | "read" | "write", "models": [names], "rows": in the whole stage,
                 "batch": rows of one update, "microbatch": rows of one forward pass, "held": rows whose activations one
                 device holds at a time, if not a microbatch's; "prompt", "response": tokens per row, "logits": bool,
                 "masked": whether attention gets a full T x T mask, "copies": copies of the gradient}],
     "updates": number, "makes": {"rows": number, "responses": per row}, "extra": further trained parameters}
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from rlp_bench.api.errors import BenchError
from rlp_bench.plan.graph import Node, Plan


@dataclass(frozen=True)
class Model:
    """One model of a stage."""

    head: Literal["lm", "scalar"] = "lm"
    trained: bool = False
    shares: str = ""


@dataclass(frozen=True)
class Pass:
    """One kind of work of a stage."""

    does: Literal["train", "read", "write"]
    """"train": forward and backward; "read": forward only; "write": sampling."""
    models: tuple[str, ...]
    rows: float
    batch: int = 0
    """Rows of one update, over all devices; for "read" and "write": maximum number of rows at a time."""
    microbatch: int = 0
    """Rows of one forward pass on one device; for "write": rows decoded in one batch; 0: the engine's number."""
    held: int = 0
    """Rows whose activations are in memory at once, over all devices; 0: those of a microbatch."""
    prompt: float = 0.0
    response: float = 0.0
    logits: bool = False
    """Whether logits are computed, at response positions (for models with an LM head)."""
    masked: bool = False
    copies: int = 0
    """Additional copies of the gradient in memory."""

    @property
    def tokens(self) -> float:
        """Tokens per row."""
        return self.prompt + self.response


@dataclass(frozen=True)
class Work:
    """The work of one stage."""

    models: dict[str, Model]
    passes: tuple[Pass, ...]
    updates: int = 0
    makes: dict[str, float] = field(default_factory=dict)
    extra: int = 0


@dataclass(frozen=True)
class Lengths:
    """Tokens of a prompt and of a response."""

    prompt: float
    response: float


def read_lengths(text: str) -> Lengths | None:
    """Expected tokens of a prompt and of a response, from `120,200`; None for an empty text.

    Raises:
        BenchError: the text has another form.
    """
    if not text:
        return None
    try:
        prompt, response = (float(part) for part in text.split(","))
    except ValueError:
        prompt = response = math.nan
    if not (0 < prompt < math.inf and 0 < response < math.inf):
        raise BenchError(
            f'--lengths "{text}": expected tokens of a prompt and of a response, as in --lengths 120,200'
        )
    return Lengths(prompt, response)


def stage_works(
    plan: Plan, hidden: int, lengths: Lengths, settings: Mapping[str, Any]
) -> dict[str, Work | None]:
    """The work of every stage by label; None where the trainer has no `work`. Data and base are left out.

    Args:
        lengths: of every prompt and response; limits to predict memory, means to predict time.
        settings: override a stage's settings where it has them ({"microbatch": 1}).
    """
    found: dict[str, Work | None] = {}
    made: dict[str, Mapping[str, float]] = {}
    for node in plan.nodes:
        if node.trainer in ("checkpoint", "data"):
            made[node.fingerprint] = {"rows": float(node.identity.get("n", 0)), "responses": 1.0}
            continue
        work = work_of(node, made, hidden, lengths, settings)
        found[node.label] = work
        made[node.fingerprint] = work.makes if work else {}
    return found


def work_of(
    node: Node,
    made: Mapping[str, Mapping[str, float]],
    hidden: int,
    lengths: Lengths,
    settings: Mapping[str, Any],
) -> Work | None:
    """The work of one stage.

    Args:
        made: rows and responses of each input, by fingerprint.
    """
    tell = getattr(_with(node.instance, settings), "work", None)
    if tell is None:
        return None
    rows, responses = {}, {}
    for name, handles in node.inputs.items():
        several = handles if isinstance(handles, list) else [handles]
        rows[name] = [made[handle.fingerprint].get("rows", 0.0) for handle in several]
        responses[name] = max(made[handle.fingerprint].get("responses", 1.0) for handle in several)
    given = {
        "rows": rows, "responses": responses, "prompt": lengths.prompt, "response": lengths.response, "hidden": hidden
    }  # fmt: skip
    return read_work(tell(given), node.trainer)


def read_work(described: Any, trainer: str) -> Work:
    """The validated return value of a trainer's `work`.

    Raises:
        BenchError: it does not have the format in this module's docstring.
    """
    if not isinstance(described, Mapping):
        raise BenchError(f'trainer "{trainer}": work() returned {type(described).__name__}; expected a dict')
    try:
        work: Work = TypeAdapter(Work).validate_python(dict(described))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BenchError(
            f'trainer "{trainer}": work(): {where}: {first["msg"]}; see the top of rlp_bench/plan/estimate/workload.py'
        ) from None
    unknown = {name for one in work.passes for name in one.models} - {*work.models}
    unknown |= {*described} - {"models", "passes", "updates", "makes", "extra"}
    if unknown:
        raise BenchError(
            f'trainer "{trainer}": work() names {", ".join(sorted(map(str, unknown)))}, which it does not describe; '
            "see the top of rlp_bench/plan/estimate/workload.py"
        )
    return work


def _with(instance: Any, settings: Mapping[str, Any]) -> Any:
    """The trainer with the given settings, ignoring those that it does not have."""
    from dataclasses import replace

    mine = {name: value for name, value in settings.items() if hasattr(instance, name)}
    return replace(instance, **mine) if mine else instance


def distributed(node: Node) -> bool:
    """Whether the stage uses all devices; other stages use one."""
    return bool(getattr(node.instance, "distributed", False))


def parameters_of_models(work: Work, counts: Mapping[str, int]) -> dict[str, int]:
    """Parameters of each model by name.

    Args:
        counts: parameters by head.
    """
    return {name: counts[model.head] for name, model in work.models.items()}
