"""Scores, values and log-probabilities by mask; checkpoints in and out; rows of tokens."""

import json
import shutil

import pytest
import torch
from tiny import make_tokenizer
from worlds import ARCHITECTURES, make_checkpoint, make_model, some_prompts

from rlp_bench.api.errors import DataError
from rlp_bench.trainers.data.tokenize import encode_prompt, encode_response, length_sorted_batches, right_pad
from rlp_bench.trainers.modeling.checkpoints import (
    RewardInfo,
    load_policy,
    load_reward,
    new_reward,
    save_model,
)
from rlp_bench.trainers.modeling.forward import response_logprobs, scalar_scores, token_values


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    return {
        kind: new_reward(make_checkpoint(tmp_path_factory.mktemp(kind), kind), 3)[0] for kind in ARCHITECTURES
    }


def left_pad(rows, pad_id=0):
    ids, mask = right_pad([row[::-1] for row in rows], pad_id)
    return ids.flip(1), mask.flip(1)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_score_depends_neither_on_padding_nor_on_batch(reward, kind):
    rows = some_prompts(20)
    with torch.no_grad():
        right, left = (
            scalar_scores(reward[kind], *right_pad(rows, 0)),
            scalar_scores(reward[kind], *left_pad(rows)),
        )
        alone = torch.cat([scalar_scores(reward[kind], *right_pad([row], 0)) for row in rows])
    assert torch.equal(right, left)
    assert (right - alone).abs().max() <= 1e-6
    assert right.std() > 1e-3, "different texts must differ"


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_score_is_the_head_on_the_last_real_token_also_where_it_looks_like_padding(reward, kind):
    model, rows = reward[kind], [[5, 6, 0, 0], [7, 8, 9], [1]]
    with torch.no_grad():
        scores = scalar_scores(model, *right_pad(rows, 0))
        for row, score in zip(rows, scores, strict=True):
            hidden = model.base_model(input_ids=torch.tensor([row])).last_hidden_state
            assert torch.allclose(score, model.score(hidden[0, -1])[0], atol=1e-6)


def test_values_are_scores_of_every_prefix_and_zero_on_padding(reward):
    model, rows = reward["llama"], some_prompts(6)
    ids, mask = right_pad(rows, 0)
    with torch.no_grad():
        values, left = token_values(model, ids, mask), token_values(model, *left_pad(rows))
        for row, tokens in enumerate(rows):
            for end in range(len(tokens)):
                prefix = scalar_scores(model, *right_pad([tokens[: end + 1]], 0))
                assert torch.allclose(values[row, end], prefix[0], atol=1e-6)
    assert not values[~mask].any()
    assert torch.equal(left[left_pad(rows)[1]], values[mask])


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("pad", [right_pad, left_pad])
def test_log_probabilities_are_those_of_the_whole_table(kind, pad):
    model, rows = make_model(kind), [[*row, 4, 5, 1] for row in some_prompts(12)]
    ids, mask = pad(rows, 0)
    response_mask = pad([[0] * (len(row) - 3) + [1] * 3 for row in rows], 0)[0].bool()
    with torch.no_grad():
        ours = response_logprobs(model, ids, mask, response_mask, temperature=0.7)
    for row, tokens in enumerate(rows):
        with torch.no_grad():
            table = (model(torch.tensor([tokens])).logits[0] / 0.7).log_softmax(-1)
        expected = table[:-1].gather(1, torch.tensor(tokens[1:])[:, None])[-3:, 0]
        assert torch.allclose(ours[row][response_mask[row]], expected, atol=1e-5)
    assert not ours[~response_mask].any()


def test_log_probabilities_of_a_model_that_caps_its_logits_are_capped():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    model = Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=27, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5, initializer_range=1.0,
        )
    ).eval()  # fmt: skip
    ids, mask = right_pad([[2, 5, 6, 7]], 0)
    with torch.no_grad():
        ours = response_logprobs(model, ids, mask, mask & (torch.arange(4) > 0))
        table = model(ids).logits[0].log_softmax(-1)
    assert torch.allclose(ours[0, 1:], table[:-1].gather(1, ids[0, 1:, None])[:, 0], atol=1e-5)


def test_the_gradient_of_log_probabilities_is_that_of_cross_entropy():
    ours, theirs = make_model("llama"), make_model("llama")
    ids, mask = right_pad([[5, 6, 7, 1]], 0)
    response_logprobs(ours, ids, mask, mask & (torch.arange(4) >= 2)).sum().backward()
    (-theirs(ids, labels=torch.tensor([[-100, -100, 7, 1]])).loss * 2).backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-5)


def test_two_scorings_of_one_batch_are_bit_equal_and_a_loaded_model_has_no_dropout(tmp_path):
    model, _ = new_reward(make_checkpoint(tmp_path, "gpt2"), 0)
    assert not model.training
    batch = right_pad(some_prompts(5), 0)
    with torch.no_grad():
        assert torch.equal(scalar_scores(model, *batch), scalar_scores(model, *batch))


def test_a_new_head_is_drawn_from_its_seed_at_the_stated_spread(tmp_path):
    folder = make_checkpoint(tmp_path)
    heads = [new_reward(folder, seed)[0].score.weight for seed in (1, 1, 2)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert 0.5 / 33 < heads[0].std() < 2 / 33
    policy, reward_model = load_policy(folder)[0], new_reward(folder, 1)[0]
    assert torch.equal(policy.model.embed_tokens.weight, reward_model.model.embed_tokens.weight)


def test_save_and_load_keep_every_bit_and_repeat_every_byte(tmp_path):
    model, tokenizer = new_reward(make_checkpoint(tmp_path / "policy"), 1)
    for name in ("one", "two"):
        save_model(model, tokenizer, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "model.safetensors" in files
    assert "tokenizer.json" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    RewardInfo(eos=True, mean=0.5, std=2.0).write(tmp_path / "one")
    again, _, info = load_reward(tmp_path / "one")
    assert info == RewardInfo(True, 0.5, 2.0)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: (folder / "config.json").unlink(), r"no config\.json"),
        (lambda folder: [file.unlink() for file in folder.glob("tokenizer*")], "no tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"broken"), "not a whole safetensors"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer cannot be read"),
        (lambda folder: change(folder, "tokenizer_config.json", pad_token=None), "no pad token"),
        (lambda folder: change(folder, "tokenizer_config.json", pad_token="<eos>"), "same token"),
    ],
)
def test_a_bad_checkpoint_is_one_line(tmp_path, harm, line):
    folder = make_checkpoint(tmp_path / "policy")
    harm(folder)
    with pytest.raises(DataError, match=line) as caught:
        load_policy(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def change(folder, name, **values):
    given = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(given | values))


def test_a_reward_model_without_its_json_is_one_line(tmp_path):
    save_model(*new_reward(make_checkpoint(tmp_path / "policy"), 1), tmp_path / "reward")
    with pytest.raises(DataError, match=r"reward\.json"):
        load_reward(tmp_path / "reward")


def test_a_prompt_gets_exactly_one_bos_where_the_tokenizer_uses_one():
    from tokenizers import processors

    plain, with_bos = make_tokenizer(), make_tokenizer()
    with_bos.add_special_tokens({"bos_token": "<bos>"})
    bos = with_bos.bos_token_id
    assert encode_prompt(with_bos, "ask what", 9)[0] != bos, (
        "a BOS that the tokenizer does not add is not added"
    )
    with_bos = make_tokenizer()
    with_bos.add_special_tokens({"bos_token": "<bos>"})
    with_bos.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", bos), ("<eos>", 1)]
    )
    assert encode_prompt(with_bos, "ask what", 9) == [bos, *encode_prompt(plain, "ask what", 9)]
    assert encode_prompt(with_bos, "<bos> ask what", 9) == [bos, *encode_prompt(plain, "ask what", 9)]
    assert encode_response(with_bos, "fox", finished=True) == [
        *encode_response(plain, "fox", finished=False),
        1,
    ]


def test_an_over_long_prompt_says_by_how_much():
    assert len(encode_prompt(make_tokenizer(), "a b c", 3)) == 3
    with pytest.raises(DataError, match="5 tokens, 2 more than the 3"):
        encode_prompt(make_tokenizer(), "a b c d e", 3)


def test_padding_and_batches_lose_no_row():
    ids, mask = right_pad([[5, 0], [], [7, 8, 9]], 0)
    assert ids.tolist() == [[5, 0, 0], [0, 0, 0], [7, 8, 9]]
    assert mask.sum(1).tolist() == [2, 0, 3]
    lengths = [3, 9, 1, 9, 4]
    batches = length_sorted_batches(lengths, 2)
    assert batches == [[1, 3], [4, 0], [2]]
