"""Decoder for any Hugging Face causal model, with its own forward pass and cache; finished rows are removed."""

import inspect
from typing import Any

import torch
from torch import Tensor


class GenericDecoder:
    """Left-padded rows with one growing cache; new rows can be added only after all have finished."""

    refills = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def fill(self, slots: Tensor, prompts: list[list[int]]) -> Tensor:
        """Restarts with these prompts and returns the next-token logits (K, V). `slots` must cover all of them."""
        from transformers import DynamicCache

        longest = max(map(len, prompts))
        assert len(slots) == len(prompts)
        ids = torch.zeros((len(prompts), longest), dtype=torch.int64)
        self.mask = torch.zeros((len(prompts), longest), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            self.mask[row, longest - len(prompt) :] = 1
        device = self.model.device
        self.mask = self.mask.to(device)
        self.cache = DynamicCache(config=self.model.config)
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.next_position = positions[:, -1:] + 1
        return self._forward(ids.to(device), positions)

    def step(self, tokens: Tensor) -> Tensor:
        """Appends one token to each row and returns the next-token logits (B, V)."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        logits = self._forward(tokens[:, None], self.next_position)
        self.next_position = self.next_position + 1
        return logits

    def release(self, slots: Tensor) -> None:
        """No-op: finished rows are decoded further until `shrink` removes them."""

    def shrink(self, keep: Tensor) -> None:
        """Keeps only these rows, in this order."""
        self.cache.batch_select_indices(keep)
        self.mask, self.next_position = self.mask[keep], self.next_position[keep]

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        options = {"position_ids": positions} if self.takes_positions else {}
        output = self.model(
            input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True,
            logits_to_keep=1, **options,
        )  # fmt: skip
        return output.logits[:, -1].float()
