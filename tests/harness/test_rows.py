"""Users' files of rows: every format, and every fault with file, row and field; who reads them, and the limits."""

import ast
import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from rlp_bench.api import DataError, parse_toml, read_rows, reading, text_field, usable_rows
from rlp_bench.api.documents import MAX_DEPTH, MAX_DIGITS, read_bytes, read_json, read_toml

ROOT = Path(__file__).parents[2]
ROWS = [{"q": 'a,b \u2028;\t"x"\nline', "a": "é ☃"}, {"q": "None", "a": ""}, {"q": "007", "a": "  "}]


def as_csv(rows, delimiter=",", end="\n") -> str:
    out = io.StringIO(newline="")
    lines = csv.DictWriter(out, ["q", "a"], delimiter=delimiter, lineterminator=end)
    lines.writeheader()
    lines.writerows(rows)
    return out.getvalue()


def as_parquet(rows) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    out = io.BytesIO()
    write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def as_lines(rows, end="\n") -> str:
    return end.join(json.dumps(row, ensure_ascii=False) for row in rows)


TEXTS = {
    "list": ("x.json", lambda rows: json.dumps(rows, ensure_ascii=False)),
    "indented": ("x.json", lambda rows: "\n\n" + json.dumps(rows, indent=2) + "\r\n"),
    "lines": ("x.jsonl", as_lines),
    "lines with blank ones": ("x", lambda rows: as_lines(rows, "\n\n") + "\n\n"),
    "CRLF lines": ("x.jsonl", lambda rows: as_lines(rows, "\r\n") + "\r\n"),
    "CR lines": ("x.jsonl", lambda rows: as_lines(rows, "\r")),
    "CSV": ("x.csv", as_csv),
    "CRLF CSV": ("x.CSV", lambda rows: as_csv(rows, end="\r\n")),
    "semicolons": ("x.csv", lambda rows: as_csv(rows, ";")),
    "TSV": ("x.tsv", lambda rows: as_csv(rows, "\t")),
    "JSON called CSV": ("x.csv", lambda rows: json.dumps(rows)),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("kind", TEXTS)
def test_every_format_encoding_and_packing_gives_the_same_rows(tmp_path, kind, encoding, pack) -> None:
    name, write = TEXTS[kind]
    path = tmp_path / (name + (".gz" if pack is gzip.compress else ""))
    path.write_bytes(pack(write(ROWS).encode(encoding)))
    assert read_rows(path, "rows") == ROWS


def test_parquet_gives_the_same_rows_with_nested_values_and_nulls(tmp_path) -> None:
    rows = [{**ROWS[0], "m": [{"role": "user", "content": "x"}]}, {**ROWS[1], "m": None}]
    path = tmp_path / "x.parquet"
    path.write_bytes(as_parquet(rows))
    assert read_rows(path, "rows") == rows
    path.write_bytes(as_parquet(rows)[:-9])
    with pytest.raises(DataError, match="is damaged Parquet"):
        read_rows(path, "rows")


def test_a_parquet_bomb_is_refused(tmp_path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(as_parquet([{"q": "x" * 2**20}] * 2**7))
    assert path.stat().st_size < 2**19
    with pytest.raises(DataError, match="is larger than 64 MiB unpacked"):
        read_rows(path, "rows")


def test_without_pyarrow_parquet_is_one_line_with_the_remedy(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(as_parquet(ROWS))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        DataError, match=r"needs pyarrow, which is not installed: pip install .rlp-bench.parquet."
    ):
        read_rows(path, "rows")


def test_columns_that_are_not_text_are_converted_and_no_others(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "q,a,n\n1,true,1.0\n2,nan,1.5\n3,,\n4,x,NaN\n5,x,False\n6,x,1e999\n7,x,a lot\n" + "8,x,2\n" * 5
    )
    found = usable_rows(path, "rows", lambda row: row, columns=("n", "absent"))
    assert [row["n"] for row in found[:8]] == [1, 1.5, None, None, False, float("inf"), "a lot", 2]
    assert [row["a"] for row in found[:3]] == ["true", "nan", ""]


GOOD = {"q": "question", "a": "answer"}
FAULTS = {
    "missing": (json.dumps({"q": "x"}), '"a" is missing; the row has q'),
    "null": (json.dumps({"q": "x", "a": None}), '"a" is not text: null'),
    "NaN": ('{"q": "x", "a": NaN}', '"a" is not text: NaN'),
    "number": ('{"q": "x", "a": 3}', '"a" is not text: 3'),
    "infinity": ('{"q": "x", "a": 1e999}', '"a" is not text: Infinity'),
    "list": ('{"q": "x", "a": ["y"]}', '"a" is not text: ["y"]'),
    "no object": ('["q", "a"]', "is a list, not an object"),
    "null row": ("null", "is a null, not an object"),
    "5,000 digits": ('{"q": "x", "a": "y", "n": ' + "7" * 5000 + "}", '"n" is an integer of 5000 digits'),
    "just too many": (
        '{"a": "y", "n": -' + "7" * MAX_DIGITS + "}",
        f'"n" is an integer of {MAX_DIGITS + 1} digits',
    ),
    "nested": (
        '{"a": "y", "n": ' + "[" * 80 + "]" * 80 + "}",
        f'"n" is nested more than {MAX_DEPTH} levels deep',
    ),
    "nested a lot": (
        '{"n": ' + '{"m":' * 99999 + "1" + "}" * 99999 + "}",
        f"nested more than {MAX_DEPTH} levels",
    ),
    "no JSON": ('{"q": "x", "a": y}', "not JSON, or truncated (Expecting value at line 4)"),
    "trailing comma": ('{"q": "x",}', "not JSON, or truncated"),
}


def answers(path: Path):
    return usable_rows(path, "rows of q and a", lambda row: (text_field(row, "q"), text_field(row, "a")))


@pytest.mark.parametrize("count", [61, 3])
@pytest.mark.parametrize("lines", [True, False], ids=["lines", "list"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_faulty_row_is_named_and_left_out_of_many_but_refuses_a_few(tmp_path, kind, lines, count) -> None:
    row, said = FAULTS[kind]
    rows = [json.dumps(GOOD)] * count
    rows[3 if count > 3 else 1] = row
    number = 4 if count > 3 else 2
    said = said.replace("line 4", f"line {number}")
    path = tmp_path / "x.json"
    path.write_text("\n".join(rows) + "\n" if lines else "[" + ",\n".join(rows) + "]")
    with reading(strict=True), pytest.raises(DataError) as error:
        answers(path)
    for word in (str(path), f"row {number}", said, "expected rows of q and a"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)
    with reading() as files:
        if count == 3:
            with pytest.raises(DataError, match=f"row {number}"):
                answers(path)
            return
        found = answers(path)
    assert list(found) == [("question", "answer")] * 60
    assert [at for at, _ in found.numbered()] == [1, 2, 3, *range(5, 62)]
    [one] = found.left_out
    assert (one.row, said in one.fault) == (4, True)
    assert files.as_json() == [{"path": str(path), "rows": 61, "left_out": [one._asdict()]}]
    [line] = files.lines()
    assert line.startswith(f'left out: 1 of 61 rows of "{path}" (row 4: ')


def test_a_csv_row_with_other_cells_than_the_header_is_left_out(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("q,a\n" + "x,y\n" * 30 + "x\n" + "x,y,z\n")
    found = answers(path)
    assert len(found) == 30
    assert found.left_out == [(31, "has 1 cells, and the header 2"), (32, "has 3 cells, and the header 2")]
    for text, said in (
        ('q,a\n"x,y\n' * 3, "not CSV"), ("q,q\nx,y\n", 'names "q" twice'), ("q,a\n", "is an empty list")
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            answers(path)


@pytest.mark.parametrize(
    "text", [as_lines([GOOD] * 60)[:-4], json.dumps([GOOD] * 60)[:-4]], ids=["lines", "list"]
)
def test_a_file_that_was_cut_off_is_refused_because_nobody_knows_how_many_rows_it_had(tmp_path, text) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not JSON, or truncated"):
        answers(path)


def test_many_faults_are_counted_by_kind_with_the_first_row_of_each(tmp_path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(as_lines([GOOD, {"q": "x"}, {"q": "x"}, {"q": 1, "a": "x"}]))
    with pytest.raises(DataError) as error:
        answers(path)
    assert (
        '3 of 4 rows cannot be used: 2 "a" is missing; the row has q (row 2), 1 "q" is not text: 1 (row 4)'
        in str(error.value)
    )


def test_long_texts_nul_and_lone_surrogates_are_read_as_they_are(tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(f'q,a\n"{"x" * 300_000}","y\0z"\n'.encode())
    assert read_rows(path, "rows") == [{"q": "x" * 300_000, "a": "y\0z"}]
    path = tmp_path / "x.json"
    path.write_text('[{"q": "a\\ud800b"}]')
    assert read_rows(path, "rows") == [{"q": "a\ud800b"}]


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path) -> None:
    path = tmp_path / "x.json.gz"
    block = gzip.compress(b" " * 2**24, 9)
    path.write_bytes(block * 8)
    with pytest.raises(DataError, match="bytes of gzip unpack to more than 64 MiB"):
        read_bytes(path)
    path.write_bytes(block * 2)
    assert len(read_bytes(path)) == 2**25


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"PK\x03\x04....", "compressed by zip"), (b"\x28\xb5\x2f\xfd..", "by zstd"), (b"\x1f\x8b\x08\0x", "damaged gzip"),
     (gzip.compress(b"[1]", mtime=0)[:-5] + b"\xff\xff\xff\xff\xff", "damaged gzip"),
     (b"\xff", "not text in UTF-8 or UTF-16"), (b"\xef\xbb\xbf", "is empty"), (b"{", "not JSON"),
     (b"3", "contains a JSON number")],
)  # fmt: skip
def test_what_is_no_file_of_rows_is_one_line(tmp_path, data, said) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said) as error:
        read_rows(path, "rows")
    assert "\n" not in str(error.value)
    for wrong in (tmp_path, tmp_path / "none", Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            read_rows(wrong, "rows")


@pytest.mark.parametrize(
    "row", FAULTS["5,000 digits"][:1] + FAULTS["nested"][:1] + FAULTS["nested a lot"][:1]
)
def test_a_document_beyond_the_limits_is_one_line(tmp_path, row) -> None:
    path = tmp_path / "x.json"
    path.write_text(row)
    with pytest.raises(DataError, match=r"digits|levels deep"):
        read_json(path, "a document")


@pytest.mark.parametrize(
    "value", ["9" * 5000, "9" * 400, "[" * 5000 + "]" * 5000, "[" * 70 + "]" * 70, "1 2", "'", "{a = " * 3000]
)
def test_toml_beyond_the_limits_is_one_line(tmp_path, value) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"a = {value}\n")
    with pytest.raises(DataError, match="not TOML") as error:
        read_toml(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"\w"):
        parse_toml(f"a = {value}\n")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_toml_may_begin_with_a_byte_order_mark(tmp_path, encoding) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes('a = "é"\r\n[b]\r\nc = 1\r\n'.encode(encoding))
    assert read_toml(path) == {"a": "é", "b": {"c": 1}}


# --- One place ----------------------------------------------------------------------------------------

READERS = {"json.load", "json.loads", "csv.reader", "csv.DictReader", "tomllib.load", "tomllib.loads"}
READERS |= {"gzip.open", "gzip.decompress", "pd.read_csv", "pd.read_json", "pd.read_parquet", "load_dataset"}
OWN = {
    "rlp_bench/api/documents.py": "the reader",
    "rlp_bench/api/rows.py": "the reader",
    "rlp_bench/api/files.py": "our own JSON lines",
    "rlp_bench/api/safetensors.py": "headers of weights, bounded by their length",
    "rlp_bench/api/seals.py": "our own sealed documents",
    "rlp_bench/api/types.py": "metrics of an artifact",
    "rlp_bench/analysis": "sealed artifacts and our own records",
    "rlp_bench/endpoint": "replies, and options in canonical form",
    "rlp_bench/evaluation/diagnostics.py": "sealed artifacts",
    "rlp_bench/evaluation/endpoint_policy.py": "options in canonical form",
    "rlp_bench/export": "sealed artifacts",
    "rlp_bench/matrix/jobs.py": "points of a run",
    "rlp_bench/matrix/executors": "messages between our own processes",
    "rlp_bench/perf": "our own files and processes",
    "rlp_bench/plan": "shipped tables and meters of artifacts",
    "rlp_bench/run": "our own records, and messages between our own processes",
    "rlp_bench/store": "manifests",
    "judges/alpacafarm_pool.py": "a shipped table",
    "judges/api": "options in canonical form, and replies",
    "judges/reward_model.py": "the manifest of an artifact",
    "suites/length_control.py": "a shipped table",
    "leaderboard/table/collect.py": "scores of artifacts",
    "trainers/generation": "manifests and sealed artifacts",
    "trainers/modeling/averaged_reward.py": "members of an artifact",
    "trainers/preferences/strength/loop.py": "our own scratch files",
    "trainers/training/checkpointing.py": "our own checkpoints",
}
"""Files and folders that may parse by themselves, and what: nothing that a user writes."""


def own_parsers() -> dict[str, list[str]]:
    """File -> calls that parse."""
    found: dict[str, list[str]] = {}
    for room in ("rlp_bench", "judges", "suites", "leaderboard", "trainers"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.is_symlink() or any(parent.is_symlink() for parent in path.parents):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in READERS:
                    found.setdefault(str(path.relative_to(ROOT)), []).append(ast.unparse(node.func))
    return found


def test_users_files_are_parsed_in_one_place() -> None:
    found = own_parsers()
    assert {"rlp_bench/api/documents.py", "rlp_bench/api/rows.py"} <= set(found)
    strangers = {
        path: calls
        for path, calls in found.items()
        if not any(f"{path}/".startswith(f"{own}/") for own in OWN)
    }
    assert strangers == {}
    unused = [own for own in OWN if not any(f"{path}/".startswith(f"{own}/") for path in found)]
    assert unused == []
