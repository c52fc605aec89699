"""Preference pairs as people have them: TRL's conversational forms, ShareGPT, WebGPT, PandaLM."""

import json
from pathlib import Path

import pytest

from rlp_bench.api import DataError
from rlp_bench.recipes.data_sources import open_source
from rlp_bench.suites.alpacafarm_ids import known_items

Q, GOOD, BAD = "Why is the sky blue?", "Rayleigh scattering.", "It is not."


def user(text=Q):
    return {"role": "user", "content": text}


def bot(text):
    return {"role": "assistant", "content": text}


def gpt(text, who="gpt"):
    return {"from": who, "value": text}


PARTS = [{"type": "text", "text": "Why is "}, {"type": "text", "text": "the sky blue?"}]
SAME = {
    "texts": {"prompt": Q, "chosen": GOOD, "rejected": BAD},
    "explicit prompt": {"prompt": [user()], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
    "implicit prompt": {"chosen": [user(), bot(GOOD)], "rejected": [user(), bot(BAD)]},
    "prompt beside and inside": {"prompt": Q, "chosen": [user(), bot(GOOD)], "rejected": [user(), bot(BAD)]},
    "both as lists": {"prompt": [user()], "chosen": [user(), bot(GOOD)], "rejected": [user(), bot(BAD)]},
    "prompt as text, answers as lists": {"prompt": Q, "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
    "answers as texts": {"prompt": [user()], "chosen": GOOD, "rejected": BAD},
    "instruction": {"instruction": Q, "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
    "ShareGPT": {"conversations": [gpt(Q, "human")], "chosen": gpt(GOOD), "rejected": gpt(BAD)},
    "ShareGPT lists": {"conversations": [gpt(Q, "human")], "chosen": [gpt(GOOD)], "rejected": [gpt(BAD)]},
    "messages": {"messages": [user()], "chosen": bot(GOOD), "rejected": bot(BAD)},
    "text parts": {
        "prompt": [{"role": "user", "content": PARTS}],
        "chosen": [bot(GOOD)],
        "rejected": [bot(BAD)],
    },
    "other fields": {
        "prompt": [user()],
        "chosen": [bot(GOOD)],
        "rejected": [bot(BAD)],
        "score_chosen": 8.0,
        "id": 3,
    },
    "empty input": {"instruction": Q, "input": float("nan"), "chosen": GOOD, "rejected": BAD},
}


def split(folder: Path, *rows, name: str = "p.json"):
    path = folder / name
    path.write_text(json.dumps(rows))
    return open_source(f"preference_pairs:{path}")


@pytest.mark.parametrize("kind", SAME)
def test_every_form_of_a_pair_is_the_same_row(tmp_path, kind) -> None:
    [row] = split(tmp_path, SAME[kind]).split("pairs")
    wanted = {"instruction": Q, "input": "", "chosen": GOOD, "rejected": BAD, "annotator": "preference_pairs"}
    assert row == wanted


def test_several_turns_have_speakers_as_in_hh_rlhf_and_a_system_message_comes_first(tmp_path) -> None:
    turns = [user("Hi. "), bot("Hello!"), user()]
    forms = [
        {"prompt": turns, "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
        {"chosen": [*turns, bot(GOOD)], "rejected": [*turns, bot(BAD)]},
        {"prompt": Q, "chosen": [*turns, bot(GOOD)], "rejected": [*turns, bot(BAD)]},
        {"prompt": turns[:1], "chosen": [*turns[1:], bot(GOOD)], "rejected": [*turns[1:], bot(BAD)]},
    ]
    found = {row["instruction"] for row in split(tmp_path, *forms).split("pairs")}
    assert found == {f"Human: Hi.\n\nAssistant: Hello!\n\nHuman: {Q}"}
    told = {"role": "system", "content": "Be brief."}
    rows = [
        {"prompt": [told, user()], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
        {
            "system": "Be brief.",
            "conversations": [gpt(Q, "human")],
            "chosen": gpt(GOOD),
            "rejected": gpt(BAD),
        },
    ]
    assert {row["instruction"] for row in split(tmp_path, *rows).split("pairs")} == {f"Be brief.\n\n{Q}"}


def test_pairs_that_differ_before_the_last_answer_are_dropped_as_hh_rlhf_does(tmp_path) -> None:
    row = {
        "chosen": [user(), bot(GOOD), user("And?"), bot("x")],
        "rejected": [user(), bot(BAD), user("So?"), bot("y")],
    }
    source = split(tmp_path, row, SAME["messages"])
    assert source.drops("pairs") == [{"row": 1, "reason": "answer_goes_on"}]


def test_an_evaluation_item_in_any_user_message_is_dropped(tmp_path, monkeypatch) -> None:
    from rlp_bench.suites import preference_files
    from rlp_bench.suites.alpacafarm_ids import question_id

    monkeypatch.setattr(
        preference_files, "known_items", lambda: {**known_items(), question_id({"instruction": Q}): "x"}
    )
    turns = {"prompt": [user(), bot("Hm."), user("Well?")], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]}
    source = split(tmp_path, turns, SAME["ShareGPT"], SAME["texts"])
    assert [drop["reason"] for drop in source.drops("pairs")] == ["evaluation_item"] * 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"prompt": [user()], "chosen": [bot(GOOD)]},
            '"rejected" is missing, not a text or a list of messages',
        ),
        ({"prompt": [user()], "chosen": [], "rejected": [bot(BAD)]}, '"chosen" is []'),
        (
            {"prompt": [user()], "chosen": [bot(GOOD)], "rejected": ["x"]},
            '"rejected": message 1 is "x", not an obj',
        ),
        (
            {"prompt": [gpt(Q, "tool")], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
            'message 1 has the role "tool"',
        ),
        (
            {"prompt": [user(None)], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
            "has the content null, not text",
        ),
        (
            {"prompt": [user([{"type": "image"}])], "chosen": GOOD, "rejected": BAD},
            "has a part that is not text",
        ),
        ({"chosen": [bot(GOOD)], "rejected": [bot(BAD)]}, "has no user message before the answers"),
        (
            {"prompt": [user(), bot("x")], "chosen": [bot(GOOD)], "rejected": [bot(BAD)]},
            "has no user message before",
        ),
        (
            {"prompt": [user()], "chosen": [user("x")], "rejected": [bot(BAD)]},
            '"chosen" does not end with a message',
        ),
        (
            {"prompt": "Else?", "chosen": [user(), bot(GOOD)], "rejected": [user(), bot(BAD)]},
            '"prompt" is not the',
        ),
    ],
)
def test_a_row_that_does_not_fit_together_is_named(tmp_path, row, said) -> None:
    with pytest.raises(DataError) as error:
        split(tmp_path, row).split("pairs")
    assert "row 1" in str(error.value)
    assert said in str(error.value)


def webgpt(first, second, question=None):
    return {"question": {"full_text": Q, "id": "1"} if question is None else question,
            "answer_0": GOOD, "answer_1": BAD, "score_0": first, "score_1": second,
            "quotes_0": {"title": []}}  # fmt: skip


def test_webgpts_comparisons_are_decided_by_the_scores(tmp_path) -> None:
    rows = [webgpt(0.5, -0.5), webgpt(-1, 1, Q), webgpt(0, 0.0), webgpt(None, float("nan"))]
    found = split(tmp_path, *rows).split("pairs")
    assert [row["preference"] for row in found] == [1.0, 2.0, 1.5, None]
    assert {(row["instruction"], row["output_1"], row["output_2"]) for row in found} == {(Q, GOOD, BAD)}
    for bad in (
        webgpt("1", 0),
        webgpt(True, 0),
        {"question": Q, "answer_0": "x", "answer_1": "y"},
        webgpt(0, 1, {}),
    ):
        with pytest.raises(DataError, match="row 1"):
            split(tmp_path, bad).split("pairs")


def pandalm(*votes):
    given = {f"annotator{n}": vote for n, vote in enumerate(votes, 1)}
    return {"idx": 0, "motivation_app": "App", "cmp_key": "a_b", "instruction": Q, "input": float("nan"),
            "response1": GOOD, "response2": BAD, **given}  # fmt: skip


def test_pandalms_annotators_decide_by_majority(tmp_path) -> None:
    votes = [(1, 1, 2), (2, 0, 2), (0, 0, 1), (0, 1, 2), (1, None, None), ()]
    found = split(tmp_path, *(pandalm(*three) for three in votes)).split("pairs")
    assert [row["preference"] for row in found] == [1.0, 2.0, 1.5, 1.5, 1.0, None]
    assert {row["input"] for row in found} == {""}
    with pytest.raises(DataError, match="row 1: annotators gave"):
        split(tmp_path, pandalm(1, 3, 1)).split("pairs")


def test_csv_and_parquet_give_the_same_pairs(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [{**webgpt(0.5, -0.5, Q), "quotes_0": None}, {**webgpt(-1.0, 1.0, Q), "quotes_0": None}]
    wanted = split(tmp_path, *rows).split("pairs")
    names = ["question", "answer_0", "answer_1", "score_0", "score_1"]
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    assert open_source(f"preference_pairs:{tmp_path / 'p.csv'}").split("pairs") == wanted
    write_table(
        pyarrow.Table.from_pylist([SAME["explicit prompt"], SAME["both as lists"]]), tmp_path / "p.parquet"
    )
    found = open_source(f"preference_pairs:{tmp_path / 'p.parquet'}").split("pairs")
    assert [row["chosen"] for row in found] == [GOOD, GOOD]


def test_a_lone_surrogate_is_no_text_to_train_on(tmp_path) -> None:
    rows = [SAME["messages"]] * 20 + [{"prompt": Q, "chosen": "a\ud800", "rejected": BAD}]
    assert split(tmp_path, *rows).drops("pairs") == [{"row": 21, "reason": "unusable"}]
    with pytest.raises(DataError, match=r'row 1: "instruction" has a lone surrogate, \\udc00'):
        split(tmp_path, {"prompt": [user("\udc00")], "chosen": GOOD, "rejected": BAD}).split("pairs")
