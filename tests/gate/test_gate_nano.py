"""A seeded regression on the recipe nano is caught; the same policy, decoded with another seed, is not."""

import json


def accept(nano, run):
    path = nano.folder / f"{run}.jsonl"
    said = nano.call("baseline", "accept", "--run", run, "--reason", "nano", "--out", path)
    assert said.returncode == 0, said.stderr
    return path


def test_noise_on_the_weights_is_caught(nano):
    baseline = accept(nano, nano.run)
    said = nano.call("regress", "--baseline", baseline, "--report", nano.noised, "--json")
    assert said.returncode == 1, said.stdout + said.stderr
    found = json.loads(said.stdout)
    rows = {row["alias"]: row for row in found["suites"]}
    assert found["verdict"] == "regression"
    assert rows["alpacafarm"]["verdict"] == "regression"
    assert rows["alpacafarm"]["ci95"][1] < 0
    assert rows["vicuna"]["verdict"] == "reported"
    assert rows["alpacafarm"]["length_unit"] == "tokens"


def test_another_decoding_seed_of_the_same_policy_is_not(nano):
    for one, other in ((nano.run, nano.other_decoding), (nano.other_decoding, nano.run)):
        baseline = accept(nano, one)
        said = nano.call("regress", "--baseline", baseline, "--run", other, "--json")
        assert said.returncode == 0, said.stdout + said.stderr
        found = json.loads(said.stdout)
        assert found["verdict"] in ("pass", "inconclusive")
        assert "decoding.seed" in [one["field"] for one in found["changed"]]
        assert next(row for row in found["suites"] if row["alias"] == "alpacafarm")["better"] > 100


def test_the_run_itself_passes_exactly(nano):
    baseline = accept(nano, nano.run)
    said = nano.call("regress", "--baseline", baseline, "--run", nano.run, "--exact")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "PASS" in said.stdout


def test_a_baseline_of_a_run_keeps_its_recipe_versions_and_policy(nano):
    baseline = accept(nano, nano.run)
    said = json.loads((baseline.read_text().splitlines())[0])
    assert said["origin"]["recipe"].startswith("nano@")
    assert said["origin"]["run"] == nano.run
    assert said["origin"]["policy"]
    assert said["origin"]["versions"]["transformers"]
    assert baseline.stat().st_size < 100_000
    assert baseline.read_bytes() == accept(nano, nano.run).read_bytes()
