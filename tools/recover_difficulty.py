"""Recovers what AlpacaEval 2's length control needs and its repository lacks: recover_difficulty.py DATA OUT.

The instructions' difficulties and the two steadying runs lie on a hub only. What the repository prints determines
them in part: 198 models' weights and length-controlled win rates fix the *distribution* of the difficulties
(`distribution`: on 49 models held out, error .01 points); who has which is guessed from the baseline's lengths (a
Gaussian copula whose correlation makes weights and lengths give the raw win rates), from the verdicts of three models,
and from the fact that the published weights are where each fit's gradient is 0. The result is approximate and says so:
difficulties known with an error attenuate their weight; `prior`, from the published weights, makes up for part of that.

recover_difficulty.py DATA --leave-one-out prints by how much each of the three is off where this is done without it.

DATA: AlpacaEval's results and leaderboards as in its repository (model_outputs and annotations gzipped).
"""

import csv
import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq, linear_sum_assignment, nnls
from scipy.special import expit
from scipy.stats import norm, rankdata

from rlp_bench.api.types import content_id
from rlp_bench.evaluation.length_control import Anchors, Prior, fit, predicted

JUDGE = "weighted_alpaca_eval_gpt4_turbo"
JUDGED = ("alpaca-7b", "alpaca-farm-ppo-human", "NullModel")
LENGTHS_ONLY = ("text_davinci_001", "gpt4")
ANCHORS = ("gpt4_1106_preview_verbose", "gpt4_1106_preview_concise")
ANCHOR_WEIGHT = 0.1
"""Of a row: half of lambda = .2, as there are two runs."""
SHRINKAGE = 3.0
"""Times the precision of the published weights round their regression; of 0, .3, 1, 3, 10, 1e6 the least squared
error on three models, each left out (`--leave-one-out`)."""
UNSEEN = {"models": 52, "mean": 1.0, "rms": 1.2, "largest": 3.1}
"""Points by which models were off whose verdicts nothing here has used: those of AlpacaEval's repository."""
CORRELATION = 0.45
"""Between difficulty and brevity of the baseline's answer; squared error of five raw win rates is least there."""


class Published:
    """The leaderboard, its weights, and texts and verdicts of the few models that lie beside it."""

    def __init__(self, data: Path) -> None:
        boards = data / "leaderboards"
        with (boards / f"lc_weights_{JUDGE}_baseline_gpt4_1106_preview.csv").open(encoding="utf-8") as lines:
            self.weights = {r[0]: np.array([float(v) for v in r[1:]]) for r in csv.reader(lines) if r[0]}
        with (boards / f"data_AlpacaEval_2/{JUDGE}_leaderboard.csv").open(encoding="utf-8") as lines:
            self.rows = {r[""]: r for r in csv.DictReader(lines)}
        baseline = _load(data / "results/gpt4_1106_preview/model_outputs.json.gz")
        self.reference = {r["instruction"]: r["output"] for r in baseline}
        self.order = list(self.reference)
        self.n = len(self.order)
        self.data = data

    def rate(self, model: str, column: str = "win_rate") -> float:
        """A column of the leaderboard as a fraction."""
        return float(self.rows[model][column]) / 100

    def gaps(self, model: str) -> np.ndarray:
        """The baseline's length minus the model's, in the order of the instructions."""
        rows = _load(self.data / f"results/{model}/model_outputs.json.gz")
        texts = {r["instruction"]: r["output"] for r in rows}
        return np.array([len(self.reference[i]) - len(texts.get(i, "")) for i in self.order])

    def x(self, model: str) -> np.ndarray:
        """tanh of the scaled length differences, in the order of the instructions."""
        d = self.gaps(model)
        return np.tanh(d / d.std(ddof=1))

    def verdicts(self, model: str) -> np.ndarray:
        """Preferences for the model in [0, 1], NaN where there is none."""
        place, y = {text: i for i, text in enumerate(self.order)}, np.full(self.n, np.nan)
        for r in _load(self.data / f"results/{model}/{JUDGE}/annotations.json.gz"):
            p = r["preference"]
            y[place[r["instruction"]]] = np.nan if p is None else 0.5 if p in (0, 1.5) else p - 1
        return y


def distribution(weights: np.ndarray, rates: np.ndarray, n: int) -> np.ndarray:
    """n difficulties, sorted, under which mean sigmoid(w_2 d + w_3) gives the rates; outliers are left out thrice."""
    grid = np.linspace(-8, 6, 141)
    a = expit(weights[:, 2:3] + weights[:, 1:2] * grid)
    smooth = np.diff(np.eye(grid.size), 2, axis=0) * 1e-5
    keep = np.arange(len(rates))
    for _ in range(4):
        rows = np.vstack([a[keep], np.full((1, grid.size), 10.0), smooth])
        mass, _ = nnls(rows, np.concatenate([rates[keep], [10.0], np.zeros(len(smooth))]), maxiter=100000)
        mass /= mass.sum()
        keep = np.flatnonzero(np.abs(a @ mass - rates) < 1e-3)
    return np.interp((np.arange(n) + 0.5) / n, np.cumsum(mass) - mass / 2, grid)


def anchors(published: Published, values: np.ndarray) -> np.ndarray:
    """Rows (x, difficulty, preference, weight) that stand for the verbose and the concise run.

    x is tanh of a normal whose mean makes the published weights give the run's raw win rate; 7 x 35 nodes a run.
    """
    nodes, mass = np.polynomial.hermite_e.hermegauss(7)
    steps = values.reshape(35, -1).mean(axis=1)
    rows = []
    for name in ANCHORS:
        w = published.weights[name]

        def gap(mean: float, w: np.ndarray = w, name: str = name) -> float:
            p = expit(w[0] * np.tanh(mean + nodes)[:, None] + w[1] * steps + w[2]).mean(axis=1)
            return float(p @ mass / mass.sum()) - published.rate(name)

        x = np.tanh(brentq(gap, -5, 5) + nodes)
        for xi, part in zip(x, mass / mass.sum(), strict=True):
            weight = ANCHOR_WEIGHT * values.size * part / steps.size
            rows += [(xi, d, expit(w[0] * xi + w[1] * d + w[2]), weight) for d in steps]
    return np.array(rows)


def prior(weights: np.ndarray, rates: np.ndarray) -> dict[str, Any]:
    """Regression of the published weights (M x 3) of length and difficulty on the logit of raw win rates (M)."""
    z = np.log(rates / (1 - rates))
    columns = np.stack([np.ones_like(z), z, z**2], axis=1)
    found = np.linalg.lstsq(columns, weights[:, :2], rcond=None)[0]
    spread = (weights[:, :2] - columns @ found).var(axis=0)
    return {
        "coefficients": found.T.round(5).tolist(),
        "precision": (SHRINKAGE / spread).round(3).tolist(),
        "range": [round(float(z.min()), 3), round(float(z.max()), 3)],
    }


def recovered(published: Published, without: str = "") -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """(difficulties in the order of the instructions, anchors, prior), as if one model were not known."""
    names = [
        m
        for m in published.weights
        if m not in ("gpt4_1106_preview", without)
        and published.rows.get(m, {}).get("length_controlled_winrate")
    ]
    weights = np.array([published.weights[m] for m in names])
    values = distribution(
        weights, np.array([published.rate(m, "length_controlled_winrate") for m in names]), published.n
    )
    steady = anchors(published, values)
    judged = tuple(m for m in JUDGED if m != without)
    raw = np.array([published.rate(m) for m in names])
    return assign(published, values, steady, judged), steady, prior(weights, raw)


def leave_one_out(published: Published) -> None:
    """Prints, for each model with verdicts and several shrinkages, by how many points it is off when left out."""
    for model in JUDGED:
        d, steady, other = recovered(published, model)
        y, gaps = published.verdicts(model), published.gaps(model)
        errors = {}
        for shrinkage in (0.0, 0.3, 1.0, 3.0, 10.0, 1e6):
            precision = np.array(other["precision"]) * shrinkage / SHRINKAGE
            parts = Prior(np.array(other["coefficients"]), precision, tuple(other["range"]))
            weights = fit(y, gaps, d, np.ones((1, y.size)), Anchors(*steady.T), parts)
            off = predicted(weights, d)[0] - published.rate(model, "length_controlled_winrate")
            errors[shrinkage] = round(100 * float(off), 2)
        print(model, errors)


def assign(
    published: Published, values: np.ndarray, steady: np.ndarray, judged: tuple[str, ...]
) -> np.ndarray:
    """The difficulties in the order of the instructions: a draw from what is known, then swaps that make it fit."""
    rng = np.random.default_rng(0)
    models = {
        m: (published.x(m), published.verdicts(m) if m in judged else None) for m in (*judged, *LENGTHS_ONLY)
    }
    lengths = np.array([len(published.reference[i]) for i in published.order])
    brevity = norm.ppf((rankdata(-lengths) - 0.5) / published.n)
    level = norm.ppf((np.arange(published.n) + 0.5) / published.n)
    logs = -((level - CORRELATION * brevity[:, None]) ** 2) / (2 * (1 - CORRELATION**2)) + level**2 / 2
    for m in judged:
        x, y = models[m]
        z = published.weights[m] @ np.stack(np.broadcast_arrays(x[:, None], values[None], 1.0), axis=1)
        logs = logs + np.nan_to_num(y[:, None] * z - np.logaddexp(0, z))
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    for _ in range(300):
        p /= p.sum(axis=1, keepdims=True)
        p /= p.sum(axis=0, keepdims=True)
    who, which = linear_sum_assignment(-(np.log(p + 1e-30) + rng.gumbel(size=p.shape)))
    found = np.empty(published.n)
    found[who] = values[which]
    best = misfit(published, models, steady, found)
    for _ in range(6000):
        i, j = rng.integers(published.n, size=2)
        found[i], found[j] = found[j], found[i]
        now = misfit(published, models, steady, found)
        if now < best:
            best = now
        else:
            found[i], found[j] = found[j], found[i]
    return found


def misfit(published: Published, models: Any, steady: np.ndarray, d: np.ndarray) -> float:
    """Squared z scores: raw win rates that weights and lengths give, and gradients at the published weights."""
    total = 0.0
    ax, ad, ay, aw = steady.T
    for m, (x, y) in models.items():
        w = published.weights[m]
        p = expit(w[0] * x + w[1] * d + w[2])
        if y is None:
            total += ((p.mean() - published.rate(m)) / published.rate(m, "standard_error")) ** 2
            continue
        columns = np.stack([x, d, np.ones(d.size)])
        theirs = aw * (ay - expit(w[0] * ax + w[1] * ad))
        gradient = columns @ np.nan_to_num(y - p) + np.array([theirs @ ax, theirs @ ad, 0.0])
        total += float((gradient**2 / (columns**2 @ (p * (1 - p)))).sum())
    return total


def _load(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return rows


def main() -> None:
    """Writes one JSON file, or prints the errors of models left out."""
    published = Published(Path(sys.argv[1]))
    if sys.argv[2] == "--leave-one-out":
        return leave_one_out(published)
    found, steady, others = recovered(published)
    items = {
        content_id(text, ""): [
            round(float(d), 4),
            hashlib.sha256(published.reference[text].encode()).hexdigest()[:8],
        ]
        for text, d in zip(published.order, found, strict=True)
    }
    lines = [
        "{",
        ' "label": "approximate: recovered from published weights, win rates and three models\' verdicts",',
        ' "baseline": "gpt4_1106_preview",',
        f' "prior": {json.dumps(others)},',
        f' "unseen": {json.dumps(UNSEEN)},',
        f' "anchors": {json.dumps([[round(float(v), 5) for v in row] for row in steady])},',
        f' "items": {json.dumps(dict(sorted(items.items())))}',
        "}",
    ]
    Path(sys.argv[2]).write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
