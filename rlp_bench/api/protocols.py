"""What plug-ins implement (trainer, engine, judge, suite, board) and what a stage is given (`Context`).

Letters in shapes, everywhere: B batch, T response tokens, G samples per prompt, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from rlp_bench.api.types import (
    Choices,
    Decoding,
    Item,
    LabelledPair,
    Pair,
    ProcessGroup,
    Prompting,
    PromptSize,
    Question,
    Sample,
    Training,
    Verdict,
)


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
    training: Training = field(default_factory=Training)
    """Given to trainers whose `uses` names "training"."""
    process_group: ProcessGroup = field(default_factory=ProcessGroup)
    """A trainer that trains in several processes says so by `distributed = True`; all others see one."""


class Trainer(Protocol):
    """One stage: sealed inputs in, one sealed artifact out.

    A trainer is a frozen dataclass; its fields are its settings. It may have `work(given)`, by which `rlp-bench plan`
    predicts memory, FLOPs and time; see the top of rlp_bench/plan/estimate/workload.py.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """Raised when the same settings would give another result, and when a default changes; part of the fingerprint,
    in which a setting at its default is not."""
    inputs: ClassVar[Mapping[str, str]]
    """Input name -> artifact kind; "preferences*" takes one or several, "reward?" may be absent."""
    output: ClassVar[str]
    uses: ClassVar[Sequence[str]]
    """Recipe sections that change the result: "prompting", "annotator", "engine"; part of the fingerprint."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the artifact's files into `out` and returns its metrics (finite numbers, small)."""


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
    kind: str
    """Of `rlp_bench.evaluation.kinds`: "win_rate", "options", "pairs", "few_shot"."""

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
"""A function of a `Bench` that wires stages and returns the final policy's handle; see `rlp_bench.plan.graph`."""
