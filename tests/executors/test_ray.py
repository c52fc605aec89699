"""A real Ray cluster on this machine: the artifacts that processes make, also where a worker is killed."""

import json
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from patience import PATIENCE, wait_until
from small_matrix import attempts, contents, killed_in, matrix, one, ray_processes, stage, stuck_in

from rlp_bench.api.errors import BenchError
from rlp_bench.matrix.executors.ray_cluster import check_view
from rlp_bench.run.provenance import versions

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra ray)")

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": ""}
"""No cluster of the person who runs the tests, no token in their home, no statistics sent."""


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cluster of the tests at a time, whatever process runs them: two that start at once may take one port."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


CLUSTER = pytest.mark.usefixtures("alone")


@CLUSTER
def test_a_matrix_whose_worker_is_killed_half_way_equals_an_undisturbed_one_of_processes(
    start, cli, tmp_path
):
    victim = stage("ppo", 1, "ppo")
    process = start(
        *matrix("--store", "ray", "--executor", "ray", "--jobs", "2", methods="sft,ppo"),
        **QUIET,
        **stuck_in(victim.fingerprint),
    )
    try:
        pid = killed_in(tmp_path / "ray", victim.fingerprint, process)
        said = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert not psutil.pid_exists(pid)
    calm = cli(*matrix("--store", "calm", "--jobs", "2", methods="sft,ppo"))
    assert calm.returncode == 0, calm.stderr
    assert contents(tmp_path / "ray") == contents(tmp_path / "calm")
    _, reports, points = contents(tmp_path / "ray")
    assert (len(reports), len(points)) == (4, 2)
    begun = attempts(tmp_path / "ray")
    again = f"policy-{victim.fingerprint[:16]}"
    assert {name: n for name, n in begun.items() if n > 1} == {again: 2}  # all others were made once
    assert set(attempts(tmp_path / "calm").values()) == {1}
    # It went on from the checkpoint: the second process took fewer rollouts than the stage has.
    spent = [
        json.loads((tmp_path / s / "artifacts" / again / "meter.json").read_text()) for s in ("ray", "calm")
    ]
    first, second = (meter["counters"]["tokens_sampled"] for meter in spent)
    assert first < second
    assert not (tmp_path / "ray" / "cluster").exists()
    assert not list((tmp_path / "ray" / "artifacts").glob(".partial-*"))


@CLUSTER
def test_what_no_machine_can_ever_take_is_one_line_and_nothing_is_made(cli, tmp_path):
    done = cli(*one("--store", "ray", "--executor", "ray", "--set", "compute.threads=64"), **QUIET)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "needs 64 CPUs, 0 GPUs and" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ray" / "artifacts").exists()
    assert not (tmp_path / "ray" / "cluster").exists()


def test_an_address_where_nobody_listens_is_one_line_at_once(cli):
    done = cli(*one("--store", "ray", "--executor", "ray:127.0.0.1:1"), **QUIET)
    assert done.returncode == 2
    assert 'error: --executor ray: no server answers at "127.0.0.1:1"' in done.stderr


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        ({"host": "node7", "token": None, "versions": versions()}, "node7: does not see the driver's store"),
        (
            {"host": "node7", "token": "t", "versions": {**versions(), "torch": "1.0"}},
            r"node7 has torch 1\.0 \(here ",
        ),
        ({"host": "node7", "token": "t", "versions": {}}, r"node7 has .*rlp-bench none \(here "),
    ],
)
def test_a_machine_with_another_store_or_other_versions_is_refused(seen, line):
    with pytest.raises(BenchError, match=line):
        check_view(seen, "t", Path("store"))
    check_view({"host": "node7", "token": "t", "versions": versions()}, "t", Path("store"))


@CLUSTER
@pytest.mark.slow
def test_an_interrupt_leaves_nothing_half_made_and_no_process(cold_start, cli, tmp_path):
    victim = stage("ppo", 0, "ppo", "stages.ppo.rollouts=60")
    process = cold_start(
        *one("--store", "ray", "--executor", "ray", "--set", "stages.ppo.rollouts=60"),
        **QUIET,
        **stuck_in(victim.fingerprint),
    )
    killed_in(tmp_path / "ray", victim.fingerprint, process, signal.SIGINT, process.pid)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert "run the same command to resume" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "ray" / "artifacts").glob(".partial-*"))
    assert list((tmp_path / "ray" / "scratch" / victim.fingerprint[:16]).glob("checkpoint-*"))
    assert not (tmp_path / "ray" / "cluster").exists()
    wait_until(lambda: not ray_processes(victim.fingerprint[:16]))


@CLUSTER
@pytest.mark.slow
def test_a_worker_lost_more_often_than_allowed_is_one_line_and_the_same_command_goes_on(start, cli, tmp_path):
    (tmp_path / "ray.toml").write_text("retries = 0\n")
    victim = stage("ppo", 0, "ppo")
    process = start(
        *one("--store", "ray", "--executor", "ray:ray.toml"), **QUIET, **stuck_in(victim.fingerprint)
    )
    killed_in(tmp_path / "ray", victim.fingerprint, process)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 2
    assert "error: ppo seed 0 ppo: started 1 times, its worker was lost each time" in said
    assert "Traceback" not in said
    again = cli(*one("--store", "ray"))
    assert again.returncode == 0, again.stderr
    assert f"{victim.label}: resumed" in again.stderr
    assert attempts(tmp_path / "ray")[f"policy-{victim.fingerprint[:16]}"] == 2


@CLUSTER
@pytest.mark.slow
def test_a_stage_of_two_processes_is_placed_whole_and_equals_that_of_this_machine(cli, tmp_path):
    spread = ["--no-eval", "--set", "compute.strategy=ddp", "--set", "compute.workers=2"]
    for store, more in (("ray", ["--executor", "ray"]), ("calm", [])):
        done = cli(*one("--store", store, *spread, *more, method="sft"), **QUIET)
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "ray") == contents(tmp_path / "calm")
