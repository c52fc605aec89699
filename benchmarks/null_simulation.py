"""How often the gate cries wolf, what it finds, and how often its intervals hold the truth.

    python benchmarks/null_simulation.py [--runs 10000] [--json]

Draws pairs of runs on the same items, puts them through the gate's own tests, bounds and rule (`rlp_bench.regression`),
and counts. Candidate and baseline are drawn from one distribution (false alarms) or the candidate is worse by a
known number of points (power).

    binary       two Bernoulli outcomes an item, correlation .25: the SD of the difference is .61 at 50 %
    binary-tied  the same, but a judge calls 20 % of the verdicts a tie (.5), independently
    soft         the votes of 13 annotators in both orders, whose rate varies by item and answer
    soft-tied    the same, and on 30 % of the items both policies give the same answer, so that nothing differs
    rare         binary, nine items in ten are the same for both: few discordant items
    subsets      binary, and each of AlpacaFarm's five subsets has an effect of its own, common to all its items: normal
                 with mean 0 and SD 5 points. No loss on average over subsets; on the five at hand there is one
    subsets-0    the same, with the five effects shifted so that they add up to nothing on these items
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rlp_bench.regression.paired import bounds, p_worse
from rlp_bench.regression.rule import ALPHA, DEFAULT_MARGIN, is_regression
from rlp_bench.statistics import smallest_detectable_difference

SIZES = (80, 100, 805)
BATCH = 500
"""Experiments at once."""
RESAMPLES = 1999
"""The gate draws 9,999; what is counted here does not change with it (151 s instead of half a minute)."""
Draw = Callable[[np.random.Generator, int, int, float], Any]
PUBLISHED_POWER = {
    (805, 5): 75.0,
    (100, 5): 20.0,
    (80, 5): 17.0,
    (805, 10): 99.9,
    (100, 10): 48.0,
    (80, 10): 42.0,
}
"""Percent, by (items, points lost): one-sided 5 %, binary, correlation .25, 3,000 runs."""


SUBSETS = np.array([129, 156, 188, 252, 80]) / 805
"""Shares of AlpacaFarm's subsets: helpful_base, koala, oasst, selfinstruct, vicuna."""
SUBSET_SD = 0.05


def correlated(rng: np.random.Generator, runs: int, n: int, loss: Any, rho: float = 0.25) -> Any:
    """Outcomes (2, runs, n) in {0, 1}: rates (1 + loss) / 2 and (1 - loss) / 2, correlation rho (phi)."""
    p, q = (1 + loss) / 2, (1 - loss) / 2
    both = p * q + rho * np.sqrt(p * (1 - p) * q * (1 - q))
    u = rng.random((runs, n))
    return np.stack([(u < p).astype(float), ((u < both) | ((u >= p) & (u < p + q - both))).astype(float)])


def binary(rng: np.random.Generator, runs: int, n: int, loss: float) -> Any:
    old, new = correlated(rng, runs, n, loss)
    return new - old


def binary_tied(rng: np.random.Generator, runs: int, n: int, loss: float) -> Any:
    """A tie pulls the mean towards 1/2, so the loss that is asked for is drawn larger."""
    old, new = np.where(rng.random((2, runs, n)) < 0.2, 0.5, correlated(rng, runs, n, loss / 0.8))
    return new - old


def soft(rng: np.random.Generator, runs: int, n: int, loss: float) -> Any:
    """Mean over both orders of 13 votes; the loss is put on some items whole, so that it is exact on average."""
    item = rng.normal(0, 1.0, (1, runs, n))
    rate = 1 / (1 + np.exp(-(item + rng.normal(0, 1.2, (2, runs, n)))))
    votes = (rng.binomial(13, rate) + rng.binomial(13, rate)) / 26
    return votes[1] - votes[0] - loss


def soft_tied(rng: np.random.Generator, runs: int, n: int, loss: float) -> Any:
    same = rng.random((runs, n)) < 0.3
    return np.where(same, 0.0, soft(rng, runs, n, loss / 0.7))


def rare(rng: np.random.Generator, runs: int, n: int, loss: float) -> Any:
    """Discordant with probability .1; the candidate wins a discordant item with probability (1 - loss / .1) / 2."""
    sign = np.where(rng.random((runs, n)) < (1 - loss / 0.1) / 2, 1.0, -1.0)
    return np.where(rng.random((runs, n)) < 0.1, sign, 0.0)


def subsets(rng: np.random.Generator, runs: int, n: int, loss: float, *, shifted: bool = False) -> Any:
    """Items of one subset share its effect."""
    effects = rng.normal(0, SUBSET_SD, (runs, len(SUBSETS)))
    group = np.searchsorted(np.cumsum(SUBSETS)[:-1], (np.arange(n) + 0.5) / n)
    if shifted:
        effects -= effects[:, group].mean(axis=1, keepdims=True)
    old, new = correlated(rng, runs, n, loss + effects[:, group])
    return new - old


DRAWS: dict[str, tuple[Draw, bool]] = {
    "binary": (binary, True),
    "binary-tied": (binary_tied, False),
    "soft": (soft, False),
    "soft-tied": (soft_tied, False),
    "rare": (rare, True),
    "subsets": (subsets, True),
    "subsets-0": (partial(subsets, shifted=True), True),
}
"""Name -> how the differences (runs, n) are drawn, and whether they are of binary outcomes."""


def simulate(
    kind: str,
    n: int,
    loss_points: float,
    runs: int,
    *,
    margin_points: float = DEFAULT_MARGIN,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Shares in percent: p below 5 %, the gate's verdict "regression", intervals that hold the truth."""
    draw, is_binary = DRAWS[kind]
    rng = np.random.default_rng([seed, n, round(1000 * loss_points), sorted(DRAWS).index(kind)])
    significant = regressions = covered = bounded = 0
    sds = []
    for start in range(0, runs, BATCH):
        d = draw(rng, min(BATCH, runs - start), n, loss_points / 100)
        resampling = seed + start  # other resamples for every batch, as other suites would have
        p = p_worse(d, binary=is_binary, resamples=resamples, seed=resampling)
        low, high, bound = bounds(d, binary=is_binary, resamples=resamples, seed=resampling)
        significant += int((p <= ALPHA).sum())
        regressions += int(is_regression(p, 100 * bound, margin_points).sum())
        covered += int(((low <= -loss_points / 100) & (-loss_points / 100 <= high)).sum())
        bounded += int((bound <= -loss_points / 100).sum())
        sds.append(d.std(axis=-1, ddof=1).mean())
    sd = float(np.mean(sds))
    return {
        "outcomes": kind,
        "n": n,
        "loss": loss_points,
        "runs": runs,
        "sd": sd,
        "p_below_5": 100 * significant / runs,
        "regression": 100 * regressions / runs,
        "coverage": 100 * covered / runs,
        "bound_coverage": 100 * bounded / runs,
        "detectable": 100 * smallest_detectable_difference(sd, n, two_sided=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    options = {"runs": given.runs, "resamples": given.resamples}
    rows = [simulate(kind, n, 0.0, **options) for kind in DRAWS for n in SIZES]
    many = {**options, "runs": 4 * given.runs}  # cheap, and compared with published figures to 2 points
    rows += [simulate("binary", n, loss, **many) for loss in (5.0, 10.0) for n in SIZES]
    rows += [simulate("soft", n, 5.0, **options) for n in SIZES]
    if given.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    print(
        "outcomes       n  loss    SD  p <= .05  regression  coverage  bound holds  could see  published power"
    )
    for row in rows:
        known = PUBLISHED_POWER.get((row["n"], int(row["loss"]))) if row["outcomes"] == "binary" else None
        print(
            f"{row['outcomes']:11} {row['n']:4} {row['loss']:5.1f} {row['sd']:5.2f} {row['p_below_5']:8.1f}% "
            f"{row['regression']:10.1f}% {row['coverage']:8.1f}% {row['bound_coverage']:11.1f}% "
            f"{row['detectable']:9.1f}  {'' if known is None else f'{known:.1f}%'}"
        )
    print(f"{given.runs} runs a row, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
