"""MMLU as Hendrycks et al. published it: every question, every prompt, against pandas and by hand."""

import csv
import hashlib
import json
import shutil

import pytest
from shared_files import shared

from rlp_bench.api.errors import DataError
from rlp_bench.suites.mmlu import MMLU, PROTOCOLS
from rlp_bench.suites.mmlu_files import published_subjects

ROOT = shared("data/mmlu")
DATA = ROOT / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "test").is_dir(), reason="MMLU is not at ../shared/data/mmlu/data"
)

FIRST = """The following are multiple choice questions (with answers) about  abstract algebra.

Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.
A. 0
B. 1
C. 2
D. 3
Answer: B

Statement 1 | If aH is an element of a factor group, then |aH| divides |a|. Statement 2 | If H and K are subgroups of G then HK is a subgroup of G.
A. True, True
B. False, False
C. True, False
D. False, True
Answer: B

Statement 1 | Every element of a group generates a cyclic subgroup of the group. Statement 2 | The symmetric group S_10 has 10 elements.
A. True, True
B. False, False
C. True, False
D. False, True
Answer: C

Statement 1| Every function from a finite set onto itself must be one to one. Statement 2 | Every subgroup of an abelian group is abelian.
A. True, True
B. False, False
C. True, False
D. False, True
Answer: A

Find the characteristic of the ring 2Z.
A. 0
B. 3
C. 12
D. 30
Answer: A

Find the degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q.
A. 0
B. 4
C. 2
D. 6
Answer:"""  # noqa: E501

GOLDEN = {
    ("instruct_eval", "college_mathematics/8", 5): "186a37e62940d5d2",
    ("instruct_eval", "high_school_european_history/0", 3): "cbd738f56d72a9a8",
    ("lm_eval", "college_medicine/49", 5): "4d5c220df5a04843",
}
"""Of prompts rendered by a second program written after the two sources' templates: an option "None", a long text with
examples dropped, a question that begins with a byte order mark.
"""


@pytest.fixture(scope="module", params=list(PROTOCOLS))
def loaded(request):
    suite = MMLU(f"{DATA},protocol={request.param}")
    return suite, suite.items()


def test_57_subjects_and_14042_questions_with_the_published_content(loaded):
    suite, questions = loaded
    counts: dict[str, int] = {}
    for question in questions:
        counts[question.subject] = counts.get(question.subject, 0) + 1
    assert len(questions) == 14042
    assert counts == {name: one.questions for name, one in published_subjects().items()}
    assert len({question.id for question in questions}) == 14042
    assert len({(q.stem, q.options) for q in questions}) == 14042 - 105
    assert suite.warnings == []


def test_categories_are_the_published_ones(loaded):
    suite, questions = loaded
    table = json.loads((ROOT / "subject_categories.json").read_text())
    of_subject = {question.subject: question.category for question in questions}
    differ = [name for name, one in table.items() if one["category"].lower() != of_subject[name].lower()]
    assert differ == ([] if suite.protocol == "instruct_eval" else ["anatomy"])


def test_no_prompt_says_nan(loaded):
    suite, questions = loaded
    none = 0
    for question in questions:
        lines = suite.prompt(question, 5).splitlines()
        assert not any(line[:1] in "ABCD" and line[1:] == ". nan" for line in lines), question.place
        none += "None" in question.options
    assert none == 10


def test_what_pandas_prints_differs_in_ten_cells_only():
    # P33. The source reads with pandas: ten options "None" become "nan", every other cell is printed as it stands.
    import pandas as pd

    differ = []
    for path in sorted(DATA.glob("*/*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
        for cells, printed in zip(rows, pd.read_csv(path, header=None).values.tolist(), strict=True):
            differ += [(a, f"{b}") for a, b in zip(cells, printed, strict=True) if a != f"{b}"]
    assert differ == [("None", "nan")] * 10


def test_the_first_prompt_in_full(loaded):
    suite, questions = loaded
    expected = FIRST if suite.protocol == "instruct_eval" else FIRST.replace("about  ", "about ")
    assert suite.prompt(questions[0], 5) == expected
    assert questions[0].answer == 1


@pytest.mark.parametrize(("protocol", "place", "shots"), list(GOLDEN))
def test_golden_prompts(protocol, place, shots):
    subject, _, _ = place.partition("/")
    suite = MMLU(f"{DATA},protocol={protocol}#{subject}")
    question = next(question for question in suite.items() if question.place == place)
    text = suite.prompt(question, shots)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN[protocol, place, shots]


def test_a_changed_cell_is_refused(tmp_path):
    shutil.copytree(DATA, tmp_path / "copy")
    path = tmp_path / "copy/test/virology_test.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("virus", "Virus", 1), encoding="utf-8")
    with pytest.raises(DataError, match="166 questions of virology that are not the published 166"):
        MMLU(str(tmp_path / "copy")).items()
