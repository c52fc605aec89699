"""The 8xA100 recipe itself, every stage of RLP-SPG and RLP-UML for a few steps, by two processes with FSDP2, on a CPU.

A tiny random Llama stands where LLaMA-7B goes, made-up rows where AlpacaFarm's go; sizes, paths and what is not here (a
GPU, an API, an NLI model) are overridden, nothing else.
"""

import json
import random
from pathlib import Path

import pytest

from rlp_bench.display import Display
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe, recipe_names
from rlp_bench.run import launcher as launch
from rlp_bench.run.runner import run_plan
from rlp_bench.store.store import Store

ROOT = Path(__file__).resolve().parents[2]
RECIPE = "alpacafarm_llama7b_8xa100"
ROWS = 40
WORDS = [
    "red",
    "blue",
    "green",
    "small",
    "large",
    "old",
    "new",
    "apple",
    "river",
    "stone",
    "house",
    "garden",
    "song",
    "bird",
    "winter",
    "summer",
]


def sentence(chance: random.Random, n: int) -> str:
    return " ".join(chance.choices(WORDS, k=n)).capitalize() + "."


@pytest.fixture(scope="module")
def world(warm, tmp_path_factory) -> Path:
    """A folder with data/alpaca_farm, models/llama-7b (tiny, of the same architecture) and a three-way classifier."""
    folder = tmp_path_factory.mktemp("llama")
    chance = random.Random(0)
    data = folder / "data" / "alpaca_farm"
    (data / "alpaca_instructions").mkdir(parents=True)

    def row(name: str, i: int) -> dict[str, str]:
        given = sentence(chance, 3) if i % 3 == 0 else ""
        text = f"{name} {i}: write about {sentence(chance, 3)}"
        return {"instruction": text, "input": given, "output": sentence(chance, 6)}

    names = ("sft", "preference", "unlabeled", "val")
    splits = {name: [row(name, i) for i in range(ROWS)] for name in names}
    for name, rows in splits.items():
        (data / "alpaca_instructions" / f"{name}.json").write_text(json.dumps(rows))
    pairs = [
        {
            "instruction": one["instruction"], "input": one["input"], "output_1": sentence(chance, 5),
            "output_2": sentence(chance, 7), "preference": chance.choice((1, 2)),
        }
        for one in splits["preference"]
    ]  # fmt: skip
    (data / "alpaca_noisy_multi_preference.json").write_text(json.dumps(pairs))
    texts = folder / "texts.json"
    texts.write_text(json.dumps([splits, pairs, load_recipe(RECIPE).prompting.template]))
    (folder / "models").mkdir()
    model = folder / "models" / "llama-7b"
    tool = ROOT / "tools" / "tiny_base.py"
    warm.run(texts, model, "--vocab", "1500", "--hidden", "32", target=tool).check_returncode()
    pretrain(folder / "models" / "llama-7b", splits["val"])
    return folder


def pretrain(folder: Path, rows: list[dict[str, str]]) -> None:
    """Some steps on other rows, so that the model writes words and ends."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompting = load_recipe(RECIPE).stage_prompting()
    texts = [prompting.render(row["instruction"], row["input"]) + row["output"] for row in rows]
    batch = tokenizer([text + tokenizer.eos_token for text in texts], padding=True, return_tensors="pt")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    adam = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(**batch, labels=labels).loss.backward()
        adam.step()
        adam.zero_grad()
    model.save_pretrained(folder)


def overrides(world: Path) -> list[str]:
    """Paths to what stands in, and sizes; nothing else."""
    data = world / "data" / "alpaca_farm"
    given = {
        "base.checkpoint": world / "models/llama-7b",
        "data.source": f"alpacafarm_data:{data}",
        "data.preferences_from": f"alpacafarm_preferences:{data / 'alpaca_noisy_multi_preference.json'}",
        "annotator.judge": "longest",
        "judge.name": "longest",
        "engine.name": "transformers",
        "stages.spg.entailment": "micro_claims",
        "compute.device": "cpu",
    }
    sizes = {
        "data.sft": ROWS, "data.preferences": ROWS, "data.unlabeled": ROWS, "data.dev": ROWS, "compute.workers": 2,
        "compute.threads": 1, "prompting.max_response_tokens": 20, "decoding.max_response_tokens": 20,
        "stages.sft.epochs": 1, "stages.sft.batch": 8, "stages.reward.batch": 8, "stages.reward.heldout": 0.25,
        "stages.reward_uml.batch": 8, "stages.reward_uml.heldout": 0.25, "stages.reward_uml.hidden": 16,
        "stages.reward_uml.z_dim": 8, "stages.ppo.rollouts": 2, "stages.ppo.rollout_batch": 8,
        "stages.ppo.minibatch": 4, "stages.ppo.snapshots": "[2]", "stages.spg.min_kept": 2,
    }  # fmt: skip
    quoted = [f'{name}="{value}"' for name, value in given.items()]
    return [*quoted, *(f"{name}={value}" for name, value in sizes.items())]


@pytest.fixture(scope="module")
def runs(world, warm):
    """{method: {label: artifact}}; the workers are forked, what `torchrun` itself does is tested in test_together."""
    recipe = load_recipe(RECIPE, overrides(world))
    assert recipe.compute.strategy == "fsdp"
    assert recipe.compute.activation_checkpointing
    assert recipe.training.precision == "bf16"
    store = Store(world / "store")
    with pytest.MonkeyPatch.context() as patch:
        workers = warm.command("rlp_bench.run.worker", launch.world_size(recipe.compute))
        patch.setattr(launch, "launcher", lambda compute, job: workers)
        return {
            method: dict(run_plan(build_plan(recipe, method, 0), store, Display(quiet=True)).lineage)
            for method in ("rlp_uml", "rlp_spg")
        }


def test_every_stage_ran_and_logged_finite_numbers(runs):
    trained = {
        label: artifact
        for made in runs.values()
        for label, artifact in made.items()
        if (artifact.path / "log.jsonl").exists()
    }
    assert {"sft", "reward", "ppo", "reward_uml", "ppo-2", "reward-2"} <= set(trained)
    for label, artifact in trained.items():
        for row in map(json.loads, (artifact.path / "log.jsonl").read_text().splitlines()):
            assert all(abs(value) < 1e6 for value in row.values()), (label, row)
        assert (artifact.path / "model.safetensors").exists()


def test_what_was_written_is_a_llama_that_transformers_loads(runs):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    policy = runs["rlp_spg"]["ppo-2"].path
    model, tokenizer = AutoModelForCausalLM.from_pretrained(policy), AutoTokenizer.from_pretrained(policy)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.dtype == torch.float32
    with torch.no_grad():
        assert torch.isfinite(model(**tokenizer("Write about", return_tensors="pt")).logits).all()


def test_rows_in_are_rows_used_and_listed_drops(runs):
    for made in runs.values():
        for label, artifact in made.items():
            metrics = artifact.metrics
            if "rows_in" in metrics:
                drops = sum(value for name, value in metrics.items() if name.startswith("dropped_"))
                assert metrics["rows_in"] == metrics["rows_used"] + drops, (label, metrics)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_says_where_its_values_come_from(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    text = (ROOT / "rlp_bench" / "recipes" / f"{name}.toml").read_text()
    assert text.startswith("#")
    if name.startswith(("alpacafarm", "smol")):
        for source in ("arXiv:2305.14387", "arXiv:2403.19279"):
            assert source in text
        assert recipe.base.shape
        assert recipe.compute.accelerator
