"""Tokens are drawn from the softmax, from its nucleus, or greedily; uniforms belong to places."""

import numpy as np
import torch
from scipy import stats

from rlp_bench.api.types import Decoding
from rlp_bench.trainers.generation.seeded_sampling import choose, nucleus, uniforms


def test_uniforms_belong_to_seed_prompt_sample_and_step_alone():
    whole = uniforms(7, 0, 5, 3, 10)
    assert np.array_equal(whole[6:], uniforms(7, 2, 3, 3, 10)), "a part of the prompts draws the same"
    assert np.array_equal(whole[::3], uniforms(7, 0, 5, 1, 10)), "fewer samples draw the same"
    assert np.array_equal(whole[:, :4], uniforms(7, 0, 5, 3, 4)), "fewer steps draw the same"
    assert len(np.unique(whole)) == whole.size, "no two places share a number"
    assert not np.intersect1d(whole, uniforms(8, 0, 5, 3, 10)).size


def test_uniforms_are_uniform_and_never_zero():
    drawn = uniforms(0, 0, 200, 5, 50).ravel()
    assert drawn.min() > 0
    assert drawn.max() <= 1
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


def test_sampled_frequencies_are_the_softmax():
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, -30.0, 0.5])
    draws = 50_000
    uniform = torch.from_numpy(uniforms(1, 0, draws, 1, 1)[:, 0])
    for temperature in (1.0, 0.5):
        tokens, logprobs = choose(logits.expand(draws, -1), uniform, Decoding(temperature, 1.0))
        expected = (logits.double() / temperature).softmax(0)
        counts = torch.bincount(tokens, minlength=6).double().numpy()
        likely = expected.numpy() > 1e-6
        assert (
            stats.chisquare(
                counts[likely], draws * (expected[likely] / expected[likely].sum()).numpy()
            ).pvalue
            > 1e-3
        )
        assert counts[~likely].sum() == 0
        assert torch.allclose(logprobs.double(), expected.log()[tokens], atol=1e-6)


def test_extreme_uniforms_never_draw_an_impossible_token():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(2, -1)
    tokens, _ = choose(logits, torch.tensor([1e-9, 1.0]), Decoding())
    assert tokens.tolist() == [1, 3]


def test_nucleus_keeps_the_smallest_set_that_reaches_the_mass():
    weights = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.25, 0.25, 0.25, 0.25]])
    assert (nucleus(weights, 0.75) > 0).tolist() == [[False, True, False, True], [True, True, True, False]]
    assert (nucleus(weights, 0.76) > 0).tolist() == [[False, True, True, True], [True, True, True, True]]
    assert (nucleus(weights, 1e-9) > 0).tolist() == [[False, True, False, False], [True, False, False, False]]


def test_nucleus_is_that_of_transformers():
    from transformers import TopPLogitsWarper

    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(0)) * 3
    for top_p in (0.3, 0.9):
        theirs = TopPLogitsWarper(top_p)(None, logits).isfinite()
        assert torch.equal(nucleus(logits.softmax(-1), top_p) > 0, theirs)


def test_log_probabilities_under_top_p_are_of_the_truncated_distribution():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().expand(3, -1)
    tokens, logprobs = choose(logits, torch.tensor([0.1, 0.7, 1.0]), Decoding(1.0, 0.8))
    assert tokens.tolist() == [0, 1, 1]
    assert torch.allclose(logprobs.exp(), torch.tensor([0.625, 0.375, 0.375]), atol=1e-6)


def test_temperature_zero_is_greedy():
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    tokens, logprobs = choose(logits, torch.tensor([0.001]), Decoding(temperature=0.0))
    assert tokens.tolist() == [1]
    assert torch.allclose(logprobs, logits.log_softmax(-1)[:, 1])
