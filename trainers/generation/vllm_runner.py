"""Runs vLLM in this process: one model at a time, prompts as token rows, weights updated without a restart.

vllm and torch are imported only when a model is loaded.
"""

import gc
import importlib.util
import json
import os
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from weakref import WeakSet

from rlp_bench.api import BenchError, DataError, Decoding

from ..modeling.head_padding import head_width, wider, write_padded

INSTALL = (
    'install the extra: pip install "rlp-bench[vllm]" (without a GPU: docs/scale.md, "Generation with vLLM"), or use '
    'engine "transformers"'
)
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: deterministic scheduling, no server to wait for
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as many threads as torch uses here, not every core
    "VLLM_NO_USAGE_STATS": "1",  # no telemetry
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""Default environment variables for vLLM; values set by the user take precedence."""
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
SHORTEST = 256
"""Minimum context length in tokens that a model is loaded with; a longer one restarts vLLM, at every doubling."""
CPU_BLOCK = 128
"""Tokens per block of the KV cache on a CPU."""
CPU_CACHE_BYTES = 4 * 2**30
"""Maximum size of the KV cache on a CPU, unless one row needs more."""


@dataclass(frozen=True)
class VllmSettings:
    """Startup options of vLLM."""

    dtype: str | None = None
    """Precision of weights and KV cache; None: float32 on a CPU, bfloat16 on a GPU."""
    max_model_len: int | None = None
    """Maximum tokens of prompt and response; None: as needed, rounded up to a power of two, at most the model's
    context length."""
    gpu_memory_utilization: float = 0.6
    """Fraction of GPU memory for weights and KV cache. Ours: the scoring models are on the same GPU, in fp32."""
    enforce_eager: bool | None = None
    """No compilation, no CUDA graphs; None: True on a CPU, where compiling takes 16 s without a speedup."""
    max_num_seqs: int = 256
    """Rows decoded in parallel."""
    kv_cache_bytes: int | None = None
    """Size of the KV cache on a CPU; None: enough for `max_num_seqs` rows, at most 4 GiB."""


@dataclass(frozen=True)
class Drawn:
    """One response."""

    tokens: list[int]
    """Token ids, EOS included if the response is finished."""
    logprobs: list[float]
    """Of each token under the sampling distribution (greedy: the model's), nats; empty if not requested."""
    finished: bool


def require_vllm() -> None:
    """Raises BenchError if vLLM is not installed. Does not import it."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:  # an unrelated folder of that name has no origin
        raise BenchError(f'engine "vllm": vLLM is not installed; {INSTALL}')


class VllmRunner:
    """Holds at most one vLLM model."""

    _open: ClassVar["WeakSet[VllmRunner]"] = WeakSet()
    """Runners with a loaded model; the last to close destroys vLLM's process group, if vLLM created it."""
    _made_group: ClassVar[bool] = False

    def __init__(self, device: str = "cpu", settings: VllmSettings | None = None) -> None:
        require_vllm()
        self.settings = settings or VllmSettings()
        self.cpu = device == "cpu"
        own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # the device that vLLM uses under torchrun
        if device not in ("cpu", "cuda", own):
            raise BenchError(
                f'engine "vllm": device "{device}"; expected "cpu" or "cuda" (the first visible GPU); choose a GPU '
                "with CUDA_VISIBLE_DEVICES"
            )
        given = self.settings.dtype or ("float32" if self.cpu else "bfloat16")
        self.dtype = PRECISIONS.get(given, given)
        self._llm: Any = None
        self._shape: str = ""
        self._weights: Hashable = None
        self._length = 0
        self._scratch: TemporaryDirectory[str] | None = None

    def serve(self, folder: Path | str, config: Any, weights: Hashable, tokens: int) -> None:
        """Loads these weights, with a context of at least `tokens` tokens of prompt and response.

        Args:
            folder: the checkpoint, or its hub id. config: its model configuration.
            weights: version of the weights; they are reloaded when it changes.
        """
        shape = _shape(config)
        if self._llm is None or shape != self._shape or tokens > self._length:
            self.close()
            self._start(folder, config, tokens)
        elif weights != self._weights:
            readable = self._readable(folder, config)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": readable})
            if self.cpu and getattr(config, "tie_word_embeddings", False):
                self._llm.collective_rpc(_repack_head)
        self._shape, self._weights = shape, weights

    def draw(
        self,
        rows: Sequence[list[int]],
        decoding: Decoding,
        seeds: Sequence[int],
        ends: Sequence[int],
        logprobs: bool = False,
        allowed: Sequence[int] | None = None,
    ) -> list[Drawn]:
        """One response to each token row; row i has its own generator, seeded by seeds[i].

        Args:
            ends: all token ids that end a response.
            logprobs: whether to return log-probabilities.
            allowed: the token ids that may be sampled; None: all.
        """
        from vllm import SamplingParams

        check_decoding(decoding)
        asked = [
            SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=decoding.max_response_tokens,
                seed=seed,
                ignore_eos=True,  # `ends` includes EOS
                stop_token_ids=list(ends),
                allowed_token_ids=None if allowed is None else list(allowed),
                detokenize=False,
                logprobs=0 if logprobs else None,
                flat_logprobs=True,
            )
            for seed in seeds
        ]
        with self._stance():
            answers = self._llm.generate([{"prompt_token_ids": row} for row in rows], asked, use_tqdm=False)
        return [_drawn(answer.outputs[0], set(ends), logprobs) for answer in answers]

    def close(self) -> None:
        """Frees memory."""
        if self._llm is not None:
            _shut_down(self._llm)
            self._llm = None
            gc.collect()
            VllmRunner._open.discard(self)
            if not VllmRunner._open and VllmRunner._made_group:
                from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

                cleanup_dist_env_and_memory()
                VllmRunner._made_group = False
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _start(self, folder: Path | str, config: Any, tokens: int) -> None:
        import torch

        self._length = self._context(config, tokens)
        options = self._memory(config)
        readable = self._readable(folder, config)
        llm_class = _import_vllm("cpu" if self.cpu else "cuda")
        set_threads, alone = torch.set_num_threads, not torch.distributed.is_initialized()
        if not alone and torch.distributed.get_world_size() > 1:
            options["distributed_executor_backend"] = "external_launcher"
        try:
            with self._stance():
                self._llm = llm_class(
                    readable,
                    dtype=self.dtype,
                    max_model_len=self._length,
                    max_num_seqs=self.settings.max_num_seqs,
                    enforce_eager=self._eager,
                    skip_tokenizer_init=True,
                    generation_config="vllm",  # not the checkpoint's top-p, top-k and penalties
                    enable_prefix_caching=False,  # a cache hit would use the previous weights
                    logprobs_mode="processed_logprobs",
                    load_format="safetensors",
                    disable_log_stats=True,
                    use_tqdm_on_load=False,
                    **options,
                )
        except (ValueError, RuntimeError, NotImplementedError) as error:
            raise BenchError(
                f'engine "vllm": "{folder}" cannot be loaded: {" ".join(str(error).split())[:300]}; expected a model '
                'that vLLM serves and memory for it; use engine "transformers" otherwise'
            ) from error
        finally:
            torch.set_num_threads = set_threads  # on a CPU vLLM replaces it by a no-op, for the whole process
        VllmRunner._open.add(self)
        VllmRunner._made_group |= alone

    def _context(self, config: Any, tokens: int) -> int:
        """The context length to load the model with."""
        most = getattr(config, "max_position_embeddings", None) or 2**31
        if self.settings.max_model_len:
            most = min(most, self.settings.max_model_len)
        if tokens > most:
            raise DataError(
                f'engine "vllm": {tokens} tokens of prompt and response; expected at most {most}; lower '
                "max_response_tokens or drop the longest prompts"
            )
        return self.settings.max_model_len or min(most, max(SHORTEST, 1 << (tokens - 1).bit_length()))

    def _memory(self, config: Any) -> dict[str, Any]:
        if not self.cpu:
            return {"gpu_memory_utilization": self.settings.gpu_memory_utilization}
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = wider(config) or head_width(config)
        token = 2 * config.num_hidden_layers * heads * width * (4 if self.dtype == "float32" else 2)
        row = -(-self._length // CPU_BLOCK) * CPU_BLOCK * token
        enough = max(row + CPU_BLOCK * token, min(CPU_CACHE_BYTES, row * (self.settings.max_num_seqs + 1)))
        return {"kv_cache_memory_bytes": self.settings.kv_cache_bytes or enough}

    def _readable(self, folder: Path | str, config: Any) -> str:
        """The folder itself, or a copy with attention heads of a width that vLLM's CPU kernels support."""
        if not self.cpu or wider(config) is None:
            return str(folder)
        if self._scratch is None:
            self._scratch = TemporaryDirectory(prefix="rlp-bench-vllm-")
        out = Path(self._scratch.name)
        write_padded(Path(folder), config, out)
        return str(out)

    @property
    def _eager(self) -> bool:
        return self.cpu if self.settings.enforce_eager is None else self.settings.enforce_eager

    def _stance(self) -> AbstractContextManager[Any]:
        """In eager mode, disables compilation of the sampler's decorated functions too: no C++ compiler is needed."""
        import torch

        return torch.compiler.set_stance("force_eager") if self._eager else nullcontext()


def check_decoding(decoding: Decoding) -> None:
    """Raises BenchError for decoding options that vLLM would silently change."""
    if 0 < decoding.temperature < 0.01:
        raise BenchError(
            f'engine "vllm": temperature {decoding.temperature:g}: vLLM raises it to .01; expected 0 (greedy) or at '
            "least .01"
        )
    if not 0 < decoding.top_p <= 1:
        raise BenchError(f'engine "vllm": top_p {decoding.top_p:g}; expected more than 0 and at most 1')


def _repack_head(worker: Any) -> None:
    """Repacks output matrices that are tied to the embedding after a reload.

    vLLM 0.30 packs every matrix for the CPU when it is loaded; on a reload, a tied output matrix keeps the old packed
    values. To be removed once `finalize_layerwise_reload` packs tied heads.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in worker.get_model().modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def _shut_down(llm: Any) -> None:
    """Shuts down vLLM's engine, but not the process group, which may be the trainer's or another engine's.

    vLLM 0.30 destroys the default process group even if it did not create it. To be removed once vLLM does not.
    """
    from vllm.v1.engine import core

    kept = core.cleanup_dist_env_and_memory
    core.cleanup_dist_env_and_memory = lambda: None
    try:
        llm.llm_engine.engine_core.shutdown()
    finally:
        core.cleanup_dist_env_and_memory = kept


def _drawn(output: Any, ends: set[int], logprobs: bool) -> Drawn:
    tokens = list(output.token_ids)
    return Drawn(tokens, list(output.logprobs.logprobs) if logprobs else [], tokens[-1] in ends)


def _shape(config: Any) -> str:
    """A key of the model configuration: checkpoints with equal keys differ only in their weights."""
    told = {name: value for name, value in config.to_dict().items() if name not in NO_SHAPE}
    return json.dumps(told, sort_keys=True, default=str)


NO_SHAPE = ("_name_or_path", "transformers_version", "architectures", "dtype", "use_cache")


def _import_vllm(device: str) -> Any:
    """vLLM's `LLM` class, imported after setting the environment variables."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except (ImportError, RuntimeError) as error:  # an incompatible torchvision raises RuntimeError
        raise BenchError(
            f'engine "vllm": vLLM cannot be imported: {" ".join(str(error).split())[:200]}; expected compatible '
            'versions of torch, torchvision and transformers; see docs/scale.md, "Generation with vLLM"'
        ) from error
    if current_platform.device_type != device:
        raise BenchError(
            f'engine "vllm": device "{device}", but vLLM is built for "{current_platform.device_type}"; '
            "set compute.device, or install the build for this device"
        )
    return LLM
