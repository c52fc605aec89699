"""Scores every pair with the reward models; a resumed stage scores with the remaining models only."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlp_bench.api import Artifact, BenchError, Context, Sample, write_json, write_jsonl

from ...data.folds import check_folds, fold_of
from ...data.row_accounting import RowAccount
from ...data.rows import question_of
from ...equations.preference_strength import preference_strength, unit_spread
from .config import StrengthSettings

Row = Mapping[str, Any]


def measure(
    settings: StrengthSettings, inputs: Mapping[str, Any], out: Path, context: Context
) -> Mapping[str, float]:
    """Writes rows.jsonl, one row per pair in the order given, and returns the stage's metrics.

    Metrics: the share of pairs below 0, mean strength and spread, the mean correlation between models that score the
    same pairs (1: they are one model), and the smallest and largest spread of a model's differences.

    Raises:
        BenchError: the reward models are not those that the settings ask for.
    """
    rows: Sequence[Row] = inputs["preferences"].rows()
    rewards: list[Artifact] = inputs["rewards"]
    _check(settings, rewards)
    folds = settings.folds if settings.scoring == "cross_fit" else 1
    check_folds(rows, folds, "strength")
    groups = [
        [place for place, row in enumerate(rows) if fold_of(row, folds) == fold] for fold in range(folds)
    ]
    found: dict[int, list[float]] = {}
    spreads, correlations = [], []
    for fold, places in enumerate(groups):
        differences = torch.stack(
            [
                _differences(model, reward, [rows[place] for place in places], context)
                for model, reward in enumerate(rewards)
                if model % folds == fold
            ]
        )
        spreads += differences.std(1, unbiased=False).tolist()
        correlations.append(_correlation(differences))
        if settings.scoring == "scaled":
            differences = unit_spread(differences)
        found |= dict(zip(places, differences.T.tolist(), strict=True))
    mean, std = _written(rows, [found[place] for place in range(len(rows))], out)
    return {
        **RowAccount(len(rows)).close(len(rows)),
        "models": float(len(rewards)),
        "below_zero": float((mean < 0).double().mean()),
        "mean_strength": float(mean.mean()),
        "mean_std": float(std.mean()),
        "correlation": sum(correlations) / len(correlations),
        "smallest_spread": min(spreads),
        "largest_spread": max(spreads),
    }


def _check(settings: StrengthSettings, rewards: Sequence[Artifact]) -> None:
    """Raises BenchError if there are not M different models, each trained without the fold that it is to score."""
    if len({reward.fingerprint for reward in rewards}) != settings.models:
        raise BenchError(
            f"strength: {len({reward.fingerprint for reward in rewards})} different reward models were given; expected "
            f"{settings.models} (models); give each another redraw, or change models"
        )
    if settings.scoring != "cross_fit":
        return
    for model, reward in enumerate(rewards):
        wanted = {"folds": settings.folds, "left_out": model % settings.folds}
        given = {name: reward.metrics.get(name) for name in wanted}
        if given != wanted:
            raise BenchError(
                f"strength: reward model {model} was trained with {given}; expected {wanted}, because it scores the "
                "pairs of the fold that is left out"
            )


def _differences(model: int, reward: Artifact, rows: Sequence[Row], context: Context) -> Tensor:
    """(P,) reward of the chosen minus that of the rejected response; kept in the scratch folder once computed."""
    kept = context.scratch / f"differences-{model:03d}.json"
    if kept.is_file():
        return torch.tensor(json.loads(kept.read_text(encoding="utf-8")), dtype=torch.float64)
    asked, responses = [], []
    for row in rows:
        prompt = context.prompting.render(row["instruction"], row.get("input", ""))
        for side in ("chosen", "rejected"):
            asked.append(prompt)
            responses.append(Sample(row[side], row.get(f"{side}_tokens", 0), row[f"{side}_finished"]))
    scores = torch.tensor(context.engine.score(reward.path, asked, responses), dtype=torch.float64)
    context.meter.count(reward_calls=len(responses))
    differences = scores[::2] - scores[1::2]
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, differences.tolist())
    return differences


def _written(rows: Sequence[Row], found: Sequence[Sequence[float]], out: Path) -> tuple[Tensor, Tensor]:
    """(P,) means and deviations of the differences, after writing them beside their pairs."""
    mean, std = preference_strength(torch.tensor(found, dtype=torch.float64).T)
    kept = ("chosen", "rejected")
    write_jsonl(
        out / "rows.jsonl",
        [
            {
                **question_of(row),
                **{name: row[name] for name in kept},
                "strength": strength,
                "strength_std": spread,
                "differences": list(each),
            }
            for row, strength, spread, each in zip(rows, mean.tolist(), std.tolist(), found, strict=True)
        ],
    )
    return mean, std


def _correlation(differences: Tensor) -> float:
    """Mean correlation over all pairs of models; 0 where a model's differences are all equal."""
    matrix = torch.corrcoef(differences)
    between = matrix[~torch.eye(len(matrix), dtype=torch.bool)]
    value = float(between.mean())
    return value if math.isfinite(value) else 0.0
