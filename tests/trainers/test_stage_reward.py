"""The reward model: what it learns, what it is measured on, where its score is read, resuming."""

import json
from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes, preference

from rlp_bench.api.errors import DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.types import Artifact, Sample
from rlp_bench.trainers.data.preference_pairs import heldout_prompts, split_pairs, token_pair
from rlp_bench.trainers.generation.rollout import Rollouts
from rlp_bench.trainers.modeling.checkpoints import load_policy, load_reward
from rlp_bench.trainers.modeling.forward import scalar_scores
from rlp_bench.trainers.modeling.pair_scoring import row_scores
from rlp_bench.trainers.ppo.experience import scored_mask
from rlp_bench.trainers.reward.trainer import RewardModel


def stage(**settings):
    defaults = {"batch": 8, "learning_rate": 1e-2, "warmup": 0.0, "heldout": 0.2, "epochs": 4}
    return RewardModel(**(defaults | settings))


@pytest.fixture
def reward(policy, preferences, train):
    return train(stage(), "reward", init=policy, preferences=preferences)


def test_it_learns_which_response_is_better(reward):
    assert reward.metrics["heldout_accuracy"] == 1.0
    log = list(read_jsonl(reward.path / "log.jsonl"))
    assert log[0]["loss"] == pytest.approx(0.693, abs=0.05)  # log 2: the head starts near zero
    assert log[-1]["loss"] < 0.1
    assert {"learning_rate", "grad_norm", "accuracy"} <= log[0].keys()


def test_swapped_labels_are_learnt_just_as_well(policy, artifact, preferences, train):
    """Nothing favours the response that happens to be listed first."""
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in preferences.rows()]
    reward = train(stage(), "swapped", init=policy, preferences=artifact("preferences", swapped))
    assert reward.metrics["heldout_accuracy"] == 1.0


def test_the_score_is_read_at_the_last_real_token_on_either_side_of_the_padding(reward):
    """Left padding, right padding and a batch of one agree exactly."""
    model, _, _ = load_reward(reward.path)
    rows = [[3, 4, 5, 9, 1], [3, 4, 1], [3, 4, 5, 6, 7, 9, 10, 1]]
    longest = max(map(len, rows))
    right = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    left = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    with torch.no_grad():
        at_right = scalar_scores(model, right, torch.arange(longest) < lengths)
        at_left = scalar_scores(model, left, torch.arange(longest) >= longest - lengths)
        alone = torch.cat(
            [scalar_scores(model, torch.tensor([r]), torch.ones(1, len(r), dtype=bool)) for r in rows]
        )
        again = scalar_scores(model, right, torch.arange(longest) < lengths)
    assert torch.equal(at_right, at_left)
    assert torch.equal(at_right, again)  # no dropout
    assert torch.allclose(at_right, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("eos", [True, False])
@pytest.mark.parametrize("finished", [True, False])
def test_one_text_gets_one_score_in_training_in_the_engine_and_in_a_rollout(
    eos, finished, policy, preferences, train, context
):
    """The same golden string through all three paths."""
    reward = train(stage(eos=eos, epochs=1), "eos", init=policy, preferences=preferences)
    model, tokenizer, info = load_reward(reward.path)
    assert info.eos == eos
    text = "fox good a"
    prompt = tokenizer.encode(PROMPTING.render("what is a fox"))
    row = preference("what is a fox", text, "fox bad a", (finished, finished))
    pair = token_pair(row, prompt, tokenizer, info.eos)
    with torch.no_grad():
        trained = row_scores(model, [pair.chosen], tokenizer.pad_token_id, 4).item()
    sample = Sample(text, 3, finished)
    engine = context.engine.score(reward.path, [PROMPTING.render("what is a fox")], [sample])[0]

    ids = torch.tensor([prompt + tokenizer.encode(text) + ([tokenizer.eos_token_id] if finished else [])])
    mask = torch.ones_like(ids, dtype=torch.bool)
    rollouts = Rollouts(ids, mask, mask, torch.tensor([finished]), torch.zeros(ids.shape))
    with torch.no_grad():
        rolled = scalar_scores(model, ids, scored_mask(rollouts, [0], mask, info)).item()
    assert engine == pytest.approx(trained, abs=1e-5)
    assert rolled == pytest.approx(trained, abs=1e-5)


def test_whether_a_response_ended_is_seen_with_eos_and_not_without(policy, preferences, train, context):
    for eos in (True, False):
        reward = train(stage(eos=eos, epochs=1), f"seen-{eos}", init=policy, preferences=preferences)
        prompt = PROMPTING.render("what is a fox")
        both = [Sample("fox good a", 3, True), Sample("fox good a", 3, False)]
        one, two = context.engine.score(reward.path, [prompt] * 2, both)
        assert (one != two) == eos


def test_mean_and_spread_are_those_of_the_held_out_texts(reward, preferences, policy):
    model, tokenizer, info = load_reward(reward.path)
    _, held, _ = split_pairs([preferences], tokenizer, PROMPTING, 0.2, True)
    with torch.no_grad():
        scores = row_scores(model, [r for pair in held for r in (pair.chosen, pair.rejected)], 0, 8).double()
    assert info.mean == pytest.approx(scores.mean().item(), abs=1e-5)
    assert info.std == pytest.approx(scores.std(unbiased=False).item(), abs=1e-5)
    assert json.loads((reward.path / "reward.json").read_text()).keys() == {"eos", "mean", "std"}


def test_a_retrained_model_is_measured_on_the_same_pairs(policy, preferences, artifact):
    """Held-out pairs depend on the first artifact's content alone: not on row order, nor on what is added."""
    _, tokenizer = load_policy(policy.path)
    rows = preferences.rows()
    held_ids = heldout_prompts(rows, 0.2)
    shuffled = artifact("preferences", rows[::-1])
    leaking = next(row for row in rows if row["instruction"] in _held_texts(rows, held_ids))
    extra = artifact("preferences", [preference("what is f f", "f", "e", source="spg"), leaking])
    _, alone, _ = split_pairs([preferences], tokenizer, PROMPTING, 0.2, True)
    train, together, account = split_pairs([shuffled, extra], tokenizer, PROMPTING, 0.2, True)
    assert {tuple(p.chosen) for p in alone} == {tuple(p.chosen) for p in together}
    assert account.drops == {"heldout_prompt": 1}  # not trained on, although it came by another way
    assert not {tuple(p.chosen) for p in train} & {tuple(p.chosen) for p in alone}
    account.close(len(train) + len(together))


def _held_texts(rows, held_ids):
    from rlp_bench.api import prompt_id

    return {row["instruction"] for row in rows if prompt_id(row) in held_ids}


def test_two_artifacts_are_trained_on_together(policy, preferences, artifact, train):
    synthetic = artifact(
        "preferences", [preference(f"what is {x} f", "f", "e", source="spg") for x in "abcd"]
    )
    out = train(stage(epochs=1), "both", init=policy, preferences=[preferences, synthetic]).metrics
    assert out["rows_in"] == len(preferences.rows()) + 4
    assert out["rows_used"] == out["pairs_trained"] + out["heldout_pairs"] == out["rows_in"]
    assert out["synthetic_share"] == pytest.approx(4 / out["rows_in"])


def test_rows_that_do_not_fit_are_counted(policy, preferences, artifact, train):
    rows = [*preferences.rows(), preference("what is a f", "a " * 9, "b"), preference("what " * 9, "a", "b")]
    out = train(stage(epochs=1), "long", init=policy, preferences=artifact("preferences", rows)).metrics
    assert (out["dropped_response_too_long"], out["dropped_prompt_too_long"]) == (1, 1)


def test_too_few_pairs_are_an_error(policy, artifact, train):
    with pytest.raises(DataError, match="0 pairs to train on and 1 held out"):
        train(
            stage(), "few", init=policy, preferences=artifact("preferences", [preference("what", "a", "b")])
        )


def test_six_updates_equal_three_and_three_more_from_a_checkpoint(policy, preferences, context, tmp_path):
    """Bit for bit: weights, moments and log."""
    inputs = {"init": policy, "preferences": preferences}
    settings = {"epochs": 1, "checkpoint_every": 3, "batch": 9}

    def run(name, progress):
        (tmp_path / name).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{name}", progress=progress)
        stage(**settings).train(inputs, tmp_path / name, given)

    def killed(done, total, note=""):
        assert total == 6
        if done == 5:
            raise KeyboardInterrupt

    run("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        run("resumed", killed)
    run("resumed", context.progress)
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "tensors cut off": ("tensors.safetensors", cut),
    "a bit of a tensor": ("tensors.safetensors", flip),
    "an empty state": ("state.json", lambda path: path.write_bytes(b"")),
    "another state": ("state.json", lambda path: path.write_text("null")),
    "no state": ("state.json", lambda path: path.unlink()),
}


@pytest.mark.parametrize("which", ["the newest", "both"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_or_to_the_start(
    damage, which, policy, preferences, context, tmp_path, caplog
):
    inputs = {"init": policy, "preferences": preferences}
    name, spoil = DAMAGES[damage]
    begun = []

    def run(name, progress):
        (tmp_path / name).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{name}", progress=progress)
        stage(epochs=1, checkpoint_every=1, batch=9).train(inputs, tmp_path / name, given)

    def killed(done, total, note=""):
        if done == 5:
            raise KeyboardInterrupt

    run("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        run("resumed", killed)
    kept = sorted((tmp_path / "scratch-resumed").glob("checkpoint-*"))
    assert [folder.name[-1] for folder in kept] == ["3", "4"]
    for folder in kept if which == "both" else kept[1:]:
        spoil(folder / name)
    run("resumed", lambda done, total, note="": begun.append(done))
    assert begun[0] == (1 if which == "both" else 4)
    assert [f'checkpoint "{folder}" is damaged' in caplog.text for folder in kept] == [which == "both", True]
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")


def test_head_and_order_depend_on_the_seed(policy, preferences, train, context):
    one = train(stage(epochs=1), "one", init=policy, preferences=preferences)
    two = train(stage(epochs=1), "two", replace(context, seed=1), init=policy, preferences=preferences)
    losses = [[row["loss"] for row in read_jsonl(a.path / "log.jsonl")] for a in (one, two)]
    assert losses[0] != losses[1]


def test_loss_equals_that_of_trl(policy, preferences, tmp_path):
    """TRL's RewardTrainer on the same weights and pairs."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
    from rlp_bench.trainers.modeling.checkpoints import new_reward, save_model

    model, tokenizer = new_reward(policy.path, 0, "cpu")
    save_model(model, tokenizer, tmp_path / "start")
    rows = preferences.rows()[:4]
    pairs = [
        token_pair(row, tokenizer.encode(PROMPTING.render(row["instruction"])), tokenizer, True)
        for row in rows
    ]
    with torch.no_grad():
        ours = bradley_terry_loss(
            row_scores(model, [p.chosen for p in pairs], 0, 4),
            row_scores(model, [p.rejected for p in pairs], 0, 4),
        )
    arguments = trl.RewardConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False,
        max_steps=1, learning_rate=1e-12, logging_steps=1, save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    texts = [
        {"chosen": tokenizer.decode(p.chosen[:-1]), "rejected": tokenizer.decode(p.rejected[:-1])}
        for p in pairs
    ]
    theirs = trl.RewardTrainer(
        model=load_reward_like(tmp_path / "start"), args=arguments, processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(texts),
    )  # fmt: skip
    assert ours.mean().item() == pytest.approx(theirs.train().training_loss, abs=1e-5)


def load_reward_like(folder):
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)


def test_an_artifact_alone_and_a_list_of_one_are_the_same(policy, preferences, train):
    assert isinstance(preferences, Artifact)
    one = train(stage(epochs=1), "alone", init=policy, preferences=preferences)
    two = train(stage(epochs=1), "list", init=policy, preferences=[preferences])
    assert (one.path / "model.safetensors").read_bytes() == (two.path / "model.safetensors").read_bytes()


def test_another_draw_is_another_head_and_order_and_draw_zero_is_the_default(policy, preferences, train):
    runs = {
        draw: file_bytes(
            train(stage(epochs=1, redraw=draw), f"draw-{draw}", init=policy, preferences=preferences).path
        )
        for draw in (0, 1)
    }
    default = train(stage(epochs=1), "draw-default", init=policy, preferences=preferences)
    assert file_bytes(default.path) == runs[0] != runs[1]


def test_matched_steps_are_those_of_the_first_artifact_whatever_is_added(
    policy, preferences, artifact, train
):
    more = artifact("preferences", [preference(f"what is f {w}", "f", "e", source="spg") for w in "abcdefgh"])
    plain = train(stage(epochs=1, batch=4), "first", init=policy, preferences=preferences)
    longer = train(stage(epochs=1, batch=4), "both", init=policy, preferences=[preferences, more])
    matched = train(
        stage(epochs=1, batch=4, match_steps=True), "matched", init=policy, preferences=[preferences, more]
    )
    assert longer.metrics["updates"] > plain.metrics["updates"] == matched.metrics["updates"]
    assert matched.metrics["pairs_of_first"] == plain.metrics["pairs_trained"]
