"""Hugging Face checkpoints in and out, and what policies and reward models say of a batch of tokens.

Scores and values are read by attention mask, never by `ids != pad`. Rows may be padded on either side: they
are moved to the left before the forward pass, so padding comes after every real token, a causal model cannot
see it, and no attention mask is needed. Letters: B batch, L tokens, V vocabulary, d hidden size.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional

from rlp_bench.errors import DataError
from rlp_bench.nouns import write_json

from .llama_forward import lean_llama, llama_hidden

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class RewardInfo:
    """What must be known of a reward model besides its weights (`reward.json` beside them)."""

    eos: bool
    """Whether it was trained on responses with their EOS; every scoring site must do the same."""
    mean: float
    """Mean of its scores on samples of the SFT policy: the zero of a normalised reward."""
    std: float
    """Standard deviation of the same scores."""

    def write(self, folder: Path) -> None:
        """Writes `reward.json`."""
        write_json(folder / "reward.json", asdict(self))


# --- Loading and saving -------------------------------------------------------------------------------


def load_policy(path: str | Path, device: str = "cpu") -> "tuple[PreTrainedModel, Any]":
    """A causal language model in eval mode (fp32) and its tokenizer.

    Args:
        path: a local folder or a hub id; code in the repository is never run, only safetensors are read.

    Raises:
        DataError: no such folder, no config, no tokenizer, no safetensors, no pad token, pad equal to EOS.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(path)
    model = _load(AutoModelForCausalLM, path)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def new_reward(policy_path: str | Path, seed: int, device: str = "cpu") -> "tuple[PreTrainedModel, Any]":
    """A reward model on a policy's backbone with a fresh scalar head, weights N(0, 1/(d+1)^2) from `seed`.

    Source: Stiennon et al. 2020 (arXiv 2009.01325), appendix B.1, as reimplemented by Huang et al. 2024;
    departs: they say variance 1/(d+1); the smaller head starts the Bradley-Terry loss at log 2.
    """
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(policy_path)
    model = _load(AutoModelForSequenceClassification, policy_path, num_labels=1)
    weight = _head(model).weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(noise / (weight.shape[1] + 1))
        if getattr(_head(model), "bias", None) is not None:
            _head(model).bias.zero_()
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def load_reward(path: str | Path, device: str = "cpu") -> "tuple[PreTrainedModel, Any, RewardInfo]":
    """A reward model in eval mode (fp32), its tokenizer, and the `reward.json` beside it."""
    from transformers import AutoModelForSequenceClassification

    info = read_reward_info(Path(path))
    tokenizer = load_tokenizer(path)
    model = _load(AutoModelForSequenceClassification, path)
    if model.config.num_labels != 1:
        raise DataError(
            f'reward model "{path}": {model.config.num_labels} labels; a reward model has one (num_labels=1)'
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer, info


def read_reward_info(folder: Path) -> RewardInfo:
    """The `reward.json` of a reward model's folder."""
    try:
        return RewardInfo(**json.loads((folder / "reward.json").read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(
            f'reward model "{folder}": reward.json is missing or broken ({error}); expected '
            '{"eos": bool, "mean": number, "std": number}, as the reward stage writes it'
        ) from None


def in_precision(model: Any, precision: str) -> Any:
    """A model that is only asked, in "fp32" or "bf16"."""
    return model.to(torch.bfloat16) if precision == "bf16" else model


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a checkpoint; it must have distinct pad and EOS tokens."""
    from transformers import AutoTokenizer

    _check_folder(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except Exception as error:  # transformers raises many types; each becomes one line that names the folder
        raise DataError(f'checkpoint "{path}": the tokenizer cannot be read: {_line(error)}') from error
    name = f'checkpoint "{path}"'
    if tokenizer.eos_token_id is None:
        raise DataError(f"{name}: the tokenizer has no EOS token; set eos_token in tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        raise DataError(f"{name}: the tokenizer has no pad token; add one that is not EOS and save it again")
    if tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise DataError(
            f'{name}: pad and EOS are the same token ("{tokenizer.eos_token}"), so ends would be masked as '
            "padding; add a pad token of its own and save the checkpoint again"
        )
    return tokenizer


def _check_folder(path: str | Path) -> None:
    """One line for what a local checkpoint folder lacks. A name that is no local path is left to the hub."""
    folder = Path(path)
    if not folder.is_dir():
        if isinstance(path, Path) or str(path).startswith(("/", ".", "~")) or str(path).count("/") != 1:
            raise DataError(
                f'checkpoint "{path}": no such folder; give a folder in Hugging Face format or a hub id'
            )
        return
    if not (folder / "config.json").exists():
        raise DataError(f'checkpoint "{path}": no config.json; expected a folder in Hugging Face format')
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise DataError(
            f'checkpoint "{path}": no tokenizer (none of {", ".join(TOKENIZER_FILES)}); '
            "save the tokenizer of the model into the same folder"
        )
    if not any(folder.glob("*.safetensors")):
        raise DataError(f'checkpoint "{path}": no *.safetensors; other weight formats are not read')


TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


def _load(kind: Any, path: str | Path, **options: Any) -> Any:
    """`from_pretrained` without remote code, in fp32, quiet about the head that a policy does not have."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(
            str(path), trust_remote_code=False, use_safetensors=True, dtype=torch.float32, **options
        )
    except Exception as error:  # transformers raises many types; each becomes one line that names the folder
        raise DataError(f'checkpoint "{path}": the model cannot be read: {_line(error)}') from error
    finally:
        logging.set_verbosity(before)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def save_model(
    model: "PreTrainedModel", tokenizer: Any, out: Path, state: Mapping[str, Tensor] | None = None
) -> None:
    """Writes a checkpoint folder: config, safetensors, generation_config (policies), tokenizer.

    The same weights give the same bytes. `state`: what to write instead of the model's own tensors (a model in
    shards, or one with adapters).
    """
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(out), state_dict=None if state is None else dict(state))
    tokenizer.save_pretrained(str(out))


# --- Forward passes -----------------------------------------------------------------------------------


def scalar_scores(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """The reward model's score of each row: its head on the hidden state of the last real token.

    Args:
        ids: (B, L) int64. mask: (B, L) bool, True on real tokens; left or right padding, the same score.

    Returns:
        (B,) scores.
    """
    head, states = _head(model), scored_states(model, ids, mask)
    if head.weight.dtype == torch.float32:
        return head(states).squeeze(-1)
    # A score in bf16 has steps of a hundredth: answers would tie that do not.
    return functional.linear(states.float(), head.weight.float()).squeeze(-1)


def scored_states(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """(B, d) hidden states after the last norm at the last real token: what the reward head reads."""
    ids, mask, _ = _flush_left(ids, mask)
    hidden = hidden_states(model, ids, mask)
    last = mask.sum(1) - 1
    return hidden[torch.arange(len(ids), device=ids.device), last]


def token_values(model: "PreTrainedModel", ids: Tensor, mask: Tensor) -> Tensor:
    """The head's value after every token (value net); 0 on padding. (B, L) int64 and bool -> (B, L)."""
    flushed, flushed_mask, order = _flush_left(ids, mask)
    hidden = hidden_states(model, flushed, flushed_mask)
    values = _head(model)(hidden).squeeze(-1)
    values = functional.pad(values, (0, ids.shape[1] - values.shape[1])) * flushed_mask
    return values if order is None else torch.zeros_like(values).scatter(1, order, values)


def response_logprobs(
    model: "PreTrainedModel", ids: Tensor, mask: Tensor, response_mask: Tensor, temperature: float = 1.0
) -> Tensor:
    """log pi(ids[:, t] | ids[:, :t]) in nats where `response_mask` is True, 0 elsewhere. Differentiable.

    Logits are computed at response positions only.

    Args:
        ids: (B, L) int64. mask, response_mask: (B, L) bool, True on real tokens; no response starts a row.
        temperature: divides the logits; must be the sampler's where a ratio to its log-probs is taken.

    Returns:
        (B, L) log-probabilities.
    """
    if bool((response_mask & ~mask).any()):
        raise ValueError("response_mask is True where mask is False")
    flushed, flushed_mask, order = _flush_left(ids, mask)
    chosen = response_mask if order is None else response_mask.gather(1, order)
    chosen = chosen[:, 1 : int(flushed_mask.sum(1).max())]
    logits = _logits_where(model, flushed, flushed_mask, chosen)
    targets = flushed[:, 1 : 1 + chosen.shape[1]][chosen]
    logprobs = -functional.cross_entropy(logits.float() / temperature, targets, reduction="none")
    result = torch.zeros(ids.shape, dtype=logprobs.dtype, device=ids.device)
    rows, columns = chosen.nonzero(as_tuple=True)
    columns = columns + 1
    if order is not None:
        columns = order[rows, columns]
    return result.index_put((rows, columns), logprobs)


def _flush_left(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Rows with all padding after the real tokens, and the order that did it (None: it was so already)."""
    if bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return ids, mask, None
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    return ids.gather(1, order), mask.gather(1, order), order


def hidden_states(
    model: "PreTrainedModel",
    ids: Tensor,
    mask: Tensor,
    positions: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Hidden states (B, l, d) of right-padded rows; l is the longest row: trailing padding costs nothing.

    Args:
        ids, mask: (B, L). positions: (B, l), from 0 on if not given. bias: (B, 1, l, l), causal if not given.
    """
    longest = int(mask.sum(1).max())
    ids, mask = ids[:, :longest], mask[:, :longest]
    if lean_llama(model):
        return llama_hidden(model, ids, mask, positions, bias)
    options = {} if bias is None else {"attention_mask": bias, "position_ids": positions}
    return model.base_model(input_ids=ids, use_cache=False, **options).last_hidden_state


def _logits_where(model: "PreTrainedModel", ids: Tensor, mask: Tensor, chosen: Tensor) -> Tensor:
    """Logits (K, V) at the K positions where `chosen` (B, l - 1) is True."""
    if _plain_output(model):
        hidden = hidden_states(model, ids, mask)[:, :-1]
        return model.get_output_embeddings()(hidden[chosen])
    longest = chosen.shape[1] + 1
    return model(input_ids=ids[:, :longest], use_cache=False).logits[:, :-1][chosen]


def probe(model: "PreTrainedModel") -> None:
    """Asks the model now what would be asked of it later: a model in shards cannot be asked by itself."""
    from .pair_scores import shares_beginnings

    shares_beginnings(model) if hasattr(model, "score") else _plain_output(model)


_PLAIN: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()


def _plain_output(model: "PreTrainedModel") -> bool:
    """Whether logits are the output matrix times the last hidden state (some models scale or cap them).

    Asked of the model itself, once: a forward pass on two tokens both ways.
    """
    if model not in _PLAIN:
        training = model.training
        model.eval()
        with torch.no_grad():
            ids = torch.tensor([[0, 1]], device=model.device)
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model(input_ids=ids, use_cache=False).logits
            plain = model.get_output_embeddings()(hidden)
        _PLAIN[model] = plain.shape == logits.shape and torch.allclose(plain, logits, rtol=1e-4, atol=1e-5)
        model.train(training)
    return _PLAIN[model]


def _head(model: "PreTrainedModel") -> Any:
    head = getattr(model, "score", None)
    if head is None:
        raise DataError(
            f"{type(model).__name__}: no scalar head called `score`; a reward model must be of an architecture "
            "with AutoModelForSequenceClassification on a causal backbone (Llama, Qwen, GPT-2, ...)"
        )
    return head
