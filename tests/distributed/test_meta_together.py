"""Two real processes train MetaRM, and PPO against the mean of reward models, as one does: ddp, fsdp, adapters."""

import pytest
from test_together import SMALLER, jobs, largest_difference, log, together

from rlp_bench.display import Display
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.runner import run_plan
from rlp_bench.store.store import Store

META = ["loss", "accuracy", "grad_norm", "difference", "inner_step", "inner_grad_norm", "gradient_cosine"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Method -> (plan, its artifacts by label), made by one process."""
    store = Store(tmp_path_factory.mktemp("alone"))
    recipe = load_recipe("nano", [*SMALLER, "stages.strength.models=2"])
    found = {}
    for method in ("metarm", "rm_average"):
        plan = build_plan(recipe, method, 0)
        found[method] = plan, dict(run_plan(plan, store, Display(quiet=True)).lineage)
    return found


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_metarm_takes_the_steps_of_one_process(runs, warm, tmp_path, strategy):
    """The ascent is on the gradient of all processes, and every shard moves and comes back."""
    alone = runs["metarm"]
    seen = together(warm, tmp_path, jobs(alone, strategy, {"precision": "fp32"}, ("reward_meta",)))
    own, theirs = log(alone[1]["reward_meta"].path), log(tmp_path / "reward_meta")
    assert largest_difference(own, theirs, META) < 1e-3
    assert all(shard["all_dtensor"] for shard in seen[0]["shards"].values())
    assert len(seen[0]["shards"]) == (strategy == "fsdp")


def test_metarm_with_adapters_moves_only_them_and_is_the_same_in_two_processes(runs, warm, tmp_path):
    training = {"lora_rank": 4, "lora_targets": []}
    for processes, strategy in ((1, "one"), (2, "ddp")):
        folder = tmp_path / str(processes)
        folder.mkdir()
        together(warm, folder, jobs(runs["metarm"], strategy, training, ("reward_meta",)), processes)
    one, two = (log(tmp_path / n / "reward_meta") for n in ("1", "2"))
    assert largest_difference(one, two, META) < 1e-3
    whole = log(runs["metarm"][1]["reward_meta"].path)
    assert largest_difference(one, whole, ["inner_step"]) > 1e-2


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_ppo_against_the_mean_of_reward_models_is_that_of_one_process(runs, warm, tmp_path, strategy):
    alone = runs["rm_average"]
    together(warm, tmp_path, jobs(alone, strategy, {"precision": "fp32"}, ("ppo",)))
    own, theirs = log(alone[1]["ppo"].path), log(tmp_path / "ppo")
    assert largest_difference(own, theirs, ["score_mean", "score_std", "ref_perplexity", "grad_norm"]) < 1e-4
