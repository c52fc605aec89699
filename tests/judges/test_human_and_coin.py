"""Imported annotations of people, and the judge that knows nothing."""

import gzip
import json
from pathlib import Path

import pytest
from judging import pairs_of
from shared_files import shared

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Pair
from rlp_bench.judges.coin import Coin
from rlp_bench.judges.human import Human

CROSS = shared("data/alpaca_farm/alpacafarm_crossannotation_pairs_gpt4x8.json.gz")


def row(preference, annotator=None, first="x", second="y", instruction="Q", **more):
    given = {"instruction": instruction, "output_1": first, "output_2": second, "preference": preference}
    return {**given, **({} if annotator is None else {"annotator": annotator}), **more}


def human(tmp_path: Path, *rows) -> Human:
    path = tmp_path / "votes.json"
    path.write_text(json.dumps(rows))
    return Human(str(path))


def test_votes_are_averaged_whatever_order_they_were_given_in(tmp_path: Path) -> None:
    judge = human(tmp_path, row(1, "a"), row(1, "b"), row(1, "c", "y", "x"), row(1.5, "d"))
    here, there = judge.judge([Pair("Q", "x", "y"), Pair("Q", "y", "x")])
    assert here.preference == (1 + 1 + 0 + 0.5) / 4
    assert there.preference == 1 - here.preference
    assert json.loads(here.raw) == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.5}


def test_votes_are_of_the_answer_that_is_shown_first(tmp_path: Path) -> None:
    judge = human(tmp_path, row(1, "a"), row(1, "b", "y", "x"), row(None, "c"), row(1.5, "d"))
    assert judge.votes(Pair("Q", "x", "y")) == [1.0, 0.0, 0.5]
    assert judge.votes(Pair("Q", "y", "x")) == [0.0, 1.0, 0.5]
    assert judge.votes(Pair("Q", "x", "z")) == []


def test_a_pair_nobody_judged_and_one_nobody_decided_have_no_verdict(tmp_path: Path) -> None:
    judge = human(tmp_path, row(None, "a"), row(2, "a", instruction="R", input="i"))
    verdicts = judge.judge(
        [Pair("Q", "x", "y"), Pair("Q", "x", "z"), Pair("R", "x", "y", "i"), Pair("R\n\ni", "x", "y")]
    )
    assert [verdict.preference for verdict in verdicts] == [None, None, 0.0, 0.0]
    assert verdicts[0].reason.startswith("unparsed")
    assert verdicts[1].reason.startswith("missing")


def test_agreement_by_hand(tmp_path: Path) -> None:
    votes = [
        row(1, "a"),
        row(1, "b"),
        row(2, "c"),
        row(1, "a", instruction="R"),
        row(1, "b", instruction="R"),
    ]
    found = human(tmp_path, *votes, row(2, "a", instruction="S")).agreement()
    # Q: 1 of 3 pairs agree. R: all agree.
    assert found == {
        "items": 3, "items_with_several": 2, "annotators": 3,
        "pairwise": pytest.approx((1 / 3 + 1) / 2),
    }  # fmt: skip
    assert human(tmp_path, row(1)).agreement()["pairwise"] is None


@pytest.mark.skipif(
    not CROSS.exists(), reason="needs AlpacaFarm's cross-annotations in ../shared/data/alpaca_farm"
)
@pytest.mark.parametrize(("judge", "agreement"), [("gpt4_b1", 0.843), ("gpt4_b5", 0.786)])
def test_agreement_of_four_seeds_on_648_pairs_is_the_known_one(
    tmp_path: Path, judge: str, agreement: float
) -> None:
    stored = json.loads(gzip.decompress(CROSS.read_bytes()))
    rows = [
        row(vote, seed, one["output_1"], one["output_2"], one["instruction"], input=one["input"])
        for one in stored
        for seed, vote in enumerate(one[judge])
    ]
    found = human(tmp_path, *rows).agreement()
    assert (found["items"], found["annotators"]) == (648, 4)
    assert round(found["pairwise"], 3) == agreement


def test_json_lines_and_gzip_are_read_and_the_hash_is_of_the_content(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(one) for one in (row(1, "a"), row(2, "b"))).encode()
    plain, packed = tmp_path / "votes.jsonl", tmp_path / "votes.jsonl.gz"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    assert Human(str(plain)).manifest() == Human(str(packed)).manifest()
    assert Human(str(plain)).manifest()["scale"] == "soft"


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("[]", "is an empty list"), ("{", "not JSON"), ("[1]", "row 1 is a number"),
     (json.dumps([{"instruction": "Q"}]), 'row 1: "output_1" is missing'),
     (json.dumps([row(3)]), '"preference" is 3'), (json.dumps([row("1")]), '"preference" is "1"'),
     (json.dumps([row(True)]), '"preference" is true'),
     (json.dumps([row(1, "a"), row(2, "a", "y", "x")]), "row 1 already"),
     ("\ud800", "not JSON")],
)  # fmt: skip
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "votes.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BenchError, match=said) as raised:
        Human(str(path))
    assert "\n" not in str(raised.value)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    for argument in ("", str(tmp_path / "none.json")):
        with pytest.raises(BenchError, match=r"human|cannot be read"):
            Human(argument)


def test_a_coin_is_fair_repeatable_and_blind_to_order() -> None:
    pairs, coin = pairs_of(2000), Coin()
    heads = [verdict.preference for verdict in coin.judge(pairs)]
    assert heads == [verdict.preference for verdict in Coin().judge(pairs)]
    assert heads != [verdict.preference for verdict in coin.judge(pairs, seed=1)]
    assert abs(sum(heads) / 4000 - 0.5) < 4 * 0.5 / 4000**0.5
    consistent = sum(a + b == 1 for a, b in zip(heads[0::2], heads[1::2], strict=True)) / 2000
    assert abs(consistent - 0.5) < 4 * 0.5 / 2000**0.5
    with pytest.raises(BenchError, match="takes no argument"):
        Coin("heads")
