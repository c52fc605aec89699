"""The stage "import_strengths": preference strengths from a file, matched with the pairs by their content."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rlp_bench.api import Artifact, Context, DataError, content_id, write_jsonl

from ..data.row_accounting import RowAccount
from ..data.rows import question_of
from ..data.tokenize import shorten

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ImportStrengths:
    """Strengths that other models measured, instead of the stage `strength`; no model is run.

    A pair that the file has with its responses exchanged gets the opposite strength.
    """

    name: ClassVar[str] = "import_strengths"
    version: ClassVar[str] = "1"
    inputs: ClassVar[Mapping[str, str]] = {"preferences": "preferences", "pairs": "pairs"}
    output: ClassVar[str] = "strengths"
    uses: ClassVar[tuple[str, ...]] = ()

    def train(self, inputs: Mapping[str, Artifact], out: Path, context: Context) -> Mapping[str, float]:
        """Writes the rows of the stage `strength`, without `differences`.

        Raises:
            DataError: a pair has no strength in the file, or a row of the file has none.
        """
        rows, given = inputs["preferences"].rows(), inputs["pairs"].rows()
        known: dict[str, Row] = {}
        for number, row in enumerate(given, 1):
            if not isinstance(row.get("strength"), int | float):
                raise DataError(
                    f'import_strengths: row {number} of the file has no "strength"; expected a number in every row; '
                    "name a source of strengths in data.strengths_from"
                )
            known.setdefault(_key(row), row)
        found, missing, exchanged = [], [], 0
        for row in rows:
            same, other = known.get(_key(row)), known.get(_key(row, exchanged=True))
            if same is None and other is None:
                missing.append(row)
                continue
            exchanged += same is None
            measured = other if same is None else same
            assert measured is not None
            strength = measured["strength"] * (-1 if same is None else 1)
            found.append(
                {
                    **question_of(row),
                    **{side: row[side] for side in ("chosen", "rejected")},
                    "strength": float(strength),
                    "strength_std": float(measured.get("strength_std") or 0.0),
                }
            )
        if missing:
            raise DataError(
                f"import_strengths: {len(missing)} of {len(rows)} pairs are not among the {len(given)} of the file, "
                f'the first is "{shorten(missing[0]["instruction"])}"; expected a strength for every pair (they are '
                "matched by their texts); give the strengths of these pairs"
            )
        write_jsonl(out / "rows.jsonl", found)
        return {
            **RowAccount(len(rows)).close(len(found)),
            "strengths_given": float(len(given)),
            "exchanged": float(exchanged),
            "below_zero": sum(row["strength"] < 0 for row in found) / max(1, len(found)),
        }

    def work(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """For `rlp-bench plan`: no model is run."""
        return {"models": {}, "passes": (), "makes": {"rows": given["rows"]["preferences"][0]}}


def _key(row: Row, exchanged: bool = False) -> str:
    """Content hash of a pair."""
    first, second = ("rejected", "chosen") if exchanged else ("chosen", "rejected")
    return content_id(row["instruction"], row.get("input", ""), row[first], row[second])
