"""The claims of a paper as data. `verdicts` tests them on a matrix of runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlp_bench.api.documents import read_toml
from rlp_bench.api.errors import DataError
from rlp_bench.statistics import smallest_detectable_difference

FILE = Path(__file__).parent / "claims_rlp.toml"
MOST_PRIMARY = 8
"""Maximum number of claims in the primary family; with more, the corrected tests would have too little power."""


@dataclass(frozen=True)
class Claim:
    """One claim of a paper: the candidate scores higher than the baseline."""

    id: str
    table: str
    text: str
    candidate: str
    baseline: str
    suite: str = ""
    """Alias of a recipe's suite; empty for preference_accuracy."""
    judge: str = ""
    """A second judge; empty: the recipe's judge."""
    subset: str = ""
    metric: str = "score"
    """"score" (win rate or accuracy of a suite) or "preference_accuracy"."""
    published: tuple[float, ...] = ()
    """(candidate, baseline), percent; empty if unknown."""
    n: int = 0
    """Number of items of the published values, one run each."""
    primary: bool = False
    """Whether it is in the primary family, whose error rate the document states; declared before the runs."""
    part_of: str = ""
    """Id of a claim whose items include this one's: shown without a test of its own."""
    same_as: str = ""
    """Id of a claim on the same numbers: shown without a test of its own."""

    @property
    def data(self) -> tuple[str, str, str, str]:
        """(metric, suite, judge, subset): the data of the test; claims with equal data share one table."""
        return self.metric, self.suite, self.judge, self.subset

    @property
    def published_effect(self) -> float | None:
        """Published candidate minus baseline, in points; None if unknown."""
        return self.published[0] - self.published[1] if self.published else None

    @property
    def published_detectable(self) -> float | None:
        """The smallest difference that the paper's own comparison detects with 80 % power, in points.

        Two independent runs of n binary items; the per-item standard deviation is from the published rates. Variation
        between seeds, which the paper does not measure, would make it larger.
        """
        if not self.published or not self.n:
            return None
        variance = sum(rate / 100 * (1 - rate / 100) for rate in self.published)
        return 100 * smallest_detectable_difference(math.sqrt(variance), self.n)


def load_claims(path: Path = FILE) -> list[Claim]:
    """The claims of a TOML file.

    Raises:
        DataError: the file is not valid TOML, a claim has an unknown or missing key, or the claims are inconsistent.
    """
    try:
        rows = read_toml(path)["claim"]
        claims = [Claim(**{**row, "published": tuple(row.get("published", ()))}) for row in rows]
    except (KeyError, TypeError) as error:
        raise DataError(
            f'claims "{path.name}": {error}; expected [[claim]] tables as in claims_rlp.toml'
        ) from None
    _check(claims, f'claims "{path.name}"')
    return claims


def _check(claims: Sequence[Claim], where: str) -> None:
    names = [claim.id for claim in claims]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: id {', '.join(twice)} is there twice; give each its own")
    for claim in claims:
        other = claim.part_of or claim.same_as
        if other and (other not in names or other == claim.id):
            raise DataError(f'{where}: {claim.id} belongs to "{other}"; expected the id of another claim')
        if other and claim.primary:
            raise DataError(
                f"{where}: {claim.id} is primary and belongs to {other}; only one of them is a test"
            )
    primary = [claim.id for claim in claims if claim.primary]
    if len(primary) > MOST_PRIMARY:
        raise DataError(f"{where}: {len(primary)} claims are primary; expected {MOST_PRIMARY} at most")
