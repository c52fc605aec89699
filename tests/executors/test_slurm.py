"""Jobs of submitit. Slurm is not needed: `executor = "local"` does the very same in processes of this machine."""

import json
import signal
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
from patience import PATIENCE
from small_matrix import attempts, contents, killed_in, matrix, one, stage, stuck_in

from rlp_bench.matrix.executors.executor import Task
from rlp_bench.matrix.executors.requirements import Requirements
from rlp_bench.matrix.executors.slurm import SRUN_CPUS, SlurmExecutor
from rlp_bench.matrix.jobs import JobSpec
from rlp_bench.recipes.load import load_recipe

pytestmark = pytest.mark.skipif(
    find_spec("submitit") is None, reason="submitit is not installed (extra slurm)"
)

REAL = pytest.mark.skipif(which("srun") is None, reason="Slurm is not on this machine")
HERE = 'executor = "local"\ntime = 30\njobs = 2\n'
ORDER = Task(
    "k" * 64, "ppo seed 0 ppo", "ppo", JobSpec("stage", "ppo", 0), Requirements(32, 8, 64 << 30, 8, 1)
)


@pytest.fixture
def here(tmp_path: Path) -> str:
    """Options for this machine."""
    (tmp_path / "here.toml").write_text(HERE)
    return "slurm:here.toml"


@pytest.fixture(params=["local", pytest.param("slurm", marks=[pytest.mark.slow, REAL])])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Options for this machine, and for Slurm where it is there."""
    (tmp_path / "queue.toml").write_text(
        f'executor = "{request.param}"\ntime = 30\njobs = 2\npoll_seconds = 0.5\n'
    )
    return "slurm:queue.toml"


def parameters(tmp_path: Path, more: str, task: Task = ORDER) -> dict:
    (tmp_path / "s.toml").write_text('executor = "local"\n' + more)
    executor = SlurmExecutor(str(tmp_path / "s.toml"), load_recipe("nano"), tmp_path / "store", 1)
    try:
        return executor.parameters(task)
    finally:
        executor.close()


def test_a_run_whose_job_is_killed_equals_an_undisturbed_one_of_this_process(start, cli, tmp_path, queue):
    victim = stage("sft", 0, "sft")
    process = start(
        *one("--store", "jobs", "--executor", queue, method="sft"), **stuck_in(victim.fingerprint)
    )
    try:
        killed_in(tmp_path / "jobs", victim.fingerprint, process)
        said = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert cli(*one("--store", "calm", method="sft")).returncode == 0
    assert contents(tmp_path / "jobs") == contents(tmp_path / "calm")
    assert attempts(tmp_path / "jobs") == {f"policy-{victim.fingerprint[:16]}": 2}
    assert not (tmp_path / "jobs" / "cluster").exists()
    sealed = cli(*one("--store", "jobs", "--executor", queue, "--dry-run", "--json", method="sft"))
    assert json.loads(sealed.stdout)["jobs"] == [
        {"job": "sft seed 0 evaluate", "after": [], "nodes": 1, "cpus": 1, "gpus": 0, "memory_gb": 1.1}
    ]


@pytest.mark.slow
@REAL
def test_a_job_that_is_preempted_goes_back_into_the_queue_and_on_from_its_checkpoints(start, tmp_path):
    (tmp_path / "queue.toml").write_text("time = 30\npoll_seconds = 0.5\n")
    victim = stage("sft", 0, "sft")
    process = start(
        *one("--store", "jobs", "--executor", "slurm:queue.toml", "--no-eval", method="sft"),
        **stuck_in(victim.fingerprint),
    )
    killed_in(tmp_path / "jobs", victim.fingerprint, process, signal.SIGUSR2)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    assert attempts(tmp_path / "jobs") == {f"policy-{victim.fingerprint[:16]}": 2}


@pytest.mark.slow
def test_a_matrix_of_jobs_equals_one_of_processes(start, tmp_path, here):
    for store, more in (("jobs", ["--executor", here]), ("calm", ["--jobs", "2"])):
        process = start(*matrix("--store", store, *more, methods="sft,ppo"))
        said = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 0, said
    assert contents(tmp_path / "jobs") == contents(tmp_path / "calm")
    assert set(attempts(tmp_path / "jobs").values()) == {1}


def test_a_dry_run_says_what_each_job_asks_for_and_submits_nothing(cli, tmp_path, here):
    spread = ["--set", "compute.device=cuda", "--set", "compute.strategy=fsdp", "--set", "compute.workers=8"]
    done = cli(*one("--store", "jobs", "--executor", here, *spread, "--dry-run", "--json"))
    assert done.returncode == 0, done.stderr
    jobs = {job["job"]: job for job in json.loads(done.stdout)["jobs"]}
    assert {name.removeprefix("ppo seed 0 "): job["gpus"] for name, job in jobs.items()} == {
        "data-sft": 0, "data-preferences": 0, "data-unlabeled": 0, "sft": 8, "preferences": 1, "reward": 8, "ppo": 8,
        "evaluate": 1,
    }  # fmt: skip
    assert jobs["ppo seed 0 reward"]["after"] == ["ppo seed 0 preferences", "ppo seed 0 sft"]
    assert not (tmp_path / "jobs").exists()


def test_without_srun_it_is_one_line(cli, tmp_path):
    (tmp_path / "s.toml").write_text('partition = "gpu"\n')
    done = cli(*one("--store", "jobs", "--executor", "slurm:s.toml"), PATH="/nowhere")
    assert done.returncode == 2
    assert "error: --executor slurm: srun is not on this machine" in done.stderr
    assert not (tmp_path / "jobs").exists()


def test_a_job_asks_for_what_its_stage_needs(tmp_path):
    found = parameters(tmp_path, 'partition = "gpu"\naccount = "lab"\n')
    assert found["gpus_per_node"] == 8
    assert (found["cpus_per_task"], found["mem_gb"], found["timeout_min"]) == (32, 64, 1440)
    assert (found["slurm_partition"], found["slurm_account"]) == ("gpu", "lab")
    assert (found["nodes"], found["tasks_per_node"], found["slurm_use_srun"]) == (1, 1, True)
    assert found["name"] == "rlp-bench ppo seed 0 ppo"


def test_a_person_has_the_last_word_on_what_a_job_asks_for(tmp_path):
    own = 'setup = ["module load cuda"]\n[stages.ppo]\ngpus = 4\ncpus = 2\nmemory_gb = 9.0\ntime = 7\n'
    own += "sbatch = {exclusive = true}\n"
    found = parameters(tmp_path, own)
    assert (found["gpus_per_node"], found["cpus_per_task"], found["mem_gb"], found["timeout_min"]) == (
        4,
        2,
        9,
        7,
    )
    assert found["slurm_additional_parameters"] == {"exclusive": True}
    assert found["slurm_setup"] == [SRUN_CPUS, "module load cuda"]


def test_a_stage_of_two_machines_is_one_job_that_starts_a_step_on_each(tmp_path):
    task = Task(
        "k" * 64, "ppo seed 0 ppo", "ppo", JobSpec("stage", "ppo", 0), Requirements(32, 8, 64 << 30, 8, 2)
    )
    found = parameters(tmp_path, "", task)
    assert found["slurm_additional_parameters"] == {"nodes": 2}
    assert found["slurm_use_srun"] is False
