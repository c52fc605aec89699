"""Length-controlled win rate: the predicted win rate if both answers had the same length.

Dubois et al. 2024, "Length-Controlled AlpacaEval" (arXiv:2404.04475), section 3, as AlpacaEval 2 computes it:

    P(the model wins on item i) = sigmoid(w_1 x_i + w_2 d_i + w_3)
    x_i = tanh((length of the baseline's answer - length of the model's) / standard deviation)
    LC = mean over items of sigmoid(w_2 d_i + w_3)

Lengths are in characters; the standard deviation (ddof = 1) is over this model's items. d is the instruction's
difficulty, keyed by item id, not position; if unknown, it is 0 and the term vanishes.

Departs: the fit is maximum likelihood with a ridge of 1e-4 (so that weights are finite for a model that always wins);
AlpacaEval cross-validates an L1 penalty. The error is from a bootstrap over items with a new fit per resample;
AlpacaEval prints the spread of the fitted probabilities, which ignores the error of the weights and is about half of
it. For approximate difficulties, the weights have a prior from other models (`Prior`).
"""

from dataclasses import dataclass

import numpy as np

RIDGE = 1e-4
RESAMPLES = 1000
CHUNK = 250
"""Resamples fitted at a time: 250 x 805 numbers are 1.6 MB an array."""


@dataclass(frozen=True)
class Anchors:
    """Rows of other models that stabilize the weights of length and difficulty, but not the bias.

    x in [-1, 1]; difficulty; preference in [0, 1]; weight of each row, relative to 1 for the model's own rows. Shape
    (A,) each.
    """

    x: np.ndarray
    difficulty: np.ndarray
    preference: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Prior:
    """Prior on a model's weights of length and difficulty given its win rate, from other models.

    Errors in the difficulties bias the weight of difficulty towards 0 and shift its effect to the weight of length
    (attenuation); the prior counteracts both. With z the logit of the raw win rate, clipped to `range`:

        w_k ~ Normal(c_k0 + c_k1 z + c_k2 z^2, 1 / precision_k),  k = length, difficulty
    """

    coefficients: np.ndarray
    """Shape (2, 3)."""
    precision: np.ndarray
    """Shape (2,)."""
    range: tuple[float, float]

    def means(self, rates: np.ndarray) -> np.ndarray:
        """Prior means (R, 3) of the three weights (0 for the bias) at raw win rates (R,) in [0, 1]."""
        low, high = (_sigmoid(np.array(end)) for end in self.range)
        rate = np.clip(rates, low, high)
        z = np.log(rate / (1 - rate))
        two = np.stack([np.ones_like(z), z, z**2], axis=1) @ self.coefficients.T
        return np.concatenate([two, np.zeros((z.size, 1))], axis=1)


@dataclass(frozen=True)
class LengthControlled:
    """A length-controlled win rate as a fraction; `weights` are of length, difficulty and the model's bias."""

    mean: float
    se: float
    low: float
    high: float
    n: int
    weights: tuple[float, float, float]


def length_controlled_win_rate(
    preferences: np.ndarray,
    differences: np.ndarray,
    difficulty: np.ndarray | None = None,
    anchors: Anchors | None = None,
    prior: Prior | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LengthControlled:
    """The length-controlled win rate, with error and percentile interval from a bootstrap over items with refitting.

    Args:
        preferences: (n,) for the model, in [0, 1]; NaN without a verdict (such items count for lengths, not the fit).
        differences: (n,) the baseline's length minus the model's, in characters.
        difficulty: (n,) per item; None drops the term.
        prior: for approximate difficulties.

    Raises:
        ValueError: fewer than two items have a verdict.
    """
    y, delta = np.asarray(preferences, float), np.asarray(differences, float)
    d = np.zeros(y.size) if difficulty is None else np.asarray(difficulty, float)
    if np.isfinite(y).sum() < 2:
        raise ValueError("a length-controlled win rate needs two items with a verdict or more")
    whole = np.ones((1, y.size))
    [weights] = fit(y, delta, d, whole, anchors, prior)
    mean = float(predicted(weights[None], d, whole)[0])
    draws = np.concatenate(
        [
            predicted(fit(y, delta, d, counts, anchors, prior), d, counts)
            for counts in _resamples(y.size, resamples, seed)
        ]
    )
    low, high = np.quantile(draws, (0.025, 0.975))
    w = (float(weights[0]), float(weights[1]), float(weights[2]))
    return LengthControlled(mean, float(draws.std(ddof=1)), float(low), float(high), y.size, w)


def predicted(weights: np.ndarray, difficulty: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """LC of each row of `weights` (R x 3): mean of sigmoid(w_2 d + w_3) over items, weighted by `counts` (R x n)."""
    p = _sigmoid(weights[:, 1:2] * difficulty[None, :] + weights[:, 2:3])
    return p.mean(axis=1) if counts is None else (p * counts).sum(axis=1) / counts.sum(axis=1)


def scaled_differences(differences: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """x = tanh(difference / standard deviation), shape (R, n); 0 if all differences are equal."""
    counts = np.ones((1, differences.size)) if counts is None else counts
    n = counts.sum(axis=1, keepdims=True)
    mean = counts @ differences[:, None] / n
    spread = (counts * (differences[None, :] - mean) ** 2).sum(axis=1, keepdims=True) / np.maximum(n - 1, 1)
    sd = np.sqrt(spread)
    return np.asarray(np.tanh(np.divide(differences[None, :], sd, out=np.zeros(counts.shape), where=sd > 0)))


def fit(
    preferences: np.ndarray,
    differences: np.ndarray,
    difficulty: np.ndarray,
    counts: np.ndarray,
    anchors: Anchors | None = None,
    prior: Prior | None = None,
) -> np.ndarray:
    """Weights (R x 3) of length, difficulty and bias for R resamples; `counts` (R x n): multiplicities of the items."""
    known = np.isfinite(preferences)
    shape = counts.shape
    x = [scaled_differences(differences, counts), np.broadcast_to(difficulty, shape), np.ones(shape)]
    y, rows = np.where(known, preferences, 0.0), counts * known
    mean, precision = np.zeros((shape[0], 3)), np.full(3, RIDGE)
    if prior is not None:
        mean, precision = prior.means(rows @ y / rows.sum(axis=1)), np.append(prior.precision, RIDGE)
    if anchors is not None:
        wide = (shape[0], anchors.x.size)
        more = (anchors.x, anchors.difficulty, np.zeros(anchors.x.size))
        x = [
            np.concatenate([mine, np.broadcast_to(theirs, wide)], axis=1)
            for mine, theirs in zip(x, more, strict=True)
        ]
        y = np.concatenate([y, anchors.preference])
        rows = np.concatenate([rows, np.broadcast_to(anchors.weight, wide)], axis=1)
    return _newton(np.stack(x, axis=2), y, rows, mean, precision)


def _newton(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, mean: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """R logistic regressions on soft labels with a Gaussian prior, by Newton's method with step halving.

    x (R x n x 3); y (n); rows (R x n), the weight of each row; mean (R x 3) and precision (3) of the weights' prior.
    """

    def loss_of(w: np.ndarray) -> np.ndarray:
        z = np.einsum("rnk,rk->rn", x, w)
        fit = (rows * (np.logaddexp(0, z) - y * z)).sum(axis=1)
        return np.asarray(fit + ((w - mean) ** 2 @ precision) / 2)

    w = mean
    loss = loss_of(w)
    for _ in range(100):
        p = _sigmoid(np.einsum("rnk,rk->rn", x, w))
        gradient = np.einsum("rnk,rn->rk", x, rows * (p - y)) + precision * (w - mean)
        hessian = np.einsum("rnk,rn,rnl->rkl", x, rows * p * (1 - p), x, optimize=True) + np.diag(precision)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        if np.abs(step).max() < 1e-9:
            break
        size = np.ones(len(w))
        for _ in range(40):
            new = w - size[:, None] * step
            found = loss_of(new)
            worse = found > loss + 1e-12 * np.abs(loss)
            if not worse.any():
                break
            size = np.where(worse, size / 2, size)
        w, loss = new, found
    return w


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))


def _resamples(n: int, resamples: int, seed: int) -> list[np.ndarray]:
    """Bootstrap counts of the items, in chunks of shape (at most CHUNK, n)."""
    rng = np.random.default_rng(seed)
    chunks = [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]
    return [rng.multinomial(n, np.full(n, 1 / n), size=size).astype(float) for size in chunks]
