"""Methods as wirings: what they share is the same artifact, and an ablation differs in one visible thing."""

import pytest

from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe

RLP = [
    "rlp_spg",
    "rlp_uml",
    "rlp",
    "infomax",
    "mvi",
    "cl",
    "rlaif",
    "reward_pairs",
    "select_all",
    "more_human",
]
RLP += ["spg_random_w", "spg_length_matched", "spg_skill_balanced"]


@pytest.fixture(scope="module")
def plans():
    recipe = load_recipe("nano")
    return {
        name: build_plan(recipe, name, 0)
        for name in [*RLP, "ppo", "rm_retrain", "sft", "longest", "constant"]
    }


def node(plan, label):
    return next(n for n in plan.nodes if n.label == label)


def settings(plan):
    """Label -> settings of every stage."""
    return {n.label: dict(n.settings) for n in plan.nodes if n.settings}


def changed(one, other):
    """(stage, setting) of everything in which two plans of the same stages differ."""
    mine, theirs = settings(one), settings(other)
    assert mine.keys() == theirs.keys()
    return {(label, key) for label in mine for key in mine[label] if mine[label][key] != theirs[label][key]}


@pytest.mark.parametrize("method", RLP)
def test_the_first_step_is_the_same_artifacts_for_all_and_is_ppo(plans, method):
    plan = plans[method]
    assert node(plan, "ppo").fingerprint == plans["ppo"].final.fingerprint
    assert node(plan, "sample").fingerprint == node(plans["rlp_spg"], "sample").fingerprint
    assert node(plan, "sample").settings["n"] == 10


@pytest.mark.parametrize("method", [*RLP, "rm_retrain"])
def test_the_second_ppo_starts_from_sft_and_stays_near_it_with_the_new_reward_model(plans, method):
    final = plans[method].final
    sft = node(plans[method], "sft").fingerprint
    reward = final.inputs["reward"]
    assert final.trainer == "ppo"
    assert final.inputs["init"].fingerprint == sft
    retrained = next(n for n in plans[method].nodes if n.fingerprint == reward.fingerprint)
    assert retrained.settings["redraw"] == 1
    assert retrained.inputs["init"].fingerprint == sft  # not r_phi: D would get a second epoch
    given = retrained.inputs["preferences"]
    first = given[0] if isinstance(given, list) else given
    assert first.label == "preferences"  # held-out pairs come from the annotator's


@pytest.mark.parametrize(
    ("ablation", "parent", "what"),
    [
        ("select_all", "rlp_spg", ("spg", "confidence")),  # Select-All is SPG at γ = 0
        ("spg_random_w", "rlp_spg", ("spg", "winner")),
        ("spg_length_matched", "rlp_spg", ("spg", "loser")),
        ("spg_skill_balanced", "rlp_spg", ("spg", "balance")),
        ("infomax", "rlp_uml", ("reward_uml", "objective")),
        ("mvi", "rlp_uml", ("reward_uml", "objective")),
        ("cl", "rlp_uml", ("reward_uml", "objective")),
    ],
)
def test_an_ablation_differs_from_its_parent_in_one_setting(plans, ablation, parent, what):
    assert changed(plans[ablation], plans[parent]) == {what}


def test_select_all_accepts_at_zero(plans):
    assert node(plans["select_all"], "spg").settings["confidence"] == 0.0
    assert node(plans["rlp_spg"], "spg").settings["confidence"] == 0.5


def test_the_retrain_control_is_ppo_with_another_draw_of_its_reward_model(plans):
    assert changed(plans["rm_retrain"], plans["ppo"]) == {("reward", "redraw")}


def test_equation_1_whole_has_both_kinds_of_pairs_and_the_objective(plans):
    stage = node(plans["rlp"], "reward_uml")
    assert [handle.label for handle in stage.inputs["preferences"]] == ["preferences", "spg"]
    assert stage.inputs["samples"].label == "sample"
    assert stage.settings["objective"] == "mib"
    assert node(plans["rlp"], "spg").fingerprint == node(plans["rlp_spg"], "spg").fingerprint


def test_more_human_pairs_are_as_many_as_rlp_spg_adds(plans):
    stage = node(plans["more_human"], "annotate")
    assert stage.inputs["like"].fingerprint == node(plans["rlp_spg"], "spg").fingerprint


def test_controls_without_training_answer_with_the_sft_policy(plans):
    for name in ("longest", "constant"):
        assert plans[name].final.inputs["policy"].fingerprint == plans["sft"].final.fingerprint
    assert plans["longest"].final.settings["by"] == "length"
