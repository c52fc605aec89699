"""The lean forward pass is the model's own, values and gradients, with padding, other positions and masks."""

import pytest
import torch
from worlds import ARCHITECTURES, make_model, some_prompts

from rlp_bench.trainers.data.tokenize import right_pad
from rlp_bench.trainers.modeling.llama import lean_llama, llama_hidden


def close_gradients(one, other):
    """To float32's precision of each tensor's largest entry: which sums come first hangs on the machine."""
    return all(
        torch.allclose(a.grad, b.grad, atol=2e-6 * float(b.grad.abs().max()), rtol=1e-4)
        for a, b in zip(one.parameters(), other.parameters(), strict=True)
        if b.grad is not None
    )


@pytest.mark.parametrize("kind", ["llama", "grouped"])
@pytest.mark.parametrize("rows", [some_prompts(9), [[4, 5, 6], [7, 8, 9]]], ids=["padded", "full"])
def test_values_and_gradients_are_those_of_the_models_own_pass(kind, rows):
    ours, theirs = make_model(kind), make_model(kind)
    ids, mask = right_pad(rows, 0)
    lean, own = llama_hidden(ours, ids, mask), theirs.base_model(input_ids=ids).last_hidden_state
    assert torch.allclose(lean[mask], own[mask], atol=1e-5)
    assert not lean[~mask].any()
    weights = torch.randn(own.shape, generator=torch.Generator().manual_seed(0)) * mask[:, :, None]
    (lean * weights).sum().backward()
    (own * weights).sum().backward()
    assert close_gradients(ours, theirs)


def test_positions_and_masks_are_heeded():
    model, (ids, mask) = make_model("grouped"), right_pad(some_prompts(6), 0)
    length = ids.shape[1]
    positions = torch.arange(length).flip(0).expand(6, -1)
    bias = torch.zeros(6, 1, length, length).masked_fill_(
        torch.eye(length).bool().roll(-1, 1).triu(1), -torch.inf
    )
    bias = bias.masked_fill(~mask[:, None, None, :], -torch.inf)
    own = model.base_model(input_ids=ids, attention_mask=bias, position_ids=positions).last_hidden_state
    lean = llama_hidden(model, ids, mask, positions, bias)
    assert torch.allclose(lean[mask], own[mask], atol=1e-5)
    assert not torch.allclose(lean[mask], llama_hidden(model, ids, mask)[mask], atol=1e-3)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16, "rope_theta": 1e4,
        },
    ],
    ids=["linear", "llama3"],
)  # fmt: skip
def test_stretched_rotations_are_the_models(rope):
    from transformers import LlamaForCausalLM

    config = make_model("llama").config
    config.rope_parameters = rope
    torch.manual_seed(0)
    model, (ids, mask) = LlamaForCausalLM(config).eval(), right_pad(some_prompts(6), 0)
    assert lean_llama(model)
    own = model.base_model(input_ids=ids).last_hidden_state
    assert torch.allclose(llama_hidden(model, ids, mask)[mask], own[mask], atol=1e-5)


def test_it_takes_llama_without_dropout_or_biases_and_nothing_else():
    assert [lean_llama(make_model(kind)) for kind in ARCHITECTURES] == [True, True, False, False]
    for name, value in (("attention_dropout", 0.1), ("attention_bias", True), ("hidden_act", "gelu")):
        odd = make_model("llama")
        setattr(odd.config, name, value)
        assert not lean_llama(odd)
    stretched = make_model("llama")
    stretched.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert not lean_llama(stretched)
