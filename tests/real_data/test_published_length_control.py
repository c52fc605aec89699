"""AlpacaEval 2's length-controlled win rates: from its published weights, and by fitting its verdicts again."""

import ast
import csv
import gzip
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from patience import PATIENCE
from shared_files import shared

from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.evaluation.length_control import predicted
from rlp_bench.store.store import Store
from rlp_bench.suites.alpacafarm import AlpacaFarm
from rlp_bench.suites.alpacafarm_ids import known_items

ROOT = Path(__file__).resolve().parents[2]
DATA = shared("data/alpaca_eval")
JUDGE = "weighted_alpaca_eval_gpt4_turbo"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs AlpacaEval's files in ../shared/data/alpaca_eval"
)
MODELS = {"alpaca-7b": 0.93, "alpaca-farm-ppo-human": 0.93, "NullModel": None}
"""Models with stored verdicts and a published row; the error by refitting, where it was computed elsewhere as well."""


def stored():
    return json.loads((ROOT / "suites" / "alpaca_eval_2.json").read_text())


def published():
    """(names, weights, rate in percent, printed error in percent) of the models that have both."""
    boards = DATA / "leaderboards"
    with (boards / f"lc_weights_{JUDGE}_baseline_gpt4_1106_preview.csv").open() as lines:
        weights = {row[0]: [float(v) for v in row[1:]] for row in csv.reader(lines) if row[0]}
    with (boards / f"data_AlpacaEval_2/{JUDGE}_leaderboard.csv").open() as lines:
        rows = {row[""]: row for row in csv.DictReader(lines)}
    names = [
        n for n in weights if n != "gpt4_1106_preview" and rows.get(n, {}).get("length_controlled_winrate")
    ]
    rates = np.array([float(rows[n]["length_controlled_winrate"]) for n in names])
    return names, np.array([weights[n] for n in names]), rates, rows


def replay(model, store, outputs=None, verdicts=None, **options):
    folder = DATA / "results" / model
    return eval_command(
        suites=["alpacafarm"],
        outputs=outputs or folder / "model_outputs.json.gz",
        judge=f"replay:{verdicts or folder / JUDGE / 'annotations.json.gz'}",
        store=store,
        **options,
    )["suites"][0]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_published_weights_give_the_published_rates():
    names, weights, rates, _ = published()
    assert len(names) == 198
    difficulty = np.array([value for value, _ in stored()["items"].values()])
    error = np.abs(100 * predicted(weights, difficulty) - rates)
    assert np.median(error) <= 0.02
    assert error.mean() <= 0.02
    stale = {"dbrx-instruct", "NullModel"}  # rows that AlpacaEval did not compute again
    assert {name for name, e in zip(names, error, strict=True) if e > 0.1} <= stale


def test_the_distribution_of_difficulties_holds_for_models_it_was_not_recovered_from():
    sys.path.insert(0, str(ROOT / "tools"))
    from recover_difficulty import distribution

    _, weights, rates, _ = published()
    order = np.random.default_rng(0).permutation(len(rates))
    known, held = order[:150], order[150:]
    values = distribution(weights[known], rates[known] / 100, 805)
    error = np.abs(100 * predicted(weights[held], values) - rates[held])
    assert np.median(error) <= 0.02
    assert error.mean() <= 0.02


def test_fitting_the_verdicts_again_gives_the_published_rates(store):
    names, _, rates, _ = published()
    errors = []
    for model, expected in MODELS.items():
        found = replay(model, store)["length_controlled"]
        assert found["n"] == 805
        assert found["difficulty"].startswith("approximate")
        errors.append(abs(found["win_rate"] - rates[names.index(model)]))
        if expected:
            assert found["standard_error"] == pytest.approx(expected, abs=0.15)
            low, high = found["ci95"]
            assert low < rates[names.index(model)] < high
    assert np.mean(errors) <= 0.35


def test_the_printed_error_is_about_half_of_what_fitting_again_gives(store):
    # P30: lc_standard_error is the spread of the fitted probabilities.
    found = replay("alpaca-7b", store)["length_controlled"]
    difficulty = np.array([value for value, _ in stored()["items"].values()])
    weights = found["weights"]
    p = 1 / (1 + np.exp(-(weights["difficulty"] * difficulty + weights["bias"])))
    printed = 100 * p.std(ddof=1) / 805**0.5
    assert printed == pytest.approx(0.39, abs=0.05)
    assert found["standard_error"] > 2 * printed


def test_difficulty_goes_by_instruction_not_by_position(store, tmp_path):
    # P29: rows in another order change nothing; a part of them keeps each its own difficulty.
    folder = DATA / "results" / "alpaca-farm-ppo-human"
    rows = json.loads(gzip.decompress((folder / JUDGE / "annotations.json.gz").read_bytes()))
    plain = replay("alpaca-farm-ppo-human", store)
    random.Random(0).shuffle(rows)
    (tmp_path / "v.json").write_text(json.dumps(rows))
    mixed = replay("alpaca-farm-ppo-human", store, verdicts=tmp_path / "v.json")
    assert mixed["length_controlled"]["win_rate"] == pytest.approx(
        plain["length_controlled"]["win_rate"], abs=1e-6
    )
    outputs = json.loads(gzip.decompress((folder / "model_outputs.json.gz").read_bytes()))
    part = {row["instruction"] for row in rows[:400]}
    (tmp_path / "v.json").write_text(json.dumps(rows[:400]))
    (tmp_path / "o.json").write_text(json.dumps([row for row in outputs if row["instruction"] in part]))
    given = (tmp_path / "o.json", tmp_path / "v.json")
    half = replay("alpaca-farm-ppo-human", store, *given, allow_missing=True)["length_controlled"]
    assert half["n"] == 400
    assert half["difficulty"].startswith("approximate")
    low, high = half["ci95"]
    assert low < plain["length_controlled"]["win_rate"] < high


def test_another_baseline_has_no_difficulty(store):
    folder = DATA / "results" / "alpaca-7b"
    found = eval_command(
        suites=["alpacafarm"],
        outputs=folder / "model_outputs.json.gz",
        judge=f"replay:{folder / 'alpaca_eval_gpt4' / 'annotations.json.gz'}",
        store=store,
    )["suites"][0]["length_controlled"]
    assert (found["difficulty"], found["anchors"]) == ("none", 0)
    assert found["weights"]["difficulty"] == 0
    assert found["win_rate"] is not None


def test_difficulties_of_ones_own_make_the_rate_exact(store, tmp_path):
    stored_by_id = {key: value for key, (value, _) in stored()["items"].items()}
    order = list(known_items())
    text = "".join(f"{place},{stored_by_id[key]}\n" for place, key in enumerate(order))
    (tmp_path / "instruction_difficulty.csv").write_text(f"index,instruction_difficulty\n{text}")
    references = DATA / "results" / "gpt4_1106_preview" / "model_outputs.json.gz"
    suite = AlpacaFarm(f"{references},difficulty={tmp_path / 'instruction_difficulty.csv'}")
    known = suite.length_control(suite.items())
    assert (known["kind"], known["difficulty"], "prior" in known) == ("exact", stored_by_id, False)
    approximate = replay("alpaca-7b", store)["length_controlled"]
    assert (approximate["kind"], approximate["error_unseen"]) == ("approximate", 1.2)


@pytest.mark.slow
def test_models_left_out_are_off_by_less_than_without_the_prior(capsys):
    sys.path.insert(0, str(ROOT / "tools"))
    from recover_difficulty import Published, leave_one_out

    leave_one_out(Published(DATA))
    errors = [ast.literal_eval(line.partition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    squared = {k: sum(one[k] ** 2 for one in errors) for k in errors[0]}
    assert min(squared, key=squared.__getitem__) == 3.0
    assert (squared[3.0] / 3) ** 0.5 <= 0.75 < 1.0 < (squared[0.0] / 3) ** 0.5


@pytest.mark.slow
def test_the_shipped_file_is_what_the_tool_makes(tmp_path):
    import subprocess

    out = tmp_path / "again.json"
    tool = str(ROOT / "tools" / "recover_difficulty.py")
    subprocess.run([sys.executable, tool, str(DATA), str(out)], check=True, timeout=PATIENCE)
    assert out.read_bytes() == (ROOT / "suites" / "alpaca_eval_2.json").read_bytes()
