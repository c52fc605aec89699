"""Drives the command line in this process with damaged files and options, and says what is wrong with how it ended."""

# ruff: noqa: E501  # tables of values

import contextlib
import copy
import gzip
import io
import json
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import strategies as st
from typer.core import TyperOption

from rlp_bench.api.errors import BenchError
from rlp_bench.cli import main as entry

Draw = Callable[[Any], Any]
STATUSES = {"regress": {0, 1, 2, 3, 4}, "bench": {0, 1, 2, 3}}
"""Exit statuses of a command that documents its own; of all others 0, 1 and 2."""
SEVERAL_LINES = (
    "validate", "plan", "run", "matrix", "show", "regress", "baseline", "compare", "samples", "report", "curves", "eval",
)  # fmt: skip
"""Commands that may list all errors of a recipe or baseline, one line each."""
TEXTS = [
    "", " ", "\0", "\ud800", "é", "=1", "../x", "a" * 5000, "\u2028", "[red]", "nan", "{instruction}", "\x1b[2J", "1e999",
    "a\nb", "/", ".", "null", "hf://", "package://x", "{", "%s", "openai:", "0", "-1",
]  # fmt: skip
VALUES = [
    None, True, False, 0, -1, 1.5, -0.0, 10**30, 10**400, 2**63, 1e308, float("nan"), float("inf"), [], {}, [[]], [1],
    {"a": None}, ["a"], {"": ""}, *TEXTS,
]  # fmt: skip
OUTPUTS = [{"instruction": f"What is {n}?", "output": "It is. " * n, "generator": "me"} for n in range(4)]
ITEMS = [{**row, "dataset": "own", "output": "Nobody knows."} for row in OUTPUTS]
ANNOTATIONS = [
    {
        "instruction": row["instruction"], "output_1": "Nobody knows.", "output_2": row["output"], "preference": 1 + n % 2,
        "annotator": "x", "raw_completion": "m",
    }
    for n, row in enumerate(OUTPUTS)
]  # fmt: skip
PAIRS = [
    {"instruction": f"Do {n}.", "input": "", "output_1": "yes", "output_2": "no", "preference": 1}
    for n in range(4)
]
CONVERSATIONS = [
    {"prompt": [{"role": "user", "content": f"Do {n}."}], "chosen": [{"role": "assistant", "content": "yes"}],
     "rejected": [{"role": "assistant", "content": "no"}]}
    for n in range(4)
]  # fmt: skip
JUDGE_FILE = 'model = "m"\nbase_url = "http://127.0.0.1:9/v1"\ntemperature = 0.5\nmax_tokens = 5\n[extra_headers]\nX-A = "b"\n'
TEMPLATE = "Question: {question}\nA: {first}\nB: {second}\nVerdict:"
LABELED = [{"input": f"Do {n}.", "output_1": "yes", "output_2": "no", "label": 1 + n % 2} for n in range(4)]


# --- Damage --------------------------------------------------------------------------------------------------


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all parts of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from nodes(each, (*path, key))


def damaged(draw: Draw, value: Any) -> Any:
    """The JSON value with one to three parts replaced, left out, repeated or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(nodes(value))))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                value = copy.deepcopy(draw(st.sampled_from(VALUES)))
            continue
        inside = value
        for key in path[:-1]:
            inside = inside[key]
        how = draw(st.sampled_from(["replace", "replace", "drop", "repeat", "rename", "wrap"]))
        if how == "drop":
            del inside[path[-1]]
        elif how == "repeat" and isinstance(inside, list):
            inside.append(inside[path[-1]])
        elif how == "rename" and isinstance(inside, dict):
            inside[draw(st.sampled_from(TEXTS))] = inside.pop(path[-1])
        elif how == "wrap":
            inside[path[-1]] = [inside[path[-1]]]
        else:
            inside[path[-1]] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return value


def written(draw: Draw, value: Any) -> bytes:
    """A JSON value as a document, or a list as lines, in one of the ways that people write it."""
    ascii_only = draw(st.booleans())
    if isinstance(value, list) and draw(st.booleans()):
        text = "\n".join(json.dumps(each, ensure_ascii=ascii_only) for each in value) + "\n"
    else:
        text = json.dumps(value, ensure_ascii=ascii_only)
    return torn(draw, text.encode("utf-8", "surrogatepass"))


def torn(draw: Draw, data: bytes) -> bytes:
    """The bytes, mostly as they are, else cut, changed, in another encoding or compressed."""
    how = draw(
        st.sampled_from(
            ["", "", "", "cut", "change", "bom", "utf-16", "gzip", "half gzip", "crlf", "insert", "deep"]
        )
    )
    at = draw(st.integers(0, max(0, len(data) - 1)))
    few = draw(st.binary(max_size=6))
    return {
        "": lambda: data,
        "cut": lambda: data[:at],
        "change": lambda: data[:at] + few + data[at + len(few) :],
        "insert": lambda: data[:at] + few + data[at:],
        "bom": lambda: b"\xef\xbb\xbf" + data,
        "utf-16": lambda: data.decode("utf-8", "replace").encode("utf-16"),
        "gzip": lambda: gzip.compress(data, mtime=0),
        "half gzip": lambda: gzip.compress(data, mtime=0)[: at % 40],
        "crlf": lambda: data.replace(b"\n", b"\r\n"),
        "deep": lambda: b"[" * 3000 + data,
    }[how]()


def damaged_toml(draw: Draw, text: str) -> bytes:
    """A TOML text with lines left out, repeated, in another order or with other values."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["value", "value", "value", "drop", "repeat", "key", "section", "junk"]))
        key = lines[at].partition("=")[0]
        if how == "value":
            lines[at] = f"{key}= {draw(st.sampled_from(TOML_VALUES))}"
        elif how == "drop":
            lines[at] = ""
        elif how == "repeat":
            lines.append(lines[at])
        elif how == "key":
            lines[at] = f"{json.dumps(draw(st.sampled_from(TEXTS[3:])))} = 1"
        elif how == "section":
            lines[at] = draw(
                st.sampled_from(
                    ["[a]", "[data]", "[[data]]", "[stages.ppo.x]", "[", "[suites]", "[engine.x]"]
                )
            )
        else:
            lines.insert(at, draw(st.text(max_size=12)))
    return torn(draw, "\n".join(lines).encode("utf-8", "surrogatepass"))


TOML_VALUES = [
    "true", "0", "-1", "1e400", "nan", "inf", "9" * 30, "9" * 5000, '""', '"x"', "[]", "{}", '["a"]', "{a = 1}", "1979-05-27",
    '"\\u0000"', '"\\u001b[2J"', '"hf://a/b"', '"package://os"', "[[1]]", '"{instruction}{instruction}"', '"/"', "0.5", "[1, 2]",
    "{name = 'sft'}", '"a\\nb"', "07:32:00", "0x10", "1_000", "'''\n'''",
]  # fmt: skip


# --- Situations: (draw, folder) -> a command line ---------------------------------------------------------------

Situation = Callable[[Draw, Path], list[str]]


def _put(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return name


def _judge(draw: Draw) -> str:
    return str(
        draw(
            st.sampled_from(
                ["longest", "longest", "coin", "constant", "micro_pool", "replay:o.json", "human:", "x"]
            )
        )
    )


def outputs(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "i.json", json.dumps(ITEMS).encode())
    _put(folder, "o.json", written(draw, damaged(draw, OUTPUTS)))
    more = draw(st.sampled_from([[], ["--allow-missing"], ["--json"], ["--order", "random"], ["--dry-run"]]))
    return ["eval", "--suite", "alpacafarm:i.json", "--outputs", "o.json", "--judge", _judge(draw), *more]


def items(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "o.json", json.dumps(OUTPUTS).encode())
    _put(folder, "i.json", written(draw, damaged(draw, ITEMS)))
    suite = draw(st.sampled_from(["alpacafarm", "vicuna", "llmbar", "mmlu", "alpacafarm_data"]))
    return ["eval", "--suite", suite, "--data", "i.json", "--outputs", "o.json", "--judge", _judge(draw)]


def annotations(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "i.json", json.dumps(ITEMS).encode())
    _put(folder, "o.json", json.dumps(OUTPUTS).encode())
    _put(folder, "a.json", written(draw, damaged(draw, ANNOTATIONS)))
    judge = draw(st.sampled_from(["replay:a.json", "human:a.json"]))
    if draw(st.booleans()):
        return [
            "audit",
            judge,
            *draw(st.sampled_from([[], ["--allow-missing"], ["--humans", "a.json"], ["--json"]])),
        ]
    call = ["eval", "--suite", "alpacafarm:i.json", "--outputs", "o.json", "--judge", judge]
    return [*call, *draw(st.sampled_from([[], ["--allow-missing"], ["--order", "reference_first"]]))]


def labeled(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "p.json", written(draw, damaged(draw, LABELED)))
    return ["audit", "longest", "--suite", "llmbar", "--data", "p.json"]


def preferences(draw: Draw, folder: Path) -> list[str]:
    rows = draw(st.sampled_from([PAIRS, CONVERSATIONS]))
    _put(folder, "p.json", written(draw, damaged(draw, rows)))
    name = draw(st.sampled_from(["preference_pairs", "alpacafarm_preferences", "hh_rlhf"]))
    return [
        "run",
        "--method",
        "ppo",
        "--recipe",
        "nano",
        "--no-eval",
        "--set",
        f"data.preferences_from={name}:p.json",
    ]


def judge_options(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "i.json", json.dumps(ITEMS).encode())
    _put(folder, "o.json", json.dumps(OUTPUTS).encode())
    _put(folder, "j.toml", damaged_toml(draw, JUDGE_FILE))
    judge = draw(st.sampled_from(["chat:j.toml", "alpacafarm_pool:j.toml"]))
    return ["eval", "--suite", "alpacafarm:i.json", "--outputs", "o.json", "--judge", judge, "--dry-run"]


def template(draw: Draw, folder: Path) -> list[str]:
    _put(folder, "i.json", json.dumps(ITEMS).encode())
    _put(folder, "o.json", json.dumps(OUTPUTS).encode())
    text = TEMPLATE.replace(
        draw(st.sampled_from(["{first}", "{second}", "{question}", "x"])), draw(st.sampled_from(TEXTS))
    )
    _put(folder, "t.txt", torn(draw, text.encode("utf-8", "surrogatepass")))
    judge = f"chat:m,base_url=http://127.0.0.1:9/v1,prompt={draw(st.sampled_from(['t.txt', './t.txt', 'x']))}"
    return ["eval", "--suite", "alpacafarm:i.json", "--outputs", "o.json", "--judge", judge, "--dry-run"]


def recipe(draw: Draw, folder: Path) -> list[str]:
    source = draw(st.sampled_from(["nano", "micro", "alpacafarm_llama7b_8xa100"]))
    text = (Path(entry.__file__).parents[1] / f"recipes/{source}.toml").read_text(encoding="utf-8")
    _put(folder, "r.toml", damaged_toml(draw, text))
    method = draw(st.sampled_from(["sft", "ppo", "rlp_spg", "rlp_uml", "best_of_n", "rlaif"]))
    return draw(
        st.sampled_from(
            [
                ["validate", "r.toml"], ["validate", "r.toml", "--method", method], ["plan", "--recipe", "r.toml", "--method", method],
                ["show", "recipe", "r.toml"], ["run", "--recipe", "r.toml", "--method", method, "--dry-run"],
                ["plan", "--recipe", "r.toml", "--method", method, "--json"], ["show", "recipe", "r.toml", "--json"],
                ["matrix", "--recipe", "r.toml", "--methods", method, "--seeds", "0..1", "--dry-run"],
            ]
        )
    )  # fmt: skip


def overrides(draw: Draw, folder: Path) -> list[str]:
    key = draw(
        st.sampled_from(
            [
                "data.sft", "prompting.template", "decoding.temperature", "decoding.max_response_tokens", "judge.name", "base.checkpoint",
                "stages.ppo.beta", "stages.sft.steps", "suites.x", "evaluation.suites", "compute.accelerator", "tuning.values",
                "annotator.judge", "engine.name", "training.precision", "name", "x", "a.b.c.d", "", "=", "stages", "data",
            ]
        )
    )  # fmt: skip
    value = draw(st.sampled_from([*TOML_VALUES, *TEXTS]))
    method = draw(st.sampled_from(["sft", "ppo", "rlp_spg"]))
    what = draw(st.sampled_from([["plan"], ["run", "--dry-run"], ["run", "--no-eval", "--dry-run"]]))
    return [what[0], "--method", method, "--recipe", "nano", "--set", f"{key}={value}", *what[1:]]


def checkpoint(draw: Draw, folder: Path) -> list[str]:
    made = folder / "policy"
    shutil.copytree(Path(entry.__file__).parents[1] / "micro/base", made)
    name = draw(st.sampled_from(sorted(path.name for path in made.iterdir() if path.is_file())))
    path = made / name
    data = path.read_bytes()
    if name.endswith(".json"):
        path.write_bytes(written(draw, damaged(draw, json.loads(data))))
    else:
        path.write_bytes(torn(draw, data))
    return draw(
        st.sampled_from(
            [
                ["validate", "policy"],
                ["plan", "--method", "sft", "--recipe", "nano", "--set", "base.checkpoint=policy"],
            ]
        )
    )


def regression(draw: Draw, folder: Path) -> list[str]:
    """A baseline or report of which one is damaged."""
    shutil.copytree(SEED / "regression", folder, dirs_exist_ok=True)
    which = draw(
        st.sampled_from(
            [
                "base.jsonl",
                "report.json",
                "base.jsonl.history.jsonl",
                "store/artifacts/verdicts-0/scores.jsonl",
            ]
        )
    )
    path = folder / which
    if which == "report.json":
        path.write_bytes(written(draw, damaged(draw, json.loads(path.read_bytes()))))
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        text = "\n".join(json.dumps(row) for row in damaged_rows(draw, rows)) + "\n"
        path.write_bytes(torn(draw, text.encode("utf-8", "surrogatepass")))
    call = ["regress", "--baseline", "base.jsonl", "--report", "report.json", "--margin", "alpacafarm=40"]
    more = draw(
        st.sampled_from(
            [
                [],
                ["--strict"],
                ["--exact"],
                ["--junit", "j.xml"],
                ["--summary", "s.md"],
                ["--json"],
                ["--margin", "alpacafarm=1"],
            ]
        )
    )
    accept = ["baseline", "accept", "--report", "report.json", "--reason", "x", "--out", "new.jsonl"]
    return list(draw(st.sampled_from([[*call, *more], ["baseline", "show", "base.jsonl"], accept])))


def damaged_rows(draw: Draw, rows: list[Any]) -> list[Any]:
    found = damaged(draw, rows)
    return found if isinstance(found, list) else [found]


def timings(draw: Draw, folder: Path) -> list[str]:
    document = json.loads((SEED / "timings.json").read_bytes())
    _put(folder, "b.json", written(draw, damaged(draw, document)))
    return ["bench", "--baseline", "b.json"]


def stored(draw: Draw, folder: Path) -> list[str]:
    """A store with one damaged or missing file."""
    shutil.copytree(SEED / "store", folder / "store")
    small = [
        p
        for p in sorted((folder / "store").rglob("*"))
        if p.is_file() and p.suffix in (".json", ".jsonl", "")
    ]
    path = draw(st.sampled_from(small))
    data, how = (
        path.read_bytes(),
        draw(st.sampled_from(["value", "value", "value", "torn", "gone", "folder"])),
    )
    if how in ("gone", "folder"):
        path.unlink()
        if how == "folder":
            path.mkdir()
    elif how == "torn" or path.suffix not in (".json", ".jsonl"):
        path.write_bytes(torn(draw, data))
    elif path.suffix == ".json":
        path.write_bytes(json.dumps(damaged(draw, json.loads(data))).encode())
    else:
        rows = [json.loads(line) for line in data.splitlines()]
        path.write_bytes("".join(json.dumps(row) + "\n" for row in damaged_rows(draw, rows)).encode())
    return list(draw(st.sampled_from(READING)))


READING = [
    ["leaderboard"], ["leaderboard", "--format", "csv"], ["leaderboard", "--json"], ["leaderboard", "--format", "html"],
    ["ls", "runs"], ["ls", "artifacts"], ["ls", "runs", "--json"], ["show", "run", "newest"], ["show", "artifact", "d"],
    ["doctor"], ["gc", "--dry-run"], ["gc"], ["export", "--out", "e"], ["eval"], ["eval", "--judge", "longest"],
    ["claims"], ["report", "html"], ["report", "results"], ["report", "throughput"], ["report", "preference-accuracy", "--recipe", "RECIPE"],
    ["compare", "stranger:stranger", "--recipe", "RECIPE", "--suite", "greetings"], ["samples", "--recipe", "RECIPE", "--suite", "greetings"],
    ["plan", "--method", "stranger", "--recipe", "RECIPE"], ["run", "--method", "stranger", "--recipe", "RECIPE"],
    ["baseline", "accept", "--reason", "x", "--out", "b.jsonl"], ["report", "throughput", "--runs", "newest"],
    ["audit", "longest", "--suite", "micro_llmbar_pairs"],
]  # fmt: skip


def options(draw: Draw, folder: Path) -> list[str]:
    """Any command with hostile values of its own options."""
    tree = typer.main.get_command(entry.app)
    names = [[name] for name in entry.COMMANDS] + [
        [group, name] for group, (_, commands) in entry.GROUPS.items() for name in commands
    ]
    call = list(draw(st.sampled_from(names)))
    command: Any = tree
    for name in call:
        command = command.commands[name]
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    texts = [
        *TEXTS,
        "file",
        "folder",
        "nano",
        "sft",
        "alpacafarm",
        "longest",
        "both",
        "5",
        "0..1",
        "a=b",
        "a:b",
        "json",
        "run",
        "newest",
    ]
    for parameter in command.params:
        required = parameter.required or not isinstance(parameter, TyperOption)
        if parameter.name in ("help", "install_completion", "show_completion") or not (
            required or draw(st.integers(0, 3)) == 0
        ):
            continue
        value = str(draw(st.sampled_from(texts)))
        if parameter.name in ("out", "save", "junit", "summary", "history", "to"):
            value = str(
                draw(
                    st.sampled_from(
                        ["file", "folder", "new", "file/x", "folder/x/y", "a" * 300, "new.json", ""]
                    )
                )
            )
        if not isinstance(parameter, TyperOption):
            call.append(value)
        elif parameter.is_flag:
            call.append(parameter.opts[0])
        else:
            call += [parameter.opts[0], value]
    return [*call, *(["--dry-run"] if call[0] in ("run", "matrix") else [])]


SITUATIONS: dict[str, Situation] = {
    one.__name__: one
    for one in (
        outputs, items, annotations, labeled, preferences, judge_options, template, recipe, overrides, checkpoint, regression,
        timings, stored, options,
    )
}  # fmt: skip
SEED = Path()
"""A folder with sound files, made once: `store`, `regression`, `timings.json`, `greetings.toml`."""


# --- One call ------------------------------------------------------------------------------------------------------


def _elsewhere(*_: Any, **__: Any) -> Any:
    raise BenchError("this takes long: it is not done here")


LONG = {
    "rlp_bench.run.runner.StageRunner._train": _elsewhere,
    "rlp_bench.matrix.trajectory.trace": _elsewhere,
    "rlp_bench.micro.pretrain.pretrain": _elsewhere,
    "rlp_bench.matrix.schedule.schedule": _elsewhere,
    "rlp_bench.perf.timing.time_workloads": lambda *_: json.loads((SEED / "timings.json").read_bytes()),
}
"""What takes long and reads nothing of a user."""


def called(arguments: list[str]) -> tuple[int | str, str, str]:
    """(exit status, or the traceback of an exception that got out; stdout; stderr) of the entry point."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    status: int | str
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(sys, "argv", ["rlp-bench", *arguments])
        for name, value in {
            "HF_HUB_OFFLINE": "1",
            "RLP_BENCH_CACHE": str(Path.cwd() / "cache"),
            "COLUMNS": "200",
        }.items():
            patch.setenv(name, value)
        for target, instead in LONG.items():
            patch.setattr(target, instead)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                entry.main()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else str(end.code)
            except BaseException:
                status = traceback.format_exc()
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return status, texts[0], texts[1]


def wrong(call: list[str], status: int | str, out: str, err: str, folder: Path) -> str:
    """What is wrong with how a call ended; empty if nothing is."""
    if isinstance(status, str):
        return status
    if status not in STATUSES.get(call[0], {0, 1, 2}):
        return f"exit status {status}: {err}"
    if "Traceback" in out + err:
        return "traceback: " + err
    said = [line for line in err.splitlines() if line.startswith(("error: ", "Error: "))]
    if status == 2 and not said:
        return f"exit status 2 without a line: {err}"
    if len(said) > 1 and call[0] not in SEVERAL_LINES:
        return f"several lines: {err}"
    if status == 0 and "--json" in call and "--format" not in call:
        json.loads(out)
    return leftovers(folder)


def leftovers(folder: Path) -> str:
    """Temporary files, artifacts without manifest and runs without record that a call left."""
    for path in folder.rglob("*"):
        if path.name.startswith(".") and path.name not in (".gitattributes", ".lock"):
            return f"left over: {path.relative_to(folder)}"
    return ""


def attempt(situation: str, draw: Draw) -> tuple[list[str], str]:
    """(the call, what is wrong with its end) of one drawn situation in a folder of its own."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name) / "deep" / "er"
        folder.mkdir(parents=True)
        os.chdir(folder)
        try:
            call = SITUATIONS[situation](draw, folder)
            call = [str(SEED / "greetings.toml") if part == "RECIPE" else part for part in call]
            call = [
                part.replace("\0", "").replace("\ud800", "\udc80") for part in call
            ]  # what an argument can hold
            if (
                situation != "options"
                and call[:1]
                and call[0] not in ("audit", "validate", "bench")
                and call[:2] != ["baseline", "show"]
            ):
                store = ["--store", "store"]
                call += [] if call[:2] in (["show", "recipe"],) else store
            return call, wrong(call, *called(call), folder)
        finally:
            os.chdir(before)


def seed_folder(folder: Path, made: Mapping[str, Any]) -> None:
    """Sets the folder of sound files."""
    global SEED
    SEED = folder
    for name, value in made.items():
        (folder / name).write_text(json.dumps(value))
