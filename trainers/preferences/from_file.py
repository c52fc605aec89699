"""The stage "import_preferences": converts existing preference files to the rows of a "preferences" artifact."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, Context, DataError, Sample, content_id, write_jsonl

from ..data.encoding import SPECIAL_TEXTS
from ..data.row_accounting import RowAccount
from ..data.rows import preference_row
from ..data.tokenize import count_special_texts, encode_prompt, encode_text
from ..data.tokenizer import load_tokenizer

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ImportPreferences:
    """Preferences from a file instead of the annotator; nothing is sampled.

    Rows are {chosen, rejected}, or {output_1, output_2, preference}. Ties, missing verdicts, identical responses,
    repeated rows, and prompts or responses that do not fit are dropped and listed in `dropped.jsonl`. Contradictions
    (the same two responses preferred both ways) are kept and counted.

    Source: Dubois et al. 2023 (arXiv:2305.14387), whose reward models are trained on such files. Departs: they truncate
    long prompts and responses, we drop such pairs; every response counts as finished, because the files do not say.
    """

    name: ClassVar[str] = "import_preferences"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"init": "policy", "pairs": "pairs"}
    """`init` is used for its tokenizer only."""
    output: ClassVar[str] = "preferences"
    uses: ClassVar[tuple[str, ...]] = ("prompting",)

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the rows of a "preferences" artifact with source "annotator", and dropped.jsonl {row, reason}."""
        given = inputs["pairs"].rows()
        account, dropped = RowAccount(len(given)), []
        tokenizer = load_tokenizer(inputs["init"].path)
        rows: list[Row] = []
        seen: set[str] = set()
        for number, row in enumerate(given, 1):
            told = _decided(number, row)
            reason = told if isinstance(told, str) else _unfit(row, told, tokenizer, context, seen)
            if reason:
                account.drop(reason)
                dropped.append({"row": number, "reason": reason})
                continue
            texts = row["instruction"], row.get("input", ""), *told
            account.count(SPECIAL_TEXTS, count_special_texts(tokenizer, *texts))
            chosen, rejected = (_answer(tokenizer, text) for text in told)
            who = str(row.get("annotator", "file"))
            rows.append(preference_row(row, chosen, rejected, source="annotator", annotator=who))
        if not rows:
            raise DataError(
                f"import_preferences: none of {len(given)} pairs is usable {account.drops}; expected some that fit "
                "prompting.max_prompt_tokens and max_response_tokens; raise them or give another file"
            )
        write_jsonl(out / "rows.jsonl", rows)
        write_jsonl(out / "dropped.jsonl", dropped)
        _measure(rows, account)
        return account.close(len(rows))

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`: no model is run."""
        return {"models": {}, "passes": (), "makes": {"rows": given["rows"]["pairs"][0]}}


def _decided(number: int, row: Row) -> tuple[str, str] | str:
    """(chosen, rejected) of a row, or the reason to drop it."""
    if "chosen" in row:
        pair = row["chosen"], row["rejected"]
    elif row.get("preference") is None:
        return "no_verdict"
    elif row["preference"] == 1.5:
        return "tie"
    elif row["preference"] in (1, 2):
        both = row["output_1"], row["output_2"]
        pair = both if row["preference"] == 1 else both[::-1]
    else:
        raise DataError(
            f"import_preferences: row {number}: preference is {row['preference']!r}; expected 1, 2, 1.5 (tie) or null"
        )
    return "identical" if pair[0] == pair[1] else pair


def _unfit(row: Row, pair: tuple[str, str], tokenizer: Any, context: Context, seen: set[str]) -> str:
    """The reason to drop a pair, or "". Adds the pair to `seen`."""
    key = content_id(row["instruction"], row.get("input", ""), *pair)
    if key in seen:
        return "duplicate"
    seen.add(key)
    prompting = context.prompting
    try:
        encode_prompt(
            tokenizer, prompting.render(row["instruction"], row.get("input", "")), prompting.max_prompt_tokens
        )
    except DataError:
        return "prompt_too_long"
    longest = max(len(encode_text(tokenizer, text)) for text in pair)
    return "response_too_long" if longest > prompting.max_response_tokens else ""


def _answer(tokenizer: Any, text: str) -> Sample:
    return Sample(text, len(encode_text(tokenizer, text)), finished=True)


def _measure(rows: Sequence[Row], account: RowAccount) -> None:
    """Adds metrics: mean lengths, number of prompts, and number of pairs that contradict another."""
    both = {content_id(*_key(row), row["chosen"], row["rejected"]) for row in rows}
    swapped = (content_id(*_key(row), row["rejected"], row["chosen"]) for row in rows)
    account.note("contradicted", sum(key in both for key in swapped))
    account.note("prompts", len({_key(row) for row in rows}))
    for side in ("chosen", "rejected"):
        account.note(f"mean_{side}_tokens", sum(_lengths(rows, side)) / len(rows))


def _key(row: Row) -> tuple[str, str]:
    return row["instruction"], row.get("input", "")


def _lengths(rows: Sequence[Row], side: str) -> Iterator[int]:
    return (row[f"{side}_tokens"] for row in rows)
