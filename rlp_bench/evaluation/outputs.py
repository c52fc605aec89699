"""Step 1: a policy's answers to a suite's items, sampled or read from a file, stored as "outputs"."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_document
from rlp_bench.api.protocols import Engine, Progress
from rlp_bench.api.rows import Rows, read_rows, text_field, usable_rows
from rlp_bench.api.text_form import difference, loose_form, text_form
from rlp_bench.api.types import Artifact, Decoding, Item, Prompting, Sample, content_id, merge_input
from rlp_bench.store.store import Store, fingerprint

EXPECTED = 'a list of {"instruction": ..., "output": ..., "generator": ...} as AlpacaEval writes it'
MISSING_LIMIT = 0.01
"""Maximum fraction of items without an answer, unless --allow-missing is given."""
Outputs = Mapping[str, Mapping[str, Any]]
"""Item id -> row of outputs.json."""


def generate_outputs(
    store: Store,
    engine: Engine,
    policy: Artifact,
    items: Sequence[Item],
    *,
    suite: Mapping[str, Any],
    prompting: Prompting,
    decoding: Decoding,
    engine_name: str,
    seed: int,
    progress: Progress,
) -> Artifact:
    """Samples one answer per item from the policy; the artifact is in AlpacaEval's format."""
    identity = {
        "step": "outputs",
        "version": 1,
        "policy": policy.fingerprint,
        "suite": dict(suite),
        "items": item_hash(items),
        "decoding": asdict(decoding),
        "prompting": asdict(prompting),
        "engine": engine_name,
        "seed": seed,
    }

    def build(folder: Path) -> Mapping[str, float]:
        progress(0, len(items), f"{suite['name']}: answering")
        prompts = [prompting.render(item.instruction, item.input) for item in items]
        drawn = engine.sample(policy.path, prompts, decoding, n=1, seed=seed)
        rows = [
            {
                **_row(
                    item,
                    sample.text,
                    generator=policy.fingerprint[:16],
                    finished=sample.finished,
                    tokens=sample.tokens,
                ),
                **_beside(sample),
            }
            for item, samples in zip(items, drawn, strict=True)
            for sample in samples  # empty if an endpoint refused the prompt: the item has no output
        ]
        write_document(folder / "outputs.json", rows)
        progress(len(items), len(items), f"{suite['name']}: answered")
        return {"outputs": len(rows), "tokens_mean": sum(row["tokens"] for row in rows) / len(rows)}

    return store.make("outputs", fingerprint(identity), build, identity)


def _beside(sample: Sample) -> dict[str, Any]:
    """What a response has beside its text: the text as received, the reasoning; only what there is."""
    found = {"raw": sample.raw, "reasoning": sample.reasoning, "tokens_estimated": sample.tokens_estimated}
    return {name: value for name, value in found.items() if value}


def import_outputs(
    store: Store, items: Sequence[Item], rows: Outputs, source: str, left_out: int = 0
) -> Artifact:
    """Stores answers from a file unchanged, fingerprinted by their content.

    Args:
        source: the file's name, for the manifest.
        left_out: how many rows of the file were left out, for the manifest.
    """
    kept = [
        _row(item, row["output"], str(row.get("generator", "")), row.get("finished"), row.get("tokens"))
        for item in items
        if (row := rows.get(item.id)) is not None
    ]
    identity = {"step": "outputs", "version": 1, "items": item_hash(items), "outputs": fingerprint(kept)}

    def build(folder: Path) -> Mapping[str, float]:
        write_document(folder / "outputs.json", kept)
        return {"outputs": len(kept)}

    about = {**identity, "source": source, **({"left_out": left_out} if left_out else {})}
    return store.make("outputs", fingerprint(identity), build, about)


def read_artifact(outputs: Artifact) -> dict[str, dict[str, Any]]:
    """The rows of a stored outputs.json by item id."""
    rows = read_rows(outputs.path / "outputs.json", EXPECTED)
    return {row["item_id"]: row for row in rows}


class Answers(dict[str, dict[str, Any]]):
    """The rows of an outputs file by the id of the merged instruction, their numbers, and how many were left out."""

    def __init__(self, rows: Rows[dict[str, Any]]) -> None:
        super().__init__()
        self.numbers: dict[str, int] = {}
        self.left_out = len(rows.left_out)
        for number, row in rows.numbered():
            key = content_id(merged(row), "")
            if key in self:
                raise DataError(
                    f'"{rows.path}": row {number} answers the same instruction as row {self.numbers[key]} '
                    f"({shown(row['instruction'])}); keep one answer an item"
                )
            self[key], self.numbers[key] = row, number


class Matched(NamedTuple):
    """The rows of an outputs file by item id."""

    rows: dict[str, Any]
    notes: list[str]
    """What a reader of the report has to know about the match."""
    excused: int
    """How many items may lack an answer because rows of the file were left out."""


def read_outputs_file(path: Path) -> Answers:
    """Rows of an AlpacaEval outputs file by the id of the merged instruction.

    Raises:
        DataError: the file cannot be used (`usable_rows`), or two rows answer the same instruction.
    """
    return Answers(usable_rows(path, EXPECTED, _checked, columns=("finished", "tokens")))


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    for field in ("instruction", "output"):
        text_field(row, field)
    about = {"finished": _finished(row.get("finished")), "tokens": _tokens(row.get("tokens"))}
    return {**row, **about, "input": text_field(row, "input", optional=True)}


def _finished(value: Any) -> bool | None:
    """Whether an answer ends with EOS; None where the file has no truth value."""
    return value if isinstance(value, bool) else None


def _tokens(value: Any) -> int | None:
    """The length of an answer in tokens; None where the file has no count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def merged(row: Mapping[str, Any]) -> str:
    """Instruction and input of a row as one text."""
    return merge_input(row["instruction"], row.get("input") or "")


def match_outputs(
    path: Path, items: Sequence[Item], answers: Answers, *, allow_missing: bool, dropped_items: int = 0
) -> Matched:
    """The rows by the ids of `items`, joined on the merged instruction, not on position.

    Instructions that differ in white space or Unicode form only (`text_form`) are joined, which is noted.

    Args:
        dropped_items: how many items were left out of the suite's file; so many answers may be about no item.

    Raises:
        DataError: a row is not about an item, or more than 1 % of the items have no answer without `allow_missing`.
    """
    by_text = {content_id(merge_input(item.instruction, item.input), ""): item for item in items}
    found = {by_text[key].id: row for key, row in answers.items() if key in by_text}
    others = [key for key in answers if key not in by_text]
    by_form, notes = _joined_by_form(items, answers, others, set(found))
    found.update({item.id: answers[key] for key, item in by_form.items()})
    unknown = [key for key in others if key not in by_form]
    if len(unknown) > dropped_items:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        text = merged(answers[unknown[0]])
        raise DataError(
            f'"{path}": row {answers.numbers[unknown[0]]} answers an instruction that is not in the suite: '
            f"{shown(text)}{more}{_meant(text, items)}; give the outputs of this suite's items"
        )
    if unknown:
        notes.append(f"answers about items that were left out of the suite's file: {len(unknown)}")
    lacking = [item for item in items if item.id not in found]
    excused = min(len(lacking), answers.left_out)
    if len(lacking) - excused > MISSING_LIMIT * len(items) and not allow_missing:
        raise DataError(
            f'"{path}": {len(lacking)} of {len(items)} items have no answer, first '
            f"{shown(lacking[0].instruction)}; answer them, or --allow-missing to score the others"
        )
    return Matched(found, notes, excused)


def _joined_by_form(
    items: Sequence[Item], answers: Answers, others: Sequence[str], answered: set[str]
) -> tuple[dict[str, Item], list[str]]:
    """Key of a row -> the only unanswered item with the same `text_form`, and a note with the first of them."""
    if not others:
        return {}, []
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(text_form(merge_input(item.instruction, item.input)), []).append(place)
    forms = {key: text_form(merged(answers[key])) for key in others}
    rows_of = Counter(forms.values())
    joined: dict[str, Item] = {}
    first = ""
    for key, form in forms.items():
        [place, *more] = places.get(form, [-1])
        if place < 0 or more or items[place].id in answered or rows_of[form] > 1:
            continue
        joined[key] = items[place]
        first = first or _difference_of(merged(answers[key]), place, items)
    if not joined:
        return {}, []
    return joined, [
        f"instructions that differ from the suite's in white space or Unicode form only, and were joined: "
        f"{len(joined)} ({first})"
    ]


def _difference_of(given: str, place: int, items: Sequence[Item]) -> str:
    wanted = merge_input(items[place].instruction, items[place].input)
    return f"item {place + 1}: {difference(given, wanted)}"


def _meant(text: str, items: Sequence[Item]) -> str:
    """` (item 3: given ..., expected ...)` of the item that differs in white space only, or is very similar."""
    forms = [loose_form(merge_input(item.instruction, item.input)) for item in items]
    close = difflib.get_close_matches(loose_form(text), forms, n=1, cutoff=0.9)
    return f" ({_difference_of(text, forms.index(close[0]), items)})" if close else ""


def item_hash(items: Sequence[Item]) -> str:
    """Hash of the items' ids, independent of order, without references."""
    return fingerprint(sorted(item.id for item in items))


def reference_hash(items: Sequence[Item]) -> str:
    """Hash of the items' reference answers."""
    return fingerprint(sorted([item.id, item.reference or ""] for item in items))


def shown(text: str) -> str:
    """The start of a text on one line, for an error message."""
    line = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return f'"{line[:60]}..."' if len(line) > 63 else f'"{line}"'


def _row(item: Item, output: str, generator: str, finished: Any, tokens: Any) -> dict[str, Any]:
    return {
        "item_id": item.id,
        "instruction": item.instruction,
        "input": item.input,
        "output": output,
        "generator": generator,
        "dataset": item.subset,
        "finished": _finished(finished),
        "tokens": _tokens(tokens),
    }
