"""What a stage is charged, and how labels are flipped."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rlp_bench.api.types import Pair, Verdict
from rlp_bench.display import describe, short
from rlp_bench.run.meter import StageMeter
from rlp_bench.run.noisy_annotator import NoisyAnnotator, draw

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_meter_charges_own_and_childrens_cpu_and_not_sleep() -> None:
    meter = StageMeter()
    with meter:
        exec(BUSY.format(0.2))
        subprocess.run([sys.executable, "-c", BUSY.format(0.4)], check=True)
        time.sleep(0.5)
        meter.count(tokens_trained=100, flops=1e9)
        meter.count(tokens_trained=50)
    figures = meter.figures()
    assert 0.6 <= figures["cpu_seconds"] < figures["wall_seconds"] - 0.4
    assert figures["wall_seconds"] >= 1.1
    assert figures["counters"] == {"flops": 1e9, "tokens_trained": 150}
    assert figures["per_second"]["tokens_trained"] == pytest.approx(150 / figures["wall_seconds"], rel=0.01)
    assert figures["peak_rss_bytes"] > 5e6
    assert "tokens_trained/s" in describe(figures)


def test_meter_charges_a_child_that_lives_on() -> None:
    code = "input()\n" + BUSY.format(0.5) + "\nprint(flush=True)\ninput()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with StageMeter() as meter:
            print(file=child.stdin, flush=True)
            child.stdout.readline()
        assert meter.cpu_seconds > 0.4
    finally:
        child.communicate("\n")


def test_short_numbers() -> None:
    assert [short(n) for n in (7, 1500, 2.5e6, 3e9, 4e12)] == ["7", "1.5k", "2.5M", "3.0G", "4.0T"]


class First:
    """Always prefers the first answer; has no verdict for the question "?"."""

    name, version = "first", "1"

    def manifest(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        return [
            Verdict(None, "missing") if pair.instruction == "?" else Verdict(1.0, raw="me") for pair in pairs
        ]


def pairs(n: int) -> list[Pair]:
    return [Pair(f"question {i}", "yes", "no") for i in range(n)]


def test_a_quarter_of_the_labels_is_flipped() -> None:
    verdicts = NoisyAnnotator(First(), 0.25).judge(pairs(4000))
    flipped = sum(verdict.preference == 0.0 for verdict in verdicts) / 4000
    assert abs(flipped - 0.25) < 0.03  # standard error .007
    assert all(verdict.raw == "me" for verdict in verdicts)


def test_no_noise_flips_nothing_and_full_noise_everything() -> None:
    assert {verdict.preference for verdict in NoisyAnnotator(First(), 0.0).judge(pairs(50))} == {1.0}
    assert {verdict.preference for verdict in NoisyAnnotator(First(), 1.0).judge(pairs(50))} == {0.0}


def test_no_verdict_stays_none() -> None:
    (verdict,) = NoisyAnnotator(First(), 1.0).judge([Pair("?", "a", "b")])
    assert (verdict.preference, verdict.reason) == (None, "missing")


def test_flip_hangs_on_content_and_seed_and_not_on_order_shown_or_place() -> None:
    one, other = Pair("q", "a", "b"), Pair("q", "b", "a")
    assert draw(one, 0) == draw(other, 0)
    assert draw(one, 0) != draw(one, 1)
    annotator, many = NoisyAnnotator(First(), 0.5), pairs(40)
    assert annotator.judge(many)[::-1] == annotator.judge(many[::-1])
    assert annotator.manifest() == {"judge": {"name": "first"}, "noise": 0.5}
