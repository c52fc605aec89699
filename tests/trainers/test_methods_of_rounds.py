"""MetaRM as a wiring: a round adds samples, a reward model and a policy, and shares all earlier ones."""

import pytest

from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe

ROUNDS = {"metarm": 1, "metarm_2": 2, "metarm_3": 3, "metarm_4": 4, "metarm_5": 5}


@pytest.fixture(scope="module")
def plans():
    recipe = load_recipe("nano")
    return {name: build_plan(recipe, name, 0) for name in [*ROUNDS, "ppo", "rlp_spg"]}


def of(plan, trainer):
    return [node for node in plan.nodes if node.trainer == trainer]


@pytest.mark.parametrize(("method", "rounds"), ROUNDS.items())
def test_round_t_is_trained_with_samples_of_the_policy_before_it_and_from_sft(plans, method, rounds):
    plan = plans[method]
    policies, models, samples = (of(plan, name) for name in ("ppo", "reward_meta", "sample"))
    assert (len(policies), len(models), len(samples)) == (rounds + 1, rounds, rounds)
    assert policies[0].fingerprint == plans["ppo"].final.fingerprint
    assert plan.final.fingerprint == policies[-1].fingerprint
    [sft] = of(plan, "sft")
    for place, (model, drawn) in enumerate(zip(models, samples, strict=True)):
        assert drawn.inputs["policy"].fingerprint == policies[place].fingerprint
        assert model.inputs["samples"].fingerprint == drawn.fingerprint
        assert model.inputs["init"].fingerprint == sft.fingerprint
        assert policies[place + 1].inputs["reward"].fingerprint == model.fingerprint
        assert policies[place + 1].inputs["init"].fingerprint == sft.fingerprint


def test_later_rounds_share_the_earlier_ones_and_the_first_samples_are_those_of_rlp(plans):
    for method in ("metarm", "metarm_2", "metarm_3", "metarm_4"):
        mine = {node.fingerprint for node in plans[method].nodes}
        assert mine <= {node.fingerprint for node in plans["metarm_5"].nodes}
    assert of(plans["metarm"], "sample")[0].fingerprint == of(plans["rlp_spg"], "sample")[0].fingerprint


def test_settings_of_the_plain_reward_model_hold_for_its_variant(plans):
    """And it has its head and order: they differ in the inner step alone."""
    [plain], [meta] = of(plans["metarm"], "reward"), of(plans["metarm"], "reward_meta")
    assert {name: meta.settings[name] for name in plain.settings} == dict(plain.settings)
    own = load_recipe("nano", ["stages.reward_meta.batch=16"])
    [changed] = of(build_plan(own, "metarm", 0), "reward_meta")
    assert (changed.settings["batch"], changed.settings["learning_rate"]) == (16, 1e-3)
