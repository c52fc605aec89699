"""Preference strength, its import, and labels changed by it."""

import json
from dataclasses import replace
from itertools import chain

import pytest
import torch
from tiny import PROMPTING, file_bytes, preference

from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.files import read_jsonl
from rlp_bench.api.types import Sample
from rlp_bench.trainers.data.folds import fold_of
from rlp_bench.trainers.data.preference_pairs import flipped, heldout_prompts, split_pairs
from rlp_bench.trainers.data.tokenizer import load_tokenizer
from rlp_bench.trainers.preferences.from_strengths_file import ImportStrengths
from rlp_bench.trainers.preferences.relabel.trainer import Relabel
from rlp_bench.trainers.preferences.strength.trainer import PreferenceStrength
from rlp_bench.trainers.reward.trainer import RewardModel

DEFAULTS = {"batch": 8, "learning_rate": 1e-2, "warmup": 0.0, "heldout": 0.2}


@pytest.fixture
def rewards(train, policy, preferences):
    """rewards(n, **settings): n models of different draws."""

    def make(n, **settings):
        return [
            train(
                RewardModel(
                    **DEFAULTS, redraw=model, **{name: value[model] for name, value in settings.items()}
                ),
                f"reward-{model}",
                init=policy,
                preferences=preferences,
            )
            for model in range(n)
        ]

    return make


def scored(context, reward, rows):
    """r(chosen) − r(rejected) of each row, by the engine."""
    prompts = [PROMPTING.render(row["instruction"]) for row in rows]
    chosen, rejected = (
        context.engine.score(reward.path, prompts, [Sample(row[side], 3, True) for row in rows])
        for side in ("chosen", "rejected")
    )
    return [one - two for one, two in zip(chosen, rejected, strict=True)]


def test_strength_is_mean_and_population_deviation_of_each_pairs_differences(
    train, rewards, preferences, context
):
    models = rewards(3)
    found = train(PreferenceStrength(models=3), "strength", preferences=preferences, rewards=models)
    rows = list(read_jsonl(found.path / "rows.jsonl"))
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in preferences.rows()]
    differences = torch.tensor(
        [scored(context, model, preferences.rows()) for model in models], dtype=torch.float64
    )
    for row, each in zip(rows, differences.T, strict=True):
        assert row["differences"] == pytest.approx(each.tolist(), abs=1e-5)
        assert row["strength"] == pytest.approx(each.mean().item(), abs=1e-5)
        assert row["strength_std"] == pytest.approx(each.std(unbiased=False).item(), abs=1e-5)
    assert found.metrics["correlation"] < 1  # the models differ
    assert found.metrics["smallest_spread"] < found.metrics["largest_spread"]


def test_models_differ_in_head_and_in_order(rewards):
    weights = {file_bytes(model.path)["model.safetensors"] for model in rewards(3)}
    assert len(weights) == 3


def test_a_fold_is_scored_by_the_models_trained_without_it(train, rewards, preferences, context):
    models = rewards(4, folds=[2] * 4, left_out=[0, 1, 0, 1])
    stage = PreferenceStrength(models=4, scoring="cross_fit", folds=2)
    found = train(stage, "cross", preferences=preferences, rewards=models)
    rows = list(read_jsonl(found.path / "rows.jsonl"))
    of = [scored(context, model, preferences.rows()) for model in models]
    for place, (row, pair) in enumerate(zip(rows, preferences.rows(), strict=True)):
        fold = fold_of(pair, 2)
        assert row["differences"] == pytest.approx([of[fold][place], of[fold + 2][place]], abs=1e-5)
    with pytest.raises(BenchError, match=r"reward model 0 was trained with .*'left_out': 1"):
        train(stage, "turned", preferences=preferences, rewards=[*models[1:], models[0]])
    (models[3].path / "metrics.json").unlink()
    with pytest.raises(BenchError, match=r"reward model 3 .* expected .*'left_out': 1"):
        train(stage, "whole", preferences=preferences, rewards=models)


def test_a_model_is_never_trained_on_the_fold_it_leaves_out_and_all_hold_the_same_pairs_out(
    policy, preferences
):
    tokenizer = load_tokenizer(policy.path)
    whole = split_pairs([preferences], tokenizer, PROMPTING, 0.2, True)
    parts = [split_pairs([preferences], tokenizer, PROMPTING, 0.2, True, 4, fold) for fold in range(4)]
    held_ids = heldout_prompts(preferences.rows(), 0.2)
    assert held_ids
    for train, held, account in parts:
        assert held == whole[1]
        account.close(len(train) + len(held))
        assert len(train) + account.drops["left_out_fold"] == len(whole[0])
    left = [[pair for pair in whole[0] if pair not in train] for train, _, _ in parts]
    assert sorted(map(repr, chain(*left))) == sorted(map(repr, whole[0]))  # each in exactly one fold


def test_the_unit_of_a_model_counts_unless_it_is_divided_out(train, rewards, preferences, tmp_path):
    """A model with ten times the rewards decides the mean, and does not when scaled."""
    from safetensors.torch import load_file, save_file

    models = rewards(3)
    plain = train(
        PreferenceStrength(models=3, scoring="scaled"), "before", preferences=preferences, rewards=models
    )
    weights = load_file(models[0].path / "model.safetensors")
    weights["score.weight"] *= 10
    save_file(weights, models[0].path / "model.safetensors", metadata={"format": "pt"})
    after = [
        train(
            PreferenceStrength(models=3, scoring=how), f"after-{how}", preferences=preferences, rewards=models
        )
        for how in ("scaled", "in_sample")
    ]
    strengths = [[row["strength"] for row in one.rows()] for one in (plain, *after)]
    assert strengths[1] == pytest.approx(strengths[0], abs=1e-4)
    assert strengths[2] != pytest.approx(strengths[0], abs=1e-1)


def test_a_killed_stage_scores_with_the_remaining_models_only(
    train, rewards, preferences, context, tmp_path, monkeypatch
):
    models = rewards(3)
    whole = train(PreferenceStrength(models=3), "whole", preferences=preferences, rewards=models)
    asked = []
    plain = context.engine.score

    def killed(path, prompts, responses):
        asked.append(path)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return plain(path, prompts, responses)

    monkeypatch.setattr(context.engine, "score", killed)
    given = replace(context, scratch=tmp_path / "kept")
    (tmp_path / "resumed").mkdir()
    inputs = {"preferences": preferences, "rewards": models}
    with pytest.raises(KeyboardInterrupt):
        PreferenceStrength(models=3).train(inputs, tmp_path / "resumed", given)
    PreferenceStrength(models=3).train(inputs, tmp_path / "resumed", given)
    assert asked == [models[0].path, models[1].path, models[2].path, models[2].path]
    assert (tmp_path / "resumed" / "rows.jsonl").read_bytes() == (whole.path / "rows.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": 1}, "models is 1; expected at least 2"),
        ({"models": 10, "scoring": "cross_fit", "folds": 3}, "10 models with 3 folds"),
        ({"models": 5, "scoring": "cross_fit", "folds": 5}, "5 models with 5 folds"),
        ({"models": 4, "scoring": "cross_fit", "folds": 1}, "4 models with 1 folds"),
    ],
)
def test_impossible_numbers_of_models_and_folds_are_refused_before_anything_runs(settings, said):
    with pytest.raises(BenchError, match=said):
        PreferenceStrength(**settings)


def test_the_same_model_twice_is_not_two_models(train, rewards, preferences):
    [model] = rewards(1)
    with pytest.raises(BenchError, match="1 different reward models were given; expected 2"):
        train(PreferenceStrength(models=2), "twice", preferences=preferences, rewards=[model, model])


def test_fewer_pairs_than_folds_are_one_line(policy, artifact, train):
    rows = [preference(f"what is {x}", "good", "bad") for x in "abc"]
    with pytest.raises(DataError, match=r"reward: 3 pairs fill . of 8 folds"):
        train(RewardModel(folds=8), "few", init=policy, preferences=artifact("preferences", rows))
    with pytest.raises(BenchError, match="left_out is 2 with 2 folds"):
        RewardModel(folds=2, left_out=2)


# --- Labels changed by strength -----------------------------------------------------------------------


@pytest.fixture
def strengths(artifact, preferences):
    """Strengths −2, −1, 0, ..., in the order of the pairs; the artifact lists them in another order."""

    def make(rows=None):
        rows = preferences.rows() if rows is None else rows
        kept = ("instruction", "input", "chosen", "rejected")
        found = [
            {**{name: row[name] for name in kept}, "strength": float(place - 2), "strength_std": 0.5}
            for place, row in enumerate(rows)
        ]
        return artifact("strengths", found[::-1])

    return make


@pytest.fixture
def relabeled(train, preferences, strengths):
    """relabeled(name, **settings) -> (rows, metrics)."""

    def make(name, **settings):
        found = train(Relabel(**settings), name, preferences=preferences, strengths=strengths())
        return found.rows(), found.metrics

    return make


def test_labels_of_negative_strength_are_flipped_and_no_other(relabeled, preferences):
    rows, metrics = relabeled("flip", flip="negative")
    given = preferences.rows()
    assert [row.get("flipped", False) for row in rows] == [True, True] + [False] * (len(given) - 2)
    assert (rows[0]["chosen"], rows[0]["rejected"]) == (given[0]["rejected"], given[0]["chosen"])
    assert rows[2]["chosen"] == given[2]["chosen"]
    assert metrics["flipped"] == 2
    assert not any("margin" in row or "label_smoothing" in row for row in rows)


def test_flipping_twice_is_the_row_itself():
    row = preference("what", "good", "bad", (True, False)) | {"chosen_tokens": 3, "rejected_tokens": 5}
    once = flipped(row)
    assert (once["chosen"], once["chosen_finished"], once["chosen_tokens"]) == ("bad", False, 5)
    assert flipped(once) == row | {"flipped": False}


def test_the_lowest_share_is_flipped_where_it_is_asked_for(relabeled, preferences):
    rows, metrics = relabeled("lowest", flip="lowest", lowest=0.25)
    assert metrics["flipped"] == len(preferences.rows()) // 4
    assert [row.get("flipped", False) for row in rows][:16] == [True] * 16


def test_margins_are_strengths_negative_ones_too_and_absolute_after_a_flip(relabeled):
    margin = [row["margin"] for row in relabeled("margin", margin=True)[0]]
    assert margin[:4] == [-2.0, -1.0, 0.0, 1.0]
    both = [row["margin"] for row in relabeled("both", margin=True, flip="negative")[0]]
    assert both[:4] == [2.0, 1.0, 0.0, 1.0]
    clipped = [row["margin"] for row in relabeled("clip", margin=True, margin_scale=0.5, margin_clip=0.8)[0]]
    assert clipped[:5] == [-0.8, -0.5, 0.0, 0.5, 0.8]


def test_only_labels_of_negative_strength_are_smoothed(relabeled):
    rows, metrics = relabeled("soft", smooth="negative", margin=True, label_smoothing=0.2)
    assert [row.get("label_smoothing") for row in rows[:4]] == [0.2, 0.2, None, None]
    assert not any(row.get("flipped") for row in rows)
    assert metrics["smoothed"] == 2


def test_a_tenth_of_the_pairs_is_kept_by_rank(relabeled, preferences):
    rows, metrics = relabeled("tenth", kept_from=0.5, kept_to=0.75)
    assert [row["strength"] for row in rows] == [float(x - 2) for x in range(32, 48)]
    assert metrics["dropped_outside_kept_share"] == len(preferences.rows()) - 16


def test_no_pair_left_is_one_line(relabeled):
    with pytest.raises(DataError, match=r"none of 64 pairs is between the shares 0\.5 and 0\.501"):
        relabeled("none", kept_from=0.5, kept_to=0.501)
    with pytest.raises(BenchError, match=r"kept_from 0\.5 and kept_to 0\.5 keep no pair"):
        Relabel(kept_from=0.5, kept_to=0.5)


def test_strengths_of_other_pairs_are_refused_by_content_not_by_position(train, preferences, strengths):
    rows = preferences.rows()
    other = [rows[0] | {"chosen": "another answer"}, *rows[1:]]
    with pytest.raises(DataError, match=r'1 of 64 pairs have no strength .* "what is a fox e"'):
        train(Relabel(), "other", preferences=preferences, strengths=strengths(other))


def test_a_reward_model_on_changed_labels_is_measured_on_the_annotators(
    policy, preferences, train, strengths
):
    """All labels flipped: it learns the opposite, and is wrong on the same held-out pairs, labeled as before."""
    turned = train(Relabel(flip="all"), "turned", preferences=preferences, strengths=strengths())
    stage = RewardModel(**DEFAULTS, epochs=4)
    plain = train(stage, "as-labeled", init=policy, preferences=preferences)
    other = train(stage, "opposite", init=policy, preferences=turned)
    assert plain.metrics["heldout_accuracy"] == 1.0
    assert other.metrics["heldout_accuracy"] == 0.0
    assert other.metrics["train_accuracy"] == 1.0
    assert other.metrics["heldout_pairs"] == plain.metrics["heldout_pairs"]


def test_a_margin_of_zero_without_smoothing_is_the_plain_stage_to_the_bit(
    policy, preferences, train, strengths
):
    kept = train(
        Relabel(margin=True, margin_scale=0.0), "zero", preferences=preferences, strengths=strengths()
    )
    stage = RewardModel(**DEFAULTS)
    plain = train(stage, "plain", init=policy, preferences=preferences)
    zero = train(stage, "with-zero", init=policy, preferences=kept)
    assert file_bytes(plain.path) == file_bytes(zero.path)


def test_margins_and_smoothing_reach_the_loss(policy, preferences, train, strengths):
    """First update, all rewards near 0: with margin m it costs log(1 + e^m), smoothed by ½ the mean of both orders."""
    import math

    stage = RewardModel(**DEFAULTS)
    losses = {}
    for name, settings in {
        "margin": {"margin": True, "margin_scale": 1e6, "margin_clip": 3.0},
        "soft": {
            "margin": True,
            "margin_scale": 1e6,
            "margin_clip": 3.0,
            "smooth": "all",
            "label_smoothing": 0.5,
        },
    }.items():
        given = train(Relabel(**settings), name, preferences=preferences, strengths=strengths())
        made = train(stage, f"reward-{name}", init=policy, preferences=given)
        losses[name] = next(iter(read_jsonl(made.path / "log.jsonl")))["loss"]
    wide, narrow = math.log(1 + math.exp(3)), math.log(1 + math.exp(-3))
    assert losses["margin"] == pytest.approx(wide, abs=0.1)  # nearly all strengths of the batch are above 0
    assert losses["soft"] == pytest.approx((wide + narrow) / 2, abs=0.1)


def test_loss_with_margins_equals_that_of_trl(policy, preferences, tmp_path):
    """TRL's RewardTrainer with a margin column, on the same weights and pairs."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from transformers import AutoModelForSequenceClassification

    from rlp_bench.trainers.data.preference_pairs import token_pair
    from rlp_bench.trainers.modeling.checkpoints import new_reward, save_model
    from rlp_bench.trainers.modeling.pair_scoring import row_scores
    from rlp_bench.trainers.reward.loop import pair_losses

    model, tokenizer = new_reward(policy.path, 0, "cpu")
    save_model(model, tokenizer, tmp_path / "start")
    rows = [
        row | {"margin": margin}
        for row, margin in zip(preferences.rows(), (0.5, -0.2, 0.0, 1.0), strict=False)
    ]
    prompts = [tokenizer.encode(PROMPTING.render(row["instruction"])) for row in rows]
    pairs = [token_pair(row, prompt, tokenizer, True) for row, prompt in zip(rows, prompts, strict=True)]
    with torch.no_grad():
        chosen, rejected = (
            row_scores(model, [getattr(pair, side) for pair in pairs], 0, 4)
            for side in ("chosen", "rejected")
        )
    ours = pair_losses(chosen, rejected, pairs).mean().item()
    texts = [
        {
            "chosen": tokenizer.decode(p.chosen[:-1]),
            "rejected": tokenizer.decode(p.rejected[:-1]),
            "margin": p.margin,
        }
        for p in pairs
    ]
    arguments = trl.RewardConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False,
        max_steps=1, learning_rate=1e-12, logging_steps=1, save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    theirs = trl.RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(tmp_path / "start", dtype=torch.float32),
        args=arguments, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(texts),
    )  # fmt: skip
    assert ours == pytest.approx(theirs.train().training_loss, abs=1e-5)


def test_strength_finds_the_labels_that_were_flipped_and_flipping_them_back_helps(
    train, policy, preferences, artifact
):
    """A fifth of the labels is wrong: most of them have negative strength, and few others have."""
    rows = [flipped(row) if place % 5 == 2 else row for place, row in enumerate(preferences.rows())]
    for row in rows:
        row.pop("flipped", None)
    noisy = artifact("preferences", rows)
    settings = DEFAULTS | {"learning_rate": 3e-3, "epochs": 2}
    models = [
        train(RewardModel(**settings, redraw=model), f"noisy-{model}", init=policy, preferences=noisy)
        for model in range(4)
    ]
    found = train(PreferenceStrength(models=4), "of-noisy", preferences=noisy, rewards=models)
    below = [row["strength"] < 0 for row in found.rows()]
    wrong = [place % 5 == 2 for place in range(len(rows))]
    hits = sum(b and w for b, w in zip(below, wrong, strict=True))
    assert hits / sum(wrong) > 0.7
    assert hits / sum(below) > 0.7
    clean = train(Relabel(flip="negative"), "clean", preferences=noisy, strengths=found)
    right = [row["chosen"].split()[1] == "good" for row in clean.rows()]
    assert sum(right) / len(right) > 0.9 > sum(not w for w in wrong) / len(wrong)


# --- Strengths of a file ------------------------------------------------------------------------------


def given_pairs(rows, **changed):
    kept = ("instruction", "input", "chosen", "rejected")
    return [
        {**{name: row[name] for name in kept}, "strength": 0.5, "strength_std": 0.1, **changed}
        for row in rows
    ]


def test_imported_strengths_are_matched_by_content_and_turned_with_their_pair(train, preferences, artifact):
    rows = preferences.rows()
    given = given_pairs(rows)
    given[3] |= {"chosen": rows[3]["rejected"], "rejected": rows[3]["chosen"], "strength": 0.7}
    more = given_pairs([preference("another", "yes", "no")])
    found = train(
        ImportStrengths(), "imported", preferences=preferences, pairs=artifact("pairs", [*more, *given[::-1]])
    )
    assert [row["strength"] for row in found.rows()] == [0.5] * 3 + [-0.7] + [0.5] * (len(rows) - 4)
    assert found.metrics["exchanged"] == 1
    assert found.metrics["below_zero"] == pytest.approx(1 / len(rows))
    made = train(Relabel(flip="negative"), "from-file", preferences=preferences, strengths=found)
    assert made.metrics["flipped"] == 1


def test_a_pair_without_a_strength_in_the_file_is_one_line(train, preferences, artifact):
    rows = preferences.rows()
    with pytest.raises(DataError, match="2 of 64 pairs are not among the 62 of the file"):
        train(
            ImportStrengths(),
            "short",
            preferences=preferences,
            pairs=artifact("pairs", given_pairs(rows[2:])),
        )
    broken = given_pairs(rows)
    del broken[4]["strength"]
    with pytest.raises(DataError, match='row 5 of the file has no "strength"'):
        train(ImportStrengths(), "broken", preferences=preferences, pairs=artifact("pairs", broken))


# --- The mean of several reward models ----------------------------------------------------------------


def test_the_average_scores_with_the_mean_of_its_members_and_moves_with_them(
    train, rewards, preferences, context, policy
):
    from rlp_bench.trainers.reward.average.trainer import AverageRewards

    models = rewards(2)
    mean = train(AverageRewards(heldout=0.2), "mean", preferences=preferences, rewards=models)
    assert sorted(file.name for file in mean.path.iterdir()) == [
        "metrics.json", "reward.json", "reward_average.json",
    ]  # fmt: skip
    one, two, both = (scored(context, model, preferences.rows()) for model in (*models, mean))
    assert both == pytest.approx([sum(each) / 2 for each in zip(one, two, strict=True)], abs=1e-5)
    assert mean.metrics["heldout_pairs"] == models[0].metrics["heldout_pairs"]
    info = json.loads((mean.path / "reward.json").read_text())
    assert info["mean"] == pytest.approx(
        sum(model.metrics["sft_mean"] for model in models) / 2, abs=1e-5
    )  # the mean of means
    assert 0 < info["std"] < max(model.metrics["sft_std"] for model in models) + 1e-9


def test_an_average_of_one_model_or_of_a_missing_one_is_one_line(train, rewards, preferences, tmp_path):
    import shutil

    from rlp_bench.trainers.modeling.checkpoints import load_reward
    from rlp_bench.trainers.reward.average.trainer import AverageRewards

    models = rewards(2)
    with pytest.raises(BenchError, match="1 reward models"):
        train(AverageRewards(), "one", preferences=preferences, rewards=models[:1])
    mean = train(AverageRewards(heldout=0.2), "mean", preferences=preferences, rewards=models)
    shutil.rmtree(models[1].path)
    with pytest.raises(DataError, match="names 2 reward models, missing are"):
        load_reward(mean.path)
