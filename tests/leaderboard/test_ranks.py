"""Ranks: shared where intervals meet, right where they are given, and seldom wrong where nobody differs."""

import numpy as np
import pytest

from rlp_bench.leaderboard.ranks import Rank, ranks_of, simultaneous_ranks


def rows(means, rng, items=300, seeds=3, hard=0.3, own=0.2, seed_sd=0.0):
    """Methods with given true means on items of differing difficulty."""
    difficulty = rng.normal(0, hard, items)
    return {
        f"m{k}": {
            s: {
                f"i{i}": v
                for i, v in enumerate(mean + rng.normal(0, seed_sd) + difficulty + rng.normal(0, own, items))
            }
            for s in range(seeds)
        }
        for k, mean in enumerate(means)
    }


def test_ranks_of_three_intervals_by_hand():
    # a lies wholly above c; b meets both.
    found = ranks_of({"a": (0.6, 0.8), "b": (0.4, 0.7), "c": (0.3, 0.5)})
    assert found == {"a": Rank(1, 2), "b": Rank(1, 3), "c": Rank(2, 3)}
    assert ranks_of({"a": (0.5, 0.6), "b": (0.1, 0.2)}) == {"a": Rank(1, 1), "b": Rank(2, 2)}
    assert ranks_of({"a": (0.5, 0.6), "b": (0.6, 0.7)})["a"] == Rank(1, 2)  # they touch: not told apart


def test_clear_differences_are_ranked_and_equal_methods_share():
    found = simultaneous_ranks(rows([0.8, 0.5, 0.5, 0.2], np.random.default_rng(0)))
    assert found["m0"] == Rank(1, 1)
    assert found["m1"] == found["m2"] == Rank(2, 3)
    assert found["m3"] == Rank(4, 4)


def test_hard_items_widen_nobodys_interval():
    easy = simultaneous_ranks(rows([0.5, 0.4], np.random.default_rng(1), hard=0.0))
    hard = simultaneous_ranks(rows([0.5, 0.4], np.random.default_rng(1), hard=3.0))
    assert easy == hard == {"m0": Rank(1, 1), "m1": Rank(2, 2)}


def test_where_nobody_differs_few_tables_tell_any_two_apart():
    wrong = 0
    for seed in range(200):
        found = simultaneous_ranks(rows([0.5] * 8, np.random.default_rng(seed), items=100, seed_sd=0.02))
        wrong += any(rank != Rank(1, 8) for rank in found.values())
    assert wrong / 200 <= 0.05


def test_only_items_that_all_have_count_and_too_few_rows_have_no_rank():
    scores = rows([0.5, 0.2], np.random.default_rng(2))
    less = {"m0": {0: {k: v for k, v in scores["m0"][0].items() if k != "i7"}}, "m1": scores["m1"]}
    assert set(simultaneous_ranks(less)) == {"m0", "m1"}
    assert simultaneous_ranks({"m0": scores["m0"]}) == {}
    assert simultaneous_ranks({"m0": scores["m0"], "m1": {0: {"other": 1.0}}}) == {}
    assert simultaneous_ranks({**scores, "none": {}}).keys() == {"m0", "m1"}


def test_the_order_of_rows_and_items_changes_nothing():
    scores = rows([0.5, 0.45, 0.3], np.random.default_rng(3))
    turned = {
        name: {seed: dict(reversed(found.items())) for seed, found in of_seed.items()}
        for name, of_seed in reversed(scores.items())
    }
    assert simultaneous_ranks(turned) == pytest.approx(simultaneous_ranks(scores))
