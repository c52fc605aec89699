"""Over-optimization curves: proxy reward, gold utility and the reward model's accuracy against KL, as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import BenchError, nearest

PANELS = (
    ("proxy", "proxy reward (SFT standard deviations)", "Proxy reward"),
    ("gold", "gold utility", "Gold utility"),
    ("accuracy", "reward model's accuracy on own pairs", "Reward-model accuracy"),
)
FORMATS = ("svg",)


class Curves:
    """Plots rows of `rlp_bench.matrix.trajectory.Point`: one line per beta, means over seeds, single seeds as dots."""

    def render(self, reports: Sequence[Mapping[str, Any]], format: str) -> str:
        """The figure as one SVG document.

        Raises:
            BenchError: a format other than "svg", or no points.
        """
        if format not in FORMATS:
            raise BenchError(f'board "curves": format "{format}" is not known; {nearest(format, FORMATS)}')
        if not reports:
            raise BenchError('board "curves": no points given; expected reports with kl, proxy and gold')
        return _draw(reports)


def _draw(points: Sequence[Mapping[str, Any]]) -> str:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "rlp-bench", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(11, 3.4), layout="constrained")
    betas = sorted({point["beta"] for point in points})
    colours = matplotlib.colormaps["viridis"]
    for axis, (key, label, title) in zip(axes, PANELS, strict=True):
        for number, beta in enumerate(betas):
            colour = colours(0.9 * number / max(1, len(betas) - 1))
            mine = [p for p in points if p["beta"] == beta and p[key] is not None]
            axis.scatter([p["kl"] for p in mine], [p[key] for p in mine], s=8, color=colour, alpha=0.4)
            line = _means(mine, key)
            axis.plot(*zip(*line, strict=True), color=colour, marker="o", markersize=3, label=f"β = {beta:g}")
        axis.set_xscale("symlog", linthresh=1.0)
        axis.set(xlabel="KL to the SFT policy (nats per response)", ylabel=label, title=title)
    axes[0].legend(frameon=False)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return out.getvalue()


def _means(points: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(mean KL, mean value) over seeds for each number of rollouts."""
    line = []
    for rollouts in sorted({p["rollouts"] for p in points}):
        here = [p for p in points if p["rollouts"] == rollouts]
        line.append((sum(p["kl"] for p in here) / len(here), sum(p[key] for p in here) / len(here)))
    return line
