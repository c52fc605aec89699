"""LLMBar (Zeng et al. 2023, arXiv:2310.07641): pairs with an objective winner, and the inputs of its natural subset.

Data: princeton-nlp/LLMBar, MIT license, not distributed here: a folder as in its repository, Natural/dataset.json and
Adversarial/{Neighbor,GPTInst,GPTOut,Manual}/dataset.json, plain or gzipped. The hashes below are of the content.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api import DataError, Item, LabeledPair, RowFault, content_id, nearest, text_field, usable_rows

SUBSETS = {
    "Natural": "Natural",
    "Neighbor": "Adversarial/Neighbor",
    "GPTInst": "Adversarial/GPTInst",
    "GPTOut": "Adversarial/GPTOut",
    "Manual": "Adversarial/Manual",
}
COUNTS = {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}
CONTENT = {
    "Natural": "a691307593dc4640",
    "Neighbor": "33db8359dba9378b",
    "GPTInst": "929da56a80bdc403",
    "GPTOut": "a59917c54d73b898",
    "Manual": "fc1738c4c1f2b087",
}
"""First 16 hex digits of the sha256 over the rows' content ids and labels, in order."""


class LLMBarPairs:
    """All five subsets of a folder, or those named: "llmbar_pairs:FOLDER" or "llmbar_pairs:FOLDER#Natural,Manual"."""

    name = "llmbar_pairs"
    version = "1"
    kind: Literal["pairs"] = "pairs"

    def __init__(self, argument: str = "") -> None:
        folder, _, names = argument.partition("#")
        self.folder = Path(folder) if folder else None
        self.subsets = [name for name in names.split(",") if name] or list(SUBSETS)
        for name in self.subsets:
            if name not in SUBSETS:
                raise DataError(f'suite "llmbar_pairs": no subset "{name}"; {nearest(name, SUBSETS)}')

    def items(self) -> list[LabeledPair]:
        """All pairs, with the number of the better output."""
        return [pair for name in self.subsets for pair in read_subset(_needed(self.name, self.folder), name)]


class LLMBar:
    """The 100 natural inputs as instructions for a win rate, as in RLP.

    RLP's references, text-davinci-003's answers, were never published (one of the 100 inputs is among the 805), so a
    file of reference outputs must be given: "llmbar:FOLDER,references=FILE", in AlpacaEval's format. Every report has
    its hash, so that results with different references are never mixed.
    """

    name = "llmbar"
    version = "1"
    kind: Literal["win_rate"] = "win_rate"

    def __init__(self, argument: str = "") -> None:
        folder, comma, rest = argument.partition(",references=")
        self.folder = Path(folder) if folder else None
        self.references = Path(rest) if comma else None

    def items(self) -> list[Item]:
        """The inputs of the natural subset, each with its reference answer if the file has one."""
        folder = _needed(self.name, self.folder)
        if self.references is None:
            raise DataError(
                'suite "llmbar": has no reference answers of its own; give "llmbar:FOLDER,references=FILE" with the '
                "outputs (AlpacaEval's format) that policies are to be compared with"
            )
        pairs, known = read_subset(folder, "Natural"), _references(self.references)
        return [
            Item(p.instruction, subset="Natural", reference=known.get(content_id(p.instruction)))
            for p in pairs
        ]


def read_subset(folder: Path, name: str) -> list[LabeledPair]:
    """The pairs of one subset.

    Raises:
        DataError: the file is missing, has another format, or is not the published content.
    """
    plain = folder / SUBSETS[name] / "dataset.json"
    path = plain if plain.exists() else plain.with_name("dataset.json.gz")
    expected = 'LLMBar\'s dataset.json, a list of {"input", "output_1", "output_2", "label"}'
    pairs = list(usable_rows(path, expected, lambda row: _pair(row, name)))
    if content_hash(pairs) != CONTENT[name]:
        raise DataError(
            f'"{path}": {len(pairs)} pairs that are not the published {COUNTS[name]} of {name}; download '
            "princeton-nlp/LLMBar again, or use another suite for your own pairs"
        )
    return pairs


def _pair(row: Mapping[str, Any], subset: str) -> LabeledPair:
    texts = [text_field(row, name) for name in ("input", "output_1", "output_2")]
    if type(row.get("label")) is not int or row["label"] not in (1, 2):
        raise RowFault('"label" is not 1 or 2')
    return LabeledPair(texts[0], texts[1], texts[2], row["label"], subset)


def content_hash(pairs: list[LabeledPair]) -> str:
    """The hash in CONTENT."""
    text = "\n".join(f"{pair.id} {pair.label}" for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _needed(suite: str, folder: Path | None) -> Path:
    if folder is None:
        raise DataError(
            f'suite "{suite}": needs its data: "{suite}:FOLDER", a checkout of LLMBar\'s Dataset/LLMBar'
        )
    return folder


def _references(path: Path) -> Mapping[str, str]:
    expected = 'a list of {"instruction", "output"} as in alpaca_eval.json'
    return dict(
        usable_rows(
            path,
            expected,
            lambda row: (content_id(text_field(row, "instruction")), text_field(row, "output")),
        )
    )
