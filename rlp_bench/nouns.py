"""The nouns that every plugin speaks: items, verdicts, artifacts, and one-method protocols.

Letters in shapes, everywhere: B batch, T response tokens, G samples per prompt, V vocabulary.
This module imports nothing heavy and nothing of ours but errors.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from rlp_bench.errors import DataError

# --- What is asked, answered and judged ---------------------------------------------------------------


def content_id(*texts: str) -> str:
    """16 hex digits naming a text by its content; a field separator keeps ("ab", "c") from ("a", "bc")."""
    return hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


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


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """One dict a line. Raises DataError naming file and line of what is not JSON."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg}); the file is damaged") from None


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with sorted keys, so that equal rows are equal bytes."""
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n")


def write_json(path: Path, value: Any) -> None:
    """Writes one JSON document with sorted keys and a final newline."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
                instruction, input = f"{instruction}\n\n{input}", ""
        head, _, tail = template.partition("{instruction}")
        return head.replace("{input}", input) + instruction + tail.replace("{input}", input)


class Progress(Protocol):
    """Tells the person who waits: `progress(done, total, note)`."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


class Meter(Protocol):
    """Counts what a stage spends. Seconds and memory are taken by the harness."""

    def count(self, **amounts: float) -> None:
        """Adds to named counters.

        The names are tokens_trained, tokens_sampled, samples, reward_calls, entailment_calls and flops.
        """


@dataclass(frozen=True)
class Training:
    """How gradients are computed; a recipe's [training]."""

    precision: Literal["fp32", "bf16"] = "fp32"
    lora_rank: int = 0
    lora_alpha: int = 16
    lora_targets: tuple[str, ...] = ()
    sampler: Literal["transformers", "vllm"] = "transformers"


@dataclass(frozen=True)
class World:
    """The processes that train one stage together, and which of them this is."""

    rank: int = 0
    size: int = 1
    strategy: Literal["one", "ddp", "fsdp"] = "one"
    activation_checkpointing: bool = False


@dataclass(frozen=True)
class Context:
    """What every stage gets besides its inputs. It holds no eval item, no reference and no judge (rule 4)."""

    seed: int
    device: str
    prompting: Prompting
    scratch: Path
    """A directory that survives a kill: checkpoints of an unfinished stage go here."""
    progress: Progress
    meter: Meter
    engine: "Engine"
    """Samples, scores and log-probabilities; see `Engine`."""
    annotator: "Judge | None" = None
    """The recipe's annotator, label noise included; given only to trainers whose `uses` names "annotator"."""
    processes: int = 1
    """How many worker processes a stage may use; results must not depend on it."""
    training: Training = Training()
    """Given to trainers whose `uses` names "training"."""
    world: World = World()
    """A trainer that spreads over several processes says so by `spreads = True`; all others see one."""


class Trainer(Protocol):
    """One stage: sealed inputs in, one sealed artifact out.

    A trainer is a frozen dataclass; its fields are its settings. It may have `work(given)`, by which `rlp-bench plan`
    predicts memory, FLOPs and time; see the top of rlp_bench/predict/work.py.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """Raised when the same settings would give another result; part of the fingerprint."""
    inputs: ClassVar[Mapping[str, str]]
    """Input name -> artifact kind; "preferences*" takes one or several, "reward?" may be absent."""
    output: ClassVar[str]
    uses: ClassVar[Sequence[str]]
    """Recipe sections that change the result: "prompting", "annotator", "engine"; part of the fingerprint."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the artifact's files into `out` and returns its metrics (finite numbers, small)."""


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


class Engine(Protocol):
    """Runs policies and reward models that lie in checkpoint folders (Hugging Face format)."""

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """G = n responses per rendered prompt. The same seed gives the same responses on one machine."""

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """A reward model's score of each (rendered prompt, response)."""

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Sum of the log-probabilities of each response: nats, temperature 1, EOS included if finished."""

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability (nats) of every option as the continuation of its stem."""


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


@runtime_checkable
class FewShotEngine(Protocol):
    """What suites of kind "few_shot" ask of an engine besides `Engine.sample`; one that has no tokenizer lacks it."""

    def sizes(self, policy: Path, prompts: Sequence[str]) -> list[PromptSize]:
        """The size of each rendered prompt, however long."""

    def context_tokens(self, policy: Path) -> int:
        """The most tokens, prompt and response together, that the policy was made for."""

    def choices(
        self, policy: Path, prompts: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[Choices]:
        """Log-probability of every choice after its prompt, the two encoded as one text."""


Relation = Literal["entails", "neutral", "contradicts"]


class Entailment(Protocol):
    """Decides whether two responses to one instruction mean the same (one direction at a time)."""

    def entails(
        self, instruction: str, pairs: Sequence[tuple[str, str]]
    ) -> list[Literal["entails", "neutral", "contradicts"]]:
        """The relation of premise to hypothesis for every (premise, hypothesis)."""


@runtime_checkable
class Judge(Protocol):
    """Compares two answers. Made by `factory(argument)`: "replay:FILE" calls the factory with "FILE"."""

    name: str
    version: str

    def manifest(self) -> Mapping[str, Any]:
        """Everything that can change a verdict, as JSON: models, prompt hashes, parser, population, noise."""

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair, in order. The same pairs and seed give the same verdicts."""


class Suite(Protocol):
    """Gives items. A suite that also has training data offers `split(name, n)`."""

    name: str
    version: str
    kind: Literal["win_rate", "options", "pairs", "few_shot"]

    def items(self) -> Sequence[Item] | Sequence[Question] | Sequence[LabelledPair]: ...


class FewShotSuite(Protocol):
    """A suite of kind "few_shot": questions after examples. It writes its prompts itself, whole."""

    name: str
    version: str
    kind: Literal["few_shot"]
    title: str
    """Name of its column: two protocols have two."""
    metric: str
    """Names the protocol: numbers of two protocols never share it."""
    protocol: str
    scoring: str
    """The protocol in a sentence."""
    asks: Literal["text", "options"]
    """Whether the policy writes its answer, or the likeliest choice is taken."""
    shots: int
    max_prompt_tokens: int | None
    """Examples are dropped from the end until a prompt has at most so many tokens; None: none is dropped."""
    max_response_tokens: int
    warnings: Sequence[str]
    """What a reader must know of the items; known once they are loaded."""

    def items(self) -> Sequence[Question]: ...

    def prompt(self, question: Question, shots: int) -> str:
        """The prompt with that many examples."""

    def choices(self, question: Question) -> Sequence[str]:
        """The texts that the prompt may go on with, one an option."""

    def reads(self, prediction: str) -> int | None:
        """Which option a policy's text names; None for none."""


class DataSource(Protocol):
    """Training splits of rows {instruction, input}; the rows of "sft" also have a response.

    The names are "sft", "preferences", "unlabeled" and "dev". Rows may have a `category` (what kind of task it is),
    which follows a prompt into samples and synthetic preferences.
    """

    name: str
    version: str

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]: ...


class Board(Protocol):
    """Turns reports into text."""

    def render(self, reports: Sequence[Mapping[str, Any]], format: str) -> str: ...


Method = Callable[..., Any]
"""A function of a `Bench` that wires stages and returns the final policy's handle; see `rlp_bench.plan`."""
