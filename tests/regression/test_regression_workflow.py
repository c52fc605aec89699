"""The GitHub workflow that lies in the repository: its steps are run here as they stand there."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from patience import PATIENCE
from warm import Warm

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/rlp-bench-regress.yml").read_text())


def run_steps(warm: Warm, lane: str, tmp_path: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """Every `run:` of a job but the installation, by bash as the runner calls it, in a copy of what it reads."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("tests", "baselines"):
        (checkout / name).symlink_to(ROOT / name)
    script = tmp_path / "bin" / "rlp-bench"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.join(warm.command("rlp-bench"))} "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        **WORKFLOW["env"],
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}",
    }
    (tmp_path / "temp").mkdir(exist_ok=True)
    done = {}
    for step in WORKFLOW["jobs"][lane]["steps"]:
        if "run" in step and step["name"] != "Install":
            assert "${{" not in step["run"], "a runner's expression cannot be run here"
            done[step["name"]] = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=checkout,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
    return done


@pytest.mark.parametrize(("lane", "gated"), [("golden", 1), ("tracking", 2)])
def test_every_step_of_a_lane_passes(warm, nano_store, lane, gated, tmp_path):
    if lane == "tracking":  # with what was trained before
        shutil.copytree(nano_store, tmp_path / "temp" / "store")
    done = run_steps(warm, lane, tmp_path)
    for name, one in done.items():
        assert one.returncode == 0, f"{name}: {one.stdout}{one.stderr}"
    assert len(done) >= 2
    assert (tmp_path / "summary.md").read_text().count("## rlp-bench regress: PASS") == gated
    assert len(list((tmp_path / "temp/reports").glob("*.xml"))) == gated


def test_the_golden_lane_fails_where_one_answer_scores_otherwise(tmp_path, bench):
    lines = (ROOT / "tests/regression/golden/baseline.jsonl").read_text().splitlines()
    assert len(lines) == 806
    from rlp_bench.evaluation.evaluate import eval_command
    from rlp_bench.store.store import Store, seal

    answers = ROOT / "tests/regression/golden/outputs.json.gz"
    [report] = eval_command(outputs=answers, recipe="nano", suites=["alpacafarm"], store=Store(bench.store))[
        "suites"
    ]
    scores = bench.store / report["scores"]
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    rows[0]["score"] = 1.0 - rows[0]["score"] / 2
    scores.write_text("".join(json.dumps(row) + "\n" for row in rows))
    old = json.loads((scores.parent / "manifest.json").read_text())
    seal(scores.parent, old["kind"], old["fingerprint"], old["provenance"])
    (tmp_path / "report.json").write_text(json.dumps({"suites": [report]}))
    bench.baseline = ROOT / "tests/regression/golden/baseline.jsonl"
    status, found, _ = bench.regress(
        "--report", tmp_path / "report.json", "--exact", "--history", tmp_path / "history.jsonl"
    )
    assert status == 1
    assert "1 of 805 items have another score" in found["reasons"][0]


def test_only_pinned_rights_and_triggers(tmp_path):
    assert WORKFLOW["permissions"] == {"contents": "read"}
    triggers = WORKFLOW.get("on", WORKFLOW.get(True))  # YAML 1.1 reads `on` as true
    assert set(triggers) == {"pull_request", "schedule", "workflow_dispatch"}
