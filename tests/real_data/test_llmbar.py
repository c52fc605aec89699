"""Every LLMBar judge whose stored verdicts are there: its published statistics, re-derived."""

import gzip
import json
from pathlib import Path

import pytest

from rlp_bench.api.types import LabelledPair
from rlp_bench.evaluation.judge_audit import audit
from rlp_bench.evaluation.resolve import load_judge

DATA = Path(__file__).parents[3] / "shared" / "data" / "llmbar" / "LLMBar"
FILES = sorted(DATA.glob("**/result.json.gz"))
KEYS = ("correct_False", "correct_True", "correct_average", "correct_both", "equal")
pytestmark = pytest.mark.skipif(not FILES, reason="LLMBar's stored verdicts are not at ../shared/data")


def percent(text: str) -> float:
    """ "95 / 100 = 95.0%" -> 95.0."""
    return float(text.rpartition("=")[2].strip().rstrip("%"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: "-".join(p.parts[-5:-1]))
def test_published_statistics(path):
    judge = load_judge(f"replay:{path}")
    items = [LabelledPair(r["input"], r["output_1"], r["output_2"], r["label"]) for r in judge.rows()]
    found = audit(judge, items, lambda *_: None)["statistics"]
    published = json.loads((path.parent / "statistics.json").read_text())
    for key in KEYS:
        assert found[key] == pytest.approx(percent(published[key]), abs=1e-9), key


def test_subsets_load_with_their_published_content():
    from rlp_bench.suites.llmbar import COUNTS, LLMBarPairs

    present = [name for name in COUNTS if name != "GPTOut"]
    pairs = LLMBarPairs(f"{DATA}#{','.join(present)}").items()
    assert {name: sum(p.subset == name for p in pairs) for name in present} == {n: COUNTS[n] for n in present}
    assert sum(p.label == 1 for p in pairs if p.subset == "Natural") == 42


def test_natural_inputs_against_a_file_of_references(tmp_path):
    from rlp_bench.suites.llmbar import LLMBar

    rows = json.loads(gzip.decompress((DATA / "Natural" / "dataset.json.gz").read_bytes()))
    answers = [
        {"instruction": row["input"], "output": row["output_1"], "generator": "x"} for row in rows[:99]
    ]
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(answers))
    items = LLMBar(f"{DATA},references={path}").items()
    assert len(items) == 100
    assert sum(item.reference is None for item in items) == 1
