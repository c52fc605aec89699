"""`rlp-bench plan` predicts: AlpacaFarm's requirements come out, what does not fit is told what would help."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.cli.main import app
from rlp_bench.plan.estimate.advice import advise
from rlp_bench.plan.estimate.estimate import Prediction, predict
from rlp_bench.plan.estimate.without_checkpoint import bench_kind
from rlp_bench.plan.estimate.workload import Lengths, read_work
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe

RECIPE = str(Path(__file__).parent / "alpacafarm_like.toml")
ONE = ("compute.workers=1", "compute.strategy=one")


def predicted(*overrides: str, method: str = "rlp_uml") -> tuple[Any, Prediction]:
    recipe = load_recipe(RECIPE, overrides)
    plan = build_plan(recipe, method, 0, kind=bench_kind(recipe))
    prediction = predict(plan)
    assert prediction.shape is not None
    return plan, prediction


def test_seven_billion_fit_eight_a100_in_shards_as_published() -> None:
    # AlpacaFarm's README: "tested ... on a machine with 8 80GB A100 GPUs".
    _, prediction = predicted()
    assert {label: needs.fits for label, needs in prediction.stages.items() if needs} == dict.fromkeys(
        ("sft", "preferences", "reward", "ppo", "sample", "reward_uml", "ppo-2"), True
    )


def test_nothing_that_learns_whole_fits_one_a100() -> None:
    _, prediction = predicted(*ONE)
    fits = {label: needs.fits for label, needs in prediction.stages.items() if needs}
    assert not any(fits[label] for label in ("sft", "reward", "ppo", "reward_uml"))


def test_ppo_needs_eight_devices_where_the_other_stages_need_four() -> None:
    # The same README: "Supervised fine-tuning and reward modeling can fit on 4 80GB A100 GPUs, while PPO training
    # currently requires at least 8".
    _, prediction = predicted("compute.workers=4")
    fits = {label: needs.fits for label, needs in prediction.stages.items() if needs}
    assert (fits["sft"], fits["reward"], fits["ppo"]) == (True, True, False)


def test_masters_gradients_and_moments_are_sixteen_bytes_a_parameter_in_shards() -> None:
    small = ("stages.ppo.rollout_batch=16", "stages.ppo.minibatch=16", "stages.ppo.microbatch=1")
    _, prediction = predicted(
        "compute.workers=4", *small
    )  # the worst moment is one of training, gradients there
    ppo = prediction.stages["ppo"]
    assert ppo is not None
    assert ppo.memory.moments == pytest.approx(8 * ppo.trained / 4)
    assert ppo.memory.gradients == pytest.approx(4 * ppo.trained / 4)
    assert ppo.trained == 2 * prediction.shape.count("lm") - 32001 * 4096 + 4096


@pytest.mark.parametrize("stage", ["sft", "ppo", "reward"])
def test_advice_is_what_the_changed_recipe_is_predicted_to_need(stage: str) -> None:
    plan, prediction = predicted(*ONE)
    changes = advise(plan, prediction, stage)
    assert any(change.fits for change in changes)
    checked = 0
    for change in changes:
        overrides = [f"stages.{stage}.{name}={value}" for name, value in change.settings.items()]
        keys = {"checkpointing": "compute.activation_checkpointing", "devices": "compute.workers"}
        keys |= {"strategy": "compute.strategy", "lora_rank": "training.lora_rank"}
        keys |= {"sampler": "training.sampler", "engine": "engine.name"}
        for name, value in change.setup.items():
            overrides.append(f"{keys[name]}={json.dumps(value)}")
        again = predicted(*{**{key.partition("=")[0]: key for key in (*ONE, *overrides)}}.values())[1].stages[
            stage
        ]
        assert again is not None
        assert (again.memory.total, again.fits) == (pytest.approx(change.total), change.fits), change.what
        checked += 1
    assert checked >= 3


def test_cost_is_hours_of_all_devices_at_the_stated_price() -> None:
    _, prediction = predicted()
    sft = prediction.stages["sft"]
    assert sft is not None
    assert sft.seconds is not None
    # By hand: 6 x 6.47 G in matrices x 492 tokens x 30 000 rows, and logits of 300, at 40 % of 8 x 312 TFLOP/s.
    shape = prediction.shape
    flops = 3 * 30000 * (2 * 492 * shape.matrices + 4 * 4096 * 492**2 * 32 + 2 * 300 * 4096 * 32001)
    assert sft.amount.flops == pytest.approx(flops)
    assert sft.seconds.total >= flops / (0.4 * 8 * 312e12) * 0.999
    assert sft.cost == pytest.approx(sft.seconds.total / 3600 * 8 * 2.0)


def test_shorter_rows_take_less_time_and_the_same_memory() -> None:
    recipe = load_recipe(RECIPE)
    plan = build_plan(recipe, "ppo", 0, kind=bench_kind(recipe))
    long, short = predict(plan), predict(plan, Lengths(100, 150))
    for label in ("sft", "ppo"):
        one, other = long.stages[label], short.stages[label]
        assert one is not None
        assert other is not None
        assert one.memory == other.memory
        assert one.amount.flops > 1.5 * other.amount.flops


def test_decoding_waits_for_memory_where_few_rows_are_sampled() -> None:
    """One row at a time reads all weights for every token: 27 GB at 60 % of 2039 GB/s are 22 ms."""
    _, prediction = predicted("data.preferences=1")
    needs = prediction.stages["preferences"]
    assert needs is not None
    assert needs.seconds is not None
    bandwidth_bound = 300 * 4 * prediction.shape.parameters / (0.6 * 2039e9)
    launch_bound = 300 * 32 * 0.0008
    assert needs.seconds.write == pytest.approx(max(bandwidth_bound, launch_bound), rel=0.1)


def test_every_trainer_says_what_it_does() -> None:
    ours = [
        name for name in registry.names("trainer") if registry.origin("trainer", name).startswith("rlp-bench")
    ]
    assert len(ours) > 10
    assert [name for name in ours if not hasattr(registry.load("trainer", name), "work")] == []


def test_the_engine_is_described_as_it_is() -> None:
    import inspect

    from rlp_bench.plan.estimate import memory
    from rlp_bench.trainers.generation import scoring, transformers_engine
    from rlp_bench.trainers.generation.rollout import rollout
    from rlp_bench.trainers.generation.vllm_runner import VllmSettings
    from rlp_bench.trainers.ppo.config import SLOTS

    assert transformers_engine.SLOTS == memory.ENGINE_SLOTS
    assert transformers_engine.CACHE_TOKENS == memory.ENGINE_CACHE_TOKENS
    assert scoring.SCORING_BATCH == memory.SCORING_ROWS
    assert VllmSettings().max_num_seqs == memory.VLLM_SLOTS
    assert VllmSettings().gpu_memory_utilization == memory.VLLM_SHARE
    assert inspect.signature(rollout).parameters["slots"].default == SLOTS


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (3, "returned int; expected a dict"),
        ({"models": {"policy": {"head": "both"}}, "passes": ()}, "models.policy.head"),
        ({"models": {}, "passes": ({"does": "read", "models": ("reward",), "rows": 3},)}, "names reward"),
        ({"models": {}, "passes": (), "updtes": 3}, "names updtes"),
    ],
)
def test_a_strangers_word_is_checked(told: Any, said: str) -> None:
    with pytest.raises(BenchError, match=said) as raised:
        read_work(told, "stranger")
    assert "\n" not in str(raised.value)


def plan_on_the_command_line(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["plan", "--recipe", RECIPE, *arguments], catch_exceptions=True)


def test_text_names_the_shape_what_does_not_fit_and_what_would_help(tmp_path: Path) -> None:
    sets = [part for each in ONE for part in ("--set", each)]
    said = plan_on_the_command_line("--method", "ppo", "--store", str(tmp_path), *sets).stdout
    flat = " ".join(said.split())
    assert "shape llama-7b, 6.7G parameters, 1 x a100-80gb" in flat
    assert "is not on this machine: fingerprints are unknown" in flat
    assert "ppo does not fit: needs" in flat
    assert "fsdp over 8 devices" in flat
    assert not any(tmp_path.iterdir())


def test_json_has_bytes_tokens_seconds_and_changes(tmp_path: Path) -> None:
    said = json.loads(plan_on_the_command_line("--method", "ppo", "--store", str(tmp_path), "--json").stdout)
    assert said["checkpoint_here"] is False
    stage = said["prediction"]["stages"]["ppo"]
    memory = stage["memory_bytes"]
    parts = ("weights", "gradients", "moments", "activations", "cache")
    assert memory["total"] == pytest.approx(sum(memory[part] for part in parts))
    assert stage["fits"] is True
    assert stage["changes"] == []
    assert set(stage["tokens"]) == {"trained", "read", "written"}
    assert stage["tokens"]["written"] == 80 * 512 * 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lengths", "long"), "--lengths 120,200"),
        (("--lengths", "500,100"), "expected at most 192,300"),
        (("--set", "compute.accelerator=a100"), 'did you mean "a100-80gb"'),
        (("--set", "base.shape=lama"), 'unknown shape "lama"'),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = plan_on_the_command_line("--method", "ppo", "--store", str(tmp_path), *arguments)
    assert isinstance(result.exception, BenchError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


def test_without_an_accelerator_memory_is_told_and_the_rest_is_unknown(tmp_path: Path) -> None:
    result = plan_on_the_command_line(
        "--method", "ppo", "--store", str(tmp_path), "--json", "--set", 'compute.accelerator=""'
    )
    stage = json.loads(result.stdout)["prediction"]["stages"]["ppo"]
    assert (stage["fits"], stage["seconds"], stage["cost"]) == (None, None, None)
    assert stage["memory_bytes"]["total"] > 4e10


@pytest.mark.usefixtures("stranger_plugins")
def test_a_trainer_that_says_nothing_is_shown_as_such(recipe_file: Path, tmp_path: Path) -> None:
    arguments = ["plan", "--recipe", str(recipe_file), "--method", "stranger", "--store", str(tmp_path)]
    assert "not predicted; no trainer describes its work" in CliRunner().invoke(app, arguments).stdout


@pytest.mark.usefixtures("stranger_plugins")
def test_a_base_that_cannot_be_counted_leaves_the_rest_of_the_plan(recipe_file: Path, tmp_path: Path) -> None:
    arguments = ["plan", "--recipe", str(recipe_file), "--method", "sft", "--store", str(tmp_path)]
    flat = " ".join(CliRunner().invoke(app, arguments).stdout.split())
    assert "stages to run" in flat
    assert "Memory, time and cost are not predicted:" in flat


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("alpacafarm_llama7b_8xa100", "rlp_spg"),
        ("alpacafarm_llama7b_2x8xa100", "rlp_uml"),
        ("smol_1gpu", "rlp_spg"),
    ],
)
def test_the_recipes_for_gpus_fit_what_they_name(recipe: str, method: str, tmp_path: Path) -> None:
    arguments = ["plan", "--recipe", recipe, "--method", method, "--store", str(tmp_path), "--json"]
    stages = json.loads(CliRunner().invoke(app, arguments).stdout)["prediction"]["stages"]
    assert len(stages) > 6
    assert {label for label, stage in stages.items() if not stage["fits"]} == set()


def test_vllm_keeps_to_its_share_of_the_memory() -> None:
    _, prediction = predicted("engine.name=vllm")
    needs = prediction.stages["sample"]
    assert needs is not None
    assert needs.memory.cache + needs.memory.weights <= 0.6 * 80e9
    assert needs.fits


def test_two_nodes_are_faster_than_one() -> None:
    one, two = (predicted(f"compute.nodes={nodes}")[1].stages["ppo"] for nodes in (1, 2))
    assert one is not None
    assert two is not None
    assert one.seconds is not None
    assert two.seconds is not None
    assert two.seconds.train < one.seconds.train
