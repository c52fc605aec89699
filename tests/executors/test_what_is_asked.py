"""What jobs ask of a machine, what a person may say about a cluster, and the lines for what is wrong."""

import json
import sys
from pathlib import Path

import pytest

from rlp_bench.api.errors import BenchError, UnknownName
from rlp_bench.matrix.executors.executor import Task, encode, failure, open_executor, outcome
from rlp_bench.matrix.executors.options import Place, RayOptions, SlurmOptions, load_options
from rlp_bench.matrix.executors.requirements import (
    PROCESS_BYTES,
    Requirements,
    evaluation_requirements,
    stage_requirements,
    weight_bytes,
)
from rlp_bench.matrix.executors.shared_folder import SharedFolder, begin, mark
from rlp_bench.matrix.executors.worker import execute, look
from rlp_bench.matrix.jobs import JobSpec
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.run.provenance import versions
from rlp_bench.store.store import Store


def asked(*sets, method="rlp_spg"):
    """Label -> needs of every stage."""
    recipe = load_recipe("nano", sets)
    return {n.label: stage_requirements(n, recipe) for n in build_plan(recipe, method, 0).nodes}


def test_data_asks_for_one_cpu_and_no_gpu_whatever_the_recipe_trains_on():
    found = asked("compute.device=cuda", "compute.threads=4", "compute.strategy=fsdp", "compute.workers=8")
    assert found["data-sft"] == Requirements(cpus=1, gpus=0, memory_bytes=PROCESS_BYTES, workers=1, nodes=1)


def test_a_spread_stage_asks_for_a_gpu_a_worker_and_a_sampling_one_for_one():
    found = asked("compute.device=cuda", "compute.threads=4", "compute.strategy=fsdp", "compute.workers=8")
    assert (found["ppo"].gpus, found["ppo"].workers, found["ppo"].cpus) == (8, 8, 32)
    assert (found["sample"].gpus, found["sample"].workers, found["sample"].cpus) == (1, 1, 4)
    assert evaluation_requirements(load_recipe("nano", ["compute.device=cuda"])).gpus == 1


def test_labelling_without_sampling_asks_for_no_gpu():
    recipe = load_recipe("nano", ["compute.device=cuda"])
    plan = build_plan(recipe, "more_human", 0)
    needs = {n.trainer: stage_requirements(n, recipe) for n in plan.nodes}
    judged = [n for n in plan.nodes if n.trainer not in ("checkpoint", "data") and n.instance.uses]
    without = [n.trainer for n in judged if {"annotator"} == {*n.instance.uses} & {"annotator", "engine"}]
    assert all(needs[name].gpus == 0 for name in without)
    assert needs["preferences"].gpus == 1  # it samples first


def test_nobody_asks_for_a_gpu_where_the_recipe_trains_on_the_cpu():
    assert {needs.gpus for needs in asked().values()} == {0}


def test_memory_counts_the_weights_of_every_model_that_is_read():
    weights = weight_bytes(load_recipe("nano").base.checkpoint)
    cpu, gpu = asked(), asked("compute.device=cuda")
    assert weights > 100_000
    # PPO reads its start and the reward model; on the CPU it learns there: weights, gradients, two moments.
    assert cpu["ppo"].memory_bytes == PROCESS_BYTES + (2 + 3) * weights
    assert gpu["ppo"].memory_bytes == PROCESS_BYTES + 2 * weights
    assert cpu["sft"].memory_bytes == PROCESS_BYTES + (1 + 3) * weights


def test_what_a_stage_has_of_its_own_lies_over_what_holds_for_all(tmp_path):
    file = tmp_path / "slurm.toml"
    file.write_text(
        'partition = "gpu"\ntime = 60\n[stages.data]\npartition = "cpu"\n[stages.ppo]\ngpus = 4\n'
    )
    options = load_options(str(file), SlurmOptions)
    assert options.place("sft") == Place(partition="gpu", time=60)
    assert options.place("data") == Place(partition="cpu", time=60)
    assert options.place("ppo") == Place(partition="gpu", time=60, gpus=4)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("time = 'x'", 's.toml: time: "x": Input should be a valid integer'),
        ("part = 1", 's.toml: part: unknown option; did you mean "partition"?'),
        ("[stages.ppo]\ngpu = 1", 's.toml: stages.ppo.gpu: unknown option; did you mean "gpus"?'),
        ("time = ", "s.toml: not TOML"),
    ],
)
def test_wrong_options_are_one_line(tmp_path, text, line):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(BenchError) as error:
        load_options(str(tmp_path / "s.toml"), SlurmOptions)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_missing_file_of_options_is_one_line(tmp_path):
    with pytest.raises(BenchError, match="cannot be read"):
        load_options(str(tmp_path / "no.toml"), RayOptions)


@pytest.mark.parametrize(
    ("spec", "error", "line"),
    [
        ("rey", UnknownName, 'no such executor; did you mean "ray"'),
        ("local:4", BenchError, "takes no argument"),
        ("slurm", BenchError, "give slurm:FILE.toml"),
    ],
)
def test_executors_that_are_not_are_one_line(tmp_path, spec, error, line):
    with pytest.raises(error, match=line):
        open_executor(spec, load_recipe("nano"), tmp_path, 1)


@pytest.mark.parametrize(("executor", "name"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_one_line_that_names_the_extra(tmp_path, monkeypatch, executor, name):
    monkeypatch.setitem(sys.modules, name, None)  # as Python says that there is no such module
    (tmp_path / "s.toml").write_text("")
    spec = "ray" if executor == "ray" else f"slurm:{tmp_path / 's.toml'}"
    with pytest.raises(BenchError) as error:
        open_executor(spec, load_recipe("nano"), tmp_path / "store", 1)
    assert f'package {name} is not installed; `pip install "rlp-bench[{executor}]"`' in str(error.value)
    assert not (tmp_path / "store").exists()


def sent(recipe, root: Path, fingerprint: str, exchange: Path | None = None) -> str:
    work = JobSpec("stage", "sft", 0, fingerprint=fingerprint)
    return encode(
        Task(fingerprint, "sft seed 0 data-sft", "data", work, Requirements()), recipe, root, exchange
    )


def test_an_order_makes_the_stage_that_the_plan_names(tmp_path):
    recipe = load_recipe("nano", ["data.sft=8"])
    node = next(n for n in build_plan(recipe, "sft", 0).nodes if n.label == "data-sft")
    assert outcome(execute(sent(recipe, tmp_path, node.fingerprint)))["seconds"] >= 0
    assert Store(tmp_path).get(node.kind, node.fingerprint).fingerprint == node.fingerprint


def test_another_plan_on_the_worker_is_an_error_and_nothing_is_made(tmp_path):
    answer = execute(sent(load_recipe("nano"), tmp_path, "0" * 64))
    with pytest.raises(BenchError, match="differs from the driver's; install the same versions"):
        outcome(answer)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_does_not_see_the_store_is_an_error_and_nothing_is_made(tmp_path):
    recipe = load_recipe("nano", ["data.sft=8"])
    node = next(n for n in build_plan(recipe, "sft", 0).nodes if n.label == "data-sft")
    elsewhere = tmp_path / "there" / "cluster" / "driver"
    with pytest.raises(BenchError, match=r"does not see the driver's store .*there"):
        outcome(execute(sent(recipe, tmp_path / "here", node.fingerprint, elsewhere)))
    assert json.loads(look(str(elsewhere)))["token"] is None
    assert not (tmp_path / "here").exists()


def test_driver_and_workers_meet_in_the_store_and_leave_nothing(tmp_path):
    exchange = SharedFolder(tmp_path)
    seen = json.loads(look(str(exchange.folder)))
    assert (seen["token"], seen["versions"]) == (exchange.token, versions())
    assert exchange.began("ab" * 32) == []
    begin(exchange.folder, "ab" * 32)
    begin(exchange.folder, "evaluate/ppo/0")
    assert len(exchange.began("ab" * 32)) == len(exchange.began("evaluate/ppo/0")) == 1
    assert mark(exchange.folder, "ab" * 32).name == "abababababababab.began"  # as its scratch folder
    exchange.close()
    assert list(tmp_path.iterdir()) == []


def test_failures_keep_their_line():
    with pytest.raises(BenchError, match=r"^its line$"):
        outcome(failure("its line"))
