"""One row of 61 that cannot be used does not refuse a file: it is left out, counted and shown, or refused if strict."""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from rlp_bench.api import DataError, reading
from rlp_bench.evaluation.evaluate import eval_command
from rlp_bench.recipes.data_sources import open_source, read_split

N = 61
QUESTIONS = [f"Name a colour that goes with the number {n}." for n in range(N)]
ITEMS = [{"instruction": q, "output": f"Grey {n}.", "generator": "ref"} for n, q in enumerate(QUESTIONS)]
OUTPUTS = [
    {"instruction": q, "output": f"Blue, number {n}.", "generator": "me"} for n, q in enumerate(QUESTIONS)
]
VERDICTS = [
    {"instruction": q, "output_1": ITEMS[n]["output"], "output_2": OUTPUTS[n]["output"], "preference": 2 - n % 2,
     "annotator": "ann"}
    for n, q in enumerate(QUESTIONS)
]  # fmt: skip


def write(path: Path, rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def spoilt(rows, place: int = 7, **fields):
    return [{**row, **fields} if n == place else row for n, row in enumerate(rows)]


class Files:
    """The three files of an evaluation, with replacements."""

    def __init__(self, folder: Path, store) -> None:
        self.folder, self.store = folder, store

    def evaluate(self, outputs=OUTPUTS, items=ITEMS, verdicts=VERDICTS, judge="longest"):
        write(self.folder / "v.json", verdicts)
        report = eval_command(
            suites=["alpacafarm"],
            outputs=write(self.folder / "o.json", outputs),
            data=write(self.folder / "i.json", items),
            judge=judge.format(self.folder / "v.json"),
            store=self.store,
        )
        return report["suites"][0]


@pytest.fixture
def files(tmp_path: Path, store) -> Files:
    return Files(tmp_path, store)


BROKEN = [{"output": None}, {"output": float("nan")}, {"instruction": 3}]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_output_is_an_item_without_an_answer_and_the_others_are_scored(files, fault) -> None:
    with reading() as read:
        report = files.evaluate(outputs=spoilt(OUTPUTS, **fault))
    assert (report["n_scored"], report["n_items"], report["coverage"]["missing_output"]) == (60, 61, 1)
    assert any(
        "rows left out of the outputs file, because they cannot be used: 1" in w for w in report["warnings"]
    )
    assert read.as_json()[0]["left_out"][0]["row"] == 8
    sealed = files.store.open(files.store.artifacts / report["artifacts"]["outputs"])
    assert sealed.manifest["provenance"]["left_out"] == 1
    with reading(strict=True), pytest.raises(DataError, match="row 8"):
        files.evaluate(outputs=spoilt(OUTPUTS, **fault))


@pytest.mark.parametrize("value", ["many", True, float("nan"), -1, [], 1.5, None])
def test_a_token_count_that_is_none_is_unknown_and_the_answer_is_scored(files, value) -> None:
    rows = [{**row, "tokens": 9, "finished": True} for row in OUTPUTS]
    odd = "yes" if value is True else value
    report = files.evaluate(outputs=spoilt(rows, tokens=value, finished=odd))
    assert (report["n_scored"], report["mean_length_tokens"], report["finish_rate"]) == (N, 9.0, 1.0)


def test_an_item_that_is_merely_absent_is_not_excused(files) -> None:
    with pytest.raises(DataError, match="1 of 61 items have no answer"):
        files.evaluate(outputs=OUTPUTS[1:])
    with pytest.raises(DataError, match="2 of 61 items have no answer"):
        files.evaluate(outputs=spoilt(OUTPUTS[1:], output=None))


def test_a_faulty_item_is_left_out_with_its_answer(files) -> None:
    report = files.evaluate(items=spoilt(ITEMS, output=None))
    assert (report["n_scored"], report["n_items"]) == (60, 60)
    assert any(
        "rows left out of the suite's file, because they cannot be used: 1" in warning
        for warning in report["warnings"]
    )
    assert any(
        "answers about items that were left out of the suite's file: 1" in warning
        for warning in report["warnings"]
    )


@pytest.mark.parametrize("judge", ["replay:{}", "human:{}"])
@pytest.mark.parametrize("fault", [{"preference": "two"}, {"preference": 3}, {"output_1": None}])
def test_a_faulty_verdict_is_an_item_without_one(files, judge, fault) -> None:
    report = files.evaluate(verdicts=spoilt(VERDICTS, **fault), judge=judge)
    assert (report["n_scored"], report["coverage"]["missing"]) == (60, 1)
    assert report["judge"]["left_out"] == 1
    assert any(
        "rows left out of the judge's file, because they cannot be used: 1" in warning
        for warning in report["warnings"]
    )
    assert "left_out" not in files.evaluate(judge=judge)["judge"]


PAIRS = [{"prompt": q, "chosen": "Blue.", "rejected": "No."} for q in QUESTIONS]
SFT = [{"instruction": q, "input": "", "output": "Blue."} for q in QUESTIONS]


def test_a_faulty_preference_is_dropped_with_its_number_and_counted(tmp_path) -> None:
    path = write(tmp_path / "p.json", spoilt(PAIRS, chosen=[]))
    source = open_source(f"preference_pairs:{path}")
    rows, drops, metrics = read_split("p", source, "pairs", N)
    assert (len(rows), drops) == (60, [{"row": 8, "reason": "unusable"}])
    assert metrics == {"rows_in": 61.0, "rows_used": 60.0, "dropped_unusable": 1.0}
    with reading(strict=True), pytest.raises(DataError, match='row 8: "chosen" is '):
        open_source(f"preference_pairs:{path}").split("pairs")


def test_a_faulty_demonstration_is_dropped_from_a_folder_and_from_one_file(tmp_path) -> None:
    (tmp_path / "alpaca_instructions").mkdir()
    write(tmp_path / "alpaca_instructions" / "sft.json", spoilt(SFT, output=None))
    one = write(tmp_path / "one.json", spoilt(SFT, output=None))
    splits = write(
        tmp_path / "s.json", {"sft": [9, 7, *range(10, 40)], "preference": [], "unlabeled": [], "val": []}
    )
    for reference, row in ((f"{tmp_path}", 8), (f"{one},splits={splits}", 2)):
        source = open_source(f"alpacafarm_data:{reference}")
        assert source.drops("sft") == [{"row": row, "reason": "unusable"}]
        with reading(strict=True), pytest.raises(DataError, match="row 8"):
            open_source(f"alpacafarm_data:{reference}").split("sft")


def test_a_faulty_question_keeps_the_places_of_the_others(tmp_path) -> None:
    from rlp_bench.suites.mmlu import MMLU

    for split, count in (("dev", 5), ("test", N)):
        rows = [f"question {n},a,b,c,d,A" for n in range(count)]
        if split == "test":
            rows[7] = "question 7,a,b,c,d,E"
        (tmp_path / split).mkdir()
        (tmp_path / split / f"own_{split}.csv").write_text("\n".join(rows))
    suite = MMLU(str(tmp_path))
    assert [item.place for item in suite.items()] == [f"own/{n}" for n in range(N) if n != 7]
    assert any(
        "rows left out of the suite's files, because they cannot be used: 1" in warning
        for warning in suite.warnings
    )


def test_the_command_shows_the_row_in_text_and_json_and_strict_refuses_it(tmp_path, cli) -> None:
    items = write(tmp_path / "i.json", ITEMS)
    outputs = write(tmp_path / "o.json", spoilt(OUTPUTS, output=None))
    command = ["eval", "--suite", "alpacafarm", "--outputs", outputs, "--data", items, "--judge", "longest"]
    done = cli(*command, "--store", tmp_path / "s")
    assert done.returncode == 0, done.stderr
    assert f'left out: 1 of 61 rows of "{outputs}" (row 8: "output" is not text: null)' in done.stderr
    assert "left out of the outputs file" in " ".join(done.stdout.split())
    done = cli(*command, "--json", "--store", tmp_path / "s")
    assert json.loads(done.stdout)["left_out"] == [
        {"path": str(outputs), "rows": 61, "left_out": [{"row": 8, "fault": '"output" is not text: null'}]}
    ]
    done = cli(*command, "--strict", "--store", tmp_path / "t")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("command", ["validate nano --method ppo", "plan --recipe nano --method ppo"])
def test_what_runs_nothing_shows_rows_left_out_of_training_data_too(tmp_path, cli, command) -> None:
    path = write(tmp_path / "p.json", spoilt(PAIRS, rejected=None))
    given = [*command.split(), "--set", f"data.preferences_from=preference_pairs:{path}"]
    given += ["--set", f"data.preferences={N}"]
    done = cli(*given)
    assert done.returncode == 0, done.stderr
    assert 'row 8: "rejected" is not text: null' in done.stdout
    assert json.loads(cli(*given, "--json").stdout)["left_out"][0]["rows"] == N
    assert "row 8" in cli(*given, "--strict").stderr


# --- White space and Unicode form ---------------------------------------------------------------------

ODD = ["Line one\nline two: café,\u00a0x²", "  Indented:\n\tif x:\n\t\ty\n", "Price in\u202feuros?\u3000"]
SAME = {
    "stripped": str.strip,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "plain spaces": lambda text: text.replace("\u00a0", " ").replace("\u202f", " "),
    "spaces at line ends": lambda text: text.replace("\n", "  \n"),
    "a mark": lambda text: "\ufeff" + text,
}


def with_odd(rows, change=str):
    return [{**row, "instruction": change(text)} for row, text in zip(rows, ODD, strict=False)] + rows[
        len(ODD) :
    ]


@pytest.mark.parametrize("kind", SAME)
def test_instructions_join_across_white_space_and_canonical_form_and_it_is_said(files, kind) -> None:
    report = files.evaluate(outputs=with_odd(OUTPUTS, SAME[kind]), items=with_odd(ITEMS))
    assert report["n_scored"] == N
    [said] = [warning for warning in report["warnings"] if "were joined" in warning]
    assert re.search(
        r"white space or Unicode form only, and were joined: [123] \(item \d: given .*, expected ", said
    )
    plain = files.evaluate(outputs=with_odd(OUTPUTS), items=with_odd(ITEMS))
    assert plain["artifacts"] == report["artifacts"]  # the suite's own text is what is judged and stored
    assert not any("were joined" in warning for warning in plain["warnings"])


@pytest.mark.parametrize("judge", ["replay:{}", "human:{}"])
@pytest.mark.parametrize("kind", SAME)
def test_verdicts_join_as_outputs_do(files, judge, kind) -> None:
    verdicts = with_odd(VERDICTS, SAME[kind])
    report = files.evaluate(outputs=with_odd(OUTPUTS), items=with_odd(ITEMS), verdicts=verdicts, judge=judge)
    assert report["n_scored"] == N


@pytest.mark.parametrize(
    ("change", "given", "expected"),
    [
        (lambda text: unicodedata.normalize("NFKC", text), r"\xe9, x2", r"\xe9,\xa0x\xb2"),
        (lambda text: text.replace("\n", " "), "Line one line two", r"Line one\nline two"),
        (str.lower, "line one", "Line one"),
        (lambda text: text.replace("café", "cafe"), "two: cafe,", r"two: caf\xe9,"),
    ],
)
def test_a_text_that_means_something_else_is_refused_and_the_line_shows_what_differs(
    files, change, given, expected
) -> None:
    with pytest.raises(DataError) as error:
        files.evaluate(outputs=with_odd(OUTPUTS, change), items=with_odd(ITEMS))
    said = str(error.value)
    assert "row 1 answers an instruction that is not in the suite" in said
    assert "(item 1: given " in said
    assert given in said.partition("item 1: given ")[2].partition(", expected ")[0]
    assert expected in said.partition(", expected ")[2]
    assert "\n" not in said


def test_what_could_be_either_of_two_is_not_joined(files) -> None:
    items = spoilt(spoilt(ITEMS, 0, instruction="Same?"), 1, instruction="Same? ")
    exact = spoilt(spoilt(OUTPUTS, 0, instruction="Same?"), 1, instruction="Same? ")
    assert files.evaluate(outputs=exact, items=items)["n_scored"] == N
    with pytest.raises(DataError, match="not in the suite"):
        files.evaluate(outputs=spoilt(exact, 1, instruction="Same?\n"), items=items)
    with pytest.raises(DataError, match="not in the suite"):
        files.evaluate(outputs=[*OUTPUTS, {**OUTPUTS[0], "instruction": QUESTIONS[0] + " "}])


def test_two_answers_to_one_item_in_two_forms_are_not_joined(files) -> None:
    twice = [{**OUTPUTS[0], "instruction": f"{QUESTIONS[0]}{end}", "output": end} for end in (" ", "\n")]
    with pytest.raises(DataError, match="row 1 answers an instruction that is not in the suite"):
        files.evaluate(outputs=[*twice, *OUTPUTS[1:]])
