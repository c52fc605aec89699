"""The protocols that plug-ins implement (trainer, engine, judge, suite, board), and a stage's `Context`.

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
    LabeledPair,
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
    """Callback that shows progress to the user: `progress(done, total, note)`."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


class Meter(Protocol):
    """Counters of a stage's work. The harness measures seconds and memory."""

    def count(self, **amounts: float) -> None:
        """Adds to named counters.

        Names: tokens_trained, tokens_sampled, samples, reward_calls, entailment_calls and flops.
        """


@dataclass(frozen=True)
class Context:
    """What every stage gets besides its inputs: no evaluation item, reference answer or evaluation judge."""

    seed: int
    device: str
    prompting: Prompting
    scratch: Path
    """A persistent directory for the checkpoints of an unfinished stage; used to resume a killed one."""
    progress: Progress
    meter: Meter
    engine: "Engine"
    """Samples, scores and log-probabilities; see `Engine`."""
    annotator: "Judge | None" = None
    """The recipe's annotator, with its label noise; set only for trainers whose `uses` has "annotator"."""
    processes: int = 1
    """Maximum number of worker processes; results must not depend on it."""
    training: Training = field(default_factory=Training)
    """Set for trainers whose `uses` has "training"."""
    process_group: ProcessGroup = field(default_factory=ProcessGroup)
    """Several processes only for trainers with `distributed = True`; all others get one."""


class Trainer(Protocol):
    """One stage: takes sealed artifacts and makes one sealed artifact.

    A trainer is a frozen dataclass; its fields are its hyperparameters. With an optional `work(given)`, `rlp-bench
    plan` predicts memory, FLOPs and time; see rlp_bench/plan/estimate/workload.py. With an optional
    `check(*, reach) -> str`, what it loads besides its inputs is checked before anything is trained. A variant of
    another stage may name it in an optional `settings_of`: a recipe's settings of that stage then hold for it too.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """Incremented when the same settings would give another result, and when a default changes; part of the
    fingerprint, which leaves out settings at their defaults."""
    inputs: ClassVar[Mapping[str, str]]
    """Input name -> artifact kind; "preferences*" takes one or several, "reward?" is optional."""
    output: ClassVar[str]
    uses: ClassVar[Sequence[str]]
    """Recipe sections that the result depends on: "prompting", "annotator", "engine"; part of the fingerprint."""

    def train(self, inputs: Mapping[str, Any], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the artifact's files into `out` and returns its metrics (finite numbers, small)."""


class Engine(Protocol):
    """Runs policies and reward models from checkpoint folders (Hugging Face format)."""

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """G = n responses per rendered prompt; reproducible for one seed on one machine."""

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """A reward model's score of each (rendered prompt, response)."""

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Sum of the log-probabilities of each response: nats, temperature 1, EOS included if finished."""

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability (nats) of each option as the continuation of its stem."""


@runtime_checkable
class FewShotEngine(Protocol):
    """What suites of kind "few_shot" need besides `Engine.sample`; engines without a tokenizer do not implement it."""

    def sizes(self, policy: Path, prompts: Sequence[str]) -> list[PromptSize]:
        """The size of each rendered prompt, without truncation."""

    def context_tokens(self, policy: Path) -> int:
        """The policy's context length: the maximum of prompt and response tokens together."""

    def choices(
        self, policy: Path, prompts: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[Choices]:
        """Log-probability of each choice after its prompt; the two are tokenized as one text."""


class Entailment(Protocol):
    """Natural language inference between two responses to one instruction (one direction at a time)."""

    def entails(
        self, instruction: str, pairs: Sequence[tuple[str, str]]
    ) -> list[Literal["entails", "neutral", "contradicts"]]:
        """The relation of premise to hypothesis, for each (premise, hypothesis)."""


@runtime_checkable
class Judge(Protocol):
    """Compares two answers. Made by `factory(argument)`: "replay:FILE" calls the factory with "FILE".

    With an optional `check(questions, *, reach) -> str`, what would stop it is known before anything is trained: it
    raises a BenchError, or describes what it checked. `questions`: the (instruction, input) to be judged; `reach`:
    whether it may contact a server.
    """

    name: str
    version: str

    def manifest(self) -> Mapping[str, Any]:
        """Everything that can change a verdict, as JSON: models, prompt hashes, parser, population, noise."""

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """One verdict per pair, in order. The same pairs and seed give the same verdicts."""


class Suite(Protocol):
    """A set of evaluation items. A suite that also has training data implements `split(name, n)`."""

    name: str
    version: str
    kind: str
    """A name in `rlp_bench.evaluation.kinds`: "win_rate", "options", "pairs", "few_shot"."""

    def items(self) -> Sequence[Item] | Sequence[Question] | Sequence[LabeledPair]: ...


class FewShotSuite(Protocol):
    """A suite of kind "few_shot": questions after examples. It writes its complete prompts itself."""

    name: str
    version: str
    kind: Literal["few_shot"]
    title: str
    """Column name in tables; differs between protocols."""
    metric: str
    """Name of the metric; differs between protocols, whose numbers are not comparable."""
    protocol: str
    scoring: str
    """One sentence that describes the protocol."""
    asks: Literal["text", "options"]
    """"text": the policy generates its answer; "options": the most likely choice is taken."""
    shots: int
    max_prompt_tokens: int | None
    """Examples are dropped from the end until a prompt has at most this many tokens; None: no limit."""
    max_response_tokens: int
    warnings: Sequence[str]
    """Caveats about the items for readers of the report; known once the items are loaded."""

    def items(self) -> Sequence[Question]: ...

    def prompt(self, question: Question, shots: int) -> str:
        """The prompt with `shots` examples."""

    def choices(self, question: Question) -> Sequence[str]:
        """The candidate continuations of the prompt, one per option."""

    def reads(self, prediction: str) -> int | None:
        """Index of the option that a generated text names; None if it names none."""


class DataSource(Protocol):
    """Training splits of rows {instruction, input}; rows of "sft" also have a response.

    Splits: "sft", "preferences", "unlabeled" and "dev". Rows may have a `category` (the kind of task), which is
    copied into samples and synthetic preferences.
    """

    name: str
    version: str

    def split(self, name: str, n: int | None = None) -> list[dict[str, str]]: ...


class Board(Protocol):
    """Renders reports as text."""

    def render(self, reports: Sequence[Mapping[str, Any]], format: str) -> str: ...


Method = Callable[..., Any]
"""A function of a `Bench` that connects stages and returns the final policy's handle; see `rlp_bench.plan.graph`."""
