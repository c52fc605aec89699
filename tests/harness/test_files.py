"""Files that are read as complete, and JSON as people have it."""

import gzip
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlp_bench.api import DataError, read_json, read_jsonl, read_rows, write_json, write_jsonl
from rlp_bench.api.files import write_atomic


def test_a_reader_never_sees_half_of_what_two_writers_write(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    texts = {bytes([letter]) * 200_000 for letter in b"ab"}
    write_atomic(path, min(texts))
    done = threading.Event()

    def write(text: bytes) -> None:
        while not done.is_set():
            write_atomic(path, text)

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, text) for text in texts]
        try:
            seen = {path.read_bytes() for _ in range(200)}
        finally:
            done.set()
    assert [writer.result() for writer in writers] == [None, None]
    assert seen <= texts
    assert os.listdir(tmp_path) == ["run.json"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"old": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"new": 2})
    assert read_json(path, "a report") == {"old": 1}
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("text", ['[{"a": "é\u2028"}, {"a": 2}]', '{"a": "é\u2028"}\n\n{"a": 2}\n'])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_list_and_lines_plain_or_gzipped_are_the_same_rows(tmp_path, text, pack) -> None:
    path = tmp_path / "rows"
    path.write_bytes(pack(text.encode()))
    assert read_rows(path, "rows") == [{"a": "é\u2028"}, {"a": 2}]


def test_one_line_is_one_row_and_a_line_that_is_no_json_is_named(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}')
    assert read_rows(path, "rows") == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    with pytest.raises(DataError, match="at line 3"):
        read_json(path, "rows")


def test_any_text_round_trips_and_what_utf8_can_hold_is_written_as_it_is(tmp_path) -> None:
    for text in ("é ☃", "\ud800", "é \udfff \0", "ascii"):
        write_json(tmp_path / "x.json", {"a": text})
        write_jsonl(tmp_path / "x.jsonl", [{"a": text}])
        assert read_json(tmp_path / "x.json", "x") == {"a": text}
        assert list(read_jsonl(tmp_path / "x.jsonl")) == [{"a": text}]
        assert ("é ☃" in (tmp_path / "x.json").read_text(encoding="utf-8")) == (text == "é ☃")
