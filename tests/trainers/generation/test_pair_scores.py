"""Pairs scored together are rows scored alone, for less."""

import pytest
import torch
from worlds import ARCHITECTURES, make_checkpoint, some_prompts

from rlp_bench.trainers.data.tokenize import right_pad
from rlp_bench.trainers.modeling.checkpoints import new_reward
from rlp_bench.trainers.modeling.forward import scalar_scores
from rlp_bench.trainers.modeling.pair_scoring import pair_scores, shared_tokens, shares_beginnings


@pytest.fixture(scope="module", params=ARCHITECTURES)
def reward(request, tmp_path_factory):
    return new_reward(make_checkpoint(tmp_path_factory.mktemp(request.param), request.param), 3)[0]


def some_pairs(count=23):
    prompts, chosen, rejected = (some_prompts(count, seed=seed) for seed in range(3))
    pairs = [(p + c, p + r) for p, c, r in zip(prompts, chosen, rejected, strict=True)]
    pairs += [([5, 6, 7], [5, 6, 7, 8]), ([5, 6, 7, 8], [5, 6, 7]), ([5, 6], [5, 6]), ([4], [5, 0, 0])]
    return [one for one, _ in pairs], [other for _, other in pairs]


def test_the_common_beginning_is_counted():
    assert shared_tokens([1, 2, 3], [1, 2, 4, 5]) == 2
    assert shared_tokens([1, 2], [1, 2, 3]) == 2
    assert shared_tokens([1], [2]) == 0


@pytest.mark.parametrize("microbatch", [1, 4, 100])
def test_pairs_together_are_rows_alone(reward, microbatch):
    chosen, rejected = some_pairs()
    with torch.no_grad():
        ours = pair_scores(reward, chosen, rejected, 0, microbatch)
        for scores, rows in zip(ours, (chosen, rejected), strict=True):
            alone = torch.cat([scalar_scores(reward, *right_pad([row], 0)) for row in rows])
            assert torch.allclose(scores, alone, atol=1e-6)
            assert scores.std() > 1e-3


def test_gradients_are_those_of_rows_alone(reward):
    chosen, rejected = some_pairs(5)
    first, second = pair_scores(reward, chosen, rejected, 0, 4)
    (first - 2 * second).sum().backward()
    together = [parameter.grad.clone() for parameter in reward.parameters()]
    reward.zero_grad()
    alone = scalar_scores(reward, *right_pad(chosen, 0)), scalar_scores(reward, *right_pad(rejected, 0))
    (alone[0] - 2 * alone[1]).sum().backward()
    for one, parameter in zip(together, reward.parameters(), strict=True):
        assert torch.allclose(one, parameter.grad, atol=1e-5, rtol=1e-4)
    reward.zero_grad()


def test_llama_shares_beginnings_and_a_model_that_ignores_the_mask_is_found_out(tmp_path, monkeypatch):
    assert shares_beginnings(new_reward(make_checkpoint(tmp_path / "llama"), 3)[0])
    folder = make_checkpoint(tmp_path / "qwen2", "qwen2")
    assert shares_beginnings(new_reward(folder, 3)[0])
    deaf = new_reward(folder, 3)[0]
    forward = deaf.base_model.forward
    monkeypatch.setattr(
        deaf.base_model, "forward", lambda input_ids, attention_mask=None, position_ids=None, **rest: forward(
            input_ids=input_ids, **rest
        )
    )  # fmt: skip
    assert not shares_beginnings(deaf)
    chosen, rejected = some_pairs(5)
    with torch.no_grad():
        ours = pair_scores(deaf, chosen, rejected, 0, 4)[1]
        alone = torch.cat([scalar_scores(deaf, *right_pad([row], 0)) for row in rejected])
    assert torch.allclose(ours, alone, atol=1e-6)
