"""Dropout for the two views of a text: on within a context only, and drawn with a seed.

Llama, Qwen and Pythia have none by default, and every model is otherwise in eval mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def dropout_on(model: Any, rate: float, seed: int) -> Iterator[None]:
    """Within the context the model drops attention weights, and whatever its dropout modules are at, at this rate.

    Afterwards it is in eval mode again, with its own rates. Draws are a function of `seed`: the random state of the
    process is restored.
    """
    device = torch.device(model.device)
    found = [
        (owner, name)
        for owner in (model.config, *model.modules())
        for name in ("attention_dropout", "p")
        if (name == "attention_dropout" or isinstance(owner, nn.Dropout))
        and isinstance(getattr(owner, name, None), int | float)
    ]
    before = [getattr(owner, name) for owner, name in found]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for owner, name in found:
            setattr(owner, name, rate)
        model.train()
        try:
            yield
        finally:
            model.eval()
            for (owner, name), value in zip(found, before, strict=True):
                setattr(owner, name, value)
