"""Loads and saves policies and reward models as Hugging Face checkpoints (safetensors only)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlp_bench.api import DataError, read_json, write_json

from ..data.tokenizer import load_tokenizer, read_tokenizer
from .averaged_reward import AveragedReward, member_folders
from .forward import scalar_head
from .safe_loading import (
    EXTRA_OF_CLASSIFIERS,
    NEW_HEAD,
    check_rows,
    fit_vocabulary,
    load_checked,
    vocabulary_size,
)

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
        DataError: the folder, config, tokenizer or pad token is missing, pad equals EOS, the embedding is shorter than
            the tokenizer's vocabulary, or the weights are not exactly the model's (see `load_checked`).
    """
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(path)
    check_embedding(path, tokenizer)
    model = load_checked(AutoModelForCausalLM, path)
    fit_vocabulary(path, model, tokenizer)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def new_reward(policy_path: str | Path, seed: int, device: str = "cpu") -> "tuple[PreTrainedModel, Any]":
    """A reward model on a policy's backbone with a new scalar head, weights N(0, 1/(d+1)^2) drawn with `seed`.

    Source: Stiennon et al. 2020 (arXiv 2009.01325), appendix B.1, as reimplemented by Huang et al. 2024;
    departs: they use variance 1/(d+1); with the smaller head the Bradley-Terry loss starts at log 2.
    """
    from transformers import AutoModelForSequenceClassification

    tokenizer = load_tokenizer(policy_path)
    check_embedding(policy_path, tokenizer)
    missing, unexpected = NEW_HEAD
    model = load_checked(
        AutoModelForSequenceClassification, policy_path, missing=missing, unexpected=unexpected, num_labels=1
    )
    weight = scalar_head(model).weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(noise / (weight.shape[1] + 1))
        if getattr(scalar_head(model), "bias", None) is not None:
            scalar_head(model).bias.zero_()
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def load_reward(path: str | Path, device: str = "cpu") -> "tuple[PreTrainedModel, Any, RewardInfo]":
    """A reward model in eval mode (fp32), its tokenizer, and the `reward.json` beside it.

    A folder with `reward_average.json` gives an `AveragedReward` of the models that it names.
    """
    from transformers import AutoModelForSequenceClassification

    info = read_reward_info(Path(path))
    folders = member_folders(path)
    if folders:
        members = [load_reward(folder, device) for folder in folders]
        return AveragedReward([model for model, _, _ in members]), members[0][1], info  # type: ignore[return-value]
    tokenizer = load_tokenizer(path)
    check_embedding(path, tokenizer)
    model = load_checked(AutoModelForSequenceClassification, path, scalar_head=True)
    if model.config.num_labels != 1:
        raise DataError(
            f'reward model "{path}": {model.config.num_labels} labels; a reward model has one (num_labels=1)'
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer, info


def read_reward_info(folder: Path) -> RewardInfo:
    """The `reward.json` of a reward model's folder."""
    try:
        return RewardInfo(**read_json(folder / "reward.json", "JSON"))
    except (DataError, TypeError) as error:
        raise DataError(
            f'reward model "{folder}": reward.json is missing or broken ({error}); expected '
            '{"eos": bool, "mean": number, "std": number}, as the reward stage writes it'
        ) from None


def in_precision(model: Any, precision: str) -> Any:
    """A model for inference in "fp32" or "bf16"."""
    return model.to(torch.bfloat16) if precision == "bf16" else model


def load_classifier(path: str | Path) -> tuple[Any, Any]:
    """A sequence classifier in eval mode (fp32) and its tokenizer, which may lack an EOS token."""
    from transformers import AutoModelForSequenceClassification

    tokenizer = read_tokenizer(path)
    check_embedding(path, tokenizer)
    model = load_checked(AutoModelForSequenceClassification, path, unexpected=EXTRA_OF_CLASSIFIERS)
    return model.eval(), tokenizer


def check_checkpoint(folder: Path) -> str:
    """Loads a policy or a reward model and returns which of the two it is.

    Raises:
        DataError: it cannot be used, see `load_policy` and `load_reward`.
    """
    if (folder / "reward.json").is_file() or any(
        "SequenceClassification" in n for n in _architectures(folder)
    ):
        load_reward(folder)
        return "reward model"
    load_policy(folder)
    return "policy"


def _architectures(folder: Path) -> list[str]:
    found = _config(folder).get("architectures")
    return [str(name) for name in found] if isinstance(found, list) else []


def _config(folder: Path) -> dict[str, Any]:
    """config.json of a local checkpoint; empty for a hub id, or if it cannot be read (transformers reports that)."""
    try:
        found = read_json(folder / "config.json", "JSON")
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}


def check_embedding(path: str | Path, tokenizer: Any) -> None:
    """Raises DataError if config.json says that the embedding is shorter than the tokenizer's vocabulary."""
    config = _config(Path(path))
    rows = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    if isinstance(rows, int):
        check_rows(path, rows, vocabulary_size(tokenizer))


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
