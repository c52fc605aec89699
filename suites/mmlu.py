"""MMLU (Hendrycks et al. 2021, arXiv:2009.03300), 5-shot, with two protocols.

`instruct_eval` is the paper's: InstructEval's mmlu.py (Chia et al. 2023, arXiv:2306.04757). The model generates at most
two tokens greedily; examples are dropped from the end until the prompt has at most 2048 tokens; the response is correct
if, stripped, it starts with the right letter.
Departs: cells are the file's text, where the source prints "nan" for the ten options that are "None" (otherwise prompts
are equal byte for byte); for a model with a context below 2050 tokens examples are dropped until prompt and answer fit.

`lm_eval` is lm-evaluation-harness 0.4, group mmlu version 2 with --num_fewshot 5: the most likely of " A" to " D" after
the prompt; a prompt that does not fit the context is truncated from the left. Departs: exactly one BOS if the tokenizer
adds one by itself, regardless of the harness's add_bos_token (default: none); the metric's name ends in "_bos".

Prompts, scoring and truncation differ between the two, so their metrics have different names. Neither uses the recipe's
prompt template. Data: the folder of the Hendrycks tar (MIT license), not distributed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlp_bench.api import DataError, Question, nearest

from .mmlu_files import Published, published_subjects, read_subject, subjects_in

LETTERS = "ABCD"
SHOTS = 5
OPTIONS = ("protocol", "limit")


@dataclass(frozen=True)
class Protocol:
    """Differences between the two protocols."""

    asks: Literal["text", "options"]
    blank: str
    """Text between "about" and the subject: InstructEval's format_subject adds a leading space."""
    strip: bool
    """Whether to strip white space around a question."""
    max_prompt_tokens: int | None
    moved: Mapping[str, str]
    """Subjects with another category than in Hendrycks et al."""
    departs: str
    """Suffix of the metric's name where numbers differ from the harness's own for some tokenizers."""
    scoring: str


PROTOCOLS = {
    "instruct_eval": Protocol(
        "text", "  ", False, 2048, {}, "",
        "5-shot, greedy, at most 2 tokens; right where the text, stripped, begins with the right letter; a text that "
        "begins with none of A to D counts as wrong; examples dropped from the end until the prompt has at most 2048 "
        "tokens",
    ),
    "lm_eval": Protocol(
        "options", " ", True, None, {"anatomy": "STEM"}, "_bos",
        'lm-evaluation-harness 0.4, group mmlu version 2: 5-shot, the likeliest of " A", " B", " C", " D"; a prompt '
        "longer than the context is cut at its left; begins with one BOS where the tokenizer adds it, which the "
        "harness by default does not",
    ),
}  # fmt: skip


class MMLU:
    """ "mmlu:FOLDER[,protocol=instruct_eval|lm_eval][,limit=N][#subject,subject]"; limit is per subject."""

    name = "mmlu"
    version = "1"
    kind: Literal["few_shot"] = "few_shot"
    max_response_tokens = 2

    def __init__(self, argument: str = "") -> None:
        left, _, subjects = argument.partition("#")
        folder, options = _split(left)
        self.folder = Path(folder) if folder else None
        self.subjects = [name for name in subjects.split(",") if name]
        self.protocol = options.get("protocol", "instruct_eval")
        if self.protocol not in PROTOCOLS:
            raise DataError(
                f'suite "mmlu": no protocol "{self.protocol}"; {nearest(self.protocol, PROTOCOLS)}'
            )
        self.limit = _limit(options.get("limit"))
        self.rules = PROTOCOLS[self.protocol]
        self.asks, self.scoring = self.rules.asks, self.rules.scoring
        self.max_prompt_tokens = self.rules.max_prompt_tokens
        self.shots = SHOTS
        self.metric = f"accuracy.{self.protocol}_{SHOTS}shot{self.rules.departs}"
        self.title = self.name if self.protocol == "instruct_eval" else f"{self.name}_{self.protocol}"
        self._examples: dict[str, list[Question]] = {}
        self.warnings: list[str] = []

    def items(self) -> list[Question]:
        """The test questions by subject; a question's id contains its subject and row.

        Raises:
            DataError: no data folder, an unknown subject, or invalid files.
        """
        if self.folder is None:
            raise DataError(
                'suite "mmlu": needs its data: "mmlu:FOLDER" with dev/ and test/ as in the Hendrycks tar'
            )
        present, known = subjects_in(self.folder), published_subjects()
        for name in self.subjects:
            if name not in present:
                raise DataError(
                    f'suite "mmlu": "{self.folder}" has no subject "{name}"; {nearest(name, present)}'
                )
        complete = set(known) <= set(present)
        found: list[Question] = []
        unpublished, left_out = [], 0
        for name in self.subjects or present:
            rows = read_subject(self.folder, name, SHOTS, known.get(name), must_be_published=complete)
            if not rows.published:
                unpublished.append(name)
            left_out += len(rows.dev.left_out) + len(rows.test.left_out)
            category = self._category(name, known.get(name))
            self._examples[name] = [_question(cells, name, category, "") for cells in rows.dev]
            test = [
                _question(cells, name, category, f"{name}/{row - 1}") for row, cells in rows.test.numbered()
            ]
            found += test[: self.limit]
        self.warnings = self._subset_warnings(unpublished, len(self.subjects or present), len(known))
        if left_out:
            self.warnings.append(
                f"rows left out of the suite's files, because they cannot be used: {left_out}"
            )
        return found

    def prompt(self, question: Question, shots: int) -> str:
        """The whole prompt, with the first `shots` examples of the question's subject."""
        about = question.subject.replace("_", " ")
        head = (
            f"The following are multiple choice questions (with answers) about{self.rules.blank}{about}.\n\n"
        )
        examples = [
            f"{self._shown(one)} {LETTERS[one.answer]}\n\n"
            for one in self._examples[question.subject][:shots]
        ]
        return head + "".join(examples) + self._shown(question)

    def choices(self, question: Question) -> list[str]:
        """The possible continuations of the prompt."""
        return [f" {letter}" for letter in LETTERS[: len(question.options)]]

    def reads(self, prediction: str) -> int | None:
        """Index of the option whose letter the text starts with; None if there is none."""
        letter = prediction.strip()[:1]
        return LETTERS.index(letter) if letter and letter in LETTERS else None

    def _shown(self, question: Question) -> str:
        stem = question.stem.strip() if self.rules.strip else question.stem
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=True)]
        return "\n".join([stem, *lines, "Answer:"])

    def _category(self, subject: str, known: Published | None) -> str:
        return self.rules.moved.get(subject, known.category if known else "uncategorised")

    def _subset_warnings(self, unpublished: list[str], evaluated: int, total: int) -> list[str]:
        warnings = []
        if unpublished:
            warnings.append(
                f"not the published questions: {', '.join(unpublished[:5])}{' ...' if unpublished[5:] else ''}"
            )
        if evaluated < total:
            warnings.append(f"{evaluated} of {total} subjects: not MMLU as published")
        if self.limit is not None:
            warnings.append(f"the first {self.limit} questions per subject: not MMLU as published")
        return warnings


def _question(cells: list[str], subject: str, category: str, place: str) -> Question:
    return Question(
        cells[0], tuple(cells[1:5]), LETTERS.index(cells[5]), subject, category=category, place=place
    )


def _split(left: str) -> tuple[str, dict[str, str]]:
    """("FOLDER", options) of "FOLDER,name=value,..."; the folder's name may contain commas."""
    parts = left.split(",")
    first = next((i for i, part in enumerate(parts) if "=" in part), len(parts))
    options: dict[str, str] = {}
    for part in parts[first:]:
        name, equals, value = part.partition("=")
        if not equals or name not in OPTIONS:
            raise DataError(f'suite "mmlu": no option "{part}"; {nearest(name, OPTIONS)}')
        options[name] = value
    return ",".join(parts[:first]), options


def _limit(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdigit() or int(given) < 1:
        raise DataError(
            f'suite "mmlu": limit={given}: expected a number of questions per subject, at least 1'
        )
    return int(given)
