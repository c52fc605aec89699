"""Few-shot questions, answered in parts that are stored one by one and then merged into one artifact.

A part is at most PART questions of one subject, so an interrupted evaluation loses at most one part. The suite makes
the prompts and parses the answers; the policy's tokenizer determines how many examples fit a prompt.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl, write_lines
from rlp_bench.api.protocols import Engine, FewShotEngine, FewShotSuite, Progress
from rlp_bench.api.types import BYTES_A_TOKEN, Artifact, Decoding, PromptSize, Question, estimated_tokens
from rlp_bench.store.store import Store, fingerprint

PART = 256
"""Maximum number of questions per part."""
ESTIMATED = f"estimated: {BYTES_A_TOKEN} bytes a token, for the endpoint's tokenizer is not known"
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One question with its prompt."""

    question: Question
    prompt: str
    shots: int
    size: PromptSize
    fits: bool
    """Whether prompt and answer fit the policy's context."""


def ask(
    store: Store,
    engine: Engine,
    engine_name: str,
    policy: Artifact,
    path: Path,
    suite: FewShotSuite,
    items: Sequence[Question],
    progress: Progress,
) -> Artifact:
    """The stored answers (`scores.jsonl`, one row per question) of the checkpoint at `path`."""
    common = {
        "version": 1,
        "policy": policy.fingerprint,
        "suite": {"name": suite.name, "version": suite.version},
        "protocol": suite.protocol,
        "engine": engine_name,
    }
    parts = list(_parts(items))
    identities = [{"step": "few_shot part", **common, "asked": _identity(suite, part)} for part in parts]
    prints = [fingerprint(identity) for identity in identities]
    whole = {"step": "few_shot", **common, "parts": fingerprint(prints)}
    if not store.has("verdicts", fingerprint(whole)):
        done = 0
        for part, identity, name in zip(parts, identities, prints, strict=True):
            progress(done, len(items), f"{suite.title}: {part[0].subject}")
            with _counting_on(engine, progress, done, len(items)):
                store.make("verdicts", name, _builder(engine, path, suite, part), identity)
            done += len(part)
        progress(done, len(items), f"{suite.title}: answered")

    def build(folder: Path) -> Mapping[str, float]:
        rows = [row for name in prints for row in _rows(store.get("verdicts", name))]
        write_lines(folder / "scores.jsonl", rows)
        return {"questions": len(rows)}

    return store.make("verdicts", fingerprint(whole), build, whole)


def fit_prompts(engine: Engine, path: Path, suite: FewShotSuite, items: Sequence[Question]) -> list[Asked]:
    """Each question with as many examples as fit its prompt; examples are dropped from the end."""
    local = engine if isinstance(engine, FewShotEngine) else None
    context = local.context_tokens(path) if local else None
    room = None if context is None else context - suite.max_response_tokens
    limits = [limit for limit in (suite.max_prompt_tokens, room) if limit is not None]
    limit = min(limits) if suite.max_prompt_tokens is not None and limits else None
    found: dict[int, Asked] = {}
    waiting = list(range(len(items)))
    for shots in range(suite.shots, -1, -1):
        prompts = [suite.prompt(items[i], shots) for i in waiting]
        sizes = local.sizes(path, prompts) if local else [_estimate(prompt) for prompt in prompts]
        for i, prompt, size in zip(waiting, prompts, sizes, strict=True):
            if limit is None or size.tokens <= limit or shots == 0:
                found[i] = Asked(items[i], prompt, shots, size, room is None or size.tokens <= room)
        waiting = [i for i in waiting if i not in found]
        if not waiting:
            break
    return [found[i] for i in range(len(items))]


def greedy(suite: FewShotSuite) -> Decoding:
    """Greedy decoding."""
    return Decoding(temperature=0.0, top_p=1.0, max_response_tokens=suite.max_response_tokens)


def _parts(items: Sequence[Question]) -> Iterator[list[Question]]:
    for _, group in groupby(items, key=lambda item: item.subject):
        of_subject = list(group)
        yield from (of_subject[start : start + PART] for start in range(0, len(of_subject), PART))


def _identity(suite: FewShotSuite, part: Sequence[Question]) -> str:
    """Hash of the full prompts (with examples) and the correct answers."""
    return fingerprint([[item.id, suite.prompt(item, suite.shots), item.answer] for item in part])


def _builder(
    engine: Engine, path: Path, suite: FewShotSuite, part: Sequence[Question]
) -> Callable[[Path], Mapping[str, float]]:
    def build(folder: Path) -> Mapping[str, float]:
        asked = fit_prompts(engine, path, suite, part)
        answers = _texts(engine, path, suite, asked) if suite.asks == "text" else _likeliest(
            engine, path, suite, asked
        )  # fmt: skip
        rows = [{**_about(one), **answer} for one, answer in zip(asked, answers, strict=True)]
        write_lines(folder / "scores.jsonl", rows)
        return {"questions": len(rows), "right": sum(row["score"] or 0.0 for row in rows)}

    return build


def _texts(engine: Engine, path: Path, suite: FewShotSuite, asked: Sequence[Asked]) -> list[Row]:
    """Generated answers and their scores; an answer that cannot be parsed is wrong and counted."""
    able = [one for one in asked if one.fits]
    drawn = iter(
        engine.sample(path, [one.prompt for one in able], greedy(suite), n=1, seed=0) if able else []
    )
    rows: list[Row] = []
    for one in asked:
        if not one.fits:
            rows.append({"prediction": None, "read": None, "score": None, "reason": "too_long"})
            continue
        samples = next(drawn)
        if not samples:
            rows.append({"prediction": None, "read": None, "score": None, "reason": "failed: refused"})
            continue
        read = suite.reads(samples[0].text)
        reason = "unparsed" if read is None else ""
        score = float(read == one.question.answer)
        rows.append({"prediction": samples[0].text, "read": read, "score": score, "reason": reason})
    return rows


def _likeliest(engine: Engine, path: Path, suite: FewShotSuite, asked: Sequence[Asked]) -> list[Row]:
    """The most likely choice of each question, the first if several are equal."""
    if not isinstance(engine, FewShotEngine):
        raise DataError(
            f'suite "{suite.title}": the engine gives no log-probabilities of choices; give another protocol'
        )
    prompts = [one.prompt for one in asked]
    found = engine.choices(path, prompts, [suite.choices(one.question) for one in asked])
    rows: list[Row] = []
    for one, choices in zip(asked, found, strict=True):
        read = choices.logprobs.index(max(choices.logprobs))
        rows.append(
            {
                "logprobs": list(choices.logprobs),
                "cut_tokens": choices.cut_tokens,
                "read": read,
                "score": float(read == one.question.answer),
                "reason": "",
            }
        )
    return rows


def _about(one: Asked) -> Row:
    return {
        "item_id": one.question.id,
        "subject": one.question.subject,
        "category": one.question.category,
        "place": one.question.place,
        "n_shots": one.shots,
        "prompt_tokens": one.size.tokens,
        "bos_tokens": one.size.bos,
        "prompt": fingerprint(one.prompt)[:16],
    }


def _estimate(prompt: str) -> PromptSize:
    return PromptSize(estimated_tokens(prompt), None)


@contextmanager
def _counting_on(engine: Engine, progress: Progress, done: int, total: int) -> Iterator[None]:
    """Offsets the progress of an engine that reports every answer by the questions of earlier parts."""
    callback = getattr(engine, "progress", None)
    if callback is None:
        yield
        return
    engine.progress = lambda now, _, note="": progress(done + now, total, note)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        engine.progress = callback  # type: ignore[attr-defined]


def _rows(part: Artifact) -> Iterator[Row]:
    return read_jsonl(part.path / "scores.jsonl")
