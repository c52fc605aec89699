"""The sections header, leaderboard, win rates, subsets, differences and claims."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..ranks import Rank, simultaneous_ranks
from ..results.text import ends, listed, p_value, signed, spread
from .blocks import Cell, Chart, Facts, Panels, Results, Section, Table, Text, absent
from .charts import Dot, dots
from .methods import LOOKS, first_method, in_order, legend, look, marked, plain
from .svg import Look
from .text import percent, span

VERDICTS = {
    "replicated": "yes",
    "contradicted": "no",
    "smaller than published": "open",
    "larger than published": "open",
    "inconclusive": "open",
    "no test of its own": "none",
    "not run": "none",
}


def header(r: Results) -> Section:
    """The section with recipe, judge, seeds and versions."""
    matrix, judge = r["matrix"], r["judge"]
    settings = r.get("measured", {})
    main = settings.get(r["main"], {})
    mode = f", {judge['mode']}" if judge.get("mode") else ""
    rows = [
        ("recipe", matrix["recipe_id"]),
        (
            "judge",
            f"{judge['name']} version {judge['version']}{mode}; manifest {r.get('judge_hash', 'unknown')}",
        ),
        ("prompt hash", ", ".join(prompts(judge)) or "none: this judge has no prompt file"),
        ("order", {"both": "both orders, averaged"}.get(str(main.get("order")), str(main.get("order")))),
        ("seeds", f"{len(matrix['seeds'])}: {listed(matrix['seeds'])}"),
        ("methods", f"{len(matrix['methods'])}: {', '.join(matrix['methods'])}"),
    ]
    for alias, setting in settings.items():
        if setting:
            items = str(setting["data"].get("items", ""))[:16]
            note = f"; {setting['evidence']}" if setting.get("evidence") else ""
            text = f"{setting['suite']} {setting['suite_version']}, {setting['metric']}, items {items}{note}"
            rows.append((f"suite {alias}", text))
    rows.append(("reward updates", "matched" if matrix.get("match_steps") else "as each method asks for"))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in r["versions"].items())))
    machine = r["machine"]
    rows.append(("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"))
    blocks: list[Any] = [Facts(rows), Text(_marks(r))]
    failed = matrix.get("failed") or {}
    missing = list(r.get("missing", ())) + [f"job {key} failed: {why}" for key, why in failed.items()]
    if missing:
        blocks.append(Text([f"Missing: {'; '.join(missing)}."], missing=True))
    blocks.append(
        Table(
            ["method", "what it does", "source"],
            [[marked(r, m), r["methods"][m]["text"], r["methods"][m]["source"]] for m in in_order(r)],
            summary="Descriptions of the methods",
            words=3,
        )
    )
    manifest = [[key, json.dumps(value, sort_keys=True, ensure_ascii=False)] for key, value in judge.items()]
    blocks.append(Table(["key", "value"], manifest, summary="The judge's manifest", words=2))
    return Section("about", "What was measured", blocks)


def _marks(r: Results) -> list[str]:
    """The number of claims by verdict, and the meaning of the marks at the names."""
    lines = []
    tried = {name: n for name, n in r["verdicts"].items() if VERDICTS[name] != "none" and n}
    if tried:
        counts = ", ".join(f"{n} {name}" for name, n in tried.items())
        lines.append(f"Of {sum(tried.values())} claims of the paper that could be tested: {counts}.")
    lines.append(
        "Intervals are 95 %, over items and seeds; tests are paired over both, with p corrected by Holm."
    )
    if len(r["matrix"]["seeds"]) == 1:
        lines.append("One seed: intervals cover variation over items, not over seeds.")
    if r.get("trained_on_judge"):
        lines.append("*: trained on labels of the population that judges it, with label noise.")
    if r["stand_ins"]:
        names = ", ".join(f"{m} ({', '.join(stages)})" for m, stages in r["stand_ins"].items())
        lines.append(f"†: a stage is a stand-in for the algorithm it is named after: {names}.")
    return lines


def prompts(value: Any, under: str = "") -> list[str]:
    """All distinct prompt hashes in a judge's manifest."""
    found: list[str] = []
    if isinstance(value, Mapping):
        for key, inside in value.items():
            found += prompts(inside, str(key))
    elif isinstance(value, list | tuple):
        for inside in value:
            found += prompts(inside, under)
    elif "prompt" in under and isinstance(value, str):
        found.append(value)
    return list(dict.fromkeys(found))


def leaderboard(r: Results) -> Section:
    """The section with one row per method, controls first, every mean with interval, seeds and items."""
    names, suites = in_order(r), list(r["suites"])
    ranks = simultaneous_ranks(r.get("scores") or {})
    against = {row["candidate"]: row for row in r["comparisons"]}
    judges = [f"by {name}" for name in r["second"]]
    controlled = r.get("length_controlled") or {}
    head = [
        "method",
        *(["rank"] if ranks else []),
        suites[0],
        "minus ppo",
        *([_control_title(r)] if controlled else []),
    ]
    head += ["KL", "tokens", "longest", "items", "seeds", *suites[1:], *judges]
    rows = []
    for name in names:
        facts = r["runs"][name]
        row: list[Cell | str] = [marked(r, name), *([_rank(ranks.get(name))] if ranks else [])]
        row += [rate(r["suites"][suites[0]].get(name)), _difference(against.get(name))]
        row += [_controlled(r, name)] if controlled else []
        row += [_spread(facts["kl"], 2), _spread(facts["length_tokens"], 1)]
        row += [_spread(r.get("longest", {}).get(name, []), 1), _covered(r, name)]
        row += [Cell(str(len(facts["seeds"])), listed(facts["seeds"]))]
        row += [rate(r["suites"][suite].get(name)) for suite in suites[1:]]
        row += [rate(of.get(name)) for of in r["second"].values()]
        rows.append(row)
    start = first_method(r, names)
    breaks = frozenset() if start is None else frozenset({names.index(start)})
    notes = [
        f"Percent, sorted by {r['main']}, controls above the line. Below a mean is its 95 % interval over items and "
        "seeds; below KL, tokens and longest are minimum and maximum over seeds.",
        "minus ppo: points, paired by item and seed, p corrected by Holm. KL: to the SFT policy, nats per response. "
        "longest: win rate if the longer answer always won. items: scored of all items, minimum over seeds.",
    ]
    if controlled:
        kind = r.get("length_controlled_kind")
        what = f" ({kind})" if kind else ""
        notes.append(f"LC: length-controlled win rate{what}; with several seeds mean, minimum and maximum.")
    else:
        notes.append("No length-controlled win rates: the reports of this matrix have none.")
    if ranks:
        notes.append(
            f"rank: on {r['main']}, one plus the number of rows that are significantly better; rows whose simultaneous "
            "intervals (95 % for all rows) overlap share a rank. Below it: the range of possible ranks."
        )
    else:
        notes.append("No ranks: they need at least two methods with the same items.")
    return Section("leaderboard", "Leaderboard", [Text(notes), Table(head, rows, breaks=breaks)])


def _control_title(r: Results) -> str:
    """`LC, approximate`: the column's name with the kind of its rates."""
    kind = str(r.get("length_controlled_kind") or "").partition(",")[0]
    return f"LC, {kind}" if kind else "LC"


def _rank(rank: Rank | None) -> Cell:
    return Cell("") if rank is None else Cell(str(rank.best), f"{rank.best} to {rank.worst}")


def rate(cell: Mapping[str, Any] | None) -> Cell:
    return Cell("not measured") if cell is None else Cell(percent(dict(cell)), span(cell["ci95"]))


def _difference(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell("")
    return Cell(signed(row["difference"]), f"{ends(row['ci95'])}; p {p_value(row['p_holm'])}")


def _spread(values: Sequence[float | None], digits: int) -> Cell:
    head, _, rest = spread(values, digits).partition(" (")
    return Cell(head or "none", rest.rstrip(")"))


def _controlled(r: Results, name: str) -> Cell:
    """Mean over seeds with minimum and maximum; for one seed, its value with its interval."""
    values = r["length_controlled"].get(name, [])
    if len(values) == 1:
        return Cell(f"{values[0]:.1f}", span(r["length_controlled_ends"][name][0]))
    return _spread(values, 1)


def _covered(r: Results, method: str) -> Cell:
    row = r.get("coverage", {}).get(r["main"], {}).get(method)
    if row is None:
        return Cell("unknown")
    lost = ", ".join(f"{n} {reason}" for reason, n in row["lost"].items())
    share = 100 * row["n_scored"] / max(1, row["n_items"])
    return Cell(f"{row['n_scored']} of {row['n_items']}", f"{share:.0f} %" + (f"; {lost}" if lost else ""))


def win_rates(r: Results) -> Section:
    """The section with one panel per suite and second judge; all have the same rows in the same order."""
    names = in_order(r)
    charts = [_rates(r, names, of, alias, alias) for alias, of in r["suites"].items()]
    charts += [
        _rates(r, names, of, f"{r['main']} judged by {judge}", f"{r['main']}, by {judge}")
        for judge, of in r["second"].items()
    ]
    note = "Percent with 95 % interval over items and seeds. Dashed: 50, chance level, if it applies."
    return Section("win-rates", "Win rates with intervals", [Text([note]), Panels(charts, legend(r, names))])


def _rates(r: Results, names: Sequence[str], of: Mapping[str, Any], title: str, caption: str) -> Chart:
    start = first_method(r, names)
    rows = [dot(r, name, of.get(name), gap=name == start) for name in names]
    known = [of[name] for name in names if name in of]
    sizes = sorted({cell["n_items"] for cell in known})
    seeds = sorted({len(cell["seeds"]) for cell in known})
    metric = r.get("measured", {}).get(title, {}).get("metric") or "win_rate"
    note = f"{metric}, n {listed(sizes)}, seeds {listed(seeds)}"
    half = 50.0 if metric.startswith("win_rate") or metric.endswith("reward_order") else None
    return Chart(caption, dots(rows, f"{title}, percent", reference=half), note)


def dot(r: Results, name: str, cell: Mapping[str, Any] | None, *, gap: bool = False) -> Dot:
    """The row of a chart for a cell of `compare.means`."""
    if cell is None:
        return Dot(plain(r, name), look(r, name), None, None, f"{name}: not measured", gap=gap)
    interval = (cell["ci95"][0], cell["ci95"][1])
    tip = f"{name}: {percent(dict(cell))} ({span(interval)}), n {cell['n_items']}, {len(cell['seeds'])} seeds"
    return Dot(plain(r, name), look(r, name), cell["win_rate"], interval, tip, percent(dict(cell)), gap=gap)


def subsets(r: Results) -> Section:
    """The section for Figure 2: one panel per subset, one bar per method of the paper; a table with all methods."""
    if not r["subsets"]:
        return absent("subsets", "By subset", f"The suite {r['main']} has no subsets.")
    shown = [name for name in LOOKS if name in r["runs"]] or in_order(r)
    charts = []
    tops = [cell["ci95"][1] for of in r["subsets"].values() for n, cell in of.items() if n in shown]
    for subset, of in r["subsets"].items():
        rows = [dot(r, name, of.get(name)) for name in shown]
        sizes = sorted({cell["n_items"] for cell in of.values()})
        svg = dots(rows, f"{subset}, percent", reference=50.0, bars=True, within=(0.0, max([60.0, *tops])))
        charts.append(Chart(subset, svg, f"n {listed(sizes)}"))
    names = in_order(r)
    table = Table(
        ["method", *r["subsets"]],
        [[marked(r, n), *(rate(of.get(n)) for of in r["subsets"].values())] for n in names],
        summary="All methods by subset",
    )
    note = f"Win rate on {r['main']} by subset, percent, 95 % interval over items and seeds (the paper's Figure 2)."
    return Section("subsets", "By subset", [Text([note]), Panels(charts), table])


def differences(r: Results) -> Section:
    """The section with every method minus PPO, minus the control, and minus PPO at equal KL."""
    charts = []
    for key, baseline in (("comparisons", "ppo"), ("against_control", "rm_retrain")):
        if r[key]:
            by_name = {row["candidate"]: row for row in r[key]}
            rows = [_gap(r, by_name[name]) for name in in_order(r, list(by_name))]
            svg = dots(rows, f"Method minus {baseline}, points", reference=0.0)
            charts.append(Chart(f"minus {baseline}, points", svg, f"n {r[key][0]['n_items']}"))
    if not charts:
        return absent("differences", "Differences", "The baseline of the comparisons (ppo) was not run.")
    note = (
        f"Paired over the items of {r['main']} and seeds, 95 %. Filled: significantly different from the baseline "
        "(Holm's p below 0.05); hollow: not. rm_retrain retrains the reward model on the same pairs with another "
        "random seed; only differences from it are effects of policy samples."
    )
    head = ["method", "baseline", "difference", "p", "Holm's p", "could see", "verdict"]
    rows_ = [
        [
            marked(r, row["candidate"]),
            row["baseline"],
            Cell(signed(row["difference"]), ends(row["ci95"])),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            f"{row['smallest_detectable_difference']:.1f}",
            row["verdict"].partition(":")[0],
        ]
        for row in (*r["comparisons"], *r["against_control"])
    ]
    keys = [(Look(4, "circle"), "significant"), (Look(1, "hollow"), "not significant")]
    return Section(
        "differences",
        "Differences",
        [
            Text([note]),
            Panels(charts, keys),
            Table(head, rows_, summary="All differences", words=2),
            *_at_kl(r),
        ],
    )


def _gap(r: Results, row: Mapping[str, Any]) -> Dot:
    name, significant = row["candidate"], row["p_holm"] < 0.05
    tip = f"{name}: {signed(row['difference'])} ({ends(row['ci95'])}), p {p_value(row['p_holm'])}, n {row['n_items']}"
    interval = (row["ci95"][0], row["ci95"][1])
    shape = Look(4, "circle") if significant else Look(1, "hollow")
    return Dot(plain(r, name), shape, row["difference"], interval, tip, signed(row["difference"]))


def _at_kl(r: Results) -> list[Any]:
    kls = sorted({row["kl"] for row in r["matched_kl"]})
    if not kls:
        return [
            Text(
                ["No comparison at equal KL: it needs at least two methods with snapshots of PPO."],
                missing=True,
            )
        ]
    cell = {(row["candidate"], row["kl"]): row for row in r["matched_kl"]}
    names = list(dict.fromkeys(row["candidate"] for row in r["matched_kl"]))
    rows: list[list[Cell | str]] = [
        [marked(r, name), *(_kl_cell(cell[name, kl]) for kl in kls)] for name in names
    ]
    return [Table(["minus ppo", *(f"KL {kl:g}" for kl in kls)], rows, summary="Minus ppo at equal KL")]


def _kl_cell(row: Mapping[str, Any]) -> Cell:
    if row["difference"] is None:
        return Cell("not reached")
    return Cell(signed(row["difference"]), ends(row["ci95"]))


VERDICT_LOOKS = {
    "replicated": Look(4, "circle"),
    "contradicted": Look(3, "square"),
    "smaller than published": Look(2, "down"),
    "larger than published": Look(5, "up"),
    "inconclusive": Look(1, "hollow"),
}
"""Verdict -> its mark in the charts."""


def claims(r: Results) -> Section:
    """The section with the paper's claims and this matrix's verdicts on them."""
    if not r["claims"]:
        return absent("claims", "Claims", "There are no claims.")
    tables = list(dict.fromkeys(row["table"] for row in r["claims"]))
    charts = []
    for name in tables:
        run = [row for row in r["claims"] if row["table"] == name and row.get("p_holm") is not None]
        if run:
            title = f"Table {name}" if str(name).isdigit() else str(name)
            charts.append(Chart(title, dots([_claim(row) for row in run], f"{title}, points", reference=0.0)))
    counts = ", ".join(f"{n} {verdict}" for verdict, n in r["verdicts"].items())
    note = (
        f"{counts}. Points, candidate minus baseline, 95 %, paired over items and seeds; p corrected within the "
        "family (primary: the report's error rate of 5 %; exploratory). could see: the smallest difference "
        "detected with 80 % power. Published values are copied, one run each."
    )
    head = [
        "claim",
        "what the paper says",
        "paper",
        "paper could see",
        "here",
        "family",
        "corrected p",
        "could see",
        "verdict",
    ]
    keys = [(look, verdict) for verdict, look in VERDICT_LOOKS.items()] + [(Look(7, "cross"), "published")]
    table = Table(head, [_claim_row(row) for row in r["claims"]], words=2)
    return Section("claims", "Claims", [Text([note]), Panels(charts, keys), table])


def _claim(row: Mapping[str, Any]) -> Dot:
    shape = VERDICT_LOOKS.get(row["verdict"], Look(1, "hollow"))
    tip = f"{row['id']}: {row['verdict']}, {signed(row['effect'])} ({ends(row['ci95'])}), p {p_value(row['p_holm'])}"
    interval = (row["ci95"][0], row["ci95"][1])
    return Dot(row["id"], shape, row["effect"], interval, tip, signed(row["effect"]), row["published_effect"])


def _claim_row(row: Mapping[str, Any]) -> list[Cell | str]:
    text = row["text"] + ("†" if row["stand_in"] else "")
    paper = "not at hand" if row["published_effect"] is None else signed(row["published_effect"])
    seen = "" if row["published_detectable"] is None else f"{row['published_detectable']:.1f}"
    if row["verdict"] == "not run":
        return [row["id"], text, paper, seen, "", row["family"], "", "", Cell("not run", kind="none")]
    here = Cell(signed(row["effect"]), ends(row["ci95"]))
    p = "" if row["p_holm"] is None else p_value(row["p_holm"])
    size = row["size"] if row["size"] != row["verdict"] else ""
    verdict = Cell(row["verdict"], size, kind=VERDICTS[row["verdict"]])
    return [row["id"], text, paper, seen, here, row["family"], p, f"{row['detectable']:.1f}", verdict]
