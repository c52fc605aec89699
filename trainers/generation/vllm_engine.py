"""The vLLM engine: samples with vLLM; scores and log-probabilities come from the transformers engine.

torch, transformers and vllm are imported inside the calls, so that importing this module is cheap.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from rlp_bench.api import Choices, DataError, Decoding, PromptSize, Sample, registry

from ..data.seeding import derived_seed
from ..data.tokenize import encode_prompt
from ..data.tokenizer import load_tokenizer
from .indirect_policies import BestOfN, read_indirect, sample_best
from .vllm_runner import VllmRunner, VllmSettings, check_decoding


class VllmEngine:
    """`rlp_bench.api.protocols.Engine` whose responses are sampled by `vllm.LLM` in this process.

    Each response has its own random generator, seeded by (seed, prompt's index, sample's index): the same call on the
    same machine gives the same responses if the logits are equal. Not guaranteed: the same responses as the
    transformers engine (other generators); the same responses after a change of device, dtype, vLLM version, prompt
    order or batch, because kernels round differently for different batch shapes (about 1e-6 nats in float32, 1e-2 in
    bfloat16), which can change a sampled token. On a GPU vLLM runs in bfloat16 by default, while scores and
    log-probabilities are float32.
    """

    version: ClassVar[str] = "1"

    def __init__(
        self, device: str = "cpu", processes: int = 1, precision: str = "fp32", **settings: Any
    ) -> None:
        """Loads no model yet.

        Args:
            precision: of scores and log-probabilities.
            settings: fields of `VllmSettings`: dtype, max_model_len, gpu_memory_utilization, enforce_eager, ...

        Raises:
            BenchError: vLLM is not installed.
        """
        self._runner = VllmRunner(device, VllmSettings(**settings))
        self._scorer: Any = registry.load("engine", "transformers")(
            device=device, processes=processes, precision=precision
        )

    def sample(
        self, policy: Path, prompts: Sequence[str], decoding: Decoding, *, n: int = 1, seed: int = 0
    ) -> list[list[Sample]]:
        """n responses per rendered prompt."""
        if not prompts:
            return []
        indirect = read_indirect(Path(policy))
        if isinstance(indirect, BestOfN):
            return sample_best(self, indirect, prompts, decoding, n, seed)
        if indirect:
            constant: list[list[Sample]] = self._scorer.sample(policy, prompts, decoding, n=n, seed=seed)
            return constant
        check_decoding(decoding)
        key = policy_key(policy)
        config, tokenizer, ends = _about(*key)
        room = (getattr(config, "max_position_embeddings", None) or 2**31) - decoding.max_response_tokens
        if room < 1:
            raise DataError(
                f"decoding.max_response_tokens = {decoding.max_response_tokens}: the model's context is "
                f"{config.max_position_embeddings} tokens; lower it so that a prompt fits before the response"
            )
        rows = [row for prompt in prompts for row in [encode_prompt(tokenizer, prompt, room)] * n]
        self._runner.serve(key[0], config, key, max(map(len, rows)) + decoding.max_response_tokens)
        seeds = request_seeds(seed, 0, len(prompts), n)
        drawn = self._runner.draw(rows, decoding, seeds, ends, allowed=_allowed(config, tokenizer))
        plain = [one.tokens[: len(one.tokens) - one.finished] for one in drawn]
        texts = tokenizer.batch_decode(plain, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        samples = [
            Sample(text, len(tokens), one.finished)
            for text, tokens, one in zip(texts, plain, drawn, strict=True)
        ]
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    def score(self, reward: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """The reward model's score of each (rendered prompt, response)."""
        scores: list[float] = self._scorer.score(reward, prompts, responses)
        return scores

    def logprobs(self, policy: Path, prompts: Sequence[str], responses: Sequence[Sample]) -> list[float]:
        """Sum of the policy's log-probabilities (nats) of each response, by the transformers engine."""
        logprobs: list[float] = self._scorer.logprobs(policy, prompts, responses)
        return logprobs

    def options(
        self, policy: Path, stems: Sequence[str], options: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """Log-probability (nats) of each option as a continuation of its stem."""
        logprobs: list[list[float]] = self._scorer.options(policy, stems, options)
        return logprobs

    def sizes(self, policy: Path, prompts: Sequence[str]) -> list[PromptSize]:
        """Number of tokens and of BOS tokens of each rendered prompt."""
        sizes: list[PromptSize] = self._scorer.sizes(policy, prompts)
        return sizes

    def context_tokens(self, policy: Path) -> int:
        """The policy's context length in tokens."""
        tokens: int = self._scorer.context_tokens(policy)
        return tokens

    def choices(
        self, policy: Path, prompts: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[Choices]:
        """Log-probabilities of the choices after each prompt."""
        found: list[Choices] = self._scorer.choices(policy, prompts, choices)
        return found

    def close(self) -> None:
        """Frees vLLM's memory."""
        self._runner.close()


def request_seeds(seed: int, first_prompt: int, prompts: int, n: int) -> list[int]:
    """The seed of each response, prompt-major: a function of (seed, prompt's index, sample's index)."""
    return [
        derived_seed(seed, "vllm", first_prompt + prompt, sample)
        for prompt in range(prompts)
        for sample in range(n)
    ]


def policy_key(path: str | Path) -> tuple[str, int]:
    """A checkpoint's path and modification time in nanoseconds."""
    folder = Path(path)
    stamps = [file.stat().st_mtime_ns for file in folder.glob("*")] if folder.is_dir() else []
    return str(path), max(stamps, default=0)


@lru_cache(maxsize=4)
def _about(path: str, changed: int) -> tuple[Any, Any, list[int]]:
    """Configuration, tokenizer and end-of-response token ids; no weights are loaded."""
    from transformers import AutoConfig, GenerationConfig

    from .rollout import eos_ids

    tokenizer = load_tokenizer(Path(path) if Path(path).exists() else path)
    if Path(path).is_dir():
        _check_files(Path(path), tokenizer)
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f'checkpoint "{path}": config.json cannot be read: {" ".join(str(error).split())}'
        ) from error
    try:
        generation = GenerationConfig.from_pretrained(path)
    except OSError:  # no generation_config.json: same default as transformers
        generation = GenerationConfig.from_model_config(config)
    ends = eos_ids(SimpleNamespace(generation_config=generation), tokenizer)
    return config, tokenizer, ends.tolist()


def _allowed(config: Any, tokenizer: Any) -> range | None:
    """The ids of the tokenizer's tokens if the embedding has more rows than these; else None, for no restriction."""
    from ..modeling.safe_loading import vocabulary_size

    tokens = vocabulary_size(tokenizer)
    return range(tokens) if (getattr(config, "vocab_size", None) or 0) > tokens else None


def _check_files(folder: Path, tokenizer: Any) -> None:
    """Raises DataError if weights are damaged or not finite, do not fit the tokenizer, or have names of wrappers.

    vLLM itself raises an error for missing and unexpected tensors.
    """
    from ..modeling.checkpoints import check_embedding
    from ..modeling.safe_loading import check_finite_files, renamed_tensors

    check_embedding(folder, tokenizer)

    renamed = renamed_tensors(folder)
    if renamed:
        raise DataError(
            f'engine "vllm": checkpoint "{folder}": a tensor is called "{next(iter(renamed))}"; expected names without '
            "those of wrappers; save the unwrapped model again with save_pretrained"
        )
    check_finite_files(folder)
