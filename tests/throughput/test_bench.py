"""`rlp-bench bench`: what is slower, what counts otherwise, what cannot be compared, and what is refused."""

import copy
import functools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE

from rlp_bench.api.errors import BenchError
from rlp_bench.perf import timing
from rlp_bench.perf.baseline_files import check_fresh, read_document
from rlp_bench.perf.comparison import compare, exit_status, rows_of, timed_against
from rlp_bench.perf.timed_tests import forget, waited_seconds
from rlp_bench.perf.workloads import WORKLOADS, Asked
from rlp_bench.run.runner import set_threads

Cli = Callable[..., subprocess.CompletedProcess[str]]
ONE = ("bench", "--only", "judged_pairs")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one call wrote. pytest options and plugins of the person who calls change nothing."""
    import os
    import sys

    file = tmp_path_factory.mktemp("bench") / "baseline.json"
    command = [
        str(Path(sys.executable).parent / "rlp-bench"),
        *ONE,
        "--only",
        "judged_requests",
        "--save",
        str(file),
    ]
    env = {**os.environ, "PYTEST_ADDOPTS": "--collect-only"}
    result = subprocess.run(
        command, env=env, cwd=file.parent, capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode == 0, result.stderr
    assert f"saved: {file}" in result.stdout
    assert [path.name for path in file.parent.iterdir()] == ["baseline.json"]
    return file


@pytest.fixture
def document(measured: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(measured.read_text())
    return found


def write(folder: Path, document: dict[str, Any]) -> Path:
    file = folder / "other.json"
    file.write_text(json.dumps(document))
    return file


def faster(document: dict[str, Any], factor: float = 1000) -> dict[str, Any]:
    """The same, as if it had been measured when everything took a thousandth: more than any load of the machine."""
    made = copy.deepcopy(document)
    for one in made["benchmarks"]:
        one["stats"]["data"] = [value / factor for value in one["stats"]["data"]]
        one["extra_info"]["waited_seconds"] = [
            value / factor for value in one["extra_info"]["waited_seconds"]
        ]
    return made


def elsewhere(document: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(document)
    made["rlp_bench"]["machine"]["id"] = "another"
    return made


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    return line


def test_what_is_stored_is_pytest_benchmarks_document_with_counters(document: dict[str, Any]) -> None:
    assert {"benchmarks", "machine_info", "version", "rlp_bench"} <= set(document)
    assert "node" not in document["machine_info"]  # the machine's name is nobody's business
    assert len(document["rlp_bench"]["machine"]["id"]) == 16
    pairs, requests = document["benchmarks"]
    assert len(pairs["stats"]["data"]) == pairs["stats"]["rounds"] == 5
    assert pairs["extra_info"]["counters"] == {"pairs": 1500, "missing": 0}
    counters = requests["extra_info"]["counters"]
    assert (counters["requests"], counters["cache_hits"], counters["retries"]) == (150, 0, 0)
    assert counters["completion_tokens"] == 150
    assert rows_of(document)[1]["cache_hit_rate"] == 0.0
    assert rows_of(document)[0]["cache_hit_rate"] is None  # asks nobody: not 0


def test_against_a_baseline_that_is_far_faster_and_one_that_is_far_slower(
    cli: Cli, measured: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    slow = cli(*ONE, "--baseline", write(tmp_path, faster(document)), "--json")
    found = json.loads(slow.stdout)
    [row] = found["workloads"]
    assert (slow.returncode, found["exit"], row["verdict"], row["timing"]) == (1, 1, "slower", "slower")
    assert row["ratio"] > 1.25
    assert row["p"] < 0.05
    assert row["changed"] == []
    unasked = cli(*ONE, "--baseline", write(tmp_path, faster(document)), "--counters-only")
    assert unasked.returncode == 0, unasked.stdout
    assert "timings were not requested" in unasked.stdout
    slower_before = cli(*ONE, "--baseline", write(tmp_path, faster(document, 0.001)))
    assert slower_before.returncode == 0
    assert "faster" in slower_before.stdout


def test_another_machine_gates_counters_and_no_timing(
    cli: Cli, document: dict[str, Any], tmp_path: Path
) -> None:
    passed = cli(*ONE, "--baseline", write(tmp_path, elsewhere(faster(document))))
    assert passed.returncode == 0, passed.stdout
    assert "judged_pairs: timings incomparable, another machine" in passed.stdout
    document["benchmarks"][0]["extra_info"]["counters"]["pairs"] = 1499
    changed = cli(*ONE, "--baseline", write(tmp_path, elsewhere(document)))
    assert changed.returncode == 1
    assert "judged_pairs: pairs is 1500, the baseline has 1499" in changed.stdout


def test_what_the_baseline_does_not_have_is_incomparable(
    cli: Cli, document: dict[str, Any], tmp_path: Path
) -> None:
    document["benchmarks"] = document["benchmarks"][1:]
    result = cli(*ONE, "--baseline", write(tmp_path, document))
    assert result.returncode == 3
    assert "judged_pairs: timings incomparable, not in the baseline" in result.stdout


def test_comparisons_of_documents(document: dict[str, Any]) -> None:
    cold = copy.deepcopy(document)
    cold["rlp_bench"]["cold"] = True
    assert {row["why"] for row in compare(document, cold, 1.25)} == {"cold against warm rounds"}
    newer = copy.deepcopy(document)
    newer["benchmarks"][0]["extra_info"]["version"] = "2"
    rows = compare(newer, document, 1.25)
    assert [row["verdict"] for row in rows] == ["incomparable", "pass"]
    assert exit_status(rows) == 3
    gone = copy.deepcopy(document)
    del gone["benchmarks"][1]["extra_info"]["counters"]["retries"]
    rows = compare(document, gone, 1.25)
    assert rows[1]["changed"] == [{"counter": "retries", "baseline": None, "now": 0}]
    assert exit_status(rows) == 1
    assert (
        exit_status([*rows, *compare(newer, document, 1.25)]) == 1
    )  # a fault outweighs what cannot be compared


def test_the_gate_seldom_cries_wolf_and_finds_a_half_slower_code() -> None:
    """5 rounds each, lognormal noise of 10 %. Ranks alone alarm 5 % of the time, the factor alone 1 %."""
    rounds = np.exp(np.random.default_rng(0).normal(0, 0.1, (2, 2000, 5)))
    found = [timed_against(a, b, 1.25) for a, b in zip(*rounds, strict=True)]
    alarms = float(np.mean([one["timing"] == "slower" for one in found]))
    assert alarms < 0.005
    assert alarms < np.mean([one["ratio"] > 1.25 for one in found]) < 0.02
    assert 0.04 < np.mean([one["p"] < 0.05 for one in found]) < 0.06
    caught = [timed_against(1.5 * a, b, 1.25)["timing"] == "slower" for a, b in zip(*rounds, strict=True)]
    assert np.mean(caught) > 0.95


def test_slower_takes_both_the_factor_and_the_ranks() -> None:
    steady = [1.0, 1.01, 1.02, 1.03, 1.04]
    little = timed_against(
        [1.2 * x for x in steady], steady, 1.25
    )  # every round is later, by less than the factor
    assert (little["timing"], little["p"] < 0.05) == ("same", True)
    wild = timed_against([1.3, 1.3, 1.3, 1.3, 1.3], [1.0, 1.4, 1.5, 1.6, 1.7], 1.25)  # one lucky round before
    assert (wild["timing"], wild["ratio"] > 1.25) == ("same", True)
    # By hand: all 5 later than all 5: one of 252 orders
    assert timed_against([2.0, 2.1, 2.2, 2.3, 2.4], steady, 1.25)["p"] == pytest.approx(1 / 252)


def test_time_without_a_core_is_not_counted(document: dict[str, Any]) -> None:
    busy = copy.deepcopy(document)
    for one in busy["benchmarks"]:
        data, waited = one["stats"]["data"], one["extra_info"]["waited_seconds"]
        one["stats"]["data"] = [took + 9 for took in data]
        one["extra_info"]["waited_seconds"] = [seconds + 9 for seconds in waited]
    assert [row["ratio"] for row in compare(busy, document, 1.25)] == [pytest.approx(1), pytest.approx(1)]
    assert waited_seconds() >= 0


def test_a_cache_that_has_the_answers_is_refused_and_nothing_saved(cli: Cli, tmp_path: Path) -> None:
    asked = ("bench", "--only", "judged_requests", "--cache", "answers", "--save", "new.json")
    assert cli(*asked).returncode == 0
    (tmp_path / "new.json").unlink()
    line = one_line(cli(*asked))
    assert "judged_requests: 150 of 150 answers came from the cache (hit rate 1.00)" in line
    assert not (tmp_path / "new.json").exists()


def test_rounds_that_count_otherwise_are_no_measurement(document: dict[str, Any]) -> None:
    check_fresh(document)
    document["benchmarks"][0]["extra_info"]["counters_of_rounds"][2]["pairs"] = 7
    with pytest.raises(BenchError, match="judged_pairs: pairs is 7 in one round and 1500 in another"):
        check_fresh(document)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--only", "rolout"], 'did you mean "rollout"?'),
        (["--k", "4"], "bench --k 4: expected at least 5"),
        (["--factor", "1"], "bench --factor 1: expected more than 1"),
        (["--factor", "nan"], "bench --factor nan: expected more than 1"),
        (["--save", "no/folder/x.json"], "expected a file in a folder that exists"),
        (["--save", "."], "expected a file in a folder that exists"),
        (["--baseline", "none.json"], 'baseline "none.json": does not exist'),
        (["--baseline", "text"], 'baseline "text": not JSON'),
        (["--baseline", "list"], 'baseline "list": is not an rlp-bench file'),
        (["--baseline", "newer"], "newer rlp-bench"),
        (["--baseline", "broken"], "is damaged"),
        (["--baseline", "."], "cannot be read"),
        (["--cache", "text"], 'bench --cache "text": expected a folder'),
    ],
)
def test_bad_input_is_one_line_before_anything_is_timed(
    cli: Cli, tmp_path: Path, document: dict[str, Any], more: list[str], expected: str
) -> None:
    (tmp_path / "text").write_text("slow")
    (tmp_path / "list").write_text("[]")
    (tmp_path / "newer").write_text('{"rlp_bench": {"bench_version": 99}}')
    document["benchmarks"][0]["stats"]["data"][0] = "fast"
    (tmp_path / "broken").write_text(json.dumps(document))
    result = cli("bench", *more)
    assert expected in one_line(result)
    assert len(result.stderr.strip().splitlines()) == 1


def test_without_pytest_benchmark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"pip install \"rlp-bench\[bench\]\""):
        timing.check_installed()
    assert timing.without_packages(["rollout", "judged_requests"]) == {
        "judged_requests": "needs package openai"
    }


def test_cold_rounds_forget_what_the_package_remembers() -> None:
    from rlp_bench.run import provenance

    @functools.cache
    def remembered() -> object:
        return object()

    first = remembered()
    provenance.remembered = remembered  # type: ignore[attr-defined]
    try:
        forget()
    finally:
        del provenance.remembered  # type: ignore[attr-defined]
    assert remembered() is not first


@pytest.mark.parametrize(
    "workload", [one for one in WORKLOADS if one.name in ("rollout", "ppo")], ids=lambda w: w.name
)
def test_counted_tokens_cannot_depend_on_the_machine(workload: Any, tmp_path: Path) -> None:
    """Every response has full length whatever is drawn: 48 tokens each."""
    set_threads(1)
    with workload.prepare(tmp_path, Asked()) as work:
        counters = work()
        assert counters["tokens_sampled"] == 48 * counters["samples"]
        assert work() == counters


def test_a_baseline_is_read_as_it_was_written(measured: Path, document: dict[str, Any]) -> None:
    assert read_document(measured) == document
