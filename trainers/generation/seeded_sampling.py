"""Counter-based random numbers, and token sampling with them.

The uniform number for token t of sample s of prompt p is a function of (seed, p, s, t) alone, so a result does not
depend on the number of slots or processes or on which rows are decoded together. Letters: K rows, V vocabulary.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlp_bench.api import Decoding


def uniforms(seed: int, first_prompt: int, prompts: int, n: int, steps: int) -> NDArray[np.float32]:
    """Uniform numbers in (0, 1], (prompts * n, steps): row p * n + s is for sample s of prompt p.

    Counter-based (Philox 4x64, Salmon et al. 2011): the key is (seed, prompt), the counter starts at the sample.
    """
    table = np.empty((prompts, n, steps), dtype=np.float32)
    for prompt in range(prompts):
        for sample in range(n):
            bits = np.random.Philox(key=[seed % 2**64, first_prompt + prompt], counter=[0, 0, 0, sample])
            table[prompt, sample] = np.random.Generator(bits).random(steps, dtype=np.float32)
    return 1.0 - table.reshape(prompts * n, steps)


def choose(logits: Tensor, uniform: Tensor, decoding: Decoding) -> tuple[Tensor, Tensor]:
    """Samples one token per row by inverse CDF: the first whose cumulative probability reaches the uniform number.

    A token of probability 0 is never sampled: it does not increase the cumulative probability. Temperature 0 is greedy.

    Args:
        logits: (K, V). uniform: (K,) in (0, 1].

    Returns:
        tokens (K,) int64, and their log-probabilities (K,) in nats under the sampling distribution (greedy: under the
        model at temperature 1).
    """
    if decoding.temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, _pick(logits, tokens) - logits.logsumexp(-1)
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    shifted = logits - logits.amax(-1, keepdim=True)
    weights = shifted.exp()
    if decoding.top_p < 1:
        weights = nucleus(weights, decoding.top_p)
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1]
    tokens = torch.searchsorted(cumulative, (uniform * total)[:, None]).squeeze(-1)
    return tokens, _pick(shifted, tokens) - total.log()


def nucleus(weights: Tensor, top_p: float) -> Tensor:
    """Weights with all but the smallest set of most likely tokens of total mass at least `top_p` set to 0.

    (K, V) -> (K, V). Source: Holtzman et al. 2020, arXiv 1904.09751, section 3.1; ties by token id.
    """
    ordered, order = torch.sort(weights, dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    dropped = before >= top_p * ordered.sum(-1, keepdim=True)
    dropped[:, 0] = False
    return torch.zeros_like(weights).scatter(-1, order, ordered.masked_fill(dropped, 0))


def _pick(table: Tensor, tokens: Tensor) -> Tensor:
    return table.gather(-1, tokens[:, None]).squeeze(-1)
