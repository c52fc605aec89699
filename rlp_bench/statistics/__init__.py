"""Estimates with intervals, paired tests, multiple testing, and power.

Scores are fractions in [0, 1]; they become percent only when printed. The unit of analysis is the item: orders,
annotators and seeds of one item are averaged first. Sources of all estimators and tests: docs/statistics.md.
"""

from rlp_bench.statistics.estimates import (
    Estimate,
    Scores,
    average_within_items,
    estimate_mean,
    hierarchical_mean,
    hierarchical_mean_of,
    moderated_means,
    pairwise_credit,
    student_interval,
    wilson_interval,
)
from rlp_bench.statistics.moderated import collapsed_seeds, fit_prior, outlying_seeds, squeeze
from rlp_bench.statistics.multiplicity import ALPHA, Adjusted, holm, step_down
from rlp_bench.statistics.paired import (
    Difference,
    item_variance,
    mcnemar_mid_p,
    paired_difference,
    paired_difference_over_seeds,
    paired_differences,
)
from rlp_bench.statistics.power import detectable_shift, smallest_detectable_difference

__all__ = [
    "ALPHA",
    "Adjusted",
    "Difference",
    "Estimate",
    "Scores",
    "average_within_items",
    "collapsed_seeds",
    "detectable_shift",
    "estimate_mean",
    "fit_prior",
    "hierarchical_mean",
    "hierarchical_mean_of",
    "holm",
    "item_variance",
    "mcnemar_mid_p",
    "moderated_means",
    "outlying_seeds",
    "paired_difference",
    "paired_difference_over_seeds",
    "paired_differences",
    "pairwise_credit",
    "smallest_detectable_difference",
    "squeeze",
    "step_down",
    "student_interval",
    "wilson_interval",
]
