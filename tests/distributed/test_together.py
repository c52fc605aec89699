"""Two real processes (gloo) train what one does: SFT, reward model, UML with gathered negatives, PPO; ddp and fsdp."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import wait_until

from rlp_bench.api.errors import BenchError
from rlp_bench.display import Display
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.recipes.schema import Compute
from rlp_bench.run.launcher import launcher
from rlp_bench.run.runner import run_plan
from rlp_bench.store.store import Store

SCRIPT = Path(__file__).parent / "train_stages.py"
STAGES = ("sft", "reward", "reward_uml", "ppo")
SMALLER = [
    "stages.ppo.rollouts=2",
    "stages.ppo.snapshots=[2]",
    "compute.processes=1",
    "stages.sft.microbatch=5",
    "stages.ppo.microbatch=5",
]


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """(the plan, its artifacts by label) of nano's rlp_uml, made by one process."""
    recipe = load_recipe("nano", SMALLER)
    plan = build_plan(recipe, "rlp_uml", 0)
    record = run_plan(plan, Store(tmp_path_factory.mktemp("alone")), Display(quiet=True))
    return plan, dict(record.lineage)


def jobs(alone, strategy, training, stages=STAGES):
    """The plan's stages as `train_stages.py` reads them; inputs are those that one process made."""
    plan, made = alone
    by_fingerprint = {node.fingerprint: node.label for node in plan.nodes}

    def described(handle):
        artifact = made[by_fingerprint[handle.fingerprint]]
        return {"kind": artifact.kind, "fingerprint": artifact.fingerprint, "path": str(artifact.path)}

    found = []
    for node in plan.nodes:
        if node.label in stages:
            inputs = {
                name: [described(h) for h in given] if isinstance(given, list) else described(given)
                for name, given in node.inputs.items()
            }
            found.append(
                {
                    "trainer": node.trainer, "settings": dict(node.settings), "inputs": inputs, "out": node.label,
                    "seed": plan.seed, "prompting": plan.recipe.prompting.model_dump(), "training": training,
                    "strategy": strategy,
                }
            )  # fmt: skip
    return found


def together(warm, folder, todo, processes=2):
    """Runs the jobs in as many processes; (what they saw)."""
    (folder / "jobs.json").write_text(json.dumps(todo))
    done = warm.run(folder / "jobs.json", target=SCRIPT, ranks=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"seen-{rank}.json").read_text()) for rank in range(processes)]


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def largest_difference(one, other, names):
    """Over rows and columns, relative to the column's size."""
    assert len(one) == len(other)
    sizes = {name: max(abs(row[name]) for row in one if name in row) + 1e-6 for name in names}
    return max(
        abs(a[name] - b[name]) / sizes[name]
        for a, b in zip(one, other, strict=True)
        for name in names
        if name in a
    )


@pytest.fixture(scope="session", params=["ddp", "fsdp"])
def made(request, alone, warm, tmp_path_factory):
    """(strategy, folder of outputs, what each process saw)."""
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, together(warm, folder, jobs(alone, request.param, {"precision": "fp32"}))


def test_two_processes_answered_and_shards_are_shards(made):
    strategy, _, seen = made
    assert [one["world"] for one in seen] == [2, 2]
    assert {one["backend"].rsplit(":", 1)[-1] for one in seen} <= {"gloo", "cpu:gloo,cuda:nccl"}
    shards = list(seen[0]["shards"].values())
    if strategy == "ddp":
        assert shards == []
        return
    # SFT 1, reward 1, UML 1, PPO 4: every model of every stage, and each process holds about half of each.
    assert len(shards) == 7
    assert all(shard["all_dtensor"] for shard in shards)
    assert all(0.45 < shard["share"] < 0.55 for shard in shards)


@pytest.mark.parametrize("stage", STAGES)
def test_the_trajectory_is_that_of_one_process(made, alone, stage):
    _, folder, _ = made
    own, theirs = log(alone[1][stage].path), log(folder / stage)
    names = {
        "sft": ["loss", "grad_norm"],
        "reward": ["loss", "accuracy", "grad_norm"],
        "reward_uml": ["loss", "uml_loss", "jsd", "skl", "gradient_ratio", "grad_norm"],
        "ppo": ["score_mean", "entropy", "length", "value_loss", "grad_norm"],
    }[stage]
    assert largest_difference(own, theirs, names) < 5e-5
    if stage == "ppo":  # differences of two nearly equal policies
        assert largest_difference(own, theirs, ["kl_k1", "kl_k3"]) < 1e-2


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_written_is_a_plain_whole_checkpoint(made, alone, stage):
    from safetensors.torch import load_file

    _, folder, _ = made
    own, theirs = (load_file(f / "model.safetensors") for f in (alone[1][stage].path, folder / stage))
    assert own.keys() == theirs.keys()
    assert (
        max(float((own[name] - theirs[name]).abs().max()) for name in own) < 1e-3
    )  # Adam: a sign moves 2 lr
    configs = [json.loads((f / "config.json").read_text()) for f in (alone[1][stage].path, folder / stage)]
    assert configs[0] == configs[1]


def test_metrics_are_the_same(made, alone):
    _, folder, _ = made
    for stage in STAGES:
        own = json.loads((alone[1][stage].path / "metrics.json").read_text())
        theirs = json.loads((folder / stage / "metrics.json").read_text())
        assert own.keys() == theirs.keys()
        for name in (
            "updates",
            "rows_in",
            "rows_out",
            "heldout_pairs",
            "heldout_loss",
            "train_loss",
            "score_mean",
        ):
            if name in own:
                assert theirs[name] == pytest.approx(own[name], rel=1e-3, abs=1e-3), (stage, name)


def test_adapters_learn_the_same_in_two_processes_as_in_one(alone, warm, tmp_path):
    training = {"lora_rank": 4, "lora_targets": []}
    for processes, strategy in ((1, "one"), (2, "ddp")):
        folder = tmp_path / str(processes)
        folder.mkdir()
        together(warm, folder, jobs(alone, strategy, training, ("sft",)), processes)
    one, two = (log(tmp_path / n / "sft") for n in ("1", "2"))
    assert largest_difference(one, two, ["loss", "grad_norm"]) < 5e-5
    whole = log(alone[1]["sft"].path)
    assert largest_difference(one, whole, ["loss"]) > 1e-3  # adapters are not the whole model


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_killed_workers_go_on_from_their_checkpoint(alone, warm, tmp_path, strategy):
    [todo] = jobs(alone, strategy, {"precision": "fp32"}, ("sft",))
    todo["settings"]["checkpoint_every"] = 2
    (tmp_path / "jobs.json").write_text(json.dumps([{**todo, "kill_after": 5}]))
    done = warm.run(tmp_path / "jobs.json", target=SCRIPT, ranks=2)
    assert done.returncode != 0
    *_, checkpoint = sorted((tmp_path / "sft-scratch").glob("checkpoint-*"))
    assert checkpoint.name == "checkpoint-00000004"
    names = sorted(path.name for path in checkpoint.glob("*.safetensors"))
    shards = ["tensors-0000-of-0002.safetensors", "tensors-0001-of-0002.safetensors"]
    assert names == (shards if strategy == "fsdp" else ["tensors.safetensors"])
    together(warm, tmp_path, [todo])
    assert largest_difference(log(alone[1]["sft"].path), log(tmp_path / "sft"), ["loss", "grad_norm"]) < 5e-5


def test_workers_end_with_the_process_that_waits_for_them(tmp_path):
    import os
    import signal

    command = [
        sys.executable,
        "-m",
        "rlp_bench",
        "run",
        "--method",
        "sft",
        "--recipe",
        "nano",
        "--no-eval",
    ]
    command += ["--store", str(tmp_path / "s"), "--set", "compute.strategy=ddp", "--set", "compute.workers=2"]
    run = subprocess.Popen([*command, "--set", "stages.sft.epochs=500"], stderr=subprocess.DEVNULL)
    job = str((tmp_path / "s" / "scratch").resolve())

    def workers() -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes()
            except OSError:
                continue
            if job.encode() in words and b"rlp_bench.run.worker" in words and b"distributed.run" not in words:
                found.append(int(entry.parent.name))
        return found

    wait_until(lambda: len(workers()) == 2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_until(lambda: workers() == [])


def test_the_launcher_asks_for_a_slurm_allocation(monkeypatch, tmp_path):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    compute = Compute(strategy="fsdp", workers=8, nodes=2)
    with pytest.raises(BenchError, match=r"compute\.nodes is 2: run the command inside a Slurm allocation"):
        launcher(compute, tmp_path / "job.json")
    one = launcher(Compute(strategy="ddp", workers=8), tmp_path / "job.json")
    assert "--nproc-per-node=8" in one
    assert "--standalone" in one


def test_a_run_by_two_workers_fails_in_one_line_and_goes_on(warm, tmp_path):
    """Through the command line: a user error inside a worker, then the run itself."""
    run = ("run", "--method", "sft", "--recipe", "nano", "--no-eval", "--store", tmp_path / "s")
    command = (*run, "--set", "compute.strategy=fsdp", "--set", "compute.workers=2", "--json")
    wrong = warm.run(*command, "--set", "prompting.max_prompt_tokens=3")
    assert wrong.returncode == 2, wrong.stderr
    assert "error: sft: none of" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    done = warm.run(*command)
    assert done.returncode == 0, done.stderr
    policy = Path(json.loads(done.stdout)["policy"])
    meter = json.loads((policy / "meter.json").read_text())
    assert meter["counters"]["tokens_trained"] > 0
    assert (policy / "model.safetensors").exists()
    mixed = warm.run(*run, "--set", "compute.workers=2")
    assert mixed.returncode == 2
    assert "2 training processes with strategy one; choose ddp" in mixed.stderr
