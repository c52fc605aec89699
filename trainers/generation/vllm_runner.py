"""vLLM in this process: one model at a time, asked with token rows; its weights change without a restart.

Nothing here imports vllm or torch before a model is loaded.
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
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # as many threads as torch has here, not every core
    "VLLM_NO_USAGE_STATS": "1",  # it would tell its makers of every model that is loaded
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""What vLLM is told where the person has not said otherwise."""
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
SHORTEST = 256
"""Least context in tokens that a model is loaded with; more is a restart, at every doubling."""
CPU_BLOCK = 128
"""Tokens in a block of the cache on a CPU."""
CPU_CACHE_BYTES = 4 * 2**30
"""Most that the cache takes on a CPU, unless one row needs more."""


@dataclass(frozen=True)
class VllmSettings:
    """How vLLM is started."""

    dtype: str | None = None
    """Weights and cache; None: float32 on a CPU, bfloat16 on a GPU."""
    max_model_len: int | None = None
    """Prompt and response, tokens; None: what is asked, rounded up to a power of two, at most the model's context."""
    gpu_memory_utilization: float = 0.6
    """Share of the GPU's memory for weights and cache. Ours: the models that score lie on the same GPU, in fp32."""
    enforce_eager: bool | None = None
    """No compilation, no CUDA graphs; None: so on a CPU, where compiling takes 16 s and gains nothing."""
    max_num_seqs: int = 256
    """Rows decoded side by side."""
    kv_cache_bytes: int | None = None
    """The cache on a CPU; None: what `max_num_seqs` rows need, at most 4 GiB."""


@dataclass(frozen=True)
class Drawn:
    """One response."""

    tokens: list[int]
    """EOS included where it ended by itself."""
    logprobs: list[float]
    """Of each token under the distribution drawn from (greedy: the model's), nats; empty where not asked for."""
    finished: bool


def require_vllm() -> None:
    """Raises BenchError where vLLM is not installed. Does not import it."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:  # a mere folder of that name has no origin
        raise BenchError(f'engine "vllm": vLLM is not installed; {INSTALL}')


class VllmRunner:
    """Holds at most one vLLM model."""

    _open: ClassVar["WeakSet[VllmRunner]"] = WeakSet()
    """The runners that hold one; the last to close takes vLLM's process group down, if vLLM made it."""
    _made_group: ClassVar[bool] = False

    def __init__(self, device: str = "cpu", settings: VllmSettings | None = None) -> None:
        require_vllm()
        self.settings = settings or VllmSettings()
        self.cpu = device == "cpu"
        own = (
            f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # the one that vLLM takes among processes of torchrun
        )
        if device not in ("cpu", "cuda", own):
            raise BenchError(
                f'engine "vllm": device "{device}"; expected "cpu" or "cuda": it takes the first GPU it sees, so '
                "choose one by CUDA_VISIBLE_DEVICES"
            )
        given = self.settings.dtype or ("float32" if self.cpu else "bfloat16")
        self.dtype = PRECISIONS.get(given, given)
        self._llm: Any = None
        self._shape: str = ""
        self._weights: Hashable = None
        self._length = 0
        self._scratch: TemporaryDirectory[str] | None = None

    def serve(self, folder: Path | str, config: Any, weights: Hashable, tokens: int) -> None:
        """Sees to it that these weights answer, with room for so many tokens of prompt and response.

        Args:
            folder: the checkpoint, or its hub id. config: of its architecture.
            weights: another value says that the weights are others.
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
    ) -> list[Drawn]:
        """One response to each token row, by a generator of its own: seeds[i] is that of row i."""
        from vllm import SamplingParams

        check_decoding(decoding)
        asked = [
            SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=decoding.max_response_tokens,
                seed=seed,
                ignore_eos=True,  # `ends` are all the tokens that end a response, EOS among them
                stop_token_ids=list(ends),
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
        """Gives memory back."""
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
                    enable_prefix_caching=False,  # a hit would answer with the weights of before
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
            torch.set_num_threads = set_threads  # on a CPU vLLM makes it do nothing, for the whole process
        VllmRunner._open.add(self)
        VllmRunner._made_group |= alone

    def _context(self, config: Any, tokens: int) -> int:
        """The context to load with."""
        most = getattr(config, "max_position_embeddings", None) or 2**31
        if self.settings.max_model_len:
            most = min(most, self.settings.max_model_len)
        if tokens > most:
            raise DataError(
                f'engine "vllm": {tokens} tokens of prompt and response; the model has room for {most}; lower '
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
        """The folder itself, or a copy whose attention heads vLLM's CPU kernels know."""
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
        """Where nothing is compiled, the sampler's decorated functions are not either: no C++ compiler is needed."""
        import torch

        return torch.compiler.set_stance("force_eager") if self._eager else nullcontext()


def check_decoding(decoding: Decoding) -> None:
    """Refuses what vLLM would change without a word."""
    if 0 < decoding.temperature < 0.01:
        raise BenchError(
            f'engine "vllm": temperature {decoding.temperature:g}: it raises all below .01 to .01; expected 0 (greedy) '
            "or at least .01"
        )
    if not 0 < decoding.top_p <= 1:
        raise BenchError(f'engine "vllm": top_p {decoding.top_p:g}; expected more than 0 and at most 1')


def _repack_head(worker: Any) -> None:
    """Output matrices that are the embedding's are packed again from its new values.

    vLLM 0.30 packs every matrix for the CPU when it is loaded; on a reload, a tied one gets none of its own and would
    go on with the packed values of before. Not needed any more once `finalize_layerwise_reload` packs tied heads.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in worker.get_model().modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


def _shut_down(llm: Any) -> None:
    """Ends vLLM's engine, but not the process group, which may be the trainer's or another engine's.

    vLLM 0.30 destroys the default group whoever made it; until it no longer does, it is kept from that here.
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
    """Two checkpoints of one shape differ in weights alone."""
    told = {name: value for name, value in config.to_dict().items() if name not in NO_SHAPE}
    return json.dumps(told, sort_keys=True, default=str)


NO_SHAPE = ("_name_or_path", "transformers_version", "architectures", "dtype", "use_cache")


def _import_vllm(device: str) -> Any:
    """vLLM's `LLM`, its settings made before it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except (ImportError, RuntimeError) as error:  # a torchvision for another torch is a RuntimeError
        raise BenchError(
            f'engine "vllm": vLLM cannot be imported: {" ".join(str(error).split())[:200]}; its torch, torchvision and '
            'transformers must fit together: docs/scale.md, "Generation with vLLM"'
        ) from error
    if current_platform.device_type != device:
        raise BenchError(
            f'engine "vllm": device "{device}", but this vLLM was built for "{current_platform.device_type}"; '
            "set compute.device, or install the other build"
        )
    return LLM
