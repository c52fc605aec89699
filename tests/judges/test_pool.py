"""The pool of 13: its shape, who is drawn, and that it stands for nobody's numbers but its own."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from judging import pairs_of
from stub_server import Stub

from rlp_bench.api.errors import BenchError
from rlp_bench.api.types import Pair
from rlp_bench.evaluation.resolve import refuse_noise
from rlp_bench.judges.alpacafarm_pool import AlpacaFarmPool, seat_of

PAIRS = pairs_of(40)
REPLIES = {600: '{"winner": "A"}', 300: '{"winner": "A"}', 200: "Fine.\nVerdict: A", 20: "A"}


def reply(body: dict) -> str:
    """What each prompt asks for, always for the first."""
    return REPLIES[body["max_tokens"]]


def pool(stub: Stub, more: str = "") -> AlpacaFarmPool:
    return AlpacaFarmPool(f"m,base_url={stub.url},first_pause=0.01{more}")


def test_the_shape_is_five_four_four_and_temperature_one() -> None:
    found = AlpacaFarmPool("m,base_url=http://h").manifest()
    assert Counter(one["family"] for one in found["annotators"]) == {"large": 5, "medium": 4, "completion": 4}
    assert {one["temperature"] for one in found["annotators"]} == {1.0}
    assert len({one["name"] for one in found["annotators"]}) == 13
    assert len({one["prompt_sha256"] for one in found["annotators"]}) == 9
    assert found["pool"] == "alpacafarm-v0-shape"
    assert "not comparable" in found["note"]
    refuse_noise("alpacafarm_pool", found)  # evaluation is without label noise
    assert found["noise"] == 0.0


def test_each_question_has_one_annotator_in_both_orders_and_whatever_the_answers() -> None:
    seats = [seat_of(pair, 0, 13) for pair in PAIRS]
    assert seats[0::2] == seats[1::2]
    assert seats == [seat_of(Pair(p.instruction, "other", "answers", p.input), 0, 13) for p in PAIRS]
    assert seats != [seat_of(pair, 1, 13) for pair in PAIRS]
    drawn = Counter(seat_of(pair, 0, 13) for pair in pairs_of(2600)[::2])
    assert set(drawn) == set(range(13))
    assert all(140 < n < 262 for n in drawn.values())  # 200 each, four standard deviations


def test_who_is_drawn_does_not_hang_on_the_process() -> None:
    code = (
        "from rlp_bench.judges.alpacafarm_pool import seat_of; from rlp_bench.api.types import Pair;"
        "print([seat_of(Pair(f'q{n}', '', ''), 0, 13) for n in range(20)])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(found) == 1


def test_the_drawn_annotator_is_asked_alone_about_one_pair() -> None:
    with Stub(reply=reply) as stub:
        judge = pool(stub)
        verdicts = judge.judge(PAIRS)
        assert len(stub.bodies) == len(PAIRS)
        assert [v.preference for v in verdicts] == [1.0] * len(PAIRS)
        for pair, verdict in zip(PAIRS, verdicts, strict=True):
            assert verdict.raw.startswith(judge.seats[seat_of(pair, 0, 13)][0]["name"] + ": ")
        for body in stub.bodies:  # one pair a request: a lost verdict cannot shift another's
            text = body["messages"][-1]["content"]
            assert sum(pair.instruction in text for pair in PAIRS[::2]) == 1
        assert judge.judge(PAIRS) == verdicts
        assert len(stub.bodies) == len(PAIRS)


def test_all_thirteen_can_be_asked_and_one_without_a_verdict_is_no_verdict() -> None:
    def half(body: dict) -> str:
        return reply(body).replace("A", "B") if len(body["messages"]) == 1 else reply(body)

    with Stub(reply=half) as stub:
        verdicts = pool(stub, ",mode=all").judge(PAIRS[:2])
        assert len(stub.bodies) == 26
    # without a system part: medium_4 and the four completion seats
    assert [v.preference for v in verdicts] == [pytest.approx(8 / 13)] * 2
    with Stub(reply=lambda body: "?" if body["max_tokens"] == 600 else reply(body)) as stub:
        [verdict] = pool(stub, ",mode=all").judge(PAIRS[:1])
    assert (verdict.preference, verdict.reason) == (None, "unparsed")


def test_each_family_may_have_a_model_and_a_server_of_its_own(tmp_path) -> None:
    with Stub(reply=reply) as big, Stub(reply=reply) as small:
        path = tmp_path / "pool.toml"
        path.write_text(
            f'base_url = "{small.url}"\nmedium = "m2"\n[large]\nmodel = "m1"\nbase_url = "{big.url}"\n'
            '[completion]\nmodel = "m3"\n'
        )
        judge = AlpacaFarmPool(str(path))
        told: list[tuple[int, int]] = []
        judge.progress = lambda done, total, note="": told.append((done, total))
        judge.judge(PAIRS)
        assert {body["model"] for body in big.bodies} == {"m1"}
        assert {body["model"] for body in small.bodies} == {"m2", "m3"}
        assert told[-1] == (len(PAIRS), len(PAIRS))
        assert json.dumps(judge.spent())
        assert judge.estimate(PAIRS)["cached"] == len(PAIRS)


@pytest.mark.parametrize(
    ("argument", "said"),
    [("", "no model for family large"), ("large=m", "no model for family medium"),
     ("m,mode=every", 'mode "every" is not known'), ("m,larg=x", 'no option "larg"; did you mean "large"'),
     ("m,large.modle=x", "large.model")],
)  # fmt: skip
def test_a_wrong_argument_is_one_line(argument: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        AlpacaFarmPool(argument)
