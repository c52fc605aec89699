"""What the gate writes: baseline, history, JUnit XML, job summary, text."""

import gzip
import json
import xml.etree.ElementTree as xml

import pytest
from regression_parts import lines, suite
from test_regression_rule import NOISY, OLD, WORSE

from rlp_bench.api import escape
from rlp_bench.regression.junit import junit_xml


def test_equal_runs_and_reasons_are_equal_bytes_packed_or_not(bench):
    first = bench.accept(suite(OLD)).read_bytes()
    assert bench.accept(suite(OLD)).read_bytes() == first
    arguments = ("baseline", "accept", "--report", bench.folder / "accepted.json", "--reason", "for the test")
    packed = [bench.folder / "a.jsonl.gz", bench.folder / "b.jsonl.gz"]
    for path in packed:
        assert bench.call(*arguments, "--out", path)[0] == 0
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert packed[0].read_bytes()[4:8] == bytes(4)  # no time in gzip's header
    assert gzip.decompress(packed[0].read_bytes()) == first
    plain, gz = (
        json.loads(bench.call("baseline", "show", p, "--json")[1]) for p in (bench.baseline, packed[0])
    )
    assert plain["sha256"] == gz["sha256"]
    status, found, _ = bench.regress("--report", bench.report("c", suite(WORSE)), "--baseline", packed[0])
    assert (status, found["baseline"]["sha256"]) == (1, plain["sha256"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_baseline_that_git_or_an_editor_rewrote_is_the_same_baseline(bench, encoding):
    text = bench.accept(suite(OLD)).read_text()
    known = json.loads(bench.call("baseline", "show", bench.baseline, "--json")[1])["sha256"]
    bench.baseline.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    status, found, _ = bench.regress(
        "--report", bench.report("c", suite(WORSE)), "--baseline", bench.baseline
    )
    assert (status, found["baseline"]["sha256"]) == (1, known)
    deep = "[" * 99999 + "]" * 99999
    for head in (deep, '{"baseline_version": ' + "9" * 5000 + "}", '{"baseline_version": ' + deep + "}"):
        bench.baseline.write_text(f"{head}\n")
        status, _, said = bench.call(
            "regress", "--report", bench.folder / "c.json", "--baseline", bench.baseline
        )
        assert (status, len(said.splitlines())) == (2, 1)
        assert "is not a baseline" in said


def test_a_baseline_says_why_where_from_and_by_whom_judged(bench):
    bench.accept(suite(OLD), suite(OLD[:100], "llmbar"))
    found = json.loads(bench.call("baseline", "show", bench.baseline, "--json")[1])
    assert found["reason"] == "for the test"
    assert found["origin"]["recipe"] == "nano@1"
    assert (found["origin"]["method"], found["origin"]["seed"]) == ("sft", 0)
    assert found["origin"]["versions"]["numpy"]
    first = found["suites"][0]
    assert {"suite_version", "metric", "order", "judge", "judge_sha256", "data", "n_items"} >= {
        "suite_version",
        "judge_sha256",
    }
    assert first["data"] == {"items": "alpacafarm-400", "references": "r"}
    assert len(first["judge_sha256"]) == 64
    assert "llmbar" in bench.call("baseline", "show", bench.baseline)[1]


def test_a_baseline_is_small_enough_for_git(bench):
    assert bench.accept(suite(OLD)).stat().st_size < 40 * 400


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(",1.0,", ",0.0,", 1), "its rows were changed"),
        (lambda text: text.replace('"baseline_version": 2', '"baseline_version": 9'), "upgrade rlp-bench"),
        (lambda text: text.replace('"suites"', '"suits"', 1), "its first line was changed"),
        (lambda text: text.replace("for the test", "for a test", 1), "its first line was changed"),
        (lambda text: text.replace('"seal"', '"seel"', 1), "is not a baseline"),
        (lambda text: "# notes\n" + text, "is not a baseline"),
        (lambda text: "[]", "is not a baseline"),
        (lambda text: "", "is not a baseline"),
    ],
)
def test_a_broken_baseline_is_one_line(bench, change, said):
    bench.accept(suite(OLD))
    bench.baseline.write_text(change(bench.baseline.read_text()))
    status, _, err = bench.regress("--report", bench.folder / "accepted.json")
    assert status == 2
    [line] = lines(err)
    assert said in line
    assert not list(bench.folder.glob("*.history.jsonl"))


@pytest.mark.parametrize(
    ("suites", "reason", "said"),
    [
        ([suite([None] * 9 + OLD[9:])], "why", "a baseline must have scores"),
        ([suite(OLD)], "  ", "give the reason"),
        ([{k: v for k, v in suite([]).items() if k != "given"}], "why", "no suite has scores"),
    ],
)
def test_what_is_no_score_is_not_accepted(bench, suites, reason, said):
    report = bench.report("c", *suites)
    status, _, err = bench.call(
        "baseline", "accept", "--report", report, "--reason", reason, "--out", bench.baseline
    )
    assert status == 2
    assert said in lines(err)[0]
    assert not bench.baseline.exists()


def test_a_report_that_is_none_and_scores_that_are_gone_are_one_line(bench):
    accept = ("baseline", "accept", "--reason", "why", "--out", bench.baseline, "--report")
    path = bench.report("c", suite(OLD))
    next(bench.store.glob("artifacts/*/scores.jsonl")).write_text('{"item_id": "a", "score": 7}\n')
    assert "scores.jsonl is missing or has another size" in lines(bench.call(*accept, path)[2])[0]
    outside = bench.report("d", suite([7.0]))
    assert "a score in [0, 1] or null" in lines(bench.call(*accept, outside)[2])[0]
    next(bench.store.glob("artifacts/verdicts-c-0/scores.jsonl")).unlink()
    assert "give the --store" in lines(bench.call(*accept, path)[2])[0]
    odd = ([3], [], {}, [{"alias": 1, "suite": "s", "kind": "k"}], [{**suite(OLD), "judge": "gpt4"}])
    for suites in odd:
        path.write_text(json.dumps({"suites": suites}))
        assert "has no suites" in lines(bench.call(*accept, path)[2])[0]
    path.write_text("{")
    assert "not JSON" in lines(bench.call(*accept, path)[2])[0]


def test_every_attempt_is_appended_and_counted(bench):
    bench.accept(suite(OLD))
    history = bench.folder / "base.jsonl.history.jsonl"
    attempts = [
        ("same", suite(OLD), "pass"),
        ("worse", suite(WORSE), "regression"),
        ("noisy", suite(NOISY), "inconclusive"),
        ("other", suite(OLD, order="policy_first"), "incomparable"),
        ("holes", suite([None] * 9 + OLD[9:]), "error"),
    ]
    before = b""
    for number, (name, one, verdict) in enumerate(attempts, 1):
        _, found, _ = bench.regress("--report", bench.report(name, one))
        after = history.read_bytes()
        assert after.startswith(before)
        before = after
        assert (found["verdict"], found["attempts"]) == (verdict, number)
    (bench.folder / "torn.json").write_text("{")
    bench.regress(
        "--report", bench.folder / "torn.json"
    )  # a candidate that cannot be read was an attempt too
    for mistyped in (("--run", "nobody"), ("--report", bench.folder / "nobody.json")):  # these are none
        assert bench.regress(*mistyped)[0] == 2
    rows = [json.loads(line) for line in history.read_text().splitlines()]
    assert [row["verdict"] for row in rows] == [*(verdict for *_, verdict in attempts), "error"]
    _, text, _ = bench.call("regress", "--baseline", bench.baseline, "--report", bench.folder / "same.json")
    assert "attempt 7 against this baseline; earlier: 2 error, 1 incomparable" in text
    bench.accept(suite(WORSE))  # another baseline: counted anew, the old attempts stay
    _, found, _ = bench.regress("--report", bench.report("same", suite(OLD)))
    assert found["attempts"] == 1
    assert len(history.read_text().splitlines()) == 8


def test_a_file_that_is_no_history_is_left_alone(bench):
    bench.accept(suite(OLD))
    notes = bench.folder / "notes.md"
    for text in ("# notes\n", '{"a": 1}\n'):
        notes.write_text(text)
        status, _, err = bench.regress("--report", bench.folder / "accepted.json", "--history", notes)
        assert status == 2
        assert len(lines(err)) == 1
        assert notes.read_text() == text


def test_a_line_that_was_cut_off_does_not_swallow_the_next(bench):
    bench.accept(suite(OLD))
    history = bench.folder / "h.jsonl"
    bench.regress("--report", bench.folder / "accepted.json", "--history", history)
    history.write_text(history.read_text().rstrip("\n"))
    bench.regress("--report", bench.folder / "accepted.json", "--history", history)
    assert [json.loads(line)["verdict"] for line in history.read_text().splitlines()] == ["pass", "pass"]


def junit(bench, *arguments):
    path = bench.folder / "reports" / "junit.xml"
    status, _, _ = bench.regress(*arguments, "--junit", path)
    root = xml.parse(path).getroot()
    assert root.tag == "testsuites"
    [one] = root.findall("testsuite")
    cases = one.findall("testcase")
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(one.get(name)) == int(root.get(name)) == sum(c.find(tag) is not None for c in cases)
    assert int(one.get("tests")) == len(cases)
    return status, {case.get("name"): case for case in cases}


def test_junit_xml_counts_what_it_says(bench):
    bench.accept(suite(OLD), suite(OLD[:80], "vicuna"))
    same = suite(OLD[:80], "vicuna")
    status, cases = junit(bench, "--report", bench.report("c", suite(WORSE), same))
    assert status == 1
    assert cases["alpacafarm"].find("failure").get("type") == "regression"
    assert "does not gate" in cases["vicuna"].find("skipped").get("message")
    assert "p_holm" in cases["alpacafarm"].findtext("system-out")
    noisy = bench.report("d", suite(NOISY), same)
    assert junit(bench, "--report", noisy)[1]["alpacafarm"].find("skipped") is not None
    assert junit(bench, "--report", noisy, "--strict")[1]["alpacafarm"].find("failure") is not None
    _, cases = junit(bench, "--report", bench.report("e", suite(OLD, order="random"), same))
    assert cases["alpacafarm"].find("error").get("type") == "incomparable"
    (bench.folder / "torn.json").write_text("{")
    _, cases = junit(bench, "--report", bench.folder / "torn.json")
    assert "not JSON" in cases["comparison"].find("error").get("message")


HOSTILE = "a<b>&\"'|]]>\x00\x1b[31m`x` \ud800\n# <script>"


def test_hostile_names_are_text_in_xml_and_markdown(bench):
    result = {
        "verdict": "error", "reasons": [HOSTILE], "suites": [], "strict": False, "attempts": 1,
        "baseline": {"path": HOSTILE, "sha256": ""}, "candidate": {"run": HOSTILE},
    }  # fmt: skip
    root = xml.fromstring(junit_xml(result))
    assert root.find(".//error").get("message") == escape.xml(HOSTILE)
    assert "\x00" not in escape.xml(HOSTILE)
    shown = escape.markdown(HOSTILE)
    assert "<" not in shown
    assert "\n" not in shown
    assert "\\|" in shown
    row = suite(OLD, "we|ird<b>")
    bench.accept(row)
    summary = bench.folder / "summary.md"
    bench.regress("--report", bench.report("c", suite(WORSE, "we|ird<b>")), "--summary", summary)
    text = summary.read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert "we\\|ird&lt;b&gt;" in table[2]
    assert "REGRESSION" in text


def test_the_summary_is_appended_to_githubs_file(bench):
    bench.accept(suite(OLD))
    path = bench.folder / "step.md"
    path.write_text("before\n")
    bench.monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    bench.regress("--report", bench.folder / "accepted.json")
    assert path.read_text().startswith("before\n## rlp-bench regress: PASS")


def test_text_shows_every_number(bench):
    bench.accept(suite(OLD))
    status, text, _ = bench.call(
        "regress", "--baseline", bench.baseline, "--report", bench.report("c", suite(WORSE))
    )
    assert status == 1
    for words in (
        "REGRESSION",
        "Holm p",
        "could see",
        "better/worse",
        "unparsed",
        "position gap",
        "mid-p McNemar",
    ):
        assert words in text
    assert "first attempt against this baseline" in text
