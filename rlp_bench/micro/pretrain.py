"""Pre-trains the base model, a small Llama, on the documents of `corpus.py`; reproducible.

The data mixture moves linearly from `mix_start` (mostly facts) to `mix_end` (mostly rated chats).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import corpus
from .chance import stream
from .knowledge import WORLD_VERSION
from .tokenizer import build_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class BaseRecipe:
    """Everything that the base model's weights depend on, besides the world.

    `mix_start` and `mix_end` are weights of the kinds of document, by words rather than by documents.
    """

    seed: int = 1
    hidden: int = 64
    layers: int = 4
    heads: int = 4
    intermediate: int = 176
    batches: int = 6000
    batch_tokens: int = 2048
    peak_rate: float = 3e-3
    warmup_batches: int = 100
    floor: float = 0.02  # final learning rate, as a fraction of the peak
    mix_start: dict[str, float] = field(
        default_factory=lambda: {"entry": 33, "story": 12, "check": 30, "chat": 10, "rated": 15}
    )
    mix_end: dict[str, float] = field(
        default_factory=lambda: {"entry": 6, "story": 7, "check": 7, "chat": 15, "rated": 65}
    )


#: Mean words per document of each kind, to convert fractions of words into fractions of documents.
DOCUMENT_WORDS = {"entry": 27, "story": 27, "check": 49, "chat": 25, "rated": 27}
BLOCK_BATCHES = 32  # documents are sorted by length within a block, to reduce padding
RECORDED_BATCHES = 20  # first losses stored in `base.json`, to check the recipe without a full run

Progress = Callable[[int, int, float], None]


def configuration(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The Llama configuration of the base model."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=recipe.hidden**-0.5,
    )


def batches(
    recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast, count: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The first `count` batches: (ids [B, T], loss weights [B, T]), right-padded."""
    import torch

    number = tokenizer.get_vocab()
    made = 0
    while made < count:
        rng = stream(WORLD_VERSION, "corpus", recipe.seed, made)
        at = made / max(recipe.batches, 1)
        shares = {
            k: (recipe.mix_start[k] * (1 - at) + recipe.mix_end[k] * at) / DOCUMENT_WORDS[k]
            for k in recipe.mix_start
        }
        documents, words = [], 0
        while words < recipe.batch_tokens * BLOCK_BATCHES:
            kind = rng.choices(tuple(shares), tuple(shares.values()))[0]
            documents.append(corpus.document(kind, rng))
            words += len(documents[-1])
        documents.sort(key=len)
        groups = _groups(documents)
        rng.shuffle(groups)
        for group in groups[: count - made]:
            width = len(group[-1])
            ids = torch.zeros(len(group), width, dtype=torch.long)
            weights = torch.zeros(len(group), width)
            for row, document in enumerate(group):
                ids[row, : len(document)] = torch.tensor([number[w] for w, _ in document])
                weights[row, : len(document)] = torch.tensor([weight for _, weight in document])
            yield ids, weights
        made += BLOCK_BATCHES


def _groups(documents: list[corpus.Document]) -> list[list[corpus.Document]]:
    """Splits documents sorted by length into BLOCK_BATCHES groups of about equally many words."""
    total, done = sum(map(len, documents)), 0
    groups: list[list[corpus.Document]] = []
    current: list[corpus.Document] = []
    for document in documents:
        current.append(document)
        done += len(document)
        if done >= total * (len(groups) + 1) / BLOCK_BATCHES:
            groups.append(current)
            current = []
    return groups


def train(
    recipe: BaseRecipe, count: int | None = None, progress: Progress | None = None
) -> tuple[LlamaForCausalLM, list[float]]:
    """Trains on the first `count` batches: (model, loss of every batch in nats per trained word)."""
    import math

    import torch
    from transformers import LlamaForCausalLM

    # One thread: bit-identical on one kind of machine, and not slowed down by other processes.
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer()
    model = LlamaForCausalLM(configuration(recipe, tokenizer)).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.98))
    count, losses = recipe.batches if count is None else count, []
    for i, (ids, weights) in enumerate(batches(recipe, tokenizer, count)):
        warm = min(1.0, (i + 1) / recipe.warmup_batches)
        cosine = 0.5 * (1 + math.cos(math.pi * i / recipe.batches))
        for group in optimizer.param_groups:
            group["lr"] = recipe.peak_rate * warm * (recipe.floor + (1 - recipe.floor) * cosine)
        loss = _loss(model, ids, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(i + 1, count, losses[-1])
    return model.eval(), losses


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean cross-entropy over words with a loss weight; logits are computed only there."""
    import torch

    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    learnt = weights[:, 1:] > 0
    logits = model.lm_head(hidden[learnt])
    each = torch.nn.functional.cross_entropy(logits, ids[:, 1:][learnt], reduction="none")
    share = weights[:, 1:][learnt]
    return (each * share).sum() / share.sum()


def pretrain(
    out_dir: str | Path, *, seed: int = BaseRecipe.seed, progress: Progress | None = None
) -> dict[str, Any]:
    """Trains the base model and writes weights, tokenizer and `base.json`; under ten minutes on one core.

    Args:
        out_dir: output folder, created if missing.
        seed: of weights, order and text; the shipped base has the default.
        progress: called after every batch with (batches done, total batches, loss in nats per trained word).

    Returns:
        The content of `base.json`: recipe, SHA-256 of the weights, first losses, measured figures, seconds.
    """
    from .measure import figures

    recipe, out, began = BaseRecipe(seed=seed), Path(out_dir), (time.time(), time.process_time())
    model, losses = train(recipe, progress=progress)
    seconds = {
        "wall_seconds": round(time.time() - began[0], 1),
        "cpu_seconds": round(time.process_time() - began[1], 1),
    }
    # New heads on this model (such as a reward head) are initialized small: reward differences near 0.
    model.config.initializer_range = 0.02
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    build_tokenizer().save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)
    summary = {
        "world": WORLD_VERSION,
        "recipe": asdict(recipe),
        "parameters": model.num_parameters(),
        "sha256": sha256(out / WEIGHTS),
        "made_with": made_with(),
        "first_losses": losses[:RECORDED_BATCHES],
        "last_loss": sum(losses[-100:]) / len(losses[-100:]),
        "figures": figures(model),
        **seconds,
    }
    (out / "base.json").write_text(json.dumps(summary, indent=1) + "\n")
    return summary


WEIGHTS = "model.safetensors"


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def made_with() -> dict[str, str]:
    """The torch version and CPU capability, which must match for bit-identical weights."""
    import torch

    return {"torch": torch.__version__.split("+")[0], "cpu": torch.backends.cpu.get_cpu_capability()}
