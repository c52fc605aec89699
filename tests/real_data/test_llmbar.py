"""Every LLMBar judge whose stored verdicts are there: its published statistics, re-derived."""

import gzip
import json

import pytest
from shared_files import shared

from rlp_bench.evaluation.judge_audit import audit
from rlp_bench.evaluation.resolve import load_judge

ROOT = shared("data/llmbar")
DATA = ROOT / "LLMBar"
CASES = shared("cases/llmbar")
FILES = sorted([*ROOT.glob("**/result.json*"), *CASES.glob("*/result.json*")])
KEYS = ("correct_False", "correct_True", "correct_average", "correct_both", "equal")
pytestmark = pytest.mark.skipif(not FILES, reason="LLMBar's stored verdicts are not at ../shared/data/llmbar")


def percent(text: str) -> float:
    """ "95 / 100 = 95.0%" -> 95.0."""
    return float(text.rpartition("=")[2].strip().rstrip("%"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: "-".join(p.parts[-5:-1]))
def test_published_statistics(path):
    judge = load_judge(f"replay:{path}")
    found = audit(judge, judge.labeled(), lambda *_: None, allow_missing=True)
    published = json.loads((path.parent / "statistics.json").read_text())
    for key in KEYS:
        assert found["as_stored"][key] == pytest.approx(percent(published[key]), abs=1e-9), key
        if found["n_scored"] == found["n"]:
            assert found["statistics"][key] == pytest.approx(percent(published[key]), abs=1e-9), key


@pytest.mark.skipif(not CASES.is_dir(), reason="needs LLMBar's multi-step runs in ../shared/cases/llmbar")
def test_evaluators_of_several_steps_are_among_them():
    assert {path.parent.name for path in FILES if CASES in path.parents} == {
        "Natural-GPT-4-Metrics_Reference",
        "Natural-GPT-4-Swap",
    }


@pytest.mark.parametrize("share", [3, 1])
def test_verdicts_taken_away_are_missing_and_not_wrong(tmp_path, cli, share):
    """Every third verdict nulled, and all of them: the accuracy of the others stays, or there is none."""
    [path] = DATA.glob("Natural/evaluators/GPT-4/CoT/result.json*")
    rows = json.loads(gzip.decompress(path.read_bytes()))
    whole = cli("audit", f"replay:{path}", "--json")
    for place, row in enumerate(rows):
        if place % share == 0:
            row["results"][-1]["swap = False"]["winner"] = None
    (tmp_path / "result.json").write_text(json.dumps(rows))
    lost = len(rows[::share])
    done = cli("audit", "replay:result.json")
    assert done.returncode == 2
    assert f"{lost} " in done.stderr
    assert done.stderr.count("\n") == 1
    done = cli("audit", "replay:result.json", "--allow-missing", "--json")
    if share == 1:
        assert (done.returncode, "no verdict on any of 100 pairs" in done.stderr) == (2, True)
        return
    found = json.loads(done.stdout)
    assert found["coverage"] == {
        "judged": 100 - lost,
        "unparsed": lost,
        "truncated": 0,
        "failed": 0,
        "missing": 0,
    }
    assert abs(found["accuracy"]["mean"] - json.loads(whole.stdout)["accuracy"]["mean"]) < 3


def test_subsets_load_with_their_published_content():
    from rlp_bench.suites.llmbar import COUNTS, LLMBarPairs

    pairs = LLMBarPairs(str(DATA)).items()
    assert {name: sum(p.subset == name for p in pairs) for name in COUNTS} == COUNTS
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
