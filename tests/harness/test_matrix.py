"""A matrix: shared stages once, one setting chosen by the recipe's rule, kills survived, failures told."""

import json
import os
import signal
import time

import psutil
import pytest
from patience import PATIENCE, wait_until

from rlp_bench.api.errors import BenchError, RecipeError, UnknownName
from rlp_bench.cli.matrix import chosen_methods, chosen_seeds
from rlp_bench.matrix.schedule import Matrix, begin, finish
from rlp_bench.matrix.tuning import candidates, choose
from rlp_bench.plan.graph import build_plan
from rlp_bench.recipes.load import load_recipe
from rlp_bench.store.store import Store

SMALL = ["evaluation.suites=['vicuna']", "evaluation.dev_pairs=8", "tuning.prompts=8", "data.sft=64"]
SMALL += [
    "data.preferences=64",
    "stages.ppo.rollouts=2",
    "stages.ppo.snapshots=[1,2]",
    "evaluation.trajectory=[1]",
]


@pytest.fixture
def recipe():
    return load_recipe("nano", SMALL)


def plain(recipe, tmp_path, methods=("sft", "ppo", "rm_retrain"), tuned=True):
    return Matrix(recipe, methods, [0, 1], Store(tmp_path / "store"), False, tuned)


def test_stages_that_methods_share_are_one_job_and_the_tuned_ones_wait(recipe, tmp_path):
    matrix = plain(recipe, tmp_path)
    begin(matrix)
    assert list(matrix.measured) == ["ppo", "rm_retrain"]
    stages = [(job.seed, job.label) for job in matrix.jobs.values() if job.what == "stage"]
    # At either compared seed: base, data, sft, preferences, r_phi, and the draw again; PPO has to wait for beta.
    of_seed_0 = [label for seed, label in stages if seed == 0]
    assert sorted(label for label in of_seed_0 if not label.startswith("data")) == [
        "preferences", "reward", "reward", "sft",
    ]  # fmt: skip
    assert [job.key for job in matrix.jobs.values() if job.what == "evaluate"] == [
        "evaluate/sft/0",
        "evaluate/sft/1",
    ]
    assert len([job for job in matrix.jobs.values() if job.what == "tune"]) == 4
    assert {job.label for job in matrix.waiting()} <= {
        "base",
        "data-sft",
        "data-preferences",
        "data-unlabeled",
    }


def test_the_last_measurement_of_a_method_brings_its_runs(recipe, tmp_path):
    matrix = plain(recipe, tmp_path, ["ppo"])
    begin(matrix)
    tunes = [job for job in matrix.jobs.values() if job.what == "tune"]
    rates = {0.1: 40.0, 0.4: 60.0}
    for job in tunes:
        assert not any(j.what == "evaluate" for j in matrix.jobs.values())
        finish(
            matrix,
            job,
            {"seconds": 1.0, "measured": {"value": job.work.value, "win_rate": rates[job.work.value]}},
        )
    assert matrix.choice("ppo") == {"beta": 0.4}
    assert [j.work.tuned for j in matrix.jobs.values() if j.what == "evaluate"] == [{"beta": 0.4}] * 2


def tuned(matrix, rates):
    """Does the tuning jobs of ppo, also those that come up; the values in the order in which they were measured."""
    begin(matrix)
    order = []
    while left := [j for j in matrix.jobs.values() if j.what == "tune" and j.key not in matrix.done]:
        value = left[0].work.value
        order.append(value)
        finish(matrix, left[0], {"seconds": 1.0, "measured": {"value": value, "win_rate": rates(value)}})
    return order


def test_a_grid_grows_where_the_best_value_lies_at_its_edge(tmp_path):
    recipe = load_recipe("nano", [*SMALL, "tuning.values=[0.05,0.1,0.2,0.4]"])
    low = plain(recipe, tmp_path, ["ppo"])
    assert tuned(low, lambda value: 60 - 100 * abs(value - 0.03)) == [0.05, 0.1, 0.2, 0.4, 0.025, 0.0125]
    assert low.choice("ppo") == {"beta": 0.025}
    assert [j.work.tuned for j in low.jobs.values() if j.what == "evaluate"] == [{"beta": 0.025}] * 2
    high = plain(recipe, tmp_path, ["ppo"])
    assert tuned(high, lambda value: value)[4:] == [0.8, 1.6]  # not for ever
    inside = plain(recipe, tmp_path, ["ppo"])
    assert tuned(inside, lambda value: -abs(value - 0.1)) == [0.05, 0.1, 0.2, 0.4]


def test_what_was_tuned_before_keeps_its_name_when_a_grid_grows(tmp_path):
    """Nothing that is stored gets another key: the grown value is a plan beside the others."""
    recipe = load_recipe("nano", [*SMALL, "tuning.values=[0.05,0.1,0.2]"])
    before = {plan.final.fingerprint for _, plan in candidates(recipe, "ppo")}
    matrix = plain(recipe, tmp_path, ["ppo"])
    tuned(matrix, lambda value: -value)
    after = {j.work.fingerprint for j in matrix.jobs.values() if j.what == "tune"}
    assert before < after
    assert len(after) == 5


def test_the_highest_win_rate_is_chosen_and_of_equal_ones_the_first():
    measured = [
        {"value": 0.1, "win_rate": 50.0},
        {"value": 0.2, "win_rate": 55.0},
        {"value": 0.4, "win_rate": 55.0},
    ]
    assert choose(measured) == 0.2


def test_only_the_last_stage_is_tuned_and_runs_of_the_two_kinds_are_never_mixed(recipe):
    usual, changed = build_plan(recipe, "rlp_spg", 0), build_plan(recipe, "rlp_spg", 0, {"beta": 0.4})
    betas = [node.settings["beta"] for node in changed.nodes if node.trainer == "ppo"]
    assert betas == [0.1, 0.4]
    assert {n.fingerprint for n in usual.nodes} - {n.fingerprint for n in changed.nodes} == {
        usual.final.fingerprint
    }
    assert (usual.group, changed.group) == (recipe.id, f"{recipe.id}+tuned")
    same = build_plan(recipe, "rlp_spg", 0, {"beta": 0.1})
    assert same.final.fingerprint == usual.final.fingerprint


def test_methods_that_end_in_another_stage_have_nothing_to_choose(recipe):
    assert candidates(recipe, "sft") == []
    assert [value for value, _ in candidates(recipe, "ppo")] == [0.1, 0.4]
    assert {plan.seed for _, plan in candidates(recipe, "ppo")} == {1000}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tuning.stage=poo", r'tuning.stage: trainer "poo" is not installed; did you mean "ppo"'),
        ("tuning.setting=betta", r'tuning.setting: "betta" is not a setting of ppo; did you mean "beta"'),
        ("tuning.values=[]", r"tuning.values: is empty or missing"),
    ],
)
def test_a_wrong_rule_is_one_line(override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("nano", [override])


def test_methods_and_seeds_as_people_write_them(recipe):
    assert chosen_seeds("0..3") == [0, 1, 2, 3]
    assert chosen_seeds("5,7,5") == [5, 7]
    for wrong in ("", "a", "3..1", "-1"):
        with pytest.raises(BenchError, match="--seeds"):
            chosen_seeds(wrong)
    assert chosen_methods("ppo, sft,ppo", recipe) == ["ppo", "sft"]
    assert chosen_methods("all", recipe)[:2] == ["base", "sft"]
    with pytest.raises(UnknownName, match='did you mean "rlp_spg"'):
        chosen_methods("rlp_spgg", recipe)


def arguments(*more, methods="sft,ppo"):
    sets = [part for override in SMALL for part in ("--set", override)]
    return [
        "matrix",
        "--recipe",
        "nano",
        "--methods",
        methods,
        "--seeds",
        "0..1",
        *sets,
        "--store",
        "store",
        *more,
    ]


def contents(folder):
    """Content hash of every artifact; every report without the store's place; every run's points."""
    sealed = {
        p.parent.name: json.loads(p.read_text())["content"] for p in folder.glob("artifacts/*/manifest.json")
    }
    reports = {}
    for path in folder.glob("runs/*/*/report.json"):
        report = json.loads(path.read_text())
        report.pop("seal"), report.pop("store")  # the place of the store, and the seal over it
        reports[path.parent.name] = json.dumps(report).encode()
    return sealed, reports, {p.parent.name: p.read_bytes() for p in folder.glob("runs/*/*/points.json")}


def sealed(store):
    return len(list(store.glob("artifacts/[!.]*/manifest.json")))


def test_a_matrix_killed_twice_equals_an_undisturbed_one_in_one_process(start, cli, tmp_path):
    for target in (6, 12):  # artifacts that are there when the kill comes
        process = start(*arguments("--jobs", "2"))
        while sealed(tmp_path / "store") < target:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    resumed = cli(*arguments("--jobs", "2"))
    assert resumed.returncode == 0, resumed.stderr
    document = json.loads((next((tmp_path / "store" / "matrix").glob("*/matrix.json"))).read_text())
    assert len(document["runs"]) == 4
    choice = document["tuning"]["choices"]["ppo"]
    assert choice["value"] == max(choice["measured"], key=lambda m: m["win_rate"])["value"]
    broken = contents(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "first")
    quiet = cli(*arguments("--jobs", "1", "--json"))
    assert quiet.returncode == 0, quiet.stderr
    assert json.loads(quiet.stdout)["tuning"] == document["tuning"]
    assert contents(tmp_path / "store") == broken
    assert "Budget of a run" in resumed.stdout
    points = json.loads(
        next((tmp_path / "store" / "runs" / "nano").glob("ppo-s0-*/points.json")).read_text()
    )["points"]
    assert [point["rollouts"] for point in points] == [0, 1, 2]
    assert points[0]["kl"] == 0.0
    assert len(points[1]["scores"]) == 80


def test_processes_end_with_the_matrix_that_started_them(cold_start):
    process = cold_start(*arguments("--jobs", "2"))
    driver = psutil.Process(process.pid)
    wait_until(lambda: len(driver.children(recursive=True)) >= 3)  # two workers and the resource tracker
    children = driver.children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert len(gone) >= 3
    assert alive == []


def test_a_failed_stage_stops_what_needs_it_and_nothing_else(cli, tmp_path):
    done = cli(*arguments("--untuned", "--set", "stages.rlaif.how=prompted", methods="ppo,rlaif"))
    assert done.returncode == 2
    assert (
        "failed: rlaif seed 0 rlaif: rlaif: the policy cannot tell the answers A and B apart" in done.stderr
    )
    assert "could not start" in done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads((next((tmp_path / "store" / "matrix").glob("*/matrix.json"))).read_text())
    assert [(run["method"], run["seed"]) for run in document["runs"]] == [("ppo", 0), ("ppo", 1)]
    assert len(document["failed"]) == 2


def test_match_steps_gives_every_retrained_reward_model_the_updates_of_the_first():
    from rlp_bench.cli.matrix import MATCHED

    plan = build_plan(load_recipe("nano", MATCHED), "rlp", 0)
    matched = {n.label: n.settings["match_steps"] for n in plan.nodes if n.kind == "reward"}
    assert matched == {"reward": True, "reward_uml": True}
