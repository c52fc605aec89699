"""A seeded regression on the recipe nano is caught; the same policy, decoded with another seed, is not."""

import json
import os
import shutil

from rlp_bench.api.seals import with_seal, write_sealed


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


def newest(nano, folder):
    """Makes the run of a folder the newest of the store."""
    path = folder / "run.json"
    later = max(f.stat().st_mtime_ns for f in (nano.folder / "store").glob("runs/*/*/run.json")) + 10**9
    os.utime(path, ns=(later, later))


def test_without_a_name_the_newest_run_of_the_baselines_method_and_recipe_is_tested(nano):
    """Was: the newest run of any method."""
    baseline = accept(nano, nano.run)
    history = nano.folder / "newest.jsonl"
    folders = {f.parent.name: f.parent for f in (nano.folder / "store").glob("runs/*/*/run.json")}
    stranger = folders[nano.run].parent / "other-s0"
    shutil.copytree(folders[nano.run], stranger)
    record = json.loads((stranger / "run.json").read_text())
    record.pop("seal")
    write_sealed(stranger / "run.json", {**record, "method": "other"})
    newest(nano, stranger)
    said = nano.call("regress", "--baseline", baseline, "--history", history, "--json")
    found = json.loads(said.stdout)
    assert (said.returncode, found["candidate"]["run"]) == (0, nano.run)
    assert found["candidate"]["recipe"] == found["baseline"]["recipe"]  # the other decoding is another recipe
    attempts = history.read_text()

    head, _, rows = baseline.read_text().partition("\n")
    manifest = json.loads(head.replace('"method": "sft"', '"method": "sft2"'))
    manifest.pop("seal")
    lonely = nano.folder / "lonely.jsonl"
    lonely.write_text(f"{json.dumps(with_seal(manifest))}\n{rows}")
    junit = nano.folder / "lonely.xml"
    said = nano.call("regress", "--baseline", lonely, "--history", history, "--json", "--junit", junit)
    found = json.loads(said.stdout)
    assert (said.returncode, found["verdict"], found["attempts"]) == (3, "incomparable", 0)
    assert "no finished run of sft2 on nano@" in found["reasons"][0]
    assert "rlp-bench run --method sft2 --recipe nano" in junit.read_text()
    assert history.read_text() == attempts  # nothing was compared
    shutil.rmtree(stranger)
