"""A fast decoder for Llama-architecture models: same weights and results as Hugging Face, with less overhead.

Savings, largest first at small width: module and cache bookkeeping; concatenation (the cache is preallocated, all
rows write the same column); rotary embeddings as one complex product (rows of the query and key weights are
reordered so that the two halves of a rotated pair are adjacent, which does not change their dot product); norm
weights and 1/sqrt(head size) folded into the following matrices; the residual sum inside the matrix product.

All rows end at the same cache column, `cursor`; a row of length n occupies the n columns before it, so a new prompt
can take the slot of a finished row at any time. Rotary attention depends only on differences of positions.
Letters: B slots, T cache columns, K rows of one call, L prompt tokens, d hidden size, e head size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..data.tokenize import right_pad
from ..modeling.llama import lean_llama

SLACK_COLUMNS = 24
"""Free columns after the longest possible row; when they are used up, the cache contents are moved left."""
SHORT_TOKENS = 48
"""Up to this prompt length explicit attention is faster than the fused kernel (ours: measured at head size 16)."""


@dataclass
class Layer:
    """One layer's weights, transposed for x @ W, with norm weights and scales folded in."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


def supports(model: Any) -> bool:
    """Whether `LlamaDecoder` supports the model: plain Llama, fp32, no biases, static rotary embeddings, CPU."""
    return type(model).__name__ == "LlamaForCausalLM" and lean_llama(model)


class LlamaDecoder:
    """Continuous batching: `fill` puts prompts into slots at any time, `step` advances all slots by one token."""

    refills = True

    def __init__(self, model: Any, slots: int, longest_prompt: int, max_response_tokens: int) -> None:
        config = model.config
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.width = config.hidden_size
        self.longest_prompt = longest_prompt
        self.limit = longest_prompt + max_response_tokens
        self._fuse(model)
        with torch.inference_mode():
            positions = torch.arange(self.limit + 1)[None]
            cos, sin = model.model.rotary_emb(torch.zeros(1, 1, 1), positions)
            self.rotation = torch.complex(cos, sin)[0, :, : self.size // 2].contiguous()
        columns = self.limit + min(SLACK_COLUMNS, self.limit)
        shape = (slots, columns, self.kv_heads, self.size)
        # numpy allocates zeros lazily; torch writes all of them at once.
        self.keys = [torch.from_numpy(np.zeros(shape, dtype=np.float32)) for _ in self.layers]
        self.values = [torch.from_numpy(np.zeros(shape, dtype=np.float32)) for _ in self.layers]
        self.bias = torch.full((slots, 1, 1, columns), -torch.inf)
        self.start = torch.full((slots,), longest_prompt)
        self.cursor = longest_prompt

    def _fuse(self, model: Any) -> None:
        """Copies the weights into their fused form; repeated for every rollout because training changes them."""
        size, queries = self.size, self.heads * self.size
        pairs = torch.arange(size).view(2, size // 2).T.reshape(-1)
        self.layers = []
        with torch.no_grad():
            for layer in model.model.layers:
                attention, mlp = layer.self_attn, layer.mlp
                query = attention.q_proj.weight.view(self.heads, size, -1)[:, pairs] * size**-0.5
                key = attention.k_proj.weight.view(self.kv_heads, size, -1)[:, pairs]
                qkv = torch.cat([query.flatten(0, 1), key.flatten(0, 1), attention.v_proj.weight])
                gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
                fused = Layer(
                    qkv=(qkv * layer.input_layernorm.weight).T.contiguous(),
                    out=attention.o_proj.weight.T.contiguous(),
                    gate_up=(gate_up * layer.post_attention_layernorm.weight).T.contiguous(),
                    down=mlp.down_proj.weight.T.contiguous(),
                )
                self.layers.append(fused)
            self.embedding = model.model.embed_tokens.weight.detach()
            self.unembedding = (model.lm_head.weight * model.model.norm.weight).T.contiguous()
        self.queries = queries
        self.rotated = (self.heads + self.kv_heads) * size

    # --- one token a row ------------------------------------------------------------------------------

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token (B,) to each slot and returns the next-token logits (B, V)."""
        if self.cursor == self.bias.shape[-1]:
            self._move_back()
        first, now = int(self.start.min()), self.cursor
        batch, groups = len(tokens), self.heads // self.kv_heads
        rotation = self.rotation[now - self.start][:, None]
        self.bias[:, :, :, now] = 0
        bias = self.bias[:, :, :, first : now + 1]
        x = self.embedding[tokens]
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            qkv = torch.mm(self._norm(x), layer.qkv)
            qk = self._rotate(qkv[:, : self.rotated].view(batch, -1, self.size), rotation)
            keys[:, now] = qk[:, self.heads :]
            values[:, now] = qkv[:, self.rotated :].view(batch, self.kv_heads, self.size)
            query = qk[:, : self.heads].view(batch, self.kv_heads, groups, self.size)
            # numpy's product of many small matrices takes 2/3 of the time of torch's batched product.
            scores = np.matmul(query.numpy(), keys.numpy()[:, first : now + 1].transpose(0, 2, 3, 1))
            weights = torch.from_numpy(scores).add_(bias).softmax(-1)
            mixed = torch.from_numpy(
                np.matmul(weights.numpy(), values.numpy()[:, first : now + 1].swapaxes(1, 2))
            )
            mixed = mixed.view(batch, self.queries)
            x.addmm_(mixed, layer.out)
            x.addmm_(self._gated(torch.mm(self._norm(x), layer.gate_up)), layer.down)
        self.cursor = now + 1
        return torch.mm(self._norm(x), self.unembedding)

    # --- rows in and out ------------------------------------------------------------------------------

    def fill(self, slots: Tensor, prompts: list[list[int]]) -> Tensor:
        """Puts K prompts into these slots, replacing their rows, and returns the next-token logits (K, V).

        Repeated prompts are computed once.
        """
        distinct = list(dict.fromkeys(tuple(prompt) for prompt in prompts))
        place = {prompt: row for row, prompt in enumerate(distinct)}
        source = torch.tensor([place[tuple(prompt)] for prompt in prompts])
        ids, mask = right_pad([list(prompt) for prompt in distinct], 0)
        hidden, keys, values = self._prefill(ids)
        lengths = mask.sum(1)
        begin = self.cursor - lengths[source]
        rows, steps = mask[source].nonzero(as_tuple=True)
        into, out_of = (slots[rows], begin[rows] + steps), (source[rows], steps)
        for layer in range(len(self.layers)):
            self.keys[layer][into] = keys[layer][out_of]
            self.values[layer][into] = values[layer][out_of]
        self.start[slots] = begin
        hidden_columns = torch.arange(self.bias.shape[-1])[None] < begin[:, None]
        self.bias[slots, 0, 0] = torch.zeros(hidden_columns.shape).masked_fill_(hidden_columns, -torch.inf)
        last = hidden[torch.arange(len(distinct)), lengths - 1]
        return torch.mm(self._norm(last), self.unembedding)[source]

    def _prefill(self, ids: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Hidden states (K, L, d) of right-padded prompts, keys and values (K, L, kv heads, e) per layer."""
        batch, length = ids.shape
        rotation = self.rotation[:length, None]
        x = self.embedding[ids].view(batch * length, self.width)
        all_keys, all_values = [], []
        for layer in self.layers:
            qkv = torch.mm(self._norm(x), layer.qkv).view(batch, length, -1)
            qk = self._rotate(qkv[..., : self.rotated].view(batch, length, -1, self.size), rotation)
            query, key = qk[:, :, : self.heads], qk[:, :, self.heads :]
            value = qkv[..., self.rotated :].view(batch, length, -1, self.size)
            mixed = self._attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
            x.addmm_(mixed.transpose(1, 2).reshape(batch * length, -1), layer.out)
            x.addmm_(self._gated(torch.mm(self._norm(x), layer.gate_up)), layer.down)
            all_keys.append(key)
            all_values.append(value)
        return x.view(batch, length, -1), all_keys, all_values

    def release(self, slots: Tensor) -> None:
        """Marks the rows in these slots as finished, so that attention skips their columns."""
        self.start[slots] = self.cursor

    def shrink(self, keep: Tensor) -> None:
        """Keeps only these slots, in this order."""
        first = int(self.start[keep].min())
        used = slice(first, self.cursor)
        for cache in (self.keys, self.values):
            for layer in range(len(cache)):
                kept = cache[layer][keep, used]
                cache[layer] = cache[layer][: len(keep)]
                cache[layer][:, used] = kept
        self.bias, self.start = self.bias[keep], self.start[keep]

    def _move_back(self) -> None:
        """Moves the used columns as far left as the longest prompt allows, after the last column is reached."""
        first = int(self.start.min())
        shift = min(first, self.cursor - self.longest_prompt)
        used, to = slice(first, self.cursor), slice(first - shift, self.cursor - shift)
        for cache in (*self.keys, *self.values):
            cache[:, to] = cache[:, used].clone()
        self.bias[..., : self.cursor - shift] = self.bias[..., shift : self.cursor].clone()
        self.start -= shift
        self.cursor -= shift

    # --- pieces ---------------------------------------------------------------------------------------

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Causal attention over whole prompts, (K, heads, L, e) -> (K, heads, L, e)."""
        length = query.shape[2]
        if self.heads != self.kv_heads or length > SHORT_TOKENS:
            return functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=1.0, enable_gqa=self.heads != self.kv_heads
            )
        later = torch.full((length, length), -torch.inf).triu_(1)
        return torch.matmul(torch.matmul(query, key.transpose(2, 3)).add_(later).softmax(-1), value)

    def _norm(self, x: Tensor) -> Tensor:
        """RMS norm without its weight, which is folded into the next matrix; (K, d) -> (K, d)."""
        rows = x.numpy()
        mean_square = np.einsum("kd,kd->k", rows, rows) / np.float32(self.width)
        return x / torch.from_numpy(np.sqrt(mean_square + np.float32(self.eps)))[:, None]

    def _rotate(self, x: Tensor, rotation: Tensor) -> Tensor:
        """Adjacent pairs of x (..., heads, e) as complex numbers, multiplied by `rotation` (..., 1, e/2)."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * rotation).flatten(-2)

    def _gated(self, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return functional.silu(gate).mul_(up)
