"""Data types shared by plug-ins and harness: items, verdicts, artifacts, samples and training options.

Letters in shapes, everywhere: B batch, T response tokens, G samples per prompt, V vocabulary.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api.files import read_jsonl

# --- Items and verdicts -------------------------------------------------------------------------------


def content_id(*texts: str) -> str:
    """Content hash of texts, 16 hex digits; a field separator tells ("ab", "c") from ("a", "bc")."""
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def prompt_id(row: Mapping[str, Any]) -> str:
    """Content hash of the prompt of a row {instruction, input}."""
    return content_id(row["instruction"], row.get("input", ""))


def merge_input(instruction: str, input: str) -> str:
    """Instruction and input as one text, as AlpacaEval stores them: the input after a blank line."""
    return f"{instruction}\n\n{input}" if input else instruction


def mean_over_orders(first: float, turned: float) -> float:
    """Preference for an answer, averaged over both presentation orders of a pair.

    Args:
        first: preference for the answer shown first, where this answer is shown first.
        turned: preference for the answer shown first, where the other answer is shown first.
    """
    return 0.5 + (first - turned) / 2


@dataclass(frozen=True)
class Item:
    """One instruction of a win-rate suite, with the reference answer that outputs are compared with."""

    instruction: str
    input: str = ""
    subset: str = ""
    category: str = ""
    reference: str | None = None

    @property
    def id(self) -> str:
        """Content hash of instruction and input; the reference does not enter it."""
        return content_id(self.instruction, self.input)


@dataclass(frozen=True)
class Question:
    """One multiple-choice question."""

    stem: str
    options: tuple[str, ...]
    answer: int
    """Index of the correct option."""
    subject: str = ""
    category: str = ""
    """The group of the subject."""
    place: str = ""
    """Position ("subject/row"), for data sets with duplicate questions; part of the id where given."""

    @property
    def id(self) -> str:
        return content_id(self.stem, *self.options, *([self.place] if self.place else []))


@dataclass(frozen=True)
class LabeledPair:
    """Two answers to one instruction and a label for the better one; tests a judge or a reward model."""

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
    """The input of a judge: an instruction and two answers in presentation order, without their authors."""

    instruction: str
    first: str
    second: str
    input: str = ""


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on a `Pair`. A missing verdict is not a score: `preference` is None, with a reason."""

    preference: float | None
    """Preference for the first answer, in [0, 1]; 0.5 is a tie."""
    reason: str = ""
    """Why there is no preference: "unparsed", "failed: ...", "missing"; empty where there is one."""
    raw: str = ""
    """The judge's raw output, kept so that it can be parsed again without another request."""


# --- Artifacts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Artifact:
    """The sealed output directory of one stage; a manifest in it means that it is complete."""

    kind: str
    """"policy", "reward", "demonstrations", "prompts", "preferences", "strengths", "samples", "outputs",
    "verdicts"."""
    fingerprint: str
    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def rows(self, name: str = "rows.jsonl") -> list[dict[str, Any]]:
        """The rows of a JSON-lines file in this artifact."""
        return list(read_jsonl(self.path / name))

    @property
    def metrics(self) -> dict[str, Any]:
        """The stage's metrics (`metrics.json`); empty if it wrote none."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else {}


# --- Options of a stage -------------------------------------------------------------------------------


class Rendered(str):
    """A rendered prompt that knows which parts were inserted into the template: there, special tokens are text."""

    inserted: tuple[tuple[int, int], ...]
    """(start, end) of every inserted text, in characters."""

    def __new__(cls, text: str, inserted: tuple[tuple[int, int], ...] = ()) -> "Rendered":
        made = super().__new__(cls, text)
        made.inserted = inserted
        return made

    def __add__(self, more: str) -> "Rendered":
        """The prompt followed by `more`, which is an inserted text too."""
        return Rendered(str(self) + more, (*self.inserted, (len(self), len(self) + len(more))))


@dataclass(frozen=True)
class Prompting:
    """How an instruction is rendered as a prompt; one per recipe."""

    template: str = "{instruction}"
    """Text with `{instruction}`; substituted in one pass, so that braces in an instruction stay text."""
    template_with_input: str = ""
    """The same with `{input}`, for items that have one; empty: input is appended after a blank line."""
    max_prompt_tokens: int = 512
    max_response_tokens: int = 300

    def render(self, instruction: str, input: str = "") -> Rendered:
        """The prompt text, before tokenization."""
        template = self.template
        if input:
            if self.template_with_input:
                template = self.template_with_input
            else:
                instruction, input = merge_input(instruction, input), ""
        head, _, tail = template.partition("{instruction}")
        parts: list[tuple[str, bool]] = []
        for place, side in enumerate((head, tail)):
            parts += [(instruction, True)] if place else []
            for number, text in enumerate(side.split("{input}")):
                parts += [(input, True)] if number else []
                parts.append((text, False))
        ends = list(accumulate(len(text) for text, _ in parts))
        inserted = [
            (end - len(text), end) for (text, given), end in zip(parts, ends, strict=True) if given and text
        ]
        return Rendered("".join(text for text, _ in parts), tuple(inserted))


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
    """The group of processes that train one stage together, and the rank of this one."""

    rank: int = 0
    size: int = 1
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    activation_checkpointing: bool = False


# --- Generation and scoring ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One response of a policy."""

    text: str
    tokens: int
    """Length in tokens, without EOS."""
    finished: bool
    """True if the policy generated EOS, False if the response was truncated at the limit."""
    raw: str = ""
    """The response as received, where `text` is a part of it (without a reasoning block); else empty."""
    reasoning: str = ""
    """The reasoning that is no part of `text`."""
    tokens_estimated: bool = False
    """Whether `tokens` is an estimate, because the server reported no believable count for this response."""

    def row(self) -> dict[str, Any]:
        """The fields as JSON values; of those with a default, the ones that differ from it."""
        always = {"text": self.text, "tokens": self.tokens, "finished": self.finished}
        others = {"raw": self.raw, "reasoning": self.reasoning, "tokens_estimated": self.tokens_estimated}
        return {**always, **{name: value for name, value in others.items() if value}}


BYTES_A_TOKEN = 4
"""UTF-8 bytes per token of English text, where the tokenizer is not known."""


def estimated_tokens(text: str) -> int:
    """An estimate of a text's length in tokens, where the tokenizer is not known."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)


@dataclass(frozen=True)
class Decoding:
    """Sampling parameters of responses."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_response_tokens: int = 300


@dataclass(frozen=True)
class PromptSize:
    """The token counts of a rendered prompt under the policy's tokenizer."""

    tokens: int
    """BOS included."""
    bos: int | None
    """Number of BOS tokens; None if the tokenizer adds none."""


@dataclass(frozen=True)
class Choices:
    """Log-probabilities of a prompt's candidate continuations under a policy."""

    logprobs: tuple[float, ...]
    """Nats, one per choice."""
    cut_tokens: int = 0
    """Number of tokens truncated from the prompt's left to fit the context."""


Relation = Literal["entails", "neutral", "contradicts"]
