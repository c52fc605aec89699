"""On-policy rollouts by vLLM: the learner's weights are handed over, and log-probabilities agree with the learner's."""

import copy

import pytest
from vllm_worlds import make_llama

torch = pytest.importorskip("torch")

from rlp_bench.api.errors import BenchError, UnknownName  # noqa: E402
from rlp_bench.api.types import Decoding  # noqa: E402
from rlp_bench.trainers.generation.rollout import rollout  # noqa: E402
from rlp_bench.trainers.generation.sampler import bounded_mismatch, make_sampler, mismatch_limit  # noqa: E402
from rlp_bench.trainers.modeling.checkpoints import load_policy  # noqa: E402
from rlp_bench.trainers.modeling.forward import response_logprobs  # noqa: E402

DECODING = Decoding(max_response_tokens=12)
SAME = 1e-4
"""Nats a token: two implementations of one float32 model; measured 1e-5."""


@pytest.fixture
def learner(policy):
    return load_policy(policy)


@pytest.fixture
def sampler(learner, tmp_path):
    made = make_sampler("vllm", *learner, tmp_path)
    yield made
    made.close()


@pytest.fixture
def rows(learner, prompts):
    return [learner[1].encode(prompt) for prompt in prompts]


def rescored(model, drawn, temperature=1.0):
    with torch.no_grad():
        return response_logprobs(model, drawn.ids, drawn.mask, drawn.response_mask, temperature)


def train_a_step(model, rows, rate=0.05):
    ids = torch.tensor([row[:3] for row in rows])
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= rate * parameter.grad
    model.zero_grad()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_rollouts_are_shaped_as_ours_and_log_probabilities_are_the_learners(
    learner, sampler, rows, temperature
):
    model, tokenizer = learner
    decoding = Decoding(temperature, 1.0, 12)
    sampler.sync(model)
    drawn, ours = sampler.rollout(rows, decoding, 3, n=2), rollout(model, tokenizer, rows, decoding, 3, n=2)
    for name, tensor in vars(ours).items():
        found = getattr(drawn, name)
        assert (found.dtype, found.ndim, len(found)) == (tensor.dtype, tensor.ndim, len(tensor)), name
    assert drawn.ids.shape == drawn.mask.shape == drawn.response_mask.shape == drawn.logprobs.shape
    for row, prompt in enumerate(prompt for prompt in rows for _ in range(2)):
        length = int(drawn.response_mask[row].sum())
        assert drawn.ids[row, : len(prompt)].tolist() == prompt
        assert drawn.mask[row].tolist() == [True] * (len(prompt) + length) + [False] * (
            drawn.ids.shape[1] - len(prompt) - length
        )
        response = drawn.ids[row][drawn.response_mask[row]].tolist()
        assert bool(drawn.finished[row]) == (response[-1] in (1, 2))
        assert not {1, 2} & set(response[:-1])
        assert length == 12 or drawn.finished[row]
    assert drawn.logprobs[~drawn.response_mask].abs().sum() == 0
    learnt = rescored(model, drawn, temperature)
    found = bounded_mismatch(
        drawn.logprobs, learnt, drawn.response_mask, mismatch_limit(sampler.dtype, "float32"), "here"
    )
    assert 0 < found["sampler_mismatch_mean"] <= found["sampler_mismatch_max"] < SAME


def test_weights_are_handed_over_after_a_step_and_not_before(learner, sampler, rows):
    model, _ = learner
    sampler.sync(model)
    sampler.rollout(rows, DECODING, 0)
    held = sampler._runner._llm
    train_a_step(model, rows)
    stale = sampler.rollout(rows, DECODING, 1)
    gap = (stale.logprobs - rescored(model, stale))[stale.response_mask].abs()
    assert gap.mean() > 100 * SAME
    with pytest.raises(BenchError, match=r"^ppo: rollout 1: .* differ by .* expected at most 0.001"):
        bounded_mismatch(
            stale.logprobs,
            rescored(model, stale),
            stale.response_mask,
            mismatch_limit("float32"),
            "ppo: rollout 1",
        )
    sampler.sync(model)
    fresh = sampler.rollout(rows, DECODING, 1)
    assert sampler._runner._llm is held, "handed over, not started again"
    gap = (fresh.logprobs - rescored(model, fresh))[fresh.response_mask].abs()
    assert gap.max() < SAME
    assert not torch.equal(fresh.ids, stale.ids)


@pytest.mark.parametrize(
    "more", [{"tie_word_embeddings": True}, {"head_dim": 16}, {"tie_word_embeddings": True, "head_dim": 16}]
)
def test_tied_embeddings_and_narrow_heads_are_handed_over_too(prompts, tmp_path, more):
    """vLLM keeps a packed copy of a tied output matrix over a reload, if it is not told otherwise."""
    model, tokenizer = load_policy(make_llama(tmp_path / "policy", seed=2, **more))
    rows = [tokenizer.encode(prompt) for prompt in prompts]
    sampler = make_sampler("vllm", model, tokenizer, tmp_path / "scratch")
    for step in range(3):
        sampler.sync(model)
        drawn = sampler.rollout(rows, DECODING, step)
        assert (drawn.logprobs - rescored(model, drawn))[drawn.response_mask].abs().max() < SAME
        train_a_step(model, rows)
    sampler.close()


def test_adapters_are_handed_over_merged(learner, rows, tmp_path):
    pytest.importorskip("peft", reason="needs the extra lora")
    from rlp_bench.api.types import Training
    from rlp_bench.trainers.modeling.lora import with_adapters

    model = with_adapters(learner[0], Training(lora_rank=4), 0)
    sampler = make_sampler("vllm", model, learner[1], tmp_path)
    for step in range(2):
        sampler.sync(model)
        drawn = sampler.rollout(rows, DECODING, step)
        assert (drawn.logprobs - rescored(model, drawn))[drawn.response_mask].abs().max() < SAME
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter += 0.1
    assert (drawn.logprobs - rescored(model, drawn))[drawn.response_mask].abs().mean() > 100 * SAME
    sampler.close()


def test_all_weights_by_name_are_taken_too(learner, sampler, rows):
    model, _ = learner
    moved = copy.deepcopy(model)
    train_a_step(moved, rows)
    sampler.sync(moved.state_dict())
    drawn = sampler.rollout(rows, DECODING, 1)
    assert (drawn.logprobs - rescored(moved, drawn))[drawn.response_mask].abs().max() < SAME


def test_a_seed_is_one_rollout_and_a_part_of_the_list_is_a_part_of_it(learner, sampler, rows):
    sampler.sync(learner[0])
    whole, again = (sampler.rollout(rows, DECODING, 7) for _ in range(2))
    assert all(torch.equal(tensor, getattr(again, name)) for name, tensor in vars(whole).items())
    part = sampler.rollout(rows[30:], DECODING, 7, first_prompt=30)
    for row in range(10):
        assert torch.equal(
            part.ids[row][part.response_mask[row]], whole.ids[30 + row][whole.response_mask[30 + row]]
        )
    assert not torch.equal(sampler.rollout(rows, DECODING, 8).ids, whole.ids)


def test_bfloat16_stays_within_its_limit_and_is_told_from_float32(learner, rows, tmp_path):
    model, tokenizer = learner
    coarse = make_sampler("vllm", model, tokenizer, tmp_path, settings={"dtype": "bf16"})
    coarse.sync(model)
    drawn = coarse.rollout(rows, DECODING, 1)
    coarse.close()
    assert coarse.dtype == "bfloat16"
    gap = (drawn.logprobs - rescored(model, drawn))[drawn.response_mask].abs()
    assert mismatch_limit("float32") < gap.mean() < mismatch_limit("bfloat16", "float32")


def test_our_own_sampler_is_rollout_itself(learner, rows, tmp_path):
    model, tokenizer = learner
    own = make_sampler("transformers", model, tokenizer, tmp_path)
    own.sync(model)
    for drawn, expected in (
        (own.rollout(rows, DECODING, 4), rollout(model, tokenizer, rows, DECODING, 4)),
        (
            own.rollout(rows, DECODING, 4, 2, 5),
            rollout(model, tokenizer, rows, DECODING, 4, n=2, first_prompt=5),
        ),
    ):
        assert all(torch.equal(tensor, getattr(drawn, name)) for name, tensor in vars(expected).items())
    assert own.dtype == "float32"
    assert list(tmp_path.iterdir()) == []


test_our_own_sampler_is_rollout_itself = pytest.mark.without_vllm(test_our_own_sampler_is_rollout_itself)


@pytest.mark.without_vllm
@pytest.mark.parametrize(
    ("name", "more", "error", "expected"),
    [
        ("transformers", {"top_k": 5}, BenchError, "rollouts with top_k 5: .* expected 0"),
        (
            "vllm",
            {"repetition_penalty": 1.1},
            BenchError,
            "rollouts with repetition_penalty 1.1: .* expected 1",
        ),
        ("openai", {}, BenchError, "cannot be sent to an endpoint"),
        ("vlm", {}, UnknownName, 'did you mean "vllm"'),
    ],
)
def test_what_cannot_be_corrected_or_does_not_exist_is_refused(
    learner, tmp_path, name, more, error, expected
):
    with pytest.raises(error, match=expected):
        make_sampler(name, *learner, tmp_path, **more)


@pytest.mark.without_vllm
@pytest.mark.parametrize("decoding", [Decoding(top_p=0.9), Decoding(temperature=0.0)])
def test_our_own_sampler_refuses_what_ppo_refuses(learner, rows, tmp_path, decoding):
    with pytest.raises(BenchError, match="PPO's ratios are those of the whole distribution"):
        make_sampler("transformers", *learner, tmp_path).rollout(rows, decoding, 0)


@pytest.mark.parametrize("decoding", [Decoding(top_p=0.9), Decoding(temperature=0.0)])
def test_vllms_sampler_refuses_what_ppo_refuses(sampler, rows, decoding):
    with pytest.raises(BenchError, match="PPO's ratios are those of the whole distribution"):
        sampler.rollout(rows, decoding, 0)


@pytest.mark.without_vllm
def test_the_limit_is_that_of_the_coarser_precision_and_nan_is_above_it():
    assert mismatch_limit("float32", "float32") == 1e-3
    assert mismatch_limit("float32", "bfloat16") == mismatch_limit("bfloat16") == 0.05
    one = torch.ones(1, 2)
    with pytest.raises(BenchError, match=r"^here: .* differ by nan"):
        bounded_mismatch(one * float("nan"), one, one.bool(), 0.05, "here")
