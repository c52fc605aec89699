"""The tables of a recipe: their settings, types, defaults and what they mean."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from rlp_bench.api.types import Decoding, Prompting, Training
from rlp_bench.store.store import fingerprint

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of a recipe: unknown keys and values of another type are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Base(Section):
    checkpoint: str
    """Where every method starts: a folder in Hugging Face format, or "package://rlp_bench.micro/base"."""
    shape: str = ""
    """What `plan` predicts with where the checkpoint is not on this machine: "llama-7b", ...; changes no result."""


class Data(Section):
    source: str
    """Suite that has training splits; `n` of each split follow, 0 where the recipe has none."""
    preferences_from: str = ""
    """File of preferences in place of the annotator's ("hh_rlhf:FILE", ...); `preferences` is how many rows of it."""
    sft: Count = 0
    preferences: Count = 0
    unlabeled: Count = 0
    dev: Count = 0


class PromptingSection(Section):
    template: str = "{instruction}"
    template_with_input: str = ""
    max_prompt_tokens: Annotated[int, Field(gt=0)] = 512
    max_response_tokens: Annotated[int, Field(gt=0)] = 300


class EngineSection(Section):
    name: str = "transformers"


class Annotator(Section):
    judge: str
    """Who labels training pairs."""
    noise: Share = 0.25
    """Probability that a label is flipped. AlpacaFarm: .25 for training, none in evaluation."""


class JudgeSection(Section):
    name: str
    """Who decides the evaluation; the annotator of training labels is another section."""
    order: Literal["both", "random", "policy_first", "reference_first"] = "both"


class DecodingSection(Section):
    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_response_tokens: Annotated[int, Field(gt=0)] = 300
    seed: int = 0
    """Seed of the evaluation's sampling; the same for every run, so that runs differ by training alone."""


class Evaluation(Section):
    suites: tuple[str, ...] = ()
    """Aliases from [suites] that `run` evaluates at its end."""
    dev_pairs: Count = 0
    """Pairs per kind (SFT samples, policy samples) on which the reward model's accuracy is measured."""
    second_judges: tuple[str, ...] = ()
    """Judges reported beside the recipe's own."""
    trajectory: tuple[Count, ...] = ()
    """Snapshots (rollouts of the last PPO) that `matrix` evaluates too, for comparisons at equal KL."""


class Tuning(Section):
    """The one setting that `matrix` chooses for each method, by a rule, never on a suite.

    The rule: the value whose policy, trained with `seed`, has the highest win rate against the SFT policy on the first
    `prompts` dev prompts, by the recipe's judge; of equal ones the first in `values`.
    """

    stage: str = ""
    """Trainer of the method's last stage; methods that end in another one are not tuned. Empty: no tuning."""
    setting: str = ""
    values: tuple[float, ...] = ()
    seed: Count = 1000
    """A seed of its own, so that no compared run is one that was chosen."""
    prompts: Count = 400


class TrainingSection(Section):
    """How gradients are computed, where it changes results. At its defaults it is no part of a recipe's id."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """Of matrix products and of models that do not learn; master weights and Adam's moments are fp32 in any case."""
    lora_rank: Count = 0
    """Low-rank adapters of this rank on the attention and MLP matrices (Hu et al. 2021, arXiv:2106.09685); 0: none."""
    lora_alpha: Annotated[int, Field(gt=0)] = 16
    lora_targets: tuple[str, ...] = ()
    """Names of the adapted modules; (): every matrix of the decoder layers."""
    sampler: Literal["transformers", "vllm"] = "transformers"
    """Who draws PPO's rollouts; log-probabilities are those of the model that learns in any case."""


class Compute(Section):
    """Where it runs; no part of a recipe's id."""

    device: str = "cpu"
    processes: Annotated[int, Field(ge=1)] = 1
    """Workers that sample, score and judge."""
    threads: Annotated[int, Field(ge=1)] = 1
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    """How training is spread: not at all, whole models side by side, or models in shards (FSDP2)."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Training processes a node, one a device."""
    nodes: Annotated[int, Field(ge=1)] = 1
    activation_checkpointing: bool = False
    """Activations of each layer are computed again on the way back: less memory, about a third more work."""
    accelerator: str = ""
    """Name in the table of `rlp-bench plan`: "a100-80gb", "h100-80gb", ..., "cpu"."""
    price_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Dollars a device-hour, for `plan`."""

    @model_validator(mode="after")
    def _spread(self) -> "Compute":
        if self.strategy == "one" and self.workers * self.nodes > 1:
            raise ValueError(
                f"{self.workers * self.nodes} training processes with strategy one; choose ddp (whole models) or fsdp "
                "(shards), or workers 1 and nodes 1"
            )
        return self


class Recipe(Section):
    """One problem, frozen. `stages.<trainer>.<setting>` override a trainer's defaults for every method."""

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
        """`name@` and 8 hex digits of the content, [compute] and a default [training] excluded."""
        return f"{self.name}@{fingerprint(self.content)[:8]}"

    @property
    def content(self) -> dict[str, Any]:
        """Everything on which results depend, as JSON values; [training] where it is not at its defaults."""
        silent = {"compute"} if self.training != TrainingSection() else {"compute", "training"}
        content = self.model_dump(mode="json", exclude=silent)
        content["base"].pop("shape")
        if not self.data.preferences_from:
            content["data"].pop("preferences_from")
        return content

    @property
    def overridden(self) -> frozenset[str]:
        """The dotted keys that `--set` gave."""
        return self._overridden

    def stage_prompting(self) -> Prompting:
        """What stages get as `context.prompting`."""
        return Prompting(**self.prompting.model_dump())

    def stage_training(self) -> Training:
        """What stages get as `context.training`."""
        return Training(**self.training.model_dump())

    @property
    def engine_label(self) -> str:
        """The engine as it enters fingerprints of answers and scores: its name, and bf16 where it computes in that."""
        return self.engine.name if self.training.precision == "fp32" else f"{self.engine.name}, bf16"

    @property
    def engine_options(self) -> dict[str, Any]:
        """What an engine is made with."""
        low = {"precision": "bf16"} if self.training.precision == "bf16" else {}
        return {"device": self.compute.device, "processes": self.compute.processes, **low}

    def evaluation_decoding(self) -> Decoding:
        """How the evaluation draws responses."""
        return Decoding(**self.decoding.model_dump(exclude={"seed"}))
