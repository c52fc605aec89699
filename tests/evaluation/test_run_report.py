"""The report of a run: suites, subsets, KL and reward model accuracy, worked by hand on a table engine."""

import copy
import io
import json
import math
from types import SimpleNamespace

import pytest
from evaluation_parts import TableEngine, artifact, asking, silent

from rlp_bench.api.types import LabeledPair, Question
from rlp_bench.evaluation.diagnostics import Diagnostics, agreement, best_of, underlying
from rlp_bench.evaluation.evaluate import eval_command, evaluate_run, render, summarize
from rlp_bench.evaluation.kinds.options import _hit, options_report
from rlp_bench.evaluation.kinds.pairs import pairs_report
from rlp_bench.judges.controls import Longest
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

OVERRIDES = ["evaluation.dev_pairs=4", "data.dev=4"]
ANSWERS = ["it is red .", "i hope this helps . it is red ."]
LOGPROBS = {ANSWERS[0]: -2.0, ANSWERS[1]: -6.0, "fox": -1.0, "hen": -2.0, "owl": -1.0, "cat": -3.0}


@pytest.fixture
def engine():
    return TableEngine()


def make_policy(folder):
    return artifact(folder / "policy", "policy", answers={"*": ANSWERS}, logprobs=LOGPROBS)


def make_sft(folder):
    logprobs = {ANSWERS[0]: -3.0, ANSWERS[1]: -5.5}
    return artifact(folder / "sft", "policy", answers={"*": ANSWERS[::-1]}, logprobs=logprobs)


def make_reward(folder):
    return artifact(folder / "reward", "reward", scores={ANSWERS[0]: 1.0, ANSWERS[1]: 0.5})


def make_run(folder, policy, sft, reward):
    lineage = [("sft", sft), ("reward", reward), ("ppo", policy)]
    return SimpleNamespace(method="ppo", seed=1, path=folder / "run", policy=policy, lineage=lineage)


@pytest.fixture
def policy(tmp_path):
    return make_policy(tmp_path)


@pytest.fixture
def sft(tmp_path):
    return make_sft(tmp_path)


@pytest.fixture
def reward(tmp_path):
    return make_reward(tmp_path)


def diagnostics(store, engine, n=4):
    prompts = [{"instruction": f"dev {i}", "input": ""} for i in range(n)]
    return Diagnostics(store, engine, load_recipe("nano"), prompts, silent)


def test_kl_by_hand(store, engine, policy, sft):
    # Each prompt: ((-2 + 3) + (-6 + 5.5)) / 2 = .25 nats; no spread between prompts.
    found = diagnostics(store, engine).kl(policy, sft)
    assert found == {"mean": 0.25, "se": 0.0, "estimator": "sample mean of log pi - log pi_sft", "n": 4}


def test_kl_of_the_sft_policy_to_itself_is_zero(store, engine, sft):
    assert diagnostics(store, engine).kl(sft, sft)["mean"] == 0.0
    assert engine.sampled == 0


def test_kl_of_best_of_n_is_the_labelled_bound(store, engine, tmp_path, sft):
    best = artifact(
        tmp_path / "bon", "policy", best_of_n={"policy": "../sft", "reward": "../reward", "n": 16}
    )
    found = diagnostics(store, engine).kl(best, sft)
    assert found["mean"] == pytest.approx(math.log(16) - 15 / 16)
    assert found["estimator"].startswith("bound")
    assert best_of(best) == 16
    assert underlying(best) == sft.path


def test_agreement_drops_and_counts_ties():
    scores = [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (2.0, 2.0), (1.0, 0.0)]
    labels = [0.6, 0.2, 0.5, 0.8, None]
    # Right, wrong, tie (dropped), equal scores (half), missing (dropped): (1 + 0 + .5) / 3.
    found = agreement(scores, labels)
    assert found["accuracy"] == 0.5
    assert (found["n"], found["ties"], found["missing"]) == (3, 1, 1)
    assert agreement([(1, 0)], [0.5])["accuracy"] is None


def test_reward_accuracy_is_against_the_judge_in_both_orders(store, engine, policy, reward):
    # The reward model likes the short answer, the judge the long one: always wrong; by gold always right.
    class Shortest(Longest):
        name = "shortest"

        def judge(self, pairs, seed=0):
            return super().judge([type(p)(p.instruction, p.second, p.first) for p in pairs], seed)

    found = diagnostics(store, engine).accuracy(policy, reward, Longest(), Shortest())
    assert (found["pool_accuracy"], found["n"]) == (0.0, 4)
    assert (found["gold_accuracy"], found["gold_n"]) == (1.0, 4)


def test_dev_measurements_are_sealed_and_shared(store, engine, policy, sft):
    diagnostics(store, engine).kl(policy, sft)
    assert engine.sampled == 8
    diagnostics(store, engine).kl(policy, sft)
    assert engine.sampled == 8


def suite(kind):
    return SimpleNamespace(name="tiny", version="1", kind=kind)


def test_options_accuracy_by_hand(store, engine, policy):
    # Micro average. Likeliest: fox and owl tie at -1 (half), fox (right), hen over cat (wrong).
    questions = [
        Question("a", ("fox", "owl", "cat"), 0, "x"),
        Question("b", ("fox", "hen"), 0, "x"),
        Question("c", ("cat", "hen"), 0, "y"),
    ]
    report = options_report(asking(store, engine, policy), "mmlu", suite("options"), questions)
    assert report["accuracy"] == pytest.approx(50.0)
    assert report["subjects"] == {"x": {"accuracy": 75.0, "n": 2}, "y": {"accuracy": 0.0, "n": 1}}
    assert report["n"] == 3
    assert _hit([-1.0, -1.0], 1) == 0.5


def test_pairs_accuracy_is_the_reward_models(store, engine, reward):
    pairs = [LabeledPair(f"q{i}", *ANSWERS, label=label) for i, label in enumerate((1, 1, 2))]
    report = pairs_report(asking(store, engine, reward=reward), "pairs", suite("pairs"), pairs)
    assert report["accuracy"] == pytest.approx(200 / 3)
    none = pairs_report(asking(store, engine), "pairs", suite("pairs"), pairs)
    assert none["accuracy"] is None
    assert "no reward model" in none["reason"]


@pytest.fixture
def run(policy, sft, reward, tmp_path):
    return make_run(tmp_path, policy, sft, reward)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run that was evaluated on 805 items: run, store, engine, and the report."""
    folder = tmp_path_factory.mktemp("evaluated")
    run = make_run(folder, make_policy(folder), make_sft(folder), make_reward(folder))
    store, engine = Store(folder / "store"), TableEngine()
    recipe = load_recipe("nano", OVERRIDES)
    report = evaluate_run(run, store, recipe, engine, ["vicuna", "alpacafarm"], silent)
    return SimpleNamespace(run=run, store=store, engine=engine, report=report)


@pytest.fixture
def report(evaluated):
    return copy.deepcopy(evaluated.report)


def test_report_has_what_the_board_needs(report, evaluated):
    whole = report["suites"][1]
    assert whole["alias"] == "alpacafarm"
    assert whole["coverage"]["judged"] == 805
    assert set(whole["subsets"]) == {"selfinstruct", "oasst", "koala", "helpful_base", "vicuna"}
    assert set(whole["second_judges"]) == {"micro_second", "micro_gold"}
    assert report["controls"]["alpacafarm"]["constant"]["win_rate"] == 50.0
    assert report["kl"]["mean"] == 0.25
    assert report["length_tokens"] == 4.0
    assert report["finish_rate"] == 1.0
    assert (
        report["reward_model"]["policy_pairs"]["n"] + report["reward_model"]["policy_pairs"]["pool_ties"] == 4
    )
    assert report["method"] == "ppo"
    assert (evaluated.store.root / whole["scores"]).exists()
    json.dumps(report, allow_nan=False)


def test_vicuna_is_computed_from_the_805(report, evaluated):
    part, whole = report["suites"]
    assert part["win_rate"] == whole["subsets"]["vicuna"]["win_rate"]
    assert part["standard_error"] == whole["subsets"]["vicuna"]["standard_error"]
    assert part["artifacts"] == whole["artifacts"]
    assert part["evidence"] == "subset of alpacafarm: not independent evidence"
    assert part["second_judges"]["micro_gold"]["n_scored"] == 80
    assert (
        evaluated.engine.sampled == 805 + 2 * 4 * 2
    )  # 805 answers, two samples a dev prompt from each of two policies


def test_second_evaluation_samples_and_judges_nothing_and_says_the_same(report, evaluated):
    store, engine = evaluated.store, evaluated.engine
    before, made = engine.sampled, sorted(store.folders())
    recipe = load_recipe("nano", OVERRIDES)
    again = evaluate_run(evaluated.run, store, recipe, engine, ["vicuna", "alpacafarm"], silent)
    assert engine.sampled == before
    assert sorted(store.folders()) == made
    assert again == report


def test_outputs_are_alpacaevals_format(report, evaluated):
    path = evaluated.store.artifacts / report["suites"][1]["artifacts"]["outputs"] / "outputs.json"
    rows = json.loads(path.read_text())
    assert len(rows) == 805
    assert {"instruction", "output", "generator", "dataset"} <= set(rows[0])


def test_written_outputs_score_the_same_from_the_file(report, evaluated):
    store = evaluated.store
    path = store.artifacts / report["suites"][1]["artifacts"]["outputs"] / "outputs.json"
    [found] = eval_command(outputs=path, recipe="nano", suites=["alpacafarm"], store=store)["suites"]
    for key in ("win_rate", "standard_error", "subsets", "coverage"):
        assert found[key] == report["suites"][1][key]


def test_summary_and_tables_show_intervals_and_evidence(report):
    from rich.console import Console

    titles = [title for title, _ in summarize(report)]
    assert titles == [
        "Suites",
        "Beside the win rate",
        "Other judges and controls",
        "Policy",
        "Notes",
    ]
    written = io.StringIO()
    Console(width=160, file=written).print(*render(report))
    text = written.getvalue()
    assert "not independent evidence" in text
    assert "95 % interval" in text
    assert "reward model on SFT pairs" in text


def test_a_run_without_sft_has_no_kl_and_says_why(run, store, engine):
    run.lineage = [("base", run.policy)]
    found = evaluate_run(run, store, load_recipe("nano", OVERRIDES), engine, ["llmbar"], silent)
    assert found["kl"]["mean"] is None
    assert "no SFT policy" in found["kl"]["estimator"]
    assert found["reward_model"] is None
    summarize(found)
