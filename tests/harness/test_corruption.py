"""Every stored file, damaged and edited in every way: each command answers with a line or two, and the edit is noticed.

RLP_BENCH_CORRUPTIONS=500 does so many; without it there are some of each kind.
"""

import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_recipes import SMALL_SETS

from rlp_bench.cli.main import main

COUNT = int(os.environ.get("RLP_BENCH_CORRUPTIONS", "18"))
FILES = {
    "run.json": "runs/*/*/run.json",
    "report.json": "runs/*/*/report.json",
    "points.json": "runs/*/*/points.json",
    "matrix.json": "matrix/*/matrix.json",
    "manifest.json": "artifacts/*/manifest.json",
    "metrics.json": "artifacts/*/metrics.json",
    "meter.json": "artifacts/*/meter.json",
    "samples": "artifacts/samples-*/rows.jsonl",
    "preferences": "artifacts/preferences-*/rows.jsonl",
    "scores": "artifacts/verdicts-*/scores.jsonl",
    "outputs.json": "artifacts/outputs-*/outputs.json",
    "weights": "artifacts/policy-*/*.safetensors",
    "curves": "artifacts/policy-*/log.jsonl",
    "baseline": "base.jsonl",
    "marks": "checked/*.json",
}
UNNOTICED = {"marks"}
"""Damaged marks are made again."""


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def without_a_key(data: bytes, chance: random.Random) -> bytes:
    found = json.loads(data)
    if not isinstance(found, dict):
        return b"[]"
    del found[chance.choice([key for key in found if key != "seal"])]
    return json.dumps(found).encode()


def another_number(text: bytes) -> Callable[[bytes, random.Random], bytes]:
    def change(data: bytes, chance: random.Random) -> bytes:
        places = list(re.finditer(rb"(?<=[ :\[,])\d+(\.\d+)?(?=[,\n}\]])", data))
        if not places:
            return data + text
        place = chance.choice(places)
        return data[: place.start()] + text + data[place.end() :]

    return change


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut off": lambda data, chance: data[: chance.randrange(len(data))],
    "empty": lambda data, chance: b"",
    "bit": flip,
    "list": lambda data, chance: b"[1]",
    "null": lambda data, chance: b"null",
    "NaN": another_number(b"NaN"),
    "large": another_number(b"9" * 400),
    "key": without_a_key,
    "folder": lambda data, chance: b"",
}
OPTIONS = [part for one in SMALL_SETS for part in ("--set", one)]
COMMANDS = [
    ["doctor"],
    ["gc", "--dry-run"],
    ["ls", "runs"],
    ["ls", "artifacts"],
    ["leaderboard"],
    ["compare", "--recipe", "nano", *OPTIONS, "--suite", "alpacafarm", "rlaif:ppo"],
    ["show", "run", "newest"],
    ["report", "throughput"],
    ["claims"],
    ["regress", "--exact", "--baseline", "base.jsonl", "--history", "history.jsonl"],
]


@pytest.fixture
def store(small_matrix: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(small_matrix[0], tmp_path / "store", symlinks=True)
    monkeypatch.chdir(tmp_path / "store")
    return tmp_path / "store"


def test_damages_of_every_kind_are_lines_and_edits_are_noticed(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rlp-bench", *command, "--store", "."])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    assert call("baseline", "accept", "--reason", "test", "--out", "base.jsonl")[0] == 0
    calm = [call(*command) for command in COMMANDS]
    assert [status for status, _ in calm] == [0] * len(COMMANDS), calm
    chance = random.Random(0)
    kinds = [(file, damage) for damage in DAMAGES for file in FILES]
    chance.shuffle(kinds)
    wrong = []
    for number in range(COUNT):
        file, damage = kinds[number % len(kinds)]
        path = chance.choice(sorted(store.glob(FILES[file])))
        data = path.read_bytes()
        try:
            changed = DAMAGES[damage](data, chance)
        except ValueError:  # not JSON
            changed = data[:-1]
        path.unlink()
        if damage == "folder":
            path.mkdir()
        else:
            path.write_bytes(changed)
        statuses = []
        for command in COMMANDS:
            try:
                status, said = call(*command)
            except Exception as error:
                wrong.append((path.name, damage, command, repr(error)[:300]))
                continue
            statuses.append(status)
            if status not in (0, 1, 2, 3) or len(said.splitlines()) > 6 or "Traceback" in said:
                wrong.append((path.name, damage, command, said[:300]))
        if changed != data and file not in UNNOTICED and not any(statuses):
            wrong.append((str(path.relative_to(store)), damage, "unnoticed", str(statuses)))
        shutil.rmtree(path) if damage == "folder" else path.unlink()
        path.write_bytes(data)
    assert wrong == []
