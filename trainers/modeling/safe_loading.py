"""The one loader of weights: safetensors only, no remote code, and the tensors must cover the model exactly.

Every other module loads through it, so that no model ever runs on newly initialized or non-finite weights.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import DataError, first_names, tensors_of

from ..data.tokenizer import one_line, quiet_transformers

WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that torch.compile, FSDP and activation checkpointing insert into tensor names."""
HEAD = "score.weight"
HEADS = ("v_head", "v_head.summary", "value_head", "value_head.summary", "reward_head", "rm_head", "score_head",
         "regression_head", "classifier", "head")  # fmt: skip
"""Names under which other libraries store a scalar reward head."""
NEW_HEAD = (re.compile(r"^score\."), re.compile(r"^(lm_head|embed_out)\."))
"""(missing, unexpected) tensors of a policy that is loaded as a backbone for a new scalar head."""
EXTRA_OF_CLASSIFIERS = re.compile(r"(^|\.)(pooler\.|position_ids$)")
"""Tensors that classifiers on encoders are often stored with and do not use."""
NOTHING = re.compile(r"(?!)")


def load_checked(
    kind: Any,
    path: str | Path,
    *,
    scalar_head: bool = False,
    missing: re.Pattern[str] = NOTHING,
    unexpected: re.Pattern[str] = NOTHING,
    **options: Any,
) -> Any:
    """A model in fp32 whose tensors are exactly those of the checkpoint.

    Args:
        kind: an auto class of transformers. options: passed to its `from_pretrained`.
        scalar_head: whether a head under one of `HEADS` is read as `score`.
        missing, unexpected: tensors that may be missing from, or extra in, the checkpoint.

    Raises:
        DataError: the checkpoint cannot be read; tensors are missing, unexpected, of another shape or not finite; or
            the config ties the embeddings and the stored ones differ.
    """
    renamed = renamed_tensors(Path(path), scalar_head) if Path(path).is_dir() else {}
    if renamed:
        old, new = next((old, new) for old, new in renamed.items() if old != new)
        _warn(
            f'warning: checkpoint "{path}": {len(renamed)} tensors are read under another name ("{old}" as "{new}")'
        )
    model, info = _from_pretrained(kind, path, options, renamed)
    _check_coverage(path, model, info, missing, unexpected)
    _check_tied(path, model)
    check_finite(path, model.state_dict().items())
    return model


def renamed_tensors(folder: Path, scalar_head: bool = False) -> dict[str, str]:
    """Stored name -> the model's name, of all tensors if any differs; empty if none does.

    Raises:
        DataError: a weight file is damaged or missing, or two tensors would get the same name.
    """
    stored = tensors_of(folder)
    names = {name: _unwrapped(name, stored) for name in stored}
    if scalar_head and HEAD not in names.values():
        heads = [name for name, plain in names.items() if plain.removesuffix(".weight") in HEADS]
        names |= {name: HEAD for name in heads if len(heads) == 1}
    if len(set(names.values())) < len(names):
        raise DataError(
            f'checkpoint "{folder}": some tensors are stored twice, with and without the name of a wrapper; expected '
            "each once; save the unwrapped model again with save_pretrained"
        )
    return {} if all(old == new for old, new in names.items()) else names


def _unwrapped(name: str, stored: Mapping[str, object]) -> str:
    """A tensor's name without the parts that wrappers insert; "module." counts if all names start with it."""
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    if parts[0] == "module" and all("module" in other.split(".")[:2] for other in stored):
        parts = parts[1:]
    return ".".join(parts)


def _renamed_state(folder: Path, renamed: Mapping[str, str]) -> dict[str, Tensor]:
    from safetensors import safe_open

    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            state |= {renamed[key]: file.get_tensor(key) for key in file.keys() if key in renamed}  # noqa: SIM118
    return state


def _from_pretrained(
    kind: Any, path: str | Path, options: Mapping[str, Any], renamed: Mapping[str, str]
) -> tuple[Any, Mapping[str, Any]]:
    """(model, names of its missing, unexpected and mismatched tensors), without warnings and progress bars."""
    from transformers import AutoConfig, GenerationConfig

    source: str | None = str(path)
    try:
        with quiet_transformers():
            if renamed:
                config = AutoConfig.from_pretrained(str(path), trust_remote_code=False, **options)
                with torch.device("meta"):
                    kind = type(kind.from_config(config))  # an auto class does not take a state_dict
                source, options = None, {"config": config, "state_dict": _renamed_state(Path(path), renamed)}
            model, info = kind.from_pretrained(
                source,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are reported, and refused by `_check_coverage`
                output_loading_info=True,
                **options,
            )
            if renamed and model.can_generate() and (Path(path) / "generation_config.json").is_file():
                model.generation_config = GenerationConfig.from_pretrained(str(path))
        return model, info
    except Exception as error:  # transformers raises many types; each becomes a one-line error
        raise DataError(f'checkpoint "{path}": the model cannot be read: {one_line(error)}') from error


def _check_coverage(
    path: str | Path,
    model: Any,
    info: Mapping[str, Any],
    missing: re.Pattern[str],
    unexpected: re.Pattern[str],
) -> None:
    shapes = {name: (tuple(stored), tuple(own)) for name, stored, own in info["mismatched_keys"]}
    absent = sorted(name for name in set(info["missing_keys"]) - set(shapes) if not missing.search(name))
    extra = sorted(name for name in info["unexpected_keys"] if not unexpected.search(name))
    faults = []
    if absent:
        faults.append(f"{len(absent)} tensors are missing ({first_names(absent)})")
    if extra:
        faults.append(f"{len(extra)} are unexpected ({first_names(extra)})")
    if shapes:
        wrong = [f"{name} {list(stored)}, not {list(own)}" for name, (stored, own) in sorted(shapes.items())]
        faults.append(f"{len(wrong)} have another shape ({first_names(wrong)})")
    if faults:
        raise DataError(
            f'checkpoint "{path}": {", ".join(faults)}; expected exactly the tensors of {type(model).__name__} with '
            f"this config.json; {_remedy(absent, extra)}"
        )


def _remedy(absent: Sequence[str], extra: Sequence[str]) -> str:
    if any("lora_" in name for name in extra):
        return "merge the adapters (merge_and_unload) and save the model again with save_pretrained"
    if HEAD in absent:
        return f'store the reward head as "{HEAD}", or give the folder of a reward model'
    if "lm_head.weight" in absent:
        return "save the output matrix too, or set tie_word_embeddings to true if the embedding is the output matrix"
    return "save the unwrapped model again with save_pretrained"


def _check_tied(path: str | Path, model: Any) -> None:
    """Raises DataError if the config ties the output matrix to the embedding and the checkpoint has two."""
    output = model.get_output_embeddings()
    if output is None or not getattr(model.config, "tie_word_embeddings", False):
        return
    if output.weight is not model.get_input_embeddings().weight:
        raise DataError(
            f'checkpoint "{path}": the output matrix differs from the embedding, and config.json ties them; expected '
            "one of the two; set tie_word_embeddings to false to keep both"
        )


def check_finite(path: str | Path, tensors: Any) -> None:
    """Raises DataError if one of the (name, tensor) has NaN or infinite values."""
    bad = sorted(
        name
        for name, tensor in tensors
        if tensor.is_floating_point() and tensor.numel() and not _finite(tensor)
    )
    if bad:
        raise DataError(
            f'checkpoint "{path}": {len(bad)} tensors have NaN or infinite values ({first_names(bad)}); expected '
            "finite weights; take a checkpoint from before training diverged"
        )


def _finite(tensor: Tensor) -> bool:
    low, high = torch.aminmax(tensor.float())
    return bool(torch.isfinite(low) & torch.isfinite(high))


def check_finite_files(folder: Path) -> None:
    """`check_finite` on the files of a checkpoint, one tensor at a time, without a model."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            check_finite(folder, ((key, file.get_tensor(key)) for key in file.keys()))  # noqa: SIM118


def fit_vocabulary(path: str | Path, model: Any, tokenizer: Any) -> None:
    """Cuts the rows of embedding and output matrix that no token of the tokenizer has: they are never sampled.

    Raises:
        DataError: the embedding has fewer rows than the tokenizer has tokens.
    """
    rows, tokens = model.get_input_embeddings().weight.shape[0], vocabulary_size(tokenizer)
    check_rows(path, rows, tokens)
    if rows > tokens:
        with torch.random.fork_rng(devices=[]):
            model.resize_token_embeddings(tokens, mean_resizing=False)


def vocabulary_size(tokenizer: Any) -> int:
    """The largest token id, plus 1."""
    return 1 + max(tokenizer.get_vocab().values())


def check_rows(path: str | Path, rows: int, tokens: int) -> None:
    """Raises DataError if an embedding of `rows` rows is too short for `tokens` tokens."""
    if rows < tokens:
        raise DataError(
            f'checkpoint "{path}": the tokenizer has {tokens} tokens and the embedding {rows} rows; expected a row for '
            "every token; call model.resize_token_embeddings(len(tokenizer)) and save the model again"
        )


@cache
def _warn(line: str) -> None:
    """Logs a warning once per process; without a logging configuration it is printed to stderr."""
    logging.getLogger("rlp_bench").warning(line)
