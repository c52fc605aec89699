"""How often a table over few seeds calls equal methods different, and what it finds.

    python benchmarks/seed_simulation.py [--tables 4000] [--json]

Draws tables of 20 methods, the first of which is the baseline of 19 comparisons: what a seed does to all methods (SD 1
point), what it does to each, and what 805 items leave however many seeds there are (SD .4 points a method). Then tests
all comparisons at once, corrected by Holm:

    satterthwaite  degrees of freedom from the estimated variances, as the bench did before
    plain          Student's t on S - 1 degrees
    moderated      `rlp_bench.statistics.paired_differences`: seed variances shrunk over the table

The seeds' SDs of the methods are

    equal      2 points for all
    lognormal  1.8 points times exp(N(0, .5)): the middle 95 % differ by a factor of 7
    groups     4.5 points for four methods, 1.5 for the others
    baseline   4.5 points for the baseline, 1.5 for the others
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rlp_bench.statistics import fit_prior, squeeze

METHODS, ITEMS = 20, 805
SEED_SD, ITEM_SD = 0.01, 0.004
ALPHA = 0.05
BATCH = 250
TESTS = ("satterthwaite", "plain", "moderated")
Spread = Callable[[np.random.Generator, int, int], np.ndarray]


SPREADS: dict[str, Spread] = {
    "equal": lambda rng, tables, methods: np.full((tables, methods), 0.02),
    "lognormal": lambda rng, tables, methods: 0.018 * np.exp(rng.normal(0, 0.5, (tables, methods))),
    "groups": lambda rng, tables, methods: np.broadcast_to(
        np.where(np.arange(methods) % 5 == 4, 0.045, 0.015), (tables, methods)
    ),
    "baseline": lambda rng, tables, methods: np.broadcast_to(
        np.where(np.arange(methods) == 0, 0.045, 0.015), (tables, methods)
    ),
}
"""Name -> SD of every method's seeds, tables x methods."""


def draw(
    rng: np.random.Generator, tables: int, seeds: int, spread: str, gain: float = 0.0, methods: int = METHODS
) -> np.ndarray:
    """Mean scores, tables x methods x seeds; the second method is `gain` better than all others."""
    sds = SPREADS[spread](rng, tables, methods)
    y = rng.normal(0, SEED_SD, (tables, 1, seeds)) + rng.normal(0, ITEM_SD, (tables, methods, 1))
    y = y + rng.normal(0, 1, (tables, methods, seeds)) * sds[:, :, None]
    y[:, 1] += gain
    return y


def p_values(y: np.ndarray, item_variances: np.ndarray) -> dict[str, np.ndarray]:
    """Test -> p of every method against the first, tables x (methods - 1); item_variances of the same shape."""
    from scipy.special import stdtr

    tables, methods, seeds = y.shape
    d = seeds - 1
    effect = (y[:, 1:] - y[:, :1]).mean(axis=2)
    every = (y[:, :, None] - y[:, None]).var(axis=3, ddof=1)
    own = every[:, 1:, 0]
    total = item_variances + own / seeds
    satterthwaite = total**2 / (item_variances**2 / (ITEMS - 1) + (own / seeds) ** 2 / d)
    with_baseline = np.broadcast_to(own[:, None], (tables, methods - 1, methods - 1))
    with_method = np.stack([np.delete(every[:, m], [0, m], axis=1) for m in range(1, methods)], axis=1)
    s0, d0 = fit_prior(np.concatenate([with_baseline, with_method], axis=2), d)
    shrunk = squeeze(own, d, np.maximum(s0, fit_prior(own, d)[0][:, None]), d0)
    errors = {
        "satterthwaite": (total, np.minimum(satterthwaite, seeds * ITEMS - 1)),
        "plain": (total, np.full_like(total, d)),
        "moderated": (item_variances + shrunk / seeds, np.minimum(d0 + d, (methods - 1) * d)),
    }
    return {name: 2 * stdtr(df, -np.abs(effect) / np.sqrt(v)) for name, (v, df) in errors.items()}


def simulate(
    seeds: int,
    spread: str,
    tables: int,
    *,
    gain_points: float = 5.0,
    methods: int = METHODS,
    seed: int = 0,
) -> dict[str, Any]:
    """Shares in percent, for each test.

    family: tables in which any of the equal methods is called different (Holm's first step); single: comparisons of
    equal methods with p below .05; step: those below Holm's first step, times their number (5 where they are
    right); power: how often the method that is `gain_points` better is found at Holm's first step.
    """
    rng = np.random.default_rng([seed, seeds, methods, sorted(SPREADS).index(spread)])
    counts = {test: np.zeros(4) for test in TESTS}
    first = ALPHA / (methods - 1)
    for start in range(0, tables, BATCH):
        n = min(BATCH, tables - start)
        for gain in (0.0, gain_points / 100):
            y = draw(rng, n, seeds, spread, gain, methods)
            items = 2 * ITEM_SD**2 * rng.chisquare(ITEMS - 1, (n, methods - 1)) / (ITEMS - 1)
            for test, p in p_values(y, items).items():
                if gain:
                    counts[test][3] += (p[:, 0] < first).sum()
                else:
                    counts[test][0] += (p.min(axis=1) < first).sum()
                    counts[test][1] += (p < ALPHA).mean(axis=1).sum()
                    counts[test][2] += (p < first).sum()
    found = {
        test: dict(zip(("family", "single", "step", "power"), (100 * c / tables).tolist(), strict=True))
        for test, c in counts.items()
    }
    return {"seeds": seeds, "spread": spread, "methods": methods, "tables": tables, **found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=4000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.process_time()
    rows = [simulate(seeds, spread, given.tables) for spread in SPREADS for seeds in (2, 3, 5, 10)]
    if given.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    print("| seed SDs | seeds | any wrong: before | plain t | moderated | p < .05 | first step | +5 found: before "
          "| plain t | moderated |")  # fmt: skip
    print("|---|---:|" + "---:|" * 8)
    for row in rows:
        old, plain, new = (row[test] for test in TESTS)
        print(
            f"| {row['spread']} | {row['seeds']} | {old['family']:.1f} | {plain['family']:.1f} | "
            f"{new['family']:.1f} | {new['single']:.1f} | {new['step']:.1f} | {old['power']:.0f} | "
            f"{plain['power']:.0f} | {new['power']:.0f} |"
        )
    print(f"{given.tables} tables a row, {time.process_time() - began:.0f} CPU seconds")


if __name__ == "__main__":
    main()
