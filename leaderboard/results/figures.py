"""Figures of the results document: win rate by subset (the paper's Figure 2), and win rate against KL."""

import io
from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]
MAIN = ("sft", "best_of_n", "ppo", "rlp_uml", "rlp_spg", "more_human")


def subset_figure(r: Results) -> str:
    """Bars with 95 % intervals, one group per subset, as SVG."""
    pyplot = _pyplot()
    subsets, names = list(r["subsets"]), [n for n in MAIN if n in r["runs"]]
    figure, axis = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        cells = [r["subsets"][subset].get(name) for subset in subsets]
        places = [i + (number - (len(names) - 1) / 2) * width for i, cell in enumerate(cells) if cell]
        rates = [cell["win_rate"] for cell in cells if cell]
        errors = [[cell["win_rate"] - cell["ci95"][0] for cell in cells if cell]]
        errors.append([cell["ci95"][1] - cell["win_rate"] for cell in cells if cell])
        axis.bar(
            places, rates, width, yerr=errors, label=name, color=f"C{number}", error_kw={"elinewidth": 0.8}
        )
    axis.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(subsets)), subsets)
    axis.set(ylabel="win rate against the reference, percent", ylim=(0, 75))
    axis.legend(frameon=False, ncols=3, fontsize=8)
    return _svg(pyplot, figure)


def by_kl_figure(r: Results) -> str:
    """Win rate and gold utility along the last PPO of every method, means over seeds, as SVG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    ways = r["trajectories"]
    for number, name in enumerate(ways):
        style = {
            "color": pyplot.colormaps["tab20"](number % 20),
            "marker": "o",
            "markersize": 3,
            "label": name,
        }
        style |= {"linewidth": 2.0} if name in MAIN else {"linewidth": 0.8, "linestyle": "--"}
        axes[0].plot([p["kl"] for p in ways[name]], [p["win_rate"] for p in ways[name]], **style)
        known = [p for p in ways[name] if p["gold"] is not None]
        axes[1].plot([p["kl"] for p in known], [p["gold"] for p in known], **style)
    axes[0].set(
        xlabel="KL to the SFT policy (nats a response)",
        ylabel="win rate, percent",
        title="Win rate by the judge",
    )
    axes[1].set(xlabel="KL to the SFT policy (nats a response)", ylabel="gold utility", title="Gold utility")
    axes[1].legend(frameon=False, fontsize=7, ncols=2)
    return _svg(pyplot, figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "rlp-bench", "font.size": 9, "svg.fonttype": "none", "text.parse_math": False}
    )
    from matplotlib import pyplot

    return pyplot


def _svg(pyplot: Any, figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return out.getvalue()
