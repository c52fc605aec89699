"""Real report files with known scores, and the command line called in this process."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlp_bench.cli.main import main
from rlp_bench.store.store import fingerprint, seal

JUDGE = {"name": "micro_pool", "version": "1", "noise": 0.0, "scale": "soft"}


def suite(scores: Sequence[float | None], alias: str = "alpacafarm", **other: Any) -> dict[str, Any]:
    """A win-rate suite whose item number i has scores[i]; `other` replaces what the report says of it."""
    unparsed = sum(score is None for score in scores)
    return {
        "alias": alias,
        "suite": f"micro_{alias}",
        "suite_version": "1",
        "kind": "win_rate",
        "metric": "win_rate.soft",
        "order": "both",
        "judge": JUDGE,
        "data": {"items": f"{alias}-{len(scores)}", "references": "r"},
        "coverage": {"judged": len(scores) - unparsed, "unparsed": unparsed, "failed": 0, "missing": 0},
        "position_gap": 1.5,
        "subsets": {"all": {}},
        "given": list(scores),
        **other,
    }


def write_report(path: Path, store: Path, *suites: Mapping[str, Any], subset: str = "all") -> Path:
    """A report and the store's files that it names."""
    told = []
    for one in suites:
        one = dict(one)
        given = one.pop("given", None)
        if given is not None:
            folder = store / "artifacts" / f"verdicts-{path.stem}-{len(told)}"
            folder.mkdir(parents=True, exist_ok=True)
            rows = [
                {
                    "item_id": f"{i:016x}",
                    "subset": subset,
                    "score": s,
                    "reason": "" if s is not None else "unparsed",
                }
                for i, s in enumerate(given)
            ]
            (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            seal(folder, "verdicts", fingerprint(folder.name), {"step": "verdicts"})
            one["scores"] = f"artifacts/{folder.name}/scores.jsonl"
        told.append(one)
    path.write_text(json.dumps({"recipe": "nano@1", "method": "sft", "seed": 0, "suites": told}))
    return path


class Bench:
    """A folder with a store; `call` is the command line, which answers (exit status, stdout, stderr)."""

    def __init__(self, folder: Path, monkeypatch: Any, capsys: Any) -> None:
        self.folder, self.store = folder, folder / "store"
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.baseline = folder / "base.jsonl"

    def report(self, name: str, *suites: Mapping[str, Any], **other: Any) -> Path:
        return write_report(self.folder / f"{name}.json", self.store, *suites, **other)

    def call(self, *arguments: object) -> tuple[int, str, str]:
        given = [
            str(each) for each in (*arguments, *(() if "show" in arguments else ("--store", self.store)))
        ]
        self.monkeypatch.setattr(sys, "argv", ["rlp-bench", *given])
        self.capsys.readouterr()
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = self.capsys.readouterr()
        return status, out, err

    def accept(self, *suites: Mapping[str, Any], **other: Any) -> Path:
        """A baseline of these suites."""
        report = self.report("accepted", *suites, **other)
        status, _, err = self.call(
            "baseline", "accept", "--report", report, "--reason", "for the test", "--out", self.baseline
        )
        assert status == 0, err
        return self.baseline

    def regress(self, *arguments: object) -> tuple[int, dict[str, Any], str]:
        """Exit status, what --json printed, stderr."""
        status, out, err = self.call("regress", "--baseline", self.baseline, "--json", *arguments)
        return status, json.loads(out) if out else {}, err


def lines(err: str) -> list[str]:
    """A person's mistake: lines that say so, no traceback."""
    assert "Traceback" not in err
    found = err.strip().splitlines()
    assert all(line.startswith("error: ") for line in found), err
    return found
