"""A leaderboard of 10,000 reports (2,000 methods, five seeds, 100 items each), and whether its time is linear in rows.

The peer is what reading alone takes: the same score files through pandas, averaged by file. Scores are synthetic.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison import clocked, compare

from rlp_bench.leaderboard.table.table import Table

ITEMS, SEEDS = 100, 5


def reports(folder: Path, methods: int) -> list[dict[str, Any]]:
    """Reports with their score files."""
    rng, found = np.random.default_rng(0), []
    for number in range(methods * SEEDS):
        method, seed = divmod(number, SEEDS)
        scores = np.clip(rng.normal(0.4 + 0.2 * method / methods, 0.3, ITEMS), 0, 1).round(3)
        rows = [{"item_id": f"{i:016x}", "score": float(v), "reason": ""} for i, v in enumerate(scores)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        suite = {
            "suite": "a", "alias": "a", "suite_version": "1", "kind": "win_rate", "metric": "win_rate.soft",
            "order": "both", "judge": {"name": "j", "version": "1"}, "data": {"items": "i", "references": "r"},
            "win_rate": 100 * scores.mean(), "standard_error": 3.0, "ci95": [0, 100], "n_items": ITEMS,
            "n_scored": ITEMS, "scores": f"{number}.jsonl", "controls": {"longest": {"win_rate": 40.0}},
            "length_controlled": {"win_rate": 50.0, "standard_error": 2.0, "ci95": [46, 54], "n": ITEMS},
        }  # fmt: skip
        about = {"recipe": "x@1", "store": str(folder), "kl": {"mean": 1.0}, "length_tokens": 10.0}
        name = "ppo" if method == 0 else f"m{method}"
        found.append({**about, "method": name, "seed": seed, "suites": [suite]})
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return reports(tmp_path_factory.mktemp("reports"), 2000)


def test_ten_thousand_reports(benchmark: Any, many: list[dict[str, Any]], lines: list[str]) -> None:
    import pandas as pd

    def ours() -> float:
        assert Table().render(many, "md").count("\n| m") > 1900
        return len(many)

    def peer() -> float:
        folder = Path(many[0]["store"])
        for report in many:
            pd.read_json(folder / report["suites"][0]["scores"], lines=True)["score"].mean()
        return len(many)

    compare(
        benchmark, lines, "leaderboard of 10,000 reports (peer: pandas reads)", "report", clocked(ours), clocked(peer),
        rounds=2, warm_up=False,
    )  # fmt: skip
    assert benchmark.stats.stats.min < 5


def test_time_is_linear_in_rows(many: list[dict[str, Any]]) -> None:
    def seconds(part: list[dict[str, Any]]) -> float:
        began = time.process_time()
        Table().render(part, "md")
        return time.process_time() - began

    seconds(many[:500])
    quarter, whole = min(seconds(many[:2500]) for _ in range(3)), min(seconds(many) for _ in range(3))
    assert whole < 6 * quarter
