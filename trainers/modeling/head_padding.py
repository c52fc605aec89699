"""Pads the attention heads of Llama checkpoints without changing the function: vLLM's CPU kernels support few widths.

A head of d dimensions becomes one of D: D − d zero rows in its query, key and value matrices, as many zero columns in
the output matrix. Attention scores stay qᵀk / √d because the query is multiplied by √(D/d). Rotary embeddings do not
change because `partial_rotary_factor` = d/D rotates only the first d dimensions, at the frequencies of d.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlp_bench.api import DataError

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Head dimensions supported by vLLM's CPU attention. Source: vLLM 0.30, `v1/attention/backends/cpu_attn.py`."""


def head_width(config: Any) -> int:
    """Dimensions of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def wider(config: Any) -> int | None:
    """The width to which heads have to be padded; None if vLLM's CPU kernels support the model's own.

    Raises:
        DataError: the width is not supported, and the model is not a plain Llama.
    """
    own = head_width(config)
    if own in WIDTHS:
        return None
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if config.model_type != "llama" or rope != "default" or own > WIDTHS[-1]:
        raise DataError(
            f'engine "vllm": {config.model_type} with attention heads of {own} dimensions; expected on a CPU one of '
            f'{", ".join(map(str, WIDTHS))}; use engine "transformers" for this model'
        )
    return min(width for width in WIDTHS if width > own)


def write_padded(folder: Path, config: Any, out: Path) -> None:
    """Writes the checkpoint in `folder` with heads of `wider(config)` dimensions to `out`, without a tokenizer."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    old, new = head_width(config), wider(config) or head_width(config)
    tensors: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as found:
            for name in found.keys():  # noqa: SIM118 (safe_open is no mapping)
                tensors[name] = _padded(name, found.get_tensor(name), old, new).contiguous()
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    changed = type(config).from_dict(config.to_dict())
    changed.head_dim = new
    changed.rope_parameters = {**config.rope_parameters, "partial_rotary_factor": old / new}
    changed.save_pretrained(str(out))


def _padded(name: str, tensor: "Tensor", old: int, new: int) -> "Tensor":
    """One padded tensor of the checkpoint; tensors outside attention are returned unchanged."""
    if ".self_attn." not in name:
        return tensor
    projection = name.split(".self_attn.")[1].split(".")[0]
    if projection == "o_proj":
        return _columns(tensor, old, new) if tensor.ndim == 2 else tensor
    rows = _columns(tensor.T, old, new).T if tensor.ndim == 2 else _columns(tensor[None], old, new)[0]
    return rows * math.sqrt(new / old) if projection == "q_proj" else rows


def _columns(matrix: "Tensor", old: int, new: int) -> "Tensor":
    """(a, heads · old) -> (a, heads · new), zeros after the columns of each head."""
    heads = matrix.reshape(len(matrix), -1, old)
    wide = heads.new_zeros(*heads.shape[:2], new)
    wide[..., :old] = heads
    return wide.reshape(len(matrix), -1)
