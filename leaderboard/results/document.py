"""The results document: a matrix's results beside the paper's tables, in Markdown, with two figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlp_bench.api import UnknownName, escape, nearest

from ..published import PUBLISHED, SOURCE
from .claims import claims, summary
from .differences import differences, equal_kl, named_collapses
from .figures import by_kl_figure, subset_figure
from .text import accuracy, at_edge, ends, label, listed, ranked, rate, short, signed, spread, table

Results = Mapping[str, Any]
FORMATS = ("md", "subsets.svg", "kl.svg")
LIMITS = """\
These results are for one world, one base model and one judge population and do not carry over to a 7B model. The
annotators of the training labels and the judges of the evaluation are the same population (as in AlpacaFarm), so
methods train on labels of their judge. The gold utility and a second population, which is not human, are therefore
also given."""


class ResultsBoard:
    """Renders the results of `rlp_bench.analysis.matrix_results.results`."""

    name = "results"
    version = "1"

    def render(self, reports: Sequence[Mapping[str, Any]], format: str = "md") -> str:
        """The document ("md"), or one of its figures.

        Raises:
            UnknownName: another format.
        """
        if format not in FORMATS:
            raise UnknownName(f'board "results": no format "{format}"; {nearest(format, FORMATS)}')
        [found] = reports
        if format == "subsets.svg":
            return subset_figure(found)
        if format == "kl.svg":
            return by_kl_figure(found)
        return "\n\n".join(part for section in SECTIONS if (part := section(found))) + "\n"


def _head(r: Results) -> str:
    m = r["matrix"]
    lines = [f"# Results on the recipe {escape.markdown_code(m['recipe_id'])}", ""]
    lines.append(
        f"{len(m['methods'])} methods, {len(m['seeds'])} seeds ({listed(m['seeds'])}); every stage after the base "
        "model is trained for each seed, retrained reward models with another random seed. Intervals are 95 % over "
        "items and seeds; tests are paired over both and corrected for multiple testing. Every estimator, test and "
        "verdict: [statistics.md](statistics.md). Written by `rlp-bench report results`."
    )
    lines += ["", *summary(r)]
    control = next((row for row in r["comparisons"] if row["candidate"] == "rm_retrain"), None)
    if control is not None:
        lines.append(
            "Retraining the reward model on the same pairs with another random seed, the control `rm_retrain`, changes "
            f"the win rate by {signed(control['difference'])} points compared with PPO ({ends(control['ci95'])}), each "
            "with its own tuned beta: a gain over PPO of that size is not evidence for policy samples.\n"
        )
    lines += named_collapses(r)
    lines.append(LIMITS)
    return "\n".join(lines)


def _table_2(r: Results) -> str:
    names = [n for n in r["matrix"]["methods"] if n not in TABLE_4 + TABLE_5]
    head = ["method", "paper: simulated", "human", "LLMBar", "Vicuna", f"here: {r['main']}"]
    head += [
        *(n for n in r["suites"] if n in ("llmbar", "vicuna")),
        *(f"by {j}" for j in r["second"]),
        "KL",
        "tokens",
    ]
    rows = []
    for name in ranked(r, names):
        paper = [*PUBLISHED["2"].get(name, ()), "", "", "", ""][:4]
        rows.append([label(r, name), *paper, *_ours(r, name)])
    note = "Vicuna's items are among the 805: it is not independent evidence."
    return f"## Table 2: methods and controls\n\n{note}\n\n{table(head, rows)}"


def _ours(r: Results, name: str) -> list[str]:
    cells = [rate(r["suites"][r["main"]].get(name))]
    cells += [rate(r["suites"][n].get(name)) for n in r["suites"] if n in ("llmbar", "vicuna")]
    cells += [rate(found.get(name)) for found in r["second"].values()]
    return [*cells, spread(r["runs"][name]["kl"], 1), spread(r["runs"][name]["length_tokens"], 0)]


def _ablations(title: str, number: str, names: Sequence[str]) -> Callable[[Results], str]:
    def section(r: Results) -> str:
        here = [n for n in names if n in r["runs"]]
        if not here:
            return ""
        labels = {row["method"]: row for row in r["labels"]}
        measured = any(n in labels for n in here)
        head = ["method", *(["paper: accuracy"] if measured else []), "paper: win rate"]
        head += [*(["here: accuracy"] if measured else []), "here: win rate", "KL", "tokens"]
        rows = []
        for name in here:
            published = PUBLISHED[number].get(name, ())
            row: list[Any] = [label(r, name)]
            if measured:
                row.append(published[0] if len(published) > 1 else "")
            row.append(published[-1] if published else "")
            if measured:
                row.append(accuracy(labels.get(name, {}).get("pool")))
            facts = r["runs"][name]
            row += [
                rate(r["suites"][r["main"]].get(name)),
                spread(facts["kl"], 1),
                spread(facts["length_tokens"], 0),
            ]
            rows.append(row)
        return f"## {title}\n\n{table(head, rows)}"

    return section


def _labels(r: Results) -> str:
    if not r["labels"]:
        return ""
    head = [
        "method",
        "pairs",
        "accepted",
        "pool",
        "gold",
        "length rule",
        "utility gap",
        "tokens chosen / rejected",
        "ties pool / gold",
    ]
    rows = [
        [
            label(r, row["method"]),
            f"{row['pairs']:.0f}",
            f"{100 * row['acceptance_rate']:.0f} %",
            accuracy(row["pool"]),
            accuracy(row["gold"]),
            accuracy(row["length_rule"]),
            "" if row["utility_gap"] is None else f"{row['utility_gap']:+.2f}",
            f"{row['chosen_tokens']:.1f} / {row['rejected_tokens']:.1f}",
            f"{row['ties']['pool']} / {row['ties']['gold']}",
        ]
        for row in r["labels"]
    ]
    text = (
        "How often the noise-free pool (13 annotators, both orders) and the gold utility prefer the chosen "
        "response; ties dropped. *Length rule*: how often the pool prefers the longer of the two, on the same "
        "pairs."
    )
    parts = ["## Preference accuracy", text, table(head, rows), _categories(r), _confidence(r)]
    return "\n\n".join(part for part in parts if part)


def _categories(r: Results) -> str:
    row = next((row for row in r["labels"] if row["method"] == "rlp_spg"), None)
    if row is None:
        return ""
    shares = [
        [
            name or "(none)",
            f"{row['accepted_by_category'].get(name, 0)}",
            str(offered),
            f"{row['accepted_by_category'].get(name, 0) / offered:.2f}",
        ]
        for name, offered in row["offered_by_category"].items()
        if offered
    ]
    return (
        "Pairs accepted by RLP-SPG, by skill (all seeds):\n\n"
        f"{table(['skill', 'accepted', 'prompts', 'share'], shares)}"
    )


def _confidence(r: Results) -> str:
    row = next((row for row in r["labels"] if row["method"] == "rlp_spg" and row["confidence"]), None)
    if row is None:
        return ""
    names = sorted(row["confidence"], key=lambda name: float(name.rpartition("_")[2]))
    head = [f"to {name.rpartition('_')[2]}" for name in names]
    counts = [f"{row['confidence'][name]:.0f}" for name in names]
    return f"Number of prompts by the confidence of RLP-SPG's largest cluster (all seeds):\n\n{table(head, [counts])}"


def _reward_models(r: Results) -> str:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in r["reward_models"]:
        stage = "r_φ" if row["stage"] == "reward" and row["method"] != "rm_retrain" else "r̂"
        key = ("(shared)", "r_φ") if stage == "r_φ" else (row["method"], "r̂")
        if stage == "r̂" or row["method"] == "ppo":
            found.setdefault(key, []).append(row)
    rows = []
    for (method, stage), models in found.items():
        cells = [f"{stage} of {label(r, method)}" if stage == "r̂" else "r_φ, shared by all"]
        for place in ("sft", "first", "own"):
            cells.append(_mean_of(models, place, "accuracy"))
            if place != "sft":
                cells.append(_mean_of(models, place, "matched"))
        rows.append(cells)
    head = ["reward model", "SFT pairs", "first PPO's pairs", "matched", "own policy's pairs", "matched"]
    text = (
        "Pool accuracy, mean over seeds with the standard error of that mean. *Matched* weights a policy's pairs to "
        "the distribution of |gold utility gap| among the SFT pairs: a drop that remains is due to the texts, one that "
        "disappears was due to harder pairs."
    )
    return f"## Where reward models are right\n\n{text}\n\n{table(head, rows)}" if rows else ""


def _mean_of(models: Sequence[Mapping[str, Any]], place: str, key: str) -> str:
    values = [m[place]["pool"][key] for m in models if place in m and m[place]["pool"].get(key) is not None]
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    error = (sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    return f"{mean:.3f} ± {error:.3f}"


def _figure_2(r: Results) -> str:
    subsets = list(r["subsets"])
    rows = [
        [label(r, name), *(rate(r["subsets"][s].get(name)) for s in subsets)]
        for name in ranked(r, r["matrix"]["methods"])
    ]
    return (
        "## Figure 2: by subset\n\n![Win rate by "
        f"subset](figures/results-subsets.svg)\n\n{table(['method', *subsets], rows)}"
    )


def _table_8(r: Results) -> str:
    if "mmlu" not in r["suites"]:
        return ""
    published = PUBLISHED["8"]
    rows = [
        [label(r, n), *(published.get(n) or ("",)), rate(r["suites"]["mmlu"].get(n))]
        for n in ranked(r, r["matrix"]["methods"])
    ]
    return (
        "## Table 8: how much of the base model's knowledge remains\n\nHere: questions about the micro world, the most "
        "likely of four options, zero-shot. Paper: MMLU, 5-shot, greedy answer letter.\n\n"
        f"{table(['method', 'paper: MMLU', 'here: MMLU-like'], rows)}"
    )


def _budgets(r: Results) -> str:
    names = list(next(iter(r["budgets"].values())))
    rows = [[label(r, method), *(short(spent[n]) for n in names)] for method, spent in r["budgets"].items()]
    text = (
        "Total of all stages of a run, mean over seeds. Unequal budgets are a confound; `rlp-bench matrix "
        "--match-steps` gives every reward model as many updates as the first one has."
    )
    return f"## Budgets\n\n{text}\n\n{table(['method', *(n.replace('_', ' ') for n in names)], rows)}"


def _tuning(r: Results) -> str:
    tuning = r["matrix"]["tuning"]
    if not tuning["choices"]:
        return ""
    rule = tuning["rule"]
    values = sorted({m["value"] for c in tuning["choices"].values() for m in c["measured"]})
    rows = []
    for method, choice in tuning["choices"].items():
        by_value = {m["value"]: m for m in choice["measured"]}
        cells = [
            f"{by_value[v]['win_rate']:.1f} (KL {by_value[v]['kl']:.1f})" if v in by_value else ""
            for v in values
        ]
        rows.append([label(r, method), f"{choice['value']:g}", *cells])
    edge = [m for m in tuning["choices"] if at_edge(r, m)]
    text = (
        f"{rule['setting']} of the last {rule['stage']}: of {listed(rule['values'])}, and values beyond if the best "
        f"was at an end, the one whose policy beats the SFT policy most often on {rule['prompts']} dev prompts, at "
        f"seed {rule['seed']}, which no comparison uses. The standard error of a cell is about "
        f"{_typical_error(tuning):.1f} points, so neighboring values often do not differ significantly."
    )
    if edge:
        names = ", ".join(label(r, method) for method in edge)
        text += (
            f" ‡: the best value is at the edge of the tried ones, so a better one may lie beyond: {names}."
        )
    return f"## Tuning\n\n{text}\n\n{table(['method', 'chosen', *(f'{v:g}' for v in values)], rows)}"


def _typical_error(tuning: Mapping[str, Any]) -> float:
    errors = [m["standard_error"] for c in tuning["choices"].values() for m in c["measured"]]
    return sum(errors) / len(errors)


def _provenance(r: Results) -> str:
    m = r["matrix"]
    wall = f"{m['wall_seconds'] / 60:.0f} min wall, {m['job_seconds'] / 60:.0f} min of jobs in the last call"
    versions = ", ".join(f"{name} {version}" for name, version in r["versions"].items())
    judge = r["judge"]
    lines = [
        f"- recipe {escape.markdown_code(m['recipe_id'])}, seeds {listed(m['seeds'])}, match steps: "
        f"{'yes' if m['match_steps'] else 'no'}",
        f"- judge {escape.markdown(judge['name'])} version {escape.markdown(judge['version'])}, both orders; "
        f"published values: {SOURCE}, copied, part of no test",
        f"- {escape.markdown(versions)}; {wall}",
    ]
    if m.get("failed"):
        lines.append(f"- failed jobs: {len(m['failed'])}")
    if r["stand_ins"]:
        names = ", ".join(f"{method} ({', '.join(stages)})" for method, stages in r["stand_ins"].items())
        lines.append(
            f"- † a stage is a stand-in for the algorithm it is named after: {escape.markdown(names)}"
        )
    return "## Provenance\n\n" + "\n".join(lines)


TABLE_4 = ["infomax", "mvi", "cl"]
TABLE_5 = ["rlaif", "reward_pairs", "select_all"]
SECTIONS: tuple[Callable[[Results], str], ...] = (
    _head,
    claims,
    _table_2,
    _ablations("Table 4: objectives", "4", ["rlp_uml", *TABLE_4, "rm_retrain"]),
    _ablations(
        "Table 5: synthetic preferences",
        "5",
        [*TABLE_5, "rlp_spg", "spg_random_w", "spg_length_matched", "spg_skill_balanced", "more_human"],
    ),
    _labels,
    _reward_models,
    differences,
    equal_kl,
    _figure_2,
    _table_8,
    _tuning,
    _budgets,
    _provenance,
)
