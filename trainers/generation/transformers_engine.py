"""The transformers engine: samples, scores and log-probabilities from checkpoint and best-of-n folders.

torch and transformers are imported inside the calls, so that importing this module is cheap.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from rlp_bench.api import Choices, DataError, Decoding, PromptSize, Sample

from ..data.chat import prompt_template
from ..data.tokenize import adds_bos, encode_prompt, encode_response, length_sorted_batches
from ..data.tokenizer import read_tokenizer
from .indirect_policies import Constant, read_indirect, sample_best

SLOTS = 128
"""Rows decoded in parallel."""
PIECE_ROWS = 1024
"""Maximum number of rows per piece of work."""
CACHE_TOKENS = 32768
"""Maximum number of tokens in the KV cache: 32 GiB in a 7B model of 32 layers, fp32."""
NO_LIMIT = 2**31
Key = tuple[str, float, str]
"""A checkpoint's path, its modification time, and the precision it is loaded in."""
WORTH_A_PROCESS_TOKENS = 8192
"""Minimum number of tokens per process; less work finishes before a worker has started."""


class TransformersEngine:
    """`rlp_bench.api.protocols.Engine` on one device, or over several single-threaded processes of a CPU."""

    def __init__(self, device: str = "cpu", processes: int = 1, precision: str = "fp32") -> None:
        """`precision`: of the weights, "fp32" or "bf16"; log-probabilities are always computed in fp32."""
        self.device, self.precision = device, precision
        self.processes = processes if device == "cpu" else 1

    def _key(self, path: str | Path) -> Key:
        """The cache key of a checkpoint as loaded by this engine."""
        return *_stamped(path), self.precision

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """n responses per rendered prompt; draws are functions of (seed, prompt's index, sample's index, step)."""
        if not prompts:
            return []
        indirect = read_indirect(Path(policy))
        if isinstance(indirect, Constant):
            return [[self._constant(indirect)] * n for _ in prompts]
        if indirect:
            return sample_best(self, indirect, prompts, decoding, n, seed)
        model, tokenizer = _policy(*self._key(policy), self.device)
        rows = [encode_prompt(tokenizer, prompt, _room(model, decoding)) for prompt in prompts]
        work = partial(_sample_piece, self._key(policy), self.device, rows, decoding, n, seed)
        pieces = _spans(len(rows), n)
        answers = self._map(work, pieces, len(rows) * n * decoding.max_response_tokens)
        flat = [answer for piece in answers for answer in piece]
        texts = _texts(tokenizer, [tokens for tokens, _ in flat])
        samples = [
            Sample(text, len(tokens), finished) for text, (tokens, finished) in zip(texts, flat, strict=True)
        ]
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    def _constant(self, constant: Constant) -> Sample:
        tokenizer = _policy(*self._key(constant.policy), self.device)[1]
        return Sample(constant.text, len(encode_response(tokenizer, constant.text, False)), True)

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """The reward model's score of each (rendered prompt, response), with EOS as in its training."""
        if not prompts:
            return []
        model, tokenizer, info = _reward(*self._key(reward), self.device)
        encode = lru_cache(maxsize=None)(partial(encode_prompt, tokenizer, max_tokens=_context(model)))
        rows = [
            tuple(encode(prompt) + encode_response(tokenizer, response.text, response.finished and info.eos))
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        return self._batched(partial(_score_piece, self._key(reward), self.device), rows, len)

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Sum of the policy's log-probabilities (nats) of each response, EOS included if it is finished."""
        if not prompts:
            return []
        indirect = read_indirect(Path(policy))
        if isinstance(indirect, Constant):
            return [0.0 if response.text == indirect.text else -math.inf for response in responses]
        if indirect:
            raise DataError(
                f'policy "{policy}": log-probabilities of best-of-n are not available; use its inner policy'
            )
        model, tokenizer = _policy(*self._key(policy), self.device)
        encode = lru_cache(maxsize=None)(partial(encode_prompt, tokenizer, max_tokens=_context(model)))
        rows = [
            (tuple(encode(prompt)), tuple(encode_response(tokenizer, response.text, response.finished)))
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        return self._logprobs_of(policy, rows)

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability (nats) of each option as a continuation of its stem (best-of-n: by its inner policy)."""
        indirect = read_indirect(Path(policy))
        if indirect:
            return self.options(indirect.policy, stems, options)
        if not stems:
            return []
        model, tokenizer = _policy(*self._key(policy), self.device)
        rows = []
        for stem, choices in zip(stems, options, strict=True):
            prompt = tuple(encode_prompt(tokenizer, stem, _context(model)))
            rows += [(prompt, tuple(encode_response(tokenizer, choice, False))) for choice in choices]
        found = iter(self._logprobs_of(policy, rows))
        return [[next(found) for _ in choices] for choices in options]

    def check(self, checkpoint: Path) -> str:
        """Loads a policy or a reward model as every stage does, and returns which of the two it is."""
        from ..modeling.checkpoints import check_checkpoint

        return check_checkpoint(checkpoint)

    def chat_template(self, policy: Path) -> str:
        """The prompt template of a checkpoint's chat template; empty if it has none."""
        return prompt_template(read_tokenizer(policy))

    def sizes(self, policy: Path, prompts: Sequence[str]) -> list[PromptSize]:
        """Number of tokens and of BOS tokens of each rendered prompt, as encoded by `sample` and `choices`."""
        tokenizer = _policy(*self._key(_inner(policy)), self.device)[1]
        bos = tokenizer.bos_token_id if adds_bos(tokenizer) else None
        rows = [encode_prompt(tokenizer, prompt, NO_LIMIT) for prompt in prompts]
        return [PromptSize(len(row), None if bos is None else row.count(bos)) for row in rows]

    def context_tokens(self, policy: Path) -> int:
        """The policy's context length in tokens."""
        return _context(_policy(*self._key(_inner(policy)), self.device)[0])

    def choices(
        self, policy: Path, prompts: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[Choices]:
        """Log-probabilities of the choices after each prompt; prompts too long are truncated from the left."""
        from .choices import choice_batches, choice_rows

        key = self._key(_inner(policy))
        model, tokenizer = _policy(*key, self.device)
        rows = choice_rows(tokenizer, prompts, choices, _context(model))
        batches = choice_batches(rows, SLOTS, CACHE_TOKENS)
        work = partial(_choice_piece, key, self.device)
        tokens = sum(len(row.prompt) for row in rows)
        results = self._map(work, [[rows[row] for row in batch] for batch in batches], tokens)
        found = dict(zip(chain(*batches), chain(*results), strict=True))
        return [Choices(tuple(found[row]), rows[row].cut) for row in range(len(rows))]

    def _logprobs_of(self, policy: Path, rows: list[Any]) -> list[float]:
        return self._batched(
            partial(_logprob_piece, self._key(policy), self.device),
            rows,
            lambda row: len(row[0]) + len(row[1]),
        )

    def _batched(self, work: Any, rows: list[Any], length: Callable[[Any], int]) -> list[float]:
        """The results of `work` on each row, in batches of similar length; equal rows are computed once."""
        from .scoring import SCORING_BATCH

        distinct = list(dict.fromkeys(rows))
        lengths = [length(row) for row in distinct]
        batches = length_sorted_batches(lengths, SCORING_BATCH)
        results = self._map(work, [[distinct[row] for row in batch] for batch in batches], sum(lengths))
        value = {
            distinct[row]: result
            for batch, of_batch in zip(batches, results, strict=True)
            for row, result in zip(batch, of_batch, strict=True)
        }
        return [value[row] for row in rows]

    def _map(self, work: Any, pieces: Sequence[Any], tokens: int) -> list[Any]:
        from .parallel import map_pieces

        return map_pieces(work, pieces, min(self.processes, 1 + tokens // WORTH_A_PROCESS_TOKENS))


# --- Functions run by workers; their arguments name the checkpoint, so that spawned workers can load it -----


def _sample_piece(
    key: Key, device: str, rows: list[list[int]], decoding: Decoding, n: int, seed: int,
    span: tuple[int, int],
) -> list[tuple[list[int], bool]]:  # fmt: skip
    """(response tokens without EOS, finished) of each sample of the prompts in `span`."""
    from .rollout import rollout

    model, tokenizer = _policy(*key, device)
    first, end = span
    longest = max(map(len, rows[first:end])) + decoding.max_response_tokens
    slots = max(1, min(SLOTS, CACHE_TOKENS // longest))
    drawn = rollout(model, tokenizer, rows[first:end], decoding, seed, slots, n, first)
    finished = drawn.finished.tolist()
    lengths = drawn.response_mask.sum(1).tolist()
    flat, place, answers = drawn.ids[drawn.response_mask].tolist(), 0, []
    for ended, length in zip(finished, lengths, strict=True):
        answers.append((flat[place : place + length - ended], ended))
        place += length
    return answers


def _score_piece(key: Key, device: str, rows: list[tuple[int, ...]]) -> list[float]:
    from .scoring import score_batch

    model, tokenizer, _ = _reward(*key, device)
    return score_batch(model, [list(row) for row in rows], tokenizer.pad_token_id)


def _logprob_piece(key: Key, device: str, rows: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[float]:
    from .scoring import logprob_batch

    model, tokenizer = _policy(*key, device)
    return logprob_batch(model, [(list(a), list(b)) for a, b in rows], tokenizer.pad_token_id)


def _choice_piece(key: Key, device: str, rows: list[Any]) -> list[list[float]]:
    from .choices import choice_logprobs

    model, tokenizer = _policy(*key, device)
    return choice_logprobs(model, rows, tokenizer.pad_token_id)


# --- Helpers ------------------------------------------------------------------------------------------


def _stamped(path: str | Path) -> tuple[str, float]:
    """A checkpoint's path and modification time: a changed checkpoint is loaded again."""
    folder = Path(path)
    stamps = [file.stat().st_mtime for file in folder.glob("*")] if folder.is_dir() else []
    return str(path), max(stamps, default=0.0)


@lru_cache(maxsize=3)
def _policy(path: str, changed: float, precision: str, device: str) -> Any:
    from ..modeling.checkpoints import in_precision, load_policy

    model, tokenizer = load_policy(Path(path) if Path(path).exists() else path, device)
    return in_precision(model, precision), tokenizer


@lru_cache(maxsize=3)
def _reward(path: str, changed: float, precision: str, device: str) -> Any:
    from ..modeling.checkpoints import in_precision, load_reward

    model, tokenizer, info = load_reward(Path(path) if Path(path).exists() else path, device)
    return in_precision(model, precision), tokenizer, info


def _spans(prompts: int, n: int) -> list[tuple[int, int]]:
    """Splits prompts into an even number of pieces of at most PIECE_ROWS rows; little work is one piece.

    The split does not depend on the number of processes.
    """
    pieces = 1 if prompts * n <= SLOTS else 2 * math.ceil(prompts * n / (2 * PIECE_ROWS))
    edges = [prompts * piece // pieces for piece in range(pieces + 1)]
    return [(first, end) for first, end in pairwise(edges) if first < end]


def _inner(policy: Path) -> Path:
    """The checkpoint behind an indirect policy, else the policy itself."""
    indirect = read_indirect(Path(policy))
    return _inner(indirect.policy) if indirect else policy


def _context(model: Any) -> int:
    """The model's context length in tokens."""
    return getattr(model.config, "max_position_embeddings", None) or 2**31


def _room(model: Any, decoding: Decoding) -> int:
    """Maximum number of prompt tokens, given the response limit."""
    room = _context(model) - decoding.max_response_tokens
    if room < 1:
        raise DataError(
            f"decoding.max_response_tokens = {decoding.max_response_tokens}: the model's context is "
            f"{_context(model)} tokens; lower it so that a prompt fits before the response"
        )
    return room


def _texts(tokenizer: Any, rows: list[list[int]]) -> list[str]:
    return tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False)
