"""Memory of a rank under FSDP is within 15 % of what each of two processes holds, from the first batch on."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from test_against_runs import SIZES, TOLERANCE, run_of
from warm import Warm

from rlp_bench.api.types import Training
from rlp_bench.plan.estimate.memory import stage_moments

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("stage", "size", "precision", "checkpointing"),
    [("sft", "narrow", "fp32", False), ("reward", "narrow", "bf16", False), ("ppo", "small", "bf16", True)],
)
def test_of_each_of_two_processes(
    warm: Warm, tmp_path: Path, stage: str, size: str, precision: str, checkpointing: bool
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    run, shape = run_of(alone, stage, size, training=Training(precision), checkpointing=checkpointing)  # type: ignore[arg-type]
    setup = replace(run.setup, strategy="fsdp", devices=2)
    # Reading is left out of both: one whole model in fp32 outweighs all else at this size.
    moments = [one for one in stage_moments(run.work, shape, setup) if one.moment != "load"]
    predicted = max(one.total for one in moments)
    d, _, _, prompt, response = SIZES[size]
    job = {
        "root": str(tmp_path), "base": str(alone / "base"), "stage": stage, "d": d, "prompt": prompt,
        "response": response, "precision": precision, "checkpointing": checkpointing,
    }  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
    done = warm.run(json.dumps(job), target=HERE / "shard_worker.py", ranks=2, env=env)
    told = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("peak-*.json"))]
    assert {one["rank"] for one in told} == {0, 1}, done.stderr[-2000:]
    for one in told:
        assert predicted == pytest.approx(one["peak"], rel=TOLERANCE)
