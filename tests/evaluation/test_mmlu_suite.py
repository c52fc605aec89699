"""The suite `mmlu` on invented questions: its prompts, its argument, its files."""

import csv
import gzip
import shutil

import pytest
from mmlu_parts import make_folder

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Question, content_id
from rlp_bench.suites.mmlu import MMLU
from rlp_bench.suites.mmlu_files import published_subjects


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("mmlu"))


def test_instruct_eval_prompt_in_full(data):
    suite = MMLU(f"{data},limit=1#old_maths")
    [question] = suite.items()
    assert suite.prompt(question, 2) == (
        "The following are multiple choice questions (with answers) about  old maths.\n\n"
        ' Which old_maths, dev 0? \nA. None\nB. NA\nC. 1.50\nD. say "0"\nAnswer: A\n\n'
        ' Which old_maths, dev 1? \nA. None\nB. NA\nC. 1.50\nD. say "1"\nAnswer: B\n\n'
        ' Which old_maths, test 0? \nA. None\nB. NA\nC. 1.50\nD. say "0"\nAnswer:'
    )


def test_lm_eval_prompt_has_one_blank_and_stripped_questions(data):
    suite = MMLU(f"{data},protocol=lm_eval,limit=1#old_maths")
    [question] = suite.items()
    assert suite.prompt(question, 1) == (
        "The following are multiple choice questions (with answers) about old maths.\n\n"
        'Which old_maths, dev 0?\nA. None\nB. NA\nC. 1.50\nD. say "0"\nAnswer: A\n\n'
        'Which old_maths, test 0?\nA. None\nB. NA\nC. 1.50\nD. say "0"\nAnswer:'
    )
    assert suite.choices(question) == [" A", " B", " C", " D"]


def test_cells_that_look_like_nothing_stay_text(data):
    # P33: pandas would make NaN of "None" and "NA", and 1.5 of "1.50".
    suite = MMLU(str(data))
    for question in suite.items():
        assert question.options[:3] == ("None", "NA", "1.50")
        assert "nan" not in suite.prompt(question, 5)


def test_gzipped_files_give_the_same_questions(data, tmp_path):
    for path in data.glob("*/*.csv"):
        target = tmp_path / path.parent.name / f"{path.name}.gz"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(gzip.compress(path.read_bytes()))
    assert MMLU(str(tmp_path)).items() == MMLU(str(data)).items()


def test_limit_and_subjects_choose_and_say_so(data):
    suite = MMLU(f"{data},limit=2#zoo_animals,colours")
    assert [item.place for item in suite.items()] == [
        "zoo_animals/0", "zoo_animals/1", "colours/0", "colours/1"
    ]  # fmt: skip
    said = " ".join(suite.warnings)
    assert "not the published questions: zoo_animals, colours" in said
    assert "2 of 57 subjects" in said
    assert "first 2 questions" in said


def test_a_question_asked_twice_is_two_questions_and_others_keep_their_id():
    twice = [Question("q", ("a", "b"), 0, "s", place=f"s/{i}") for i in (0, 1)]
    assert twice[0].id != twice[1].id
    assert Question("q", ("a", "b"), 0, "s").id == content_id("q", "a", "b")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "needs its data"),
        ("{data},protokol=lm_eval", 'no option "protokol=lm_eval"; did you mean "protocol"'),
        ("{data},protocol=lmeval", 'no protocol "lmeval"; did you mean "lm_eval"'),
        ("{data},limit=0", "limit=0: expected a number"),
        ("{data},limit=x", "limit=x: expected a number"),
        ("{data},limit=1,quick", 'no option "quick"'),
        ("{data}#colors", 'no subject "colors"; did you mean "colours"'),
        ("{data}/dev", "has no test/SUBJECT_test.csv"),
        ("/nowhere", "has no test/SUBJECT_test.csv"),
    ],
)
def test_a_wrong_argument_is_one_line_with_the_nearest(data, argument, message):
    with pytest.raises(DataError) as error:
        MMLU(argument.format(data=data)).items()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["q", "a", "b", "c", "A"], "row 2: 5 cells"),
        (["q", "a", "b", "c", "d", "E"], 'last "E"'),
        (["q", "a", "b", "c", "d", ""], 'last ""'),
    ],
)
def test_a_broken_row_is_named(data, tmp_path, cells, message):
    shutil.copytree(data, tmp_path / "copy")
    with (tmp_path / "copy/test/old_maths_test.csv").open("a", newline="") as out:
        csv.writer(out).writerow(cells)
    with pytest.raises(DataError, match=r"old_maths_test.csv") as error:
        MMLU(str(tmp_path / "copy")).items()
    assert message in str(error.value)


def test_too_few_examples_an_absent_and_an_unreadable_file_are_errors(data, tmp_path):
    for name in ("few", "absent", "bytes"):
        shutil.copytree(data, tmp_path / name)
    dev = tmp_path / "few/dev/colours_dev.csv"
    dev.write_text("".join(dev.read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(DataError, match="4 examples; expected at least 5"):
        MMLU(str(tmp_path / "few")).items()
    (tmp_path / "absent/dev/colours_dev.csv").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        MMLU(str(tmp_path / "absent")).items()
    for content, said in (
        (b"\xff,", "not text in UTF-8"),
        (b"\xff\xfe,\x00", "row 1: 2 cells"),
        (b'"a', "not CSV"),
    ):
        (tmp_path / "bytes/dev/colours_dev.csv").write_bytes(content)
        with pytest.raises(DataError, match=said):
            MMLU(str(tmp_path / "bytes")).items()


def test_all_57_subjects_with_other_questions_are_refused(tmp_path):
    make_folder(tmp_path, dict.fromkeys(published_subjects(), 1))
    with pytest.raises(DataError, match="1 questions of abstract_algebra that are not the published 100"):
        MMLU(str(tmp_path)).items()


def test_what_is_known_of_the_57_subjects():
    known = published_subjects()
    assert len(known) == 57
    assert sum(one.questions for one in known.values()) == 14042
    per_category: dict[str, int] = {}
    for one in known.values():
        per_category[one.category] = per_category.get(one.category, 0) + 1
    assert per_category == {"STEM": 18, "humanities": 13, "social sciences": 12, "other": 14}


@pytest.mark.parametrize(
    ("text", "option"),
    [
        (" A", 0), ("B.", 1), ("\n D", 3), ("C)", 2), ("An", 0),
        ("", None), (" ", None), ("a", None), ("(A", None), ("The", None), ("1", None), ("\u0410", None),
    ],
)  # fmt: skip
def test_what_a_text_names(data, text, option):
    # pred.strip().startswith(label), so "An" is A; the last one is a Cyrillic letter.
    assert MMLU(str(data)).reads(text) == option
