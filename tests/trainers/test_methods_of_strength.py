"""Methods by preference strength as wirings: the models are shared, and a method differs in what happens to labels."""

import pytest

from rlp_bench.api.errors import RecipeError
from rlp_bench.matrix.tuning import candidates
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe

LABELS = {
    "rm_flip": {"flip": "negative"},
    "rm_margin": {"margin": True},
    "rm_flip_margin": {"flip": "negative", "margin": True},
    "rm_soft_margin": {"smooth": "negative", "margin": True},
}
ALL = [*LABELS, "rm_average"]


def plan(method, *settings):
    return build_plan(load_recipe("nano", list(settings)), method, 0)


def node(found, trainer):
    return next(each for each in found.nodes if each.trainer == trainer)


@pytest.fixture(scope="module")
def plans():
    recipe = load_recipe("nano")
    names = [*ALL, *(f"{name}_no_kl" for name in ALL), "ppo", "ppo_no_kl", "rm_retrain"]
    return {name: build_plan(recipe, name, 0) for name in names}


def models(found):
    """The fingerprints of the reward models that measure strength, or are averaged."""
    stage = next(each for each in found.nodes if each.trainer in ("strength", "average_rewards"))
    return [handle.fingerprint for handle in stage.inputs["rewards"]]


def test_ten_models_are_the_same_for_all_methods_and_two_of_them_are_those_of_ppo_and_its_retrained_twin(
    plans,
):
    first = models(plans["rm_flip"])
    assert len(set(first)) == 10
    for method in ALL:
        assert models(plans[method]) == first
    own = [node(plans[name], "reward").fingerprint for name in ("ppo", "rm_retrain")]
    assert own == first[:2]


@pytest.mark.parametrize(("method", "changed"), LABELS.items())
def test_a_method_differs_in_its_labels_alone(plans, method, changed):
    stage = node(plans[method], "relabel")
    assert {name: stage.settings[name] for name in changed} == changed
    others = {"flip": "none", "smooth": "none", "margin": False} | changed
    assert {name: stage.settings[name] for name in others} == others
    assert stage.inputs["strengths"].fingerprint == node(plans["rm_flip"], "strength").fingerprint
    final = plans[method].final
    trained = next(
        each for each in plans[method].nodes if each.fingerprint == final.inputs["reward"].fingerprint
    )
    assert trained.inputs["preferences"][0].fingerprint == stage.fingerprint
    assert dict(trained.settings) == dict(
        node(plans["ppo"], "reward").settings
    )  # the head and order of ppo's


@pytest.mark.parametrize("method", [*ALL, "ppo"])
def test_without_kl_the_last_stage_alone_is_another_one_and_is_not_tuned(plans, method):
    plain, free = plans[method], plans[f"{method}_no_kl"]
    assert free.final.settings["beta"] == 0.0 != plain.final.settings["beta"]
    before = [[each.fingerprint for each in found.nodes[:-1]] for found in (plain, free)]
    assert before[0] == before[1]
    recipe = load_recipe("nano")
    assert len(candidates(recipe, method)) == 2
    assert candidates(recipe, f"{method}_no_kl") == []


def test_the_number_of_models_and_their_folds_are_settings_of_the_stage():
    few = plan(
        "rm_flip", "stages.strength.models=4", "stages.strength.scoring=cross_fit", "stages.strength.folds=2"
    )
    stages = [each for each in few.nodes if each.fingerprint in models(few)]
    assert [(each.settings["redraw"], each.settings["folds"], each.settings["left_out"]) for each in stages] == [
        (0, 2, 0), (1, 2, 1), (2, 2, 0), (3, 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["stages.strength.models=1"], "models is 1; expected at least 2"),
        (["stages.strength.scoring=cross_fit", "stages.strength.folds=3"], "10 models with 3 folds"),
        (["data.strengths_from=preference_strengths:nowhere.jsonl"], "no such file"),
        (["data.strengths_from=preference_strengths"], "no file given"),
        (["data.strengths_from=nothing"], 'suite "nothing" is not installed'),
    ],
)
def test_impossible_settings_are_errors_of_the_plan_one_line_each(settings, said):
    with pytest.raises(RecipeError, match=said) as caught:
        plan("rm_flip", *settings)
    assert "\n" not in str(caught.value)


def test_a_recipe_without_a_file_of_strengths_keeps_its_id():
    assert load_recipe("nano").id == "nano@913a09b1"
    assert load_recipe("micro").id == "micro@2e12ff1f"


def test_strengths_of_a_file_need_no_models(tmp_path):
    file = tmp_path / "strengths.jsonl"
    file.write_text('{"prompt": "a", "chosen": "b", "rejected": "c", "strength": 0.1}\n')
    found = plan("rm_flip", f"data.strengths_from=preference_strengths:{file}", "data.strengths=1")
    assert [each.trainer for each in found.nodes].count("reward") == 1
    assert node(found, "import_strengths").inputs["pairs"].label == "data-strengths"
    assert found.recipe.id != "nano@913a09b1"
