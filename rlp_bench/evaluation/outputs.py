"""Step 1: a policy's answers to a suite's items, sampled or read from a file, stored as "outputs"."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_rows, write_document
from rlp_bench.api.protocols import Engine, Progress
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


def import_outputs(store: Store, items: Sequence[Item], rows: Outputs, source: str) -> Artifact:
    """Stores answers from a file unchanged, fingerprinted by their content."""
    kept = [
        _row(item, row["output"], str(row.get("generator", "")), row.get("finished"), row.get("tokens"))
        for item in items
        if (row := rows.get(item.id)) is not None
    ]
    identity = {"step": "outputs", "version": 1, "items": item_hash(items), "outputs": fingerprint(kept)}

    def build(folder: Path) -> Mapping[str, float]:
        write_document(folder / "outputs.json", kept)
        return {"outputs": len(kept)}

    return store.make("outputs", fingerprint(identity), build, {**identity, "source": source})


def read_artifact(outputs: Artifact) -> dict[str, dict[str, Any]]:
    """The rows of a stored outputs.json by item id."""
    rows = read_rows(outputs.path / "outputs.json", EXPECTED)
    return {row["item_id"]: row for row in rows}


def read_outputs_file(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of an AlpacaEval outputs file by the id of the merged instruction.

    Raises:
        DataError: a field is missing or not text, or two rows answer the same instruction.
    """
    found: dict[str, dict[str, Any]] = {}
    where: dict[str, int] = {}
    for number, row in enumerate(read_rows(path, EXPECTED), 1):
        for field in ("instruction", "output"):
            if not isinstance(row.get(field), str):
                state = "is not text" if field in row else "is missing"
                raise DataError(f'"{path}": row {number}: "{field}" {state}; expected {EXPECTED}')
        if not isinstance(row.get("input") or "", str):
            raise DataError(f'"{path}": row {number}: "input" is not text; expected {EXPECTED}')
        key = content_id(merge_input(row["instruction"], row.get("input") or ""), "")
        if key in found:
            raise DataError(
                f'"{path}": row {number} answers the same instruction as row {where[key]} '
                f"({shown(row['instruction'])}); keep one answer an item"
            )
        found[key], where[key] = row, number
    return found


def match_outputs(path: Path, items: Sequence[Item], rows: Outputs, *, allow_missing: bool) -> dict[str, Any]:
    """The rows by the ids of `items`, joined on the merged instruction, not on position.

    Raises:
        DataError: a row is not about an item, or more than 1 % of the items have no answer without `allow_missing`.
    """
    by_text = {content_id(merge_input(item.instruction, item.input), ""): item.id for item in items}
    unknown = [row for key, row in rows.items() if key not in by_text]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise DataError(
            f'"{path}": answers an instruction that is not in the suite: '
            f"{shown(unknown[0]['instruction'])}{more}; give the outputs of this suite's items"
        )
    found = {by_text[key]: row for key, row in rows.items()}
    lacking = [item for item in items if item.id not in found]
    if len(lacking) > MISSING_LIMIT * len(items) and not allow_missing:
        raise DataError(
            f'"{path}": {len(lacking)} of {len(items)} items have no answer, first '
            f"{shown(lacking[0].instruction)}; answer them, or --allow-missing to score the others"
        )
    return found


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
        "finished": finished if isinstance(finished, bool) else None,
        "tokens": tokens if isinstance(tokens, int) else None,
    }
