"""Contrastive reward models: two dropout views, their losses, duplicates, resuming."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import PROMPTING, file_bytes

from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import read_jsonl
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.trainers.data.preference_pairs import TokenPair, split_pairs
from rlp_bench.trainers.equations.bradley_terry import bradley_terry_loss
from rlp_bench.trainers.equations.simcse import simcse_loss
from rlp_bench.trainers.modeling.checkpoints import load_reward, new_reward
from rlp_bench.trainers.modeling.dropout import dropout_on
from rlp_bench.trainers.modeling.pair_scoring import pair_states, row_scores, row_states
from rlp_bench.trainers.reward.contrastive.loop import (
    check_views,
    contrastive_gradient,
    distinct,
    features,
    new_heads,
)
from rlp_bench.trainers.reward.contrastive.trainer import ContrastiveRewardModel
from rlp_bench.trainers.reward.multi_view.objectives import SwappedPrediction
from rlp_bench.trainers.training.distributed import ALONE

ALL = ["simcse_pairs", "simcse_differences", "swav_pairs", "swav_differences"]
DEFAULTS = {"batch": 8, "learning_rate": 1e-2, "warmup": 0.0, "heldout": 0.2, "hidden": 16, "prototypes": 12}
ROWS = [[3, 4, 5, 9, 1], [3, 4, 1], [3, 4, 5, 6, 7, 9, 10, 1]]


def stage(**settings):
    return ContrastiveRewardModel(**(DEFAULTS | settings))


@pytest.fixture
def run(train, policy, preferences):
    def one(name, **settings):
        return train(stage(**settings), name, init=policy, preferences=preferences)

    return one


@pytest.fixture
def objective(policy, preferences, context):
    """objective(**settings) -> (model, its contrastive gradient, a batch of pairs)."""

    def make(**settings):
        model, tokenizer = new_reward(policy.path, 0)
        made = contrastive_gradient(stage(**settings), model, tokenizer, {}, 3, 0, context, ALONE)
        pairs, _, _ = split_pairs([preferences], tokenizer, PROMPTING, 0.2, True)
        return model, made, pairs[:8]

    return make


def log_of(artifact):
    return list(read_jsonl(artifact.path / "log.jsonl"))


def test_two_views_of_a_text_differ_and_dropout_is_off_again_afterwards(policy):
    """Attention drops weights although Llama has no dropout; the model computes as before, also after an error."""
    model, _ = new_reward(policy.path, 0)
    with torch.no_grad():
        plain = row_states(model, ROWS, 0, 4)
        with dropout_on(model, 0.3, seed=1):
            assert model.training
            one, two = (row_states(model, ROWS, 0, 4) for _ in range(2))
        with dropout_on(model, 0.3, seed=1):
            again = row_states(model, ROWS, 0, 4)
        with pytest.raises(RuntimeError), dropout_on(model, 0.3, seed=1):
            raise RuntimeError
        after = row_states(model, ROWS, 0, 4)
    for views in ((one, two), (one, plain), (two, plain)):
        assert (views[0] - views[1]).norm(dim=-1).min() > 1e-3
    assert torch.equal(one, again)
    assert torch.equal(after, plain)
    assert not model.training
    assert model.config.attention_dropout == 0.0


def test_dropout_modules_of_other_architectures_are_on_too_and_get_their_own_rates_back():
    from torch import nn

    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.25)).eval()
    model.config, model.device = type("Config", (), {})(), "cpu"
    given = torch.ones(1, 4)
    with dropout_on(model, 0.9, seed=0):
        assert model[1].p == 0.9
        assert (model(given) == 0).any()
    assert model[1].p == 0.25
    assert torch.equal(model(given), model[0](given))


def test_the_random_state_of_the_process_is_untouched(policy):
    model, _ = new_reward(policy.path, 0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with dropout_on(model, 0.5, seed=1), torch.no_grad():
        row_states(model, ROWS, 0, 4)
    assert torch.equal(torch.rand(3), expected)


def test_equal_views_are_refused():
    view = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(BenchError, match="both views of every text are equal"):
        check_views(view, view.clone())
    check_views(view, torch.tensor([[1.0, 2.0], [0.5, 1.0]]))


def test_the_loss_is_that_of_both_views_and_the_contrast_between_them(objective):
    """The preference loss is the mean over both views; all drawn again by hand with the same seed."""
    from torch.nn.functional import dropout

    from rlp_bench.trainers.data.seeding import derived_seed

    model, made, batch = objective(weight=0.7)
    row = made.backward(4, batch)
    gradient = [p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    sides = [[getattr(pair, side) for pair in batch] for side in ("chosen", "rejected")]
    views = []
    with dropout_on(model, 0.1, derived_seed(0, "dropout", 4)):
        for _ in range(2):
            views.append([dropout(state, 0.1) for state in pair_states(model, *sides, 0, 16)])
    pairs = [bradley_terry_loss(*(model.score(side).squeeze(-1) for side in view)).mean() for view in views]
    contrast = simcse_loss(*(torch.cat(view) for view in views)).mean()
    (0.5 * pairs[0] + 0.5 * pairs[1] + 0.7 * contrast).backward()
    assert row["loss"] == pytest.approx((pairs[0] + pairs[1]).item() / 2, abs=1e-6)
    assert row["contrastive_loss"] == pytest.approx(contrast.item(), abs=1e-5)
    for ours, parameter in zip(gradient, model.parameters(), strict=True):
        assert torch.allclose(ours, parameter.grad, atol=1e-5)


def test_views_are_neither_equal_nor_strangers_at_the_start(run):
    """With equal views the cosine would be 1."""
    first = log_of(run("start"))[0]
    assert 0.5 < first["view_cosine"] < 0.999
    assert first["contrastive_loss"] > 0.01


@pytest.mark.parametrize("name", ALL)
def test_each_objective_learns_the_pairs_and_changes_the_model_in_a_way_of_its_own(name, run, context):
    found = run(name, objective=name, epochs=6)
    assert found.metrics["heldout_accuracy"] == 1.0
    assert all(math.isfinite(value) for value in found.metrics.values())
    assert ("train_prototypes_used" in found.metrics) == name.startswith("swav")
    model, _, _ = load_reward(found.path)  # heads are not kept, dropout is no part of it
    assert model.config.attention_dropout == 0.0
    with torch.no_grad():
        assert torch.equal(row_scores(model, ROWS, 0, 4), row_scores(model, ROWS, 0, 4))


def test_both_views_are_counted(policy, preferences, train, context):
    from rlp_bench.trainers.reward.trainer import RewardModel

    spent = []
    for made in (
        RewardModel(**{k: v for k, v in DEFAULTS.items() if k not in ("hidden", "prototypes")}),
        stage(),
    ):
        context.meter.clear()
        train(made, made.name, init=policy, preferences=preferences)
        spent.append(context.meter["tokens_trained"])
    assert spent[1] == 2 * spent[0]


def test_the_four_models_differ(run):
    made = [file_bytes(run(name, objective=name).path)["model.safetensors"] for name in ALL]
    assert len(set(made)) == 4


def test_contrast_makes_texts_easier_to_recognize(run):
    """Than without its weight, for which it is only measured."""
    plain, contrast = (run(f"weight-{weight}", weight=weight, epochs=6).metrics for weight in (0.0, 1.0))
    assert contrast["train_contrastive_loss"] < 0.8 * plain["train_contrastive_loss"]


def test_differences_are_of_both_orders_and_pairs_of_both_responses():
    view = (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [5.0, 5.0]]))
    every = ([0, 1], [0, 1])
    assert features(view, every, "simcse_pairs").tolist() == [[1, 2], [3, 4], [0, 1], [5, 5]]
    assert features(view, every, "swav_differences").tolist() == [[1, 1], [-2, -1], [-1, -1], [2, 1]]


def test_of_equal_texts_the_first_is_contrasted_and_the_others_are_counted(objective):
    a, b, c = [3, 1], [4, 1], [5, 1]
    batch = [TokenPair(a, b), TokenPair(c, a), TokenPair(a, b), TokenPair(b, a)]
    assert distinct(batch, False) == ([0, 1, 3], [])  # what was chosen first is rejected later
    assert distinct(batch, True) == ([0, 1], [0, 1])  # the last is the first, turned
    for name, left_out in (("simcse_pairs", 5), ("simcse_differences", 4), ("swav_pairs", 5)):
        _, made, _ = objective(objective=name)
        assert made.backward(0, batch)["contrast_duplicates"] == left_out


def test_swav_is_the_one_of_the_ablation_cl():
    settings = stage(objective="swav_pairs")
    heads = new_heads(settings, 24, 0)
    assert type(heads) is SwappedPrediction
    assert sum(p.numel() for p in heads.parameters()) == settings.head_parameters(24)
    assert not list(new_heads(stage(), 24, 0).parameters())
    assert stage().head_parameters(24) == 0


@pytest.mark.parametrize("name", ["simcse_pairs", "swav_pairs"])
def test_six_updates_equal_three_and_three_more_from_a_checkpoint(
    name, policy, preferences, context, tmp_path
):
    inputs = {"init": policy, "preferences": preferences}

    def go(folder, progress):
        (tmp_path / folder).mkdir(exist_ok=True)
        given = replace(context, scratch=tmp_path / f"scratch-{folder}", progress=progress)
        settings = {"checkpoint_every": 3, "batch": 9, "objective": name}
        return stage(**settings).train(inputs, tmp_path / folder, given)

    def killed(done, total, note=""):
        assert total == 6
        if done == 5:
            raise KeyboardInterrupt

    whole = go("whole", context.progress)
    with pytest.raises(KeyboardInterrupt):
        go("resumed", killed)
    assert go("resumed", context.progress) == whole
    assert file_bytes(tmp_path / "resumed") == file_bytes(tmp_path / "whole")


def test_methods_differ_in_the_objective_alone():
    recipe = load_recipe("nano")
    plans = {name: build_plan(recipe, name, 0) for name in [*ALL, "ppo"]}
    [plain] = [node for node in plans["ppo"].nodes if node.trainer == "reward"]
    for name in ALL:
        [found] = [node for node in plans[name].nodes if node.trainer == "reward_contrastive"]
        assert found.settings["objective"] == name
        assert {key: found.settings[key] for key in plain.settings} == dict(plain.settings)
        assert plans[name].final.inputs["reward"].fingerprint == found.fingerprint


@pytest.mark.parametrize(
    ("changed", "said"), [("dropout=0.0", "greater than 0"), ("objective=simsce", "simcse_pairs")]
)
def test_impossible_settings_are_one_line_before_anything_runs(changed, said):
    from rlp_bench.api.errors import RecipeError

    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe("nano", [f"stages.reward_contrastive.{changed}"])
    assert "\n" not in str(caught.value)
