"""Values that plug-ins and harness exchange: items, verdicts, artifacts, samples, and how a stage trains.

Letters in shapes, everywhere: B batch, T response tokens, G samples per prompt, V vocabulary.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api.files import read_jsonl

# --- What is asked, answered and judged ---------------------------------------------------------------


def content_id(*texts: str) -> str:
    """16 hex digits naming a text by its content; a field separator keeps ("ab", "c") from ("a", "bc")."""
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def prompt_id(row: Mapping[str, Any]) -> str:
    """Identity of the prompt that a row {instruction, input} is about."""
    return content_id(row["instruction"], row.get("input", ""))


def merge_input(instruction: str, input: str) -> str:
    """Instruction and input as one text, as AlpacaEval stores them: the input after a blank line."""
    return f"{instruction}\n\n{input}" if input else instruction


def mean_over_orders(first: float, turned: float) -> float:
    """Preference for an answer over both orders of a pair.

    Args:
        first: preference for the answer shown first, where it is this one. turned: where it is the other one.
    """
    return 0.5 + (first - turned) / 2


@dataclass(frozen=True)
class Item:
    """One instruction of a win-rate suite, with the reference answer it is judged against."""

    instruction: str
    input: str = ""
    subset: str = ""
    category: str = ""
    reference: str | None = None

    @property
    def id(self) -> str:
        """Identity of the question alone: two references to one instruction have the same id."""
        return content_id(self.instruction, self.input)


@dataclass(frozen=True)
class Question:
    """One multiple-choice question."""

    stem: str
    options: tuple[str, ...]
    answer: int
    """Index of the right option."""
    subject: str = ""
    category: str = ""
    """What subjects are grouped by."""
    place: str = ""
    """Where it stands in a set that asks some questions twice ("subject/row"); in the id where given."""

    @property
    def id(self) -> str:
        return content_id(self.stem, *self.options, *([self.place] if self.place else []))


@dataclass(frozen=True)
class LabelledPair:
    """Two answers to one instruction, and which one is better: a test of a judge or of a reward model."""

    instruction: str
    output_1: str
    output_2: str
    label: Literal[1, 2]
    subset: str = ""

    @property
    def id(self) -> str:
        return content_id(self.instruction, self.output_1, self.output_2)


@dataclass(frozen=True)
class Pair:
    """What a judge sees: an instruction and two answers in the order shown. It never sees who wrote which."""

    instruction: str
    first: str
    second: str
    input: str = ""


@dataclass(frozen=True)
class Verdict:
    """A judge's word on a `Pair`. No verdict is not a score: `preference` is None, with the reason."""

    preference: float | None
    """Preference for the first answer, in [0, 1]; 0.5 is a tie."""
    reason: str = ""
    """Why there is no preference: "unparsed", "failed: ...", "missing"; empty where there is one."""
    raw: str = ""
    """The judge's own words, kept so that parsing can be repeated without paying again."""


# --- Sealed files -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artifact:
    """A sealed directory: what one stage made. Its presence with a manifest means that it is complete."""

    kind: str
    """"policy", "reward", "demonstrations", "prompts", "preferences", "samples", "outputs", "verdicts"."""
    fingerprint: str
    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def rows(self, name: str = "rows.jsonl") -> list[dict[str, Any]]:
        """The rows of a JSONL file of this artifact."""
        return list(read_jsonl(self.path / name))

    @property
    def metrics(self) -> dict[str, Any]:
        """What the stage measured about its own result (`metrics.json`); empty if it wrote none."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else {}


# --- What a stage is given ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Prompting:
    """How an instruction becomes the text that a policy continues; one per recipe."""

    template: str = "{instruction}"
    """Text with `{instruction}`; filled in one pass, so that a brace in an instruction stays text."""
    template_with_input: str = ""
    """The same with `{input}`, for items that have one; empty: input is appended after a blank line."""
    max_prompt_tokens: int = 512
    max_response_tokens: int = 300

    def render(self, instruction: str, input: str = "") -> str:
        """The prompt, before tokenisation."""
        template = self.template
        if input:
            if self.template_with_input:
                template = self.template_with_input
            else:
                instruction, input = merge_input(instruction, input), ""
        head, _, tail = template.partition("{instruction}")
        return head.replace("{input}", input) + instruction + tail.replace("{input}", input)


@dataclass(frozen=True)
class Training:
    """How gradients are computed; a recipe's [training]."""

    precision: Literal["fp32", "bf16"] = "fp32"
    lora_rank: int = 0
    lora_alpha: int = 16
    lora_targets: tuple[str, ...] = ()
    sampler: Literal["transformers", "vllm"] = "transformers"


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train one stage together, and which of them this is."""

    rank: int = 0
    size: int = 1
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    activation_checkpointing: bool = False


# --- What answers, judges and asks --------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One response of a policy."""

    text: str
    tokens: int
    """Length in tokens, EOS not counted."""
    finished: bool
    """True where the policy ended it itself (EOS), False where it was cut at the limit."""


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_response_tokens: int = 300


@dataclass(frozen=True)
class PromptSize:
    """A rendered prompt as its policy's tokenizer has it."""

    tokens: int
    """BOS included."""
    bos: int | None
    """How many BOS tokens it has; None where the tokenizer puts none."""


@dataclass(frozen=True)
class Choices:
    """What a policy thinks of the texts that a prompt may go on with."""

    logprobs: tuple[float, ...]
    """Nats, one a choice."""
    cut_tokens: int = 0
    """How many tokens were cut at the prompt's left because it did not fit the context."""


Relation = Literal["entails", "neutral", "contradicts"]
