"""report.json is written and read in one place: its bytes, its version, and one line for what is no report."""

import ast
import json
import re
from pathlib import Path

import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.report import headline, headline_key, read_report, suite_of, write_report
from rlp_bench.api.seals import with_seal

ROOT = Path(__file__).parents[2]
SUITE = {"alias": "a", "suite": "s", "suite_version": "1", "kind": "win_rate", "win_rate": 50.0}
REPORT = {"report_version": 1, "recipe": "r@1", "suites": [SUITE], "method": "é"}


def test_a_report_comes_back_and_its_bytes_are_sorted_json(tmp_path):
    write_report(tmp_path / "report.json", REPORT)
    written = (tmp_path / "report.json").read_bytes()
    assert (
        written
        == (json.dumps(with_seal(REPORT), sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()
    )
    assert read_report(tmp_path / "report.json") == REPORT
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_one_suite_alone_and_a_report_without_version_are_read(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(SUITE))
    assert read_report(path) == {"suites": [SUITE]}
    path.write_text(json.dumps({"suites": [SUITE]}))
    assert read_report(path)["suites"] == [SUITE]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "is not JSON, or truncated"),
        ("[]", "is not a JSON object"),
        ("{}", "has no suites"),
        ('{"suites": {}}', "has no suites"),
        ('{"suites": [3]}', "has no suites"),
        ('{"suites": [{"alias": 1, "suite": "s", "kind": "k"}]}', "has no suites"),
        ('{"report_version": 2, "suites": []}', "version 2, this rlp-bench knows up to 1: upgrade"),
        ('{"report_version": "new", "suites": []}', "report_version 'new' is not a version"),
        ('{"report_version": 0, "suites": []}', "report_version 0 is not a version"),
        ('{"report_version": true, "suites": []}', "report_version True is not a version"),
        ('{"report_version": null, "suites": []}', "report_version None is not a version"),
    ],
)
def test_what_is_no_report_is_one_line(tmp_path, text, line):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(line)) as error:
        read_report(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_report_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_report(tmp_path / "report.json")


def test_the_headline_is_the_kinds_own_where_it_names_one():
    assert headline(SUITE) == 50.0
    assert headline({"accuracy": None, "kind": "pairs"}) is None
    assert headline_key({"rating": 7.0, "headline": "rating"}) == "rating"
    assert headline({"rating": 7.0, "win_rate": 1.0, "headline": "rating"}) == 7.0
    assert suite_of(REPORT, "a") == SUITE
    assert suite_of(REPORT, "b") is None


def test_nothing_but_the_reader_parses_a_report_file():
    """No json.load(s) on a line that names the report's file, in the harness or in plug-ins."""
    found = []
    for room in ("rlp_bench", "leaderboard", "judges", "suites", "trainers"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
                if called in ("loads", "load") and re.search(r"\bREPORT\b|\breport\b", ast.unparse(node)):
                    found.append(str(path.relative_to(ROOT)))
    assert found == []
