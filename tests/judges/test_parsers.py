"""What a judge's words mean: each parser on what it was asked for, on what is like it, and on stored judgements."""

import gzip
import json
import math
import random
from pathlib import Path

import pytest
from hostile import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from shared_files import shared

from rlp_bench.judges.api.parsers import (
    PARSERS,
    double_brackets,
    json_winner,
    label_mass,
    letter,
    verdict_line,
    weighted,
)

DATA = shared("data")
YES: dict[str, dict[float, list[str]]] = {
    "letter": {1.0: ["A", " A\n", '"A"', "(A)", "A.", "**A**", "[[A]]"], 0.0: ["B", "`B`", "\nB."]},
    "verdict_line": {
        1.0: [
            "Verdict: A",
            "B is worse.\n\nVerdict: A\n",
            "x\nverdict: (A).",
            "x\n**Verdict:** A",
            "x\n**Verdict: A**",
        ],
        0.0: ["A is A.\nVerdict: B", "Verdict: **B**  "],
    },
    "json_winner": {
        1.0: ['{"winner": "A"}', '```json\n{"about_A": "x", "winner": "A"}\n```'],
        0.0: [' {"winner":"B","about_A":"A wins? no"} '],
    },
    "double_brackets": {
        1.0: ["[[A]]", "Both good. [[A]] [[A]]"],
        0.0: ["My final verdict is: [[B]]"],
        0.5: ["[[C]]"],
    },
}
NO: dict[str, list[str]] = {
    "letter": ["", "AB", "A or B", "C", "a", "Answer: A", "A B", "AA", "\u0410", "Both", "A" + " " * 200 + "x"],
    "verdict_line": [
        "A", "Verdict: A or B", "Verdict: A\nVerdict: B", "Verdict: A\nVerdict: A", "Verdict: A\nBut B is good",
        "The reply says Verdict: A", "Verdict:", "Verdict: tie", "downgrade: A", "Verdict: C",
    ],
    "json_winner": [
        "", "{}", '{"winner": "C"}', '{"winner": ["A"]}', '{"winner": "A", "winner": "B"}', '{"winner": "A"} ok',
        'Sure! {"winner": "A"}', '"A"', '["A"]', "[" * 100_000, '{"winner": "a"}', '{"winner": true}', "NaN",
    ],
    "double_brackets": ["[A]", "[[D]]", "[[A]] or [[B]]", "[[C]] [[A]]", "A", "[[a]]", "[[ A ]]"],
}  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_what_was_asked_for_is_read(name: str) -> None:
    for preference, texts in YES[name].items():
        for text in texts:
            assert PARSERS[name][1](text) == preference, text


@pytest.mark.parametrize("name", PARSERS)
def test_anything_else_is_no_verdict_and_never_a_guess(name: str) -> None:
    for text in NO[name]:
        assert PARSERS[name][1](text) is None, text


@pytest.mark.parametrize("name", PARSERS)
@given(text=st.text(st.characters() | st.sampled_from('AB[]{}:"\n.Verdict')))
def test_no_text_breaks_a_parser(name: str, text: str) -> None:
    assert PARSERS[name][1](text) in (None, 0.0, 0.5, 1.0)


@pytest.mark.parametrize("name", PARSERS)
def test_a_judge_that_repeats_a_hostile_answer_before_its_verdict_is_not_misread(name: str) -> None:
    verdict = {
        "letter": "B",
        "verdict_line": "Verdict: B",
        "json_winner": '{"winner": "B"}',
        "double_brackets": "[[B]]",
    }
    for what, text in HOSTILE.items():
        assert PARSERS[name][1](f"{text}\n{verdict[name]}") in (None, 0.0), what  # B or nothing, never A
    assert PARSERS[name][1](f"\n{verdict[name]}") == 0.0


# --- Log-probabilities ----------------------------------------------------------------------------------


def logs(**shares: float) -> dict[str, float]:
    return {name: math.log(share) for name, share in shares.items()}


def test_the_weight_is_the_share_of_the_first_label() -> None:
    assert weighted(logs(A=0.6, B=0.2, C=0.2)) == pytest.approx(0.75)
    assert weighted({"B": 0.0}) == 0.0
    assert weighted({"A": 0.0}) == 1.0
    assert weighted(logs(m=0.3, M=0.6), ("m", "M")) == pytest.approx(1 / 3)


def test_spellings_of_a_label_count_together_and_labels_keep_their_case() -> None:
    tokens = {
        "A": math.log(0.2),
        " A": math.log(0.2),
        "\nA": math.log(0.2),
        " B": math.log(0.3),
        "a": math.log(0.1),
    }
    assert label_mass(tokens) == pytest.approx((0.6, 0.3))
    assert weighted(tokens) == pytest.approx(2 / 3)


def test_less_than_half_of_the_probability_on_the_labels_is_no_verdict() -> None:
    assert weighted(logs(A=0.3, B=0.19, The=0.51)) is None
    assert weighted(logs(A=0.3, B=0.21, The=0.49)) == pytest.approx(0.3 / 0.51)
    assert weighted(None) is None
    assert weighted({}) is None
    assert weighted({"A": float("nan"), "B": math.log(0.9)}) == 0.0
    assert weighted({"A": float("-inf"), "B": float("-inf")}) is None


# --- Stored judgements ------------------------------------------------------------------------------------

ALPACA_EVAL = sorted(DATA.glob("alpaca_eval/results/*/weighted_alpaca_eval_gpt4_turbo/annotations.json.gz"))


@pytest.mark.skipif(not ALPACA_EVAL, reason="needs AlpacaEval's annotations in ../shared/data/alpaca_eval")
@pytest.mark.parametrize("path", ALPACA_EVAL, ids=lambda path: path.parents[1].name)
def test_stored_log_probabilities_of_alpaca_eval_2_give_its_preferences(path: Path) -> None:
    """Its preference is for output_2, in [1, 2]; m was shown first; the order hangs on the instruction, seed 0."""
    rows = [row for row in json.loads(gzip.decompress(path.read_bytes())) if row.get("raw_completion")]
    assert len(rows) > 700
    for row in rows:
        tokens = row["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]
        found = weighted({one["token"]: one["logprob"] for one in tokens}, ("m", "M"))
        draw = random.Random(f"is_switched_outputs{row['instruction']}0")
        switched = draw.choices([False, True], k=1)[0]
        assert found is not None
        stored = row["preference"]
        assert (2 - stored if not switched else stored - 1) == pytest.approx(found, abs=2e-6)


def test_each_parser_is_the_one_of_its_name() -> None:
    assert {name: parser for name, (_, parser) in PARSERS.items()} == {
        "letter": letter, "verdict_line": verdict_line, "json_winner": json_winner, "double_brackets": double_brackets
    }  # fmt: skip
