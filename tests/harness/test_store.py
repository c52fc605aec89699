"""The store: sealed means complete, whatever happens while something is made."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

from rlp_bench.api.errors import StoreError
from rlp_bench.api.files import unique_beside, write_json
from rlp_bench.store import manifest
from rlp_bench.store.garbage_collection import collect
from rlp_bench.store.store import Store, fingerprint, hash_file
from rlp_bench.store.verify import verify

FP = fingerprint("some stage")


def write(out: Path) -> dict[str, float]:
    (out / "rows.jsonl").write_text("{}\n")
    (out / "meter.json").write_text("{}")
    return {"rows": 1.0}


def test_fingerprint_ignores_key_order_and_refuses_nan() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"b": [1, 2]}) != fingerprint({"b": [2, 1]})
    # sha256 of `{"a":1}`, worked out by hand with sha256sum
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    with pytest.raises(ValueError, match="Out of range float"):
        fingerprint(float("nan"))


def test_artifact_is_made_once_and_content_leaves_out_the_meter(tmp_path: Path) -> None:
    store, calls = Store(tmp_path / "store"), []

    def build(out: Path) -> dict[str, float]:
        calls.append(out)
        return write(out)

    first = store.make("samples", FP, build, {"stage": "x"})
    second = store.make("samples", FP, build, {"stage": "x"})
    assert len(calls) == 1
    assert first.path == second.path == tmp_path / "store/artifacts" / f"samples-{FP[:16]}"
    assert set(first.manifest["files"]) == {"rows.jsonl", "metrics.json"}
    assert first.metrics == {"rows": 1.0}


def test_opening_a_store_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert not store.has("policy", FP)
    with pytest.raises(StoreError, match="is not in store"):
        store.get("policy", FP)
    assert not (tmp_path / "store").exists()


def test_failed_build_leaves_nothing_visible(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def build(out: Path) -> None:
        write(out)
        raise RuntimeError("a bug in a stage")

    with pytest.raises(RuntimeError, match="a bug in a stage"):
        store.make("samples", FP, build, {})
    assert not store.has("samples", FP)
    assert list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    def build(out: Path) -> None:
        write(out)
        raise error

    with pytest.raises(StoreError, match="the disk is full") as caught:
        Store(tmp_path).make("samples", FP, build, {})
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_really_full_disk(tmp_path: Path) -> None:
    """A tmpfs of 64 KiB, where this machine lets one be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here; the errors themselves are tested above")
    try:
        store = Store(disk)
        store.make("samples", fingerprint("small"), write, {})

        def build(out: Path) -> None:
            (out / "big").write_bytes(b"x" * 200_000)

        with pytest.raises(StoreError, match="the disk is full"):
            store.make("samples", FP, build, {})
        assert not store.has("samples", FP)
        assert store.has("samples", fingerprint("small"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_newer_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).make("samples", FP, write, {})
    (tmp_path / "store_version").write_text("2\n")
    with pytest.raises(StoreError, match="upgrade rlp-bench"):
        Store(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "truncated", "manifest", "other"])
def test_damaged_artifact_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    folder = store.make("samples", FP, write, {}).path
    if damage == "missing":
        (folder / "rows.jsonl").unlink()
    elif damage == "truncated":
        (folder / "rows.jsonl").write_text("{")
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "0" * 64}))
    with pytest.raises(StoreError, match="remove the folder"):
        store.get("samples", FP)


def test_get_and_verify_find_a_changed_byte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = store.make("samples", FP, write, {})
    assert [each["ok"] for each in verify(store)] == [True]
    (artifact.path / "rows.jsonl").write_text("[]\n")
    with pytest.raises(StoreError, match=r"rows.jsonl was changed after it was sealed; remove the folder"):
        store.get("samples", FP)
    (found,) = verify(store)
    assert not found["ok"]
    assert "rows.jsonl" in found["problem"]


def test_a_change_is_found_though_size_and_modification_time_are_the_old_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.make("samples", FP, write, {}).path / "rows.jsonl"
    before = path.stat()
    path.write_text("[]\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StoreError, match="was changed"):
        store.get("samples", FP)


def test_unchanged_files_are_hashed_once_and_touched_or_copied_ones_once_more(
    tmp_path: Path, monkeypatch
) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(manifest, "hash_file", counted)
    store = Store(tmp_path / "store")
    path = store.make("samples", FP, write, {}).path / "rows.jsonl"
    store.get("samples", FP)
    store.get("samples", FP)
    assert hashed == []  # sealing has hashed them by itself
    os.utime(path)
    store.get("samples", FP)
    store.get("samples", FP)
    assert hashed == ["rows.jsonl"]
    monkeypatch.setenv(manifest.VERIFY, "1")
    store.get("samples", FP)
    assert hashed[1:] == ["metrics.json", "rows.jsonl"]
    monkeypatch.delenv(manifest.VERIFY)
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    for _ in range(2):
        Store(tmp_path / "copy").get("samples", FP)
    assert len(hashed) == 5


def test_artifacts_without_marks_or_with_damaged_ones_are_read_as_before(tmp_path: Path) -> None:
    """Stores written before there were marks and seals."""
    store = Store(tmp_path)
    folder = store.make("samples", FP, write, {}).path
    (memo,) = store.checked.iterdir()
    memo.write_text('{"marks":')
    found = json.loads((folder / "manifest.json").read_text())
    del found["seal"]
    (folder / "manifest.json").write_text(json.dumps(found))
    assert store.get("samples", FP).metrics == {"rows": 1.0}
    assert json.loads(memo.read_text())["content"] == found["content"]


@pytest.mark.parametrize("key", ["provenance", "files", "bytes", "kind", "content"])
def test_an_edited_manifest_is_refused(tmp_path: Path, key: str) -> None:
    store = Store(tmp_path)
    path = store.make("samples", FP, write, {"seed": 1}).path / "manifest.json"
    found = json.loads(path.read_text())
    changed = {**found, key: {"seed": 2} if key == "provenance" else None}
    path.write_text(json.dumps(changed))
    with pytest.raises(
        StoreError, match=r"manifest\.json was changed after it was written; remove the folder"
    ):
        store.get("samples", FP)


@pytest.mark.parametrize(
    "text", ["null", "[1]", "{}", "{", "", "[" * 100_000, "9" * 5000, '{"store_version": "x"}']
)
def test_a_manifest_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    folder = store.make("samples", FP, write, {}).path
    (folder / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json .*; remove the folder") as caught:
        store.get("samples", FP)
    assert "\n" not in str(caught.value)


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = tmp_path / "runs" / "micro" / "sft-s0-x"
    run.mkdir(parents=True)
    unique_beside(run / "run.json").write_text("half of it")
    unique_beside(run / "report.json").write_text("half of it")
    (run / ".mine").write_text("not ours")
    with store.writing(run):
        write_json(run / "run.json", {})
    assert {path.name for path in run.iterdir()} == {"run.json", ".mine"}


RACE = """
import sys, time
from pathlib import Path
from rlp_bench.store.store import Store, fingerprint
def build(out):
    with open(sys.argv[2], "a") as log: log.write("built\\n")
    time.sleep(0.5)
    (out / "file").write_text("content")
artifact = Store(Path(sys.argv[1])).make("samples", fingerprint("race"), build, {}, lambda: print("waited"))
print(artifact.manifest["content"])
"""


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path / "store"), str(tmp_path / "log")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE)[0].split() for process in both]
    assert (tmp_path / "log").read_text() == "built\n"
    assert {lines[-1] for lines in said} == {said[0][-1]}
    assert [process.returncode for process in both] == [0, 0]


def test_folder_without_manifest_is_made_afresh(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in (f"samples-{FP[:16]}", f".partial-samples-{FP[:16]}"):
        (tmp_path / "artifacts" / name).mkdir(parents=True)
        (tmp_path / "artifacts" / name / "leftover").write_text("of a kill")
    assert not store.has("samples", FP)
    artifact = store.make("samples", FP, write, {})
    assert not (artifact.path / "leftover").exists()


def test_gc_keeps_what_runs_need_through_inputs_and_what_was_judged(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def make(kind: str, name: str, *inputs: str) -> str:
        fp = fingerprint(name)
        store.make(kind, fp, write, {"inputs": {"all": list(inputs)}})
        return fp

    sft = make("policy", "sft")
    ppo = make("policy", "ppo", sft)
    outputs = make("outputs", "outputs", ppo)
    verdicts = make("verdicts", "verdicts", outputs)
    lonely = make("reward", "nobody's", sft)
    run = tmp_path / "runs/micro/ppo-s0-x"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"stages": [{"kind": "policy", "fingerprint": ppo}]}))
    (tmp_path / "artifacts/.partial-policy-0").mkdir()
    (tmp_path / "scratch" / sft[:16]).mkdir(parents=True)
    (tmp_path / "scratch/0123456789abcdef").mkdir()

    planned = collect(store, dry_run=True)
    assert store.has("reward", lonely)
    removed = collect(store)
    assert [path.name for path in planned.folders] == [path.name for path in removed.folders]
    gone = {f"reward-{lonely[:16]}", ".partial-policy-0", sft[:16], "0123456789abcdef"}
    assert {path.name for path in removed.folders} == gone
    kept = [("policy", sft), ("policy", ppo), ("outputs", outputs), ("verdicts", verdicts)]
    assert all(store.has(kind, fp) for kind, fp in kept)


def test_gc_spares_what_another_process_is_making(tmp_path: Path) -> None:
    store, seen = Store(tmp_path), []

    def build(out: Path) -> None:
        command = [
            sys.executable,
            "-c",
            f"from rlp_bench.store.garbage_collection import *\ncollect(Store(Path({str(tmp_path)!r})))",
        ]
        subprocess.run(command, check=True)
        seen.append(out.exists())
        write(out)

    store.make("samples", FP, build, {})
    assert seen == [True]


def test_gc_keeps_evaluations_of_no_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for kind, made in (
        ("outputs", {"step": "outputs"}),
        ("samples", {"step": "dev_samples"}),
        ("tuning", {}),
    ):
        store.make(kind, fingerprint(kind), write, made)
    store.make("reward", FP, write, {"trainer": "reward"})
    damaged = store.make("verdicts", FP, write, {"step": "verdicts"}).path / "rows.jsonl"
    damaged.write_text("[]")
    found = collect(store)
    assert [path.name.partition("-")[0] for path in found.folders] == ["reward"]
    assert len(found.faults) == 1
    assert "it is an evaluation and was kept" in found.faults[0]
    assert damaged.exists()


@pytest.mark.parametrize("text", ["{", "null", '{"stages": [1]}', '{"stages": [], "seal": "x"}'])
def test_gc_goes_on_past_a_damaged_record_and_removes_no_artifact(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    store.make("reward", FP, write, {"trainer": "reward"})
    (tmp_path / "artifacts/.partial-policy-0").mkdir()
    record = tmp_path / "runs/micro/sft-s0-x/run.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    found = collect(store)
    assert [path.name for path in found.folders] == [".partial-policy-0"]
    assert len(found.faults) == 1
    assert str(record.parent) in found.faults[0]
    assert store.has("reward", FP)
