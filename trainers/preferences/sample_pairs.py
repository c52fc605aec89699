"""Two random samples of each prompt, the same two for all stages that label samples (except RLP-SPG)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlp_bench.api import Sample, prompt_id

from ..data.row_accounting import RowAccount
from ..data.seeding import derived_seed, shuffled

Compared = tuple[Mapping[str, Any], Sample, Sample]
"""(row, first, second) in random order."""


def sample_pairs(rows: Sequence[Mapping[str, Any]], seed: int, account: RowAccount) -> Iterator[Compared]:
    """Yields two samples per prompt, uniform over its finished, non-empty samples.

    Rows with fewer than two such samples are dropped as `too_few_kept`, two identical texts as `identical`.
    """
    for row in rows:
        usable = [Sample(**r) for r in row["responses"]]
        usable = [sample for sample in usable if sample.finished and sample.text.strip()]
        if len(usable) < 2:
            account.drop("too_few_kept")
            continue
        first, second = shuffled(len(usable), derived_seed(seed, "sample_pair"), prompt_id(row))[:2]
        if usable[first].text == usable[second].text:
            account.drop("identical")
            continue
        yield row, usable[first], usable[second]
