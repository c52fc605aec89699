"""Rollouts are what the model would have said: greedy, log-probabilities, frequencies, whatever the slots."""

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import make_tokenizer
from worlds import ARCHITECTURES, make_model, some_prompts

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Decoding
from rlp_bench.trainers.generation.llama_decoder import LlamaDecoder, supports
from rlp_bench.trainers.generation.rollout import rollout

DRAWN = Decoding(max_response_tokens=20)


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("ids", "mask", "finished"))


def test_the_lean_decoder_takes_llama_and_nothing_else():
    assert [supports(make_model(kind)) for kind in ARCHITECTURES] == [True, True, False, False]
    odd = make_model("llama")
    odd.config.hidden_act = "gelu"
    assert not supports(odd)
    assert not supports(make_model("llama").to(torch.bfloat16))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_greedy_is_what_generate_says(kind):
    model, tokenizer, prompts = make_model(kind), make_tokenizer(), some_prompts(16)
    ours = rollout(
        model, tokenizer, prompts, Decoding(temperature=0, max_response_tokens=20), seed=0, slots=7
    )
    for row, prompt in enumerate(prompts):
        theirs = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=20)[0]
        assert torch.equal(ours.ids[row][ours.mask[row]], theirs)
        assert bool(ours.finished[row]) == (int(theirs[-1]) == tokenizer.eos_token_id)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_a_fresh_forward_pass(kind, temperature):
    model, prompts = make_model(kind), some_prompts(20)
    drawn = rollout(model, make_tokenizer(), prompts, Decoding(temperature, 1.0, 20), seed=3, slots=16, n=2)
    for row in range(0, 40, 5):
        ids = drawn.ids[row][drawn.mask[row]]
        with torch.no_grad():
            table = (model(ids[None]).logits[0] / temperature).log_softmax(-1)
        expected = table[:-1].gather(1, ids[1:, None])[:, 0]
        answer = drawn.response_mask[row][drawn.mask[row]][1:]
        assert torch.allclose(drawn.logprobs[row][drawn.response_mask[row]], expected[answer], atol=1e-5)
    assert not drawn.logprobs[~drawn.response_mask].any()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_slots_change_nothing(kind):
    model, tokenizer, prompts = make_model(kind), make_tokenizer(), some_prompts(20)
    reference = rollout(model, tokenizer, prompts, DRAWN, seed=1, slots=200, n=2)
    for slots in (1, 7, 32):
        other = rollout(model, tokenizer, prompts, DRAWN, seed=1, slots=slots, n=2)
        assert same(reference, other)
        assert torch.allclose(reference.logprobs, other.logprobs, atol=1e-5)


def test_a_part_of_the_prompts_gets_the_same_responses():
    model, tokenizer, prompts = make_model("llama"), make_tokenizer(), some_prompts(20)
    whole = rollout(model, tokenizer, prompts, DRAWN, seed=1, n=2)
    part = rollout(model, tokenizer, prompts[8:], DRAWN, seed=1, n=2, first_prompt=8)
    for row in range(24):
        assert torch.equal(part.ids[row][part.mask[row]], whole.ids[16 + row][whole.mask[16 + row]])


def test_masks_and_finish_flags_agree_with_the_tokens():
    tokenizer, prompts = make_tokenizer(), some_prompts(50)
    drawn = rollout(make_model("llama"), tokenizer, prompts, DRAWN, seed=0, slots=8, n=3)
    eos = tokenizer.eos_token_id
    assert 0 < int(drawn.finished.sum()) < 150, "the test needs both kinds"
    for row in range(150):
        ids, answer = drawn.ids[row][drawn.mask[row]], drawn.ids[row][drawn.response_mask[row]].tolist()
        assert ids.tolist() == prompts[row // 3] + answer
        assert (eos in answer) == bool(drawn.finished[row])
        assert answer.count(eos) == int(drawn.finished[row])
        assert eos not in answer[:-1]
        assert len(answer) == 20 or drawn.finished[row]
    assert (drawn.ids[~drawn.mask] == tokenizer.pad_token_id).all()


def test_next_tokens_are_drawn_from_the_models_distribution():
    model, prompt = make_model("llama", spread=0.1), [5, 9, 3]
    drawn = rollout(
        model, make_tokenizer(), [prompt], Decoding(max_response_tokens=2), seed=0, n=6000, slots=500
    )
    with torch.no_grad():
        first = model(torch.tensor([prompt])).logits[0, -1].softmax(-1).double()
        common = int(first.argmax())
        second = model(torch.tensor([[*prompt, common]])).logits[0, -1].softmax(-1).double()
    after = drawn.ids[drawn.ids[:, 3] == common][:, 4]
    for tokens, expected in ((drawn.ids[:, 3], first), (after, second)):
        counts = torch.bincount(tokens, minlength=len(expected)).double()
        assert (
            stats.chisquare(counts.numpy(), (expected / expected.sum() * len(tokens)).numpy()).pvalue > 1e-3
        )


def test_weights_are_read_anew_every_time():
    model, tokenizer, prompts = make_model("llama"), make_tokenizer(), some_prompts(10)
    before = rollout(model, tokenizer, prompts, DRAWN, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.5)
    assert not same(before, rollout(model, tokenizer, prompts, DRAWN, seed=0))


def test_training_mode_is_put_back_and_dropout_never_samples():
    model, tokenizer, prompts = make_model("gpt2"), make_tokenizer(), some_prompts(10)
    quiet = rollout(model, tokenizer, prompts, DRAWN, seed=0)
    model.train()
    assert same(quiet, rollout(model, tokenizer, prompts, DRAWN, seed=0))
    assert model.training


def test_the_cache_is_moved_back_when_its_columns_are_used_up():
    model = make_model("llama")
    decoder = LlamaDecoder(model, 2, 4, 90)
    with torch.inference_mode():
        prompts, said = [[5, 6, 7], [8, 9]], [[], []]
        logits = decoder.fill(torch.arange(2), prompts)
        for step in range(300):
            if step and step % 60 == 0:  # row 1 ends and another prompt takes its slot
                decoder.release(torch.tensor([1]))
                prompts[1], said[1] = [step % 20 + 3], []
                logits[1] = decoder.fill(torch.tensor([1]), [prompts[1]])[0]
            if step and step % 85 == 0:
                decoder.release(torch.tensor([0]))
                prompts[0], said[0] = [4, 4, step % 20 + 3], []
                logits[0] = decoder.fill(torch.tensor([0]), [prompts[0]])[0]
            if step % 17 == 0:
                for row in range(2):
                    expected = model(torch.tensor([prompts[row] + said[row]])).logits[0, -1]
                    assert torch.allclose(logits[row], expected, atol=1e-4), (step, row)
            tokens = (torch.arange(2) * 5 + step) % 20 + 3
            said[0].append(int(tokens[0]))
            said[1].append(int(tokens[1]))
            logits = decoder.step(tokens)


def test_every_end_token_of_the_generation_config_ends_a_response():
    model, tokenizer, prompts = make_model("llama"), make_tokenizer(), some_prompts(40)
    model.generation_config.eos_token_id = [1, 7]
    drawn = rollout(model, tokenizer, prompts, DRAWN, seed=0)
    answers = [drawn.ids[row][drawn.response_mask[row]].tolist() for row in range(40)]
    assert any(answer[-1] == 7 for answer in answers)
    assert not any(7 in answer[:-1] for answer in answers)


def test_no_prompts_is_one_clear_line():
    with pytest.raises(DataError, match="0 prompts"):
        rollout(make_model("llama"), make_tokenizer(), [], DRAWN, seed=0)


def test_many_rows_through_few_slots_lose_none():
    drawn = rollout(make_model("llama"), make_tokenizer(), some_prompts(300), DRAWN, seed=0, slots=9)
    assert drawn.response_mask.any(1).all()
    assert np.isfinite(drawn.logprobs.numpy()).all()
