"""What is printed is text: nothing that a model, a file or a server says acts in any of eight formats."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from patience import PATIENCE

from rlp_bench.api import escape
from rlp_bench.api.errors import BenchError
from rlp_bench.api.files import write_lines
from rlp_bench.cli import main as entry
from rlp_bench.cli.samples import _markdown
from rlp_bench.display import pairs, print_json, print_message, show, table
from rlp_bench.leaderboard.results.text import table as results_table
from rlp_bench.leaderboard.table.table import Table
from rlp_bench.regression.junit import junit_xml
from rlp_bench.regression.render import render_markdown, render_text

HOSTILE = [
    "\x1b[31mred\x1b[0m",  # ANSI colors
    "\x1b]0;title\x07",  # OSC: the window's title
    "\x1b]8;;http://evil.test\x1b\\link\x1b]8;;\x1b\\",  # OSC 8
    "\x1b[2J\x1b[H\x1bc",  # clear the screen
    "\x9b31mred\x9d0;title\x9c",  # C1
    "100 %\r 99 %",
    "back\b\b\bspace\x7f\x00nul\x07",
    "user\u202egnp.exe\u2066 \u200f",  # direction
    "line\u2028separator\u2029\x85\x0b\x0c",
    "tags\U000e0041\U000e0042\ufeff\u200b",
    "\ud800 half a pair",
    "[bold red]markup[/] [link=http://evil.test]x[/link] [/]",  # rich
    ":smile: [@click=quit]",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r\n=HYPERLINK(\"http://evil.test\")",
    " =1+1",
    "a | b | c\n| --- | d",
    "[x](http://evil.test) ![i](http://evil.test/i.png) http://evil.test www.evil.test",
    "# head\n\n- item\n\n    code\n```\nfence\n```",
    "*bold* _em_ ~~gone~~ `code` $x^2$ @everyone #1 <b>",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)> ' &lt; &amp; ]]> --> </style></script>",
    "<!-- c --> <![CDATA[x]]> <?xml?> &#x1b;",
    "\\input{/etc/passwd} \\write18{id} $x$ % & # _ { } ~ ^",
    "[2cm] row \\\\ \\hline",
    "{{ 7 * 7 }} {% raw %} ${x} %s {0}",
]  # fmt: skip
PLAIN = "plain"


def leaderboard_of(text: str, folder: Path, format: str) -> str:
    """The leaderboard of one run whose every name is the text."""
    write_lines(folder / "scores.jsonl", [{"item_id": f"i{k}", "score": k / 5} for k in range(6)])
    other = {text: {"win_rate": 33.0}}
    suite = {
        "alias": text, "suite": text, "suite_version": text, "kind": "win_rate", "metric": "win_rate.soft",
        "order": "both", "judge": {"name": text, "version": text}, "win_rate": 50.0, "standard_error": 2.0,
        "ci95": [46.0, 54.0], "n_items": 6, "n_scored": 6, "data": {"items": "x", "references": "r"},
        "scores": "scores.jsonl",
        "controls": {"longest": {"win_rate": 40.0}}, "second_judges": other, "evidence": text,
    }  # fmt: skip
    report: Any = {
        "recipe": text, "store": str(folder), "method": text, "seed": 0, "suites": [suite], "kl": {"mean": 1.0},
        "length_tokens": 10.0, "provenance": {"kind": "rerun", "trained_on_judge": False},
    }  # fmt: skip
    return Table().render([report], format)


def regression_of(text: str) -> dict[str, Any]:
    """The result of `regress`, every text of which is the text."""
    suite = {
        "alias": text, "verdict": "error", "reason": text, "margin": None, "test": text,
        "missing": {"baseline": 0, "candidate": 0},
        "unparsed": {"baseline": 0, "candidate": 0}, "ties": {"baseline": 0.0, "candidate": 0.0},
        "position_gap": {"baseline": None, "candidate": None}, "length": {"baseline": 1.0, "candidate": 1.0},
        "length_unit": text,
    }  # fmt: skip
    return {
        "verdict": "error", "reasons": [text], "suites": [suite], "strict": False, "attempts": 1,
        "changed": [{"field": text, "baseline": text, "candidate": text}], "not_in_baseline": [text],
        "baseline": {"path": text, "sha256": ""}, "candidate": {"run": text},
    }  # fmt: skip


def hidden(printed: str, keep: str = "\n") -> list[str]:
    """Characters that act on a terminal or are not seen."""
    return [one for one in escape.HIDDEN.findall(printed) if one not in keep]


Printed = Callable[[str, Path, pytest.CaptureFixture[str]], None]


def check_text(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(text, text)]
    show(
        table(text, [text, ">" + text], rows),
        pairs(text, rows),
        text,
        *render_text(regression_of(text), text),
    )
    shown = capsys.readouterr().out
    printed = shown + leaderboard_of(text, folder, "text")
    assert not hidden(printed)
    assert all(word[:20] in shown for word in escape.terminal(text).split())  # no markup was taken as such


def check_markdown(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shapes(text: str) -> list[list[tuple[str, str]]]:
        found = [
            leaderboard_of(text, folder, "md"),
            render_markdown(regression_of(text), text),
            _markdown(text, [text, "b"], [[text, text]]),
            results_table([text, "b"], [[text, text]]),
        ]
        assert not [one for page in found for one in hidden(page)]
        parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        tokens = [parser.parse(page) for page in found]
        every = [[one for token in page for one in (token, *(token.children or ()))] for page in tokens]
        return [[(t.type, t.tag) for t in page if t.type not in ("text", "text_special")] for page in every]

    assert shapes(text) == shapes(PLAIN)
    shown = escape.markdown(text)
    assert not re.search(r"(?i)(?<!\\)([@$#]|www\.|://)", re.sub(r"&\w+;", "", shown).replace(r"www\.", ""))


def check_csv(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = leaderboard_of(text, folder, "csv")
    assert not hidden(printed)
    rows = list(csv.reader(io.StringIO(printed)))
    assert {len(row) for row in rows} == {
        len(next(csv.reader(io.StringIO(leaderboard_of(PLAIN, folder, "csv")))))
    }
    cells = [cell for row in rows for cell in row]
    begun = [cell for cell in cells if re.match(r"\s*[=+\-@\t\r]", cell)]
    assert [cell for cell in begun if not re.fullmatch(r"-?[\d.]+", cell)] == []


def check_latex(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = leaderboard_of(text, folder, "latex")
    assert not hidden(printed)
    plain = leaderboard_of(PLAIN, folder, "latex").splitlines()
    lines = printed.splitlines()
    assert len(lines) == len(plain)
    for line, other in zip(lines, plain, strict=True):
        assert line.startswith("%") == other.startswith("%")
        if line.startswith("%"):
            continue  # a comment, to the end of its line
        body = line.removesuffix(r" \\")
        free = re.sub(r"\\(text\w+\{\}|[&%$#_{}])|\$\\dagger\$|\{\}", "", body)
        assert free.count("&") == re.sub(r"\\&", "", other).count("&")
        assert not set(free) & set("\\%$#_~^{}") or other.startswith("\\")
        assert not re.match(r"[\[*]", body)


def check_junit(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = junit_xml(regression_of(text))
    root = ElementTree.fromstring(printed)
    assert not hidden(printed.decode(), keep="\n\t")
    assert [one.tag for one in root.iter()] == [
        one.tag for one in ElementTree.fromstring(junit_xml(regression_of(PLAIN))).iter()
    ]
    case = root.find(".//testcase")
    assert case is not None
    assert case.get("name") == escape.xml(text)


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", data))

    def handle_pi(self, data: str) -> None:
        self.found.append(("pi", data))


def check_html(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = leaderboard_of(text, folder, "html")
    assert not hidden(printed, keep="\n\t")
    assert Elements(printed).found == Elements(leaderboard_of(PLAIN, folder, "html")).found


def check_json(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"text": text, "nan": float("nan"), "path": folder})
    printed = capsys.readouterr().out
    assert not hidden(printed + leaderboard_of(text, folder, "json"))
    assert json.loads(printed) == {"text": text, "nan": None, "path": str(folder)}
    assert json.loads(leaderboard_of(text, folder, "json"))["recipe"] == text


def check_error(text: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise BenchError(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "app", fail)
        with pytest.raises(SystemExit) as end:
            entry.main()
    print_message(text)
    printed = capsys.readouterr().err
    assert end.value.code == 2
    assert not hidden(printed, keep="\n\t")
    assert printed.startswith("error: ")


CHECKS: dict[str, Printed] = {
    "text": check_text,
    "markdown": check_markdown,
    "csv": check_csv,
    "latex": check_latex,
    "junit": check_junit,
    "html": check_html,
    "json": check_json,
    "error": check_error,
}


@pytest.mark.parametrize("format", CHECKS)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_no_text_acts_in_any_format(
    number: int, format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CHECKS[format](HOSTILE[number], tmp_path, capsys)


def test_numbers_stay_numbers_in_csv() -> None:
    given = [-3.5, 2, True, None, "-3.5", "+1e-7", "-12 %", "-", "plain", "1,234"]
    assert [escape.csv(one) for one in given] == given


def test_what_people_write_is_unchanged() -> None:
    text = "naïve 例え 👩‍🚀 rlp_spg 46.8 (43.3 to 50.2), p < .05"
    assert escape.terminal(text) == escape.flat(text) == escape.csv(text) == text
    assert escape.markdown(text) == text.replace("<", "&lt;")


COMMAND = str(Path(sys.executable).parent / "rlp-bench")
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "console",
    [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}],
)
def test_a_console_of_another_encoding_gets_escapes(console: dict[str, str], tmp_path: Path) -> None:
    text = "β 日本 ± 😀 \x1b[31m"
    script = (
        f"import rlp_bench.display as d; d.open_streams(); text = {text!a};"
        "d.print_text(text); d.show(d.table(text, [text], [[text]])); d.print_json({text: text}); d.print_message(text)"
    )
    environment = {
        name: value for name, value in ENVIRONMENT.items() if name not in ("LC_ALL", "PYTHONIOENCODING")
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **console}, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    encoding = console.get("PYTHONIOENCODING") or ("ascii" if console["LC_ALL"] == "C" else "utf-8")
    shown = done.stdout.decode(encoding)
    assert json.loads(shown[shown.index("{\n") :]) == {text: text}
    assert ("日本" if encoding == "utf-8" else "\\u65e5\\u672c") in shown


@pytest.mark.parametrize("redirect", ["| true", "2>&1 | head -1", ">&-", "2>&-"])
def test_a_closed_pipe_ends_quietly_with_the_commands_own_status(redirect: str, tmp_path: Path) -> None:
    call = f"{COMMAND} show method rlp_spg {redirect}; echo ${{PIPESTATUS[0]}} > status"
    done = subprocess.run(
        ["bash", "-c", call], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stderr == ""
    assert (tmp_path / "status").read_text() == "0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "ls"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the disk is full")
    assert len(done.stderr.splitlines()) == 1


def test_warnings_and_usage_errors_are_text_too(tmp_path: Path) -> None:
    script = "import sys, rlp_bench.display as d; d.open_streams(); sys.stderr.write(sys.argv[1]); print(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", script, "\x1b]0;a\x07\u202e"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("␛]0;a␇\\u202e\n", "␛]0;a␇\\u202e")
    done = subprocess.run([COMMAND, "--\x1b[31m\u202e"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert not hidden(done.stderr)
