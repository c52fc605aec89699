"""Flips, smooths and filters preference pairs by their strength, and gives them margins."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import Artifact, DataError, content_id, write_jsonl

from ...data.preference_pairs import flipped
from ...data.row_accounting import RowAccount
from ...data.tokenize import shorten
from ...equations.adaptive_margin import adaptive_margin
from ...equations.preference_strength import wrong_labels
from .config import RelabelSettings, Which

Row = Mapping[str, Any]


def relabel(settings: RelabelSettings, inputs: Mapping[str, Artifact], out: Path) -> Mapping[str, float]:
    """Writes the changed pairs and returns the stage's metrics.

    Raises:
        DataError: a pair has no strength, or no pair is left.
    """
    rows = inputs["preferences"].rows()
    as_labeled, std = strengths_of(rows, inputs["strengths"])
    kept = _kept(as_labeled, settings)
    smooth = _named(settings.smooth, as_labeled, settings)
    flip = _named(settings.flip, as_labeled, settings)
    strength = torch.where(flip, -as_labeled, as_labeled)
    margin = adaptive_margin(strength, settings.margin_scale, settings.margin_clip)
    account = RowAccount(len(rows))
    if not kept.all():
        account.drop("outside_kept_share", int((~kept).sum()))
    found = [
        {
            **(flipped(row) if flip[place] else row),
            "strength": strength[place].item(),
            "strength_std": std[place].item(),
            **({"margin": margin[place].item()} if settings.margin else {}),
            **({"label_smoothing": settings.label_smoothing} if smooth[place] else {}),
        }
        for place, row in enumerate(rows)
        if kept[place]
    ]
    if not found:
        raise DataError(
            f"relabel: none of {len(rows)} pairs is between the shares {settings.kept_from:g} and {settings.kept_to:g} "
            "of the strengths; expected at least one; widen them or give more preferences"
        )
    write_jsonl(out / "rows.jsonl", found)
    account.note("flipped", float((flip & kept).sum()))
    account.note("smoothed", float((smooth & kept).sum()))
    if settings.margin:
        account.note("mean_margin", float(margin[kept].mean()))
    return account.close(len(found))


def strengths_of(rows: Sequence[Row], strengths: Artifact) -> tuple[Tensor, Tensor]:
    """(P,) strengths and their deviations, of the pairs `rows`; matched by content, not by position.

    Raises:
        DataError: a pair has none.
    """
    known = {_key(row): row for row in strengths.rows()}
    missing = [row for row in rows if _key(row) not in known]
    if missing:
        raise DataError(
            f"relabel: {len(missing)} of {len(rows)} pairs have no strength in {strengths.path}, the first is "
            f'"{shorten(missing[0]["instruction"])}"; expected the strengths of these pairs (they are matched by their '
            "texts); measure or import those of the preferences that are given"
        )
    found = [known[_key(row)] for row in rows]
    values = [[row[name] for row in found] for name in ("strength", "strength_std")]
    mean, std = torch.tensor(values, dtype=torch.float64)
    return mean, std


def _named(which: Which, strength: Tensor, settings: RelabelSettings) -> Tensor:
    """(P,) bool, True for the pairs that a setting names."""
    if which in ("none", "all"):
        return torch.full(strength.shape, which == "all")
    return wrong_labels(strength, None if which == "negative" else settings.lowest)


def _kept(strength: Tensor, settings: RelabelSettings) -> Tensor:
    """(P,) bool, True for the pairs whose rank by strength is within the shares kept; ties in the order given."""
    pairs = len(strength)
    first, end = (round(share * pairs) for share in (settings.kept_from, settings.kept_to))
    kept = torch.zeros(pairs, dtype=torch.bool)
    kept[strength.argsort(stable=True)[first:end]] = True
    return kept


def _key(row: Row) -> str:
    """Content hash of a pair with its label."""
    return content_id(row["instruction"], row.get("input", ""), row["chosen"], row["rejected"])
