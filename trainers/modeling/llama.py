"""A Llama forward pass on rows of different lengths that does not compute on padding. Differentiable.

Real tokens are packed into one (N, d) matrix for everything but attention; queries, keys and values are computed with
one matrix product, gate and up with another. Uses the model's parameters and equals its own forward pass up to
rounding. At the size of the embedded world responses are on average a third as long as the longest one, so most of a
padded batch is padding. Letters: B rows, L columns, N real tokens, d hidden size, e head size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def lean_llama(model: Any) -> bool:
    """Whether this module supports the model: Llama, fp32 on a CPU, no biases, static rotary embeddings.

    Attention weights are dropped in train mode, which `modeling.dropout` alone sets.

    False if the layers' own forward must be called: sharded models, activation checkpointing, adapters.
    """
    config, backbone = model.config, model.base_model
    if (
        getattr(model, "in_shards", False)
        or getattr(model, "recomputes", False)
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    return (
        type(backbone).__name__ == "LlamaModel"
        and model.device.type == "cpu"
        and model.dtype == torch.float32
        and config.hidden_act == "silu"
        and type(backbone.layers[0].self_attn.q_proj) is torch.nn.Linear
        and type(backbone.layers[0].mlp.up_proj) is torch.nn.Linear
        and not getattr(config, "attention_bias", False)
        and not getattr(config, "mlp_bias", False)
        and (model.training or not getattr(config, "attention_dropout", 0.0))
        and (config.rope_parameters or {}).get("rope_type", "default") in ("default", "linear", "llama3")
    )


def llama_hidden(
    model: Any, ids: Tensor, mask: Tensor, positions: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """Hidden states (B, L, d) after the last norm; 0 on padding.

    Args:
        ids: (B, L) int64, right-padded. mask: (B, L) bool, True on real tokens.
        positions: (B, L) int64; default 0, 1, ... in each row.
        bias: (B, 1, L, L), added to attention scores; default causal.
    """
    backbone, config = model.base_model, model.config
    batch, length = ids.shape
    if positions is None:
        positions = torch.arange(length, device=ids.device).expand(batch, length)
    real = None if bool(mask.all()) else mask.flatten().nonzero().squeeze(1)
    x = backbone.embed_tokens(_pick(ids.flatten(), real))
    rotation = _rotation(backbone, _pick(positions.flatten(), real))
    for layer in backbone.layers:
        normed = functional.rms_norm(x, x.shape[-1:], layer.input_layernorm.weight, config.rms_norm_eps)
        x = x + _attention(layer.self_attn, config, normed, rotation, real, (batch, length), bias)
        normed = functional.rms_norm(
            x, x.shape[-1:], layer.post_attention_layernorm.weight, config.rms_norm_eps
        )
        mlp = layer.mlp
        gate, up = functional.linear(normed, torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])).chunk(
            2, dim=-1
        )
        x = x + functional.linear(functional.silu(gate) * up, mlp.down_proj.weight)
    x = functional.rms_norm(x, x.shape[-1:], backbone.norm.weight, config.rms_norm_eps)
    return _spread(x, real, batch * length).view(batch, length, -1)


def _attention(
    attention: Any, config: Any, x: Tensor, rotation: Tensor, real: Tensor | None, shape: tuple[int, int],
    bias: Tensor | None,
) -> Tensor:  # fmt: skip
    """Self-attention of packed tokens x (N, d) -> (N, d); rows are padded only here."""
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    size = attention.head_dim
    weights = [
        _pairs_together(attention.q_proj.weight, heads),
        _pairs_together(attention.k_proj.weight, kv_heads),
        attention.v_proj.weight,
    ]
    qkv = functional.linear(x, torch.cat(weights))
    rotated = (heads + kv_heads) * size
    pairs = torch.view_as_complex(qkv[:, :rotated].reshape(len(x), -1, size // 2, 2))
    qk = torch.view_as_real(pairs * rotation).flatten(1)
    tokens = shape[0] * shape[1]
    qk, v = _spread(qk, real, tokens), _spread(qkv[:, rotated:], real, tokens)
    qk, v = qk.view(*shape, -1, size).transpose(1, 2), v.view(*shape, -1, size).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(
        qk[:, :heads], qk[:, heads:], v, attn_mask=bias, is_causal=bias is None, enable_gqa=heads != kv_heads,
        dropout_p=config.attention_dropout if attention.training else 0.0,
    )  # fmt: skip
    mixed = mixed.transpose(1, 2).reshape(tokens, heads * size)
    return functional.linear(_pick(mixed, real), attention.o_proj.weight)


def _pairs_together(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key matrix reordered so that rotated pairs are adjacent; dot products do not change."""
    return weight.view(heads, 2, -1, weight.shape[-1]).transpose(1, 2).reshape(weight.shape)


def _rotation(backbone: Any, positions: Tensor) -> Tensor:
    """Complex rotations (N, 1, e/2) of packed positions (N,)."""
    with torch.no_grad():
        cos, sin = backbone.rotary_emb(torch.zeros(1, device=positions.device), positions[None])
        half = cos.shape[-1] // 2
        return torch.complex(cos[0, :, None, :half], sin[0, :, None, :half])


def _pick(rows: Tensor, real: Tensor | None) -> Tensor:
    """Real rows of a padded matrix."""
    return rows if real is None else rows.index_select(0, real)


def _spread(rows: Tensor, real: Tensor | None, tokens: int) -> Tensor:
    """The padded matrix of packed rows, 0 on padding."""
    if real is None:
        return rows
    return rows.new_zeros(tokens, rows.shape[1]).index_copy(0, real, rows)
