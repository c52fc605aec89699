"""Loads and saves policies and reward models as Hugging Face checkpoints (safetensors only)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlp_bench.api import DataError, write_json

from ..data.tokenizer import load_tokenizer, one_line
from .forward import scalar_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class RewardInfo:
    """Metadata of a reward model, stored in `reward.json` beside its weights."""

    eos: bool
    """Whether it was trained on responses with an EOS; scoring must encode responses the same way."""
    mean: float
    """Mean of its scores on samples of the SFT policy; subtracted to normalize the reward."""
    std: float
    """Standard deviation of the same scores."""

    def write(self, folder: Path) -> None:
        """Writes `reward.json`."""
        write_json(folder / "reward.json", asdict(self))


def load_policy(path: str | Path, device: str = "cpu") -> "tuple[PreTrainedModel, Any]":
    """A causal language model in eval mode (fp32) and its tokenizer.

    Args:
        path: a local folder or a hub id; remote code is never run, only safetensors are read.

    Raises:
        DataError: the folder, config, tokenizer, safetensors or pad token is missing, or pad equals EOS.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(path)
    model = _load(AutoModelForCausalLM, path)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def new_reward(policy_path: str | Path, seed: int, device: str = "cpu") -> "tuple[PreTrainedModel, Any]":
    """A reward model on a policy's backbone with a new scalar head, weights N(0, 1/(d+1)^2) drawn with `seed`.

    Source: Stiennon et al. 2020 (arXiv 2009.01325), appendix B.1, as reimplemented by Huang et al. 2024;
    departs: they use variance 1/(d+1); with the smaller head the Bradley-Terry loss starts at log 2.
    """
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(policy_path)
    model = _load(AutoModelForSequenceClassification, policy_path, num_labels=1)
    weight = scalar_head(model).weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(noise / (weight.shape[1] + 1))
        if getattr(scalar_head(model), "bias", None) is not None:
            scalar_head(model).bias.zero_()
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
    """A model for inference in "fp32" or "bf16"."""
    return model.to(torch.bfloat16) if precision == "bf16" else model


def _load(kind: Any, path: str | Path, **options: Any) -> Any:
    """`from_pretrained` without remote code, in fp32, without the warning about a missing head."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return kind.from_pretrained(
            str(path), trust_remote_code=False, use_safetensors=True, dtype=torch.float32, **options
        )
    except Exception as error:  # transformers raises many types; each becomes a one-line error
        raise DataError(f'checkpoint "{path}": the model cannot be read: {one_line(error)}') from error
    finally:
        logging.set_verbosity(before)


def save_model(
    model: "PreTrainedModel", tokenizer: Any, out: Path, state: Mapping[str, Tensor] | None = None
) -> None:
    """Writes a checkpoint folder: config, safetensors, generation_config (policies), tokenizer.

    The same weights give the same bytes. `state`: tensors to write instead of the model's own (for a sharded model,
    or one with adapters).
    """
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(out), state_dict=None if state is None else dict(state))
    tokenizer.save_pretrained(str(out))
