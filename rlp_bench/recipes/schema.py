"""The schema of a recipe: tables, settings, types, defaults and their meaning."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rlp_bench.api.types import Decoding, Prompting, Training
from rlp_bench.store.store import fingerprint

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of a recipe; unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Base(Section):
    checkpoint: str
    """Initial checkpoint of every method: a folder in Hugging Face format, or "package://rlp_bench.micro/base"."""
    shape: str = ""
    """Model shape for `plan` where the checkpoint is not on this machine: "llama-7b", ...; changes no result."""


class Data(Section):
    source: str
    """Suite with training splits; the number of rows of each split follows, 0 for an unused split."""
    preferences_from: str = ""
    """Preferences from a file instead of the annotator ("hh_rlhf:FILE", ...); `preferences` is the number of rows."""
    strengths_from: str = ""
    """Preference strengths from a file instead of reward models trained for it ("hh_rlhf_strength:FILE", ...)."""
    sft: Count = 0
    preferences: Count = 0
    unlabeled: Count = 0
    dev: Count = 0
    strengths: Count = 0
    """Rows of `strengths_from`; they are matched with the preferences by their texts."""


class PromptingSection(Section):
    template: str = "{instruction}"
    template_with_input: str = ""
    max_prompt_tokens: Annotated[int, Field(gt=0)] = 512
    max_response_tokens: Annotated[int, Field(gt=0)] = 300

    @field_validator("template", "template_with_input")
    @classmethod
    def _placeholders(cls, text: str, info: ValidationInfo) -> str:
        if not text and info.field_name == "template_with_input":
            return text
        known = ("instruction", "input")
        others = [name for name in re.findall(r"\{(\w+)\}", text) if name not in known]
        if others:
            raise ValueError(
                f"the placeholder {{{others[0]}}} is not known; expected {{instruction}} or {{input}}"
            )
        if text.count("{instruction}") != 1:
            raise ValueError("expected {instruction} once")
        if info.field_name == "template_with_input" and "{input}" not in text:
            raise ValueError("expected {input}")
        return text


class EngineSection(Section):
    name: str = "transformers"


class Annotator(Section):
    judge: str
    """The judge that labels training pairs."""
    noise: Share = 0.25
    """Probability that a label is flipped. AlpacaFarm: .25 for training, none in evaluation."""


class JudgeSection(Section):
    name: str
    """The evaluation judge; training labels come from [annotator]."""
    order: Literal["both", "random", "policy_first", "reference_first"] = "both"


class DecodingSection(Section):
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_response_tokens: Annotated[int, Field(gt=0)] = 300
    seed: int = 0
    """Sampling seed of the evaluation; the same for every run, so that runs differ only by training."""


class Evaluation(Section):
    suites: tuple[str, ...] = ()
    """Aliases from [suites] that `run` evaluates the final policy on."""
    dev_pairs: Count = 0
    """Number of pairs per kind (SFT samples, policy samples) for the reward model's accuracy."""
    second_judges: tuple[str, ...] = ()
    """Judges reported in addition to the recipe's judge."""
    trajectory: tuple[Count, ...] = ()
    """Snapshots (rollouts of the last PPO stage) that `matrix` also evaluates, for comparison at equal KL."""


class Tuning(Section):
    """The hyperparameter that `matrix` tunes for each method, on dev prompts and never on a suite.

    Rule: the value whose policy, trained with `seed`, has the highest win rate against the SFT policy on the first
    `prompts` dev prompts under the recipe's judge; ties go to the first in `values`. Where the best value lies at the
    edge of three values or more, up to two more are tried beyond it (`matrix.tuning.beyond`).
    """

    stage: str = ""
    """Trainer of the method's last stage; methods with another last stage, or that give the setting themselves, are not
    tuned. Empty: no tuning."""
    setting: str = ""
    values: tuple[float, ...] = ()
    seed: Count = 1000
    """A separate seed, so that no run used for tuning is among the compared runs."""
    prompts: Count = 400


class TrainingSection(Section):
    """How gradients are computed, where it changes results. Not part of a recipe's id at its defaults."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of matrix products and frozen models; master weights and Adam's moments are always fp32."""
    lora_rank: Count = 0
    """Low-rank adapters of this rank on the attention and MLP matrices (Hu et al. 2021, arXiv:2106.09685); 0: none."""
    lora_alpha: Annotated[int, Field(gt=0)] = 16
    lora_targets: tuple[str, ...] = ()
    """Names of the adapted modules; (): all linear layers of the decoder."""
    sampler: Literal["transformers", "vllm"] = "transformers"
    """The sampler of PPO's rollouts; log-probabilities are always computed by the learner."""


class Compute(Section):
    """Hardware and processes; not part of a recipe's id."""

    device: str = "cpu"
    processes: Annotated[int, Field(ge=1)] = 1
    """Worker processes that sample, score and judge."""
    threads: Annotated[int, Field(ge=1)] = 1
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    """Distributed training: none ("one"), data parallel ("ddp"), or sharded models ("fsdp", FSDP2)."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Training processes per node, one per device."""
    nodes: Annotated[int, Field(ge=1)] = 1
    activation_checkpointing: bool = False
    """Recomputes the activations of each layer in the backward pass: less memory, about a third more FLOPs."""
    accelerator: str = ""
    """Accelerator name for `rlp-bench plan`: "a100-80gb", "h100-80gb", ..., "cpu"."""
    price_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Dollars per device-hour, for `plan`."""

    @model_validator(mode="after")
    def _spread(self) -> "Compute":
        if self.strategy == "one" and self.workers * self.nodes > 1:
            raise ValueError(
                f"{self.workers * self.nodes} training processes with strategy one; choose ddp (whole models) or fsdp "
                "(shards), or workers 1 and nodes 1"
            )
        return self


class Recipe(Section):
    """A recipe: the problem that methods are compared on. [stages.<trainer>] overrides defaults for every method."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    base: Base
    data: Data
    prompting: PromptingSection = PromptingSection()
    engine: EngineSection = EngineSection()
    annotator: Annotator
    judge: JudgeSection
    decoding: DecodingSection = DecodingSection()
    suites: dict[str, str] = Field(default_factory=dict)
    evaluation: Evaluation = Evaluation()
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    tuning: Tuning = Tuning()
    training: TrainingSection = TrainingSection()
    compute: Compute = Compute()
    _overridden: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def id(self) -> str:
        """`name@` and 8 hex digits of the content's hash, without [compute] and without a default [training]."""
        return f"{self.name}@{fingerprint(self.content)[:8]}"

    @property
    def content(self) -> dict[str, Any]:
        """Everything that results depend on, as JSON values; [training] only where it differs from its defaults."""
        silent = {"compute"} if self.training != TrainingSection() else {"compute", "training"}
        content = self.model_dump(mode="json", exclude=silent)
        content["base"].pop("shape")
        if not self.data.preferences_from:
            content["data"].pop("preferences_from")
        if not self.data.strengths_from:
            content["data"].pop("strengths_from")
            content["data"].pop("strengths")
        return content

    @property
    def overridden(self) -> frozenset[str]:
        """The dotted keys set by `--set`."""
        return self._overridden

    def stage_prompting(self) -> Prompting:
        """The `context.prompting` of stages."""
        return Prompting(**self.prompting.model_dump())

    def stage_training(self) -> Training:
        """The `context.training` of stages."""
        return Training(**self.training.model_dump())

    @property
    def engine_label(self) -> str:
        """The engine in fingerprints of outputs and scores: its name, and "bf16" where it computes in bf16."""
        return self.engine.name if self.training.precision == "fp32" else f"{self.engine.name}, bf16"

    @property
    def engine_options(self) -> dict[str, Any]:
        """The constructor arguments of the engine."""
        low = {"precision": "bf16"} if self.training.precision == "bf16" else {}
        return {"device": self.compute.device, "processes": self.compute.processes, **low}

    def evaluation_decoding(self) -> Decoding:
        """The sampling parameters of the evaluation."""
        return Decoding(**self.decoding.model_dump(exclude={"seed"}))
