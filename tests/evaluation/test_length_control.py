"""The length-controlled win rate: what it must give by construction, and what its error must cover."""

import numpy as np
import pytest

from rlp_bench.api.errors import DataError
from rlp_bench.api.types import Item, content_id
from rlp_bench.evaluation.kinds.win_rate import beside
from rlp_bench.evaluation.length_control import (
    Anchors,
    Prior,
    fit,
    length_controlled_win_rate,
    predicted,
    scaled_differences,
)
from rlp_bench.evaluation.length_report import FEWEST, described, length_controlled
from rlp_bench.suites.alpacafarm import AlpacaFarm
from rlp_bench.suites.length_control import read_difficulty


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def drawn(rng, n=805, weights=(-1.5, 0.8, -0.5), binary=True):
    """(preferences, differences, difficulty) of a model whose true weights are known."""
    differences, difficulty = rng.normal(300, 400, n), rng.normal(size=n)
    x = np.tanh(differences / differences.std(ddof=1))
    p = sigmoid(weights[0] * x + weights[1] * difficulty + weights[2])
    return (rng.random(n) < p).astype(float) if binary else p, differences, difficulty


def test_x_is_tanh_of_the_difference_over_this_models_own_spread():
    found = scaled_differences(np.array([0.0, 10.0, 20.0]))
    assert found == pytest.approx(
        np.tanh([[0.0, 1.0, 2.0]])
    )  # ddof = 1: the spread is 10, with ddof = 0 it is 8.16
    assert not scaled_differences(np.full(5, 7.0)).any()


def test_soft_labels_give_the_weights_they_were_made_with():
    y, differences, difficulty = drawn(np.random.default_rng(0), binary=False)
    [weights] = fit(y, differences, difficulty, np.ones((1, y.size)))
    assert weights == pytest.approx([-1.5, 0.8, -0.5], abs=1e-3)


def independent(x, difficulty, y):
    """The same loss, another optimiser."""
    from scipy.optimize import minimize

    columns = np.stack([x, difficulty, np.ones(y.size)], axis=1)
    loss = lambda w: float((np.logaddexp(0, columns @ w) - y * (columns @ w)).sum())  # noqa: E731
    return minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x


def test_agrees_with_an_independent_fit():
    y, differences, difficulty = drawn(np.random.default_rng(1))
    [weights] = fit(y, differences, difficulty, np.ones((1, y.size)))
    assert weights == pytest.approx(independent(scaled_differences(differences)[0], difficulty, y), abs=1e-3)


def test_a_resample_is_the_fit_of_the_repeated_rows():
    rng = np.random.default_rng(2)
    y, differences, difficulty = drawn(rng, 200)
    counts = rng.multinomial(200, np.full(200, 1 / 200), size=3).astype(float)
    together = fit(y, differences, difficulty, counts)
    for row, times in zip(together, counts.astype(int), strict=True):
        again = [np.repeat(values, times) for values in (y, differences, difficulty)]
        assert row == pytest.approx(fit(*again, np.ones((1, 200)))[0], abs=1e-8)
        assert predicted(row[None], difficulty, times[None])[0] == pytest.approx(
            predicted(row[None], again[2])[0]
        )


def test_the_baseline_against_itself_is_fifty_and_rates_are_fractions_of_one():
    # P31: never above 1, and 50 % where the model is the baseline.
    found = length_controlled_win_rate(np.full(100, 0.5), np.arange(100.0))
    assert found.mean == pytest.approx(0.5, abs=1e-6)
    for y in (0.0, 1.0):
        extreme = length_controlled_win_rate(np.full(100, y), np.arange(100.0), resamples=20)
        assert extreme.mean == pytest.approx(y, abs=1e-3)
        assert 0 <= extreme.low <= extreme.high <= 1


def test_length_alone_wins_nothing():
    # The longer answer always wins; the model's is longer on most items: raw 80 %, controlled about even.
    rng = np.random.default_rng(3)
    differences = rng.normal(-300, 350, 805)
    p = sigmoid(-4 * np.tanh(differences / differences.std(ddof=1)))
    found = length_controlled_win_rate((rng.random(805) < p).astype(float), differences, resamples=50)
    assert (differences < 0).mean() > 0.75
    assert found.mean == pytest.approx(0.5, abs=0.12)
    assert found.low < 0.5 < found.high or abs(found.mean - 0.5) < 0.06


def test_missing_verdicts_leave_the_fit_and_stay_in_the_mean():
    rng = np.random.default_rng(4)
    y, differences, difficulty = drawn(rng)
    holes = y.copy()
    holes[::20] = np.nan
    kept = np.isfinite(holes)
    whole = np.ones((1, y.size))
    [weights] = fit(holes, differences, difficulty, whole)
    x = scaled_differences(differences)[0]
    assert weights == pytest.approx(independent(x[kept], difficulty[kept], y[kept]), abs=1e-3)
    found = length_controlled_win_rate(holes, differences, difficulty, resamples=20)
    assert found.mean == pytest.approx(predicted(weights[None], difficulty)[0])
    assert found.n == 805


def test_anchors_hold_the_weight_of_length_where_verdicts_say_little():
    rng = np.random.default_rng(5)
    y, differences, difficulty = drawn(rng, weights=(-1.5, 0.8, -6.0))
    x = np.linspace(-1, 1, 400)
    anchors = Anchors(x, np.zeros(400), sigmoid(-1.5 * x), np.full(400, 0.5))
    free = fit(y, differences, difficulty, np.ones((1, 805)))[0]
    held = fit(y, differences, difficulty, np.ones((1, 805)), anchors)[0]
    assert abs(held[0] + 1.5) < 0.3
    assert abs(held[0] + 1.5) <= abs(free[0] + 1.5)


def attenuated(seed, prior):
    """LC in percent minus the truth, where difficulties have an error as large as themselves."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=805)
    differences = 300 * (difficulty + rng.normal(size=805)) + 200
    x = np.tanh(differences / differences.std(ddof=1))
    y = (rng.random(805) < sigmoid(-1.5 * x + 0.9 * difficulty - 2)).astype(float)
    rough = (difficulty + rng.normal(size=805)) / np.sqrt(2)
    [weights] = fit(y, differences, rough, np.ones((1, 805)), None, prior)
    truth = sigmoid(0.9 * difficulty - 2).mean()
    return 100 * (predicted(weights[None], rough)[0] - truth), weights


def test_a_prior_on_the_weights_makes_up_for_difficulties_that_are_known_with_an_error():
    known = Prior(np.array([[-1.5, 0.0, 0.0], [0.9, 0.0, 0.0]]), np.array([36.0, 136.0]), (-4.0, 1.3))
    free = [attenuated(seed, None) for seed in range(10)]
    held = [attenuated(seed, known) for seed in range(10)]
    assert np.mean([w[1] for _, w in free]) < 0.7  # of .9
    assert np.mean([w[1] for _, w in held]) > 0.75
    assert abs(np.mean([off for off, _ in held])) < 0.7 * abs(np.mean([off for off, _ in free]))


def test_a_priors_mean_is_a_parabola_of_the_logit_and_ends_where_models_were_seen():
    prior = Prior(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]), np.ones(2), (-2.0, 2.0))
    rates = sigmoid(np.array([0.0, 1.0, -5.0]))
    assert prior.means(rates) == pytest.approx(np.array([[1.0, 0.0, 0.0], [6.0, 1.0, 0.0], [9.0, -2.0, 0.0]]))
    assert np.isfinite(prior.means(np.array([0.0, 1.0]))).all()


def test_a_prior_without_precision_changes_nothing():
    y, differences, difficulty = drawn(np.random.default_rng(6), 300)
    none = Prior(np.zeros((2, 3)), np.full(2, 1e-4), (-4.0, 4.0))
    whole = np.ones((1, 300))
    assert fit(y, differences, difficulty, whole, None, none) == pytest.approx(
        fit(y, differences, difficulty, whole), abs=1e-7
    )


class Suite:
    """Says of its difficulties what it is told to."""

    def __init__(self, **told):
        self.told = told

    def length_control(self, items):
        known = {"difficulty": {item.id: (i % 7) / 3 - 1 for i, item in enumerate(items)}, "anchors": []}
        return {**known, **self.told} if self.told else None


def test_a_length_controlled_rate_says_what_it_is_wherever_it_stands():
    items = [Item(f"q{i}", reference="r" * i) for i in range(40)]
    rows = {item.id: {"output": "answer"} for item in items}
    scores = [{"item_id": item.id, "score": float(i % 2)} for i, item in enumerate(items)]
    prior = {"coefficients": [[-1.2, 0, 0], [0.8, 0, 0]], "precision": [30, 100], "range": [-4, 2]}
    for told, kind, said in (
        ({}, "no difficulty", "no difficulty"),
        ({"kind": "exact", "label": "x.csv"}, "exact", "exact"),
        (
            {"kind": "approximate", "label": "approximate: y", "prior": prior, "error": 1.2},
            "approximate", "approximate, off by 1.2 points for an unseen model",
        ),
    ):  # fmt: skip
        found = length_controlled(Suite(**told), items, rows, scores)
        assert (found["kind"], described(found)) == (kind, said)
        few = length_controlled(Suite(**told), items[:5], rows, scores)
        assert (few["win_rate"], few["kind"]) == (None, kind)
        shown = dict(found, alias="a")
        report = {"alias": "a", "length_controlled": shown, "discrete_win_rate": 1.0, "position_gap": None}
        report |= {"mean_length_chars": None, "mean_length_tokens": None, "coverage": {}}
        assert (said in next(iter(beside(report)))[1]) is True


def test_the_interval_covers_where_weights_are_fitted_again_and_not_where_they_are_taken_for_known():
    # P30: AlpacaEval's error holds the weights fixed; here the truth is known.
    weights, truth, refit, fixed = (-1.5, 0.8, -0.5), [], 0, 0
    runs = 60
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        y, differences, difficulty = drawn(rng, 300, weights)
        true = float(sigmoid(weights[1] * np.random.default_rng(0).normal(size=100_000) + weights[2]).mean())
        found = length_controlled_win_rate(y, differences, difficulty, resamples=200, seed=seed)
        spread = sigmoid(found.weights[1] * difficulty + found.weights[2]).std(ddof=1) / np.sqrt(y.size)
        refit += found.low <= true <= found.high
        fixed += abs(found.mean - true) <= 1.96 * spread
        truth.append(true)
    assert 0.89 <= refit / runs <= 0.98
    assert fixed / runs < 0.8


def test_too_few_items_or_equal_lengths_are_no_result():
    items = [Item(f"q{i}", reference="r" * i) for i in range(40)]
    rows = {item.id: {"output": "answer"} for item in items}
    scores = [{"item_id": item.id, "score": float(i % 2)} for i, item in enumerate(items)]
    suite = AlpacaFarm()
    assert length_controlled(suite, items, rows, scores)["n"] == 40
    few = length_controlled(suite, items[: FEWEST - 1], rows, scores)
    assert few["win_rate"] is None
    assert "29 items with a score" in few["reason"]
    equal = [Item(f"q{i}", reference="same") for i in range(40)]
    rows = {item.id: {"output": "answer"} for item in equal}
    scores = [{"item_id": item.id, "score": 1.0} for item in equal]
    assert "all lengths differ equally" in length_controlled(suite, equal, rows, scores)["reason"]


def test_a_difficulty_file_is_read_by_position_into_ids_and_a_wrong_one_is_told(tmp_path):
    order = [content_id(f"q{i}") for i in range(3)]
    path = tmp_path / "instruction_difficulty.csv"
    path.write_text("index,instruction_difficulty\n2,0.5\n0,-1.25\n1,0\n")
    assert read_difficulty(path, order) == {order[0]: -1.25, order[1]: 0.0, order[2]: 0.5}
    for text in (
        "index,d\n0,1\n1,1\n",
        "index,d\n0,1\n0,1\n1,1\n",
        "index,d\n0,x\n1,1\n2,1\n",
        "index,d\n7,1\n1,1\n2,1\n",
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=r"instruction_difficulty.csv: a header and 3 rows"):
            read_difficulty(path, order)
    with pytest.raises(DataError, match="cannot be read"):
        read_difficulty(tmp_path / "none.csv", order)
