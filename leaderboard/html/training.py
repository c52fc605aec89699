"""The sections over-optimization by KL, reward models, synthetic preferences and training curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.statistics import estimate_mean

from .blocks import Block, Cell, Chart, Panels, Results, Section, Table, Text, absent
from .charts import Dot, Line, dots, histogram, lines
from .methods import LOOKS, in_order, legend, look, marked, plain
from .svg import Look, around
from .text import span

BY_KL = (
    ("proxy", "proxy: reward that is optimized", "reward, standard deviations on SFT samples"),
    ("gold", "gold: gold utility", "gold utility"),
    ("win_rate", "win rate", "percent"),
    ("accuracy", "reward model's accuracy on the policy's own pairs", "fraction"),
)
PLACES = (
    ("sft", "accuracy", "pairs of the SFT policy"),
    ("first", "accuracy", "pairs of the first PPO policy"),
    ("own", "accuracy", "pairs of the method's final policy"),
    ("own", "matched", "pairs of the final policy, matched on utility gap"),
)
GROUPS = {
    ("ppo", "score_mean"): "PPO: mean reward of rollouts",
    ("ppo", "kl_k1"): "PPO: KL to the SFT policy, nats per response",
    ("ppo", "ref_perplexity"): "PPO: perplexity of responses under the SFT policy",
}
OWN_SCALE = {"score_mean"}
"""Curves whose scale differs between reward models."""
SOURCES = {
    "rows": "the value of each prompt (bars include their lower end)",
    "metrics": "the stage's ten counts (bars include their upper end; acceptance is not recorded)",
}
SEEDS = tuple(Look(colour) for colour in (4, 3, 5, 2, 6, 7, 1))


def by_kl(r: Results) -> Section:
    """The section with proxy reward, gold utility, win rate and accuracy along the last PPO of every method."""
    points = {name: r.get("points", {})[name] for name in in_order(r, list(r.get("points", {})))}
    if not points:
        return absent("kl", "Proxy and gold by KL", "No run of this matrix has snapshots of PPO.")
    charts = []
    for key, caption, unit in BY_KL:
        series = [_way(r, name, way, key) for name, way in points.items()]
        series = [line for line in series if line.points]
        if series:
            words = f"{unit}, against KL to the SFT policy; the numbers are in the table below the charts"
            charts.append(Chart(caption, lines(series, caption, words), unit))
        else:
            charts.append(Chart(caption, lines([], caption, "nothing measured"), "not measured here"))
    head = ["method", "rollouts", "seeds", "KL", *(caption.partition(":")[0] for _, caption, _ in BY_KL)]
    rows: list[list[Cell | str]] = [
        [
            marked(r, name),
            str(p["rollouts"]),
            str(p["seeds"]),
            f"{p['kl']:.2f}",
            *(_point(p[k]) for k, _, _ in BY_KL),
        ]
        for name, way in points.items()
        for p in way
    ]
    note = (
        "Snapshots of the last PPO, means over seeds with 95 % intervals over seeds; x axis: KL to the SFT policy, "
        "nats per response. Where the proxy rises and gold falls, the reward model is over-optimized (Gao et al. "
        "2022). Thin gray: methods that are not in the legend."
    )
    drawn = [(entry[0], entry[1]) for entry in legend(r, list(points)) if entry[0] in LOOKS.values()]
    table = Table(head, rows, summary="All points")
    return Section("kl", "Proxy and gold by KL", [Text([note]), Panels(charts, drawn), table])


def _way(r: Results, name: str, way: Sequence[Mapping[str, Any]], key: str) -> Line:
    faint = name not in LOOKS
    points = [
        (p["kl"], p[key]["mean"], tuple(p[key]["ci95"]) if p[key]["ci95"] and not faint else None)
        for p in way
        if p[key] is not None
    ]
    return Line(plain(r, name), Look(1) if faint else look(r, name), points, faint)


def _point(value: Mapping[str, Any] | None) -> Cell:
    if value is None:
        return Cell("none")
    digits = 1 if abs(value["mean"]) >= 10 else 2
    small = span(value["ci95"], digits) if value["ci95"] else "one seed"
    return Cell(f"{value['mean']:.{digits}f}".replace("-", "−"), small)


def reward_models(r: Results) -> Section:
    """The section with the pool accuracy of every reward model by the source of the pairs."""
    found = grouped(r["reward_models"])
    if not found:
        return absent(
            "reward-models", "Where reward models are right", "No run of this matrix has a reward model."
        )
    names = ["", *in_order(r, [name for name in found if name])]
    rows = [
        [_right(r, name, found[name], place, key) for name in names if name in found]
        for place, key, _ in PLACES
    ]
    ends = [v for of in rows for dot in of for v in (dot.mean, *(dot.ends or ())) if v is not None]
    within = around(ends, 50.0)
    charts = [
        Chart(
            caption,
            dots(of, f"{caption}, percent right", reference=50.0, within=within),
            sizes(
                [sum(row[place]["pool"]["n"] for row in mine if place in row) for mine in found.values()],
                [len(mine) for mine in found.values()],
            ),
        )
        for of, (place, _, caption) in zip(rows, PLACES, strict=True)
    ]
    note = (
        "How often a reward model orders two samples as the noise-free pool does, percent, ties dropped; mean over "
        "seeds with 95 % interval over seeds. Matched weights the pairs to the distribution of |gold utility gap| "
        "among the SFT policy's: a drop that remains is due to the texts, one that disappears was due to harder pairs. "
        "r_φ is the first reward model, shared by all; the others are retrained ones, named by their method."
    )
    return Section("reward-models", "Where reward models are right", [Text([note]), Panels(charts)])


def sizes(pairs: Sequence[int], seeds: Sequence[int]) -> str:
    """Numbers of pairs (over all seeds) and of seeds in a chart; those of a single row are in its tooltip."""
    known = [n for n in pairs if n]
    if not known:
        return "nothing measured"
    least, most = min(known), max(known)
    return (
        f"n {least}{f' to {most}' if most > least else ''}, seeds {', '.join(map(str, sorted(set(seeds))))}"
    )


def grouped(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """ "" -> the first reward model's rows, one per seed; method -> its retrained model's rows."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    first = [row for row in rows if row["stage"] == "reward" and row["method"] != "rm_retrain"]
    owner = next(
        (m for m in ("ppo", *(row["method"] for row in first)) if any(row["method"] == m for row in first)),
        "",
    )
    for row in rows:
        if row["stage"] == "reward" and row["method"] != "rm_retrain":
            if row["method"] == owner:
                found.setdefault("", []).append(row)
        else:
            found.setdefault(row["method"], []).append(row)
    return found


def _right(r: Results, name: str, rows: Sequence[Mapping[str, Any]], place: str, key: str) -> Dot:
    cells = [row[place]["pool"] for row in rows if place in row]
    values = [100 * cell[key] for cell in cells if cell.get(key) is not None]
    shown, shape = (plain(r, name), look(r, name)) if name else ("r_φ", Look(3, "square"))
    if not values:
        return Dot(shown, shape, None, None, f"{shown}: not measured")
    mean, ends = over_seeds(values)
    n = sum(cell["n"] for cell in cells)
    tip = f"{shown}: {mean:.1f} ({span(ends) or 'one seed, no interval'}), n {n}, {len(values)} seeds"
    return Dot(shown, shape, mean, ends, tip, f"{mean:.1f}")


def over_seeds(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean and 95 % interval over seeds; the interval is None for one seed."""
    if len(values) < 2:
        return values[0], None
    e = estimate_mean(values, bounds=(0.0, 100.0))
    return e.mean, (e.low, e.high)


def preferences(r: Results) -> Section:
    """The section with the accuracy of synthetic preferences and the methods' confidence."""
    if not r["labels"]:
        return absent(
            "preferences", "Synthetic preferences", "No method of this matrix makes synthetic preferences."
        )
    blocks: list[Block] = [
        Text(
            [
                "How often the noise-free pool, and the gold utility, prefer the chosen response; ties dropped. Length "
                "rule: how often the pool prefers the longer of the two, on the same pairs. Percent, 95 % interval "
                "over seeds."
            ]
        )
    ]
    names = in_order(r, [row["method"] for row in r["labels"]])
    of = {row["method"]: row for row in r["labels"]}
    charts = [
        Chart(
            caption,
            dots([_label(r, name, of[name], key) for name in names], f"{caption}, percent", reference=50.0),
            sizes([of[n][key]["n"] for n in names if of[n][key]], [len(of[n]["seeds"]) for n in names]),
        )
        for key, caption in (("pool", "pool agrees"), ("gold", "gold agrees"), ("length_rule", "length rule"))
    ]
    blocks += [Panels(charts, legend(r, names)), *_confidence(r)]
    return Section("preferences", "Synthetic preferences", blocks)


def _label(r: Results, name: str, row: Mapping[str, Any], key: str) -> Dot:
    cell = row[key]
    if cell is None:
        return Dot(plain(r, name), look(r, name), None, None, f"{name}: all pairs are ties")
    mean, ends = 100 * cell["accuracy"], (100 * cell["ci95"][0], 100 * cell["ci95"][1])
    tip = f"{name}: {mean:.1f} ({span(ends)}), n {cell['n']}, {len(row['seeds'])} seeds"
    return Dot(plain(r, name), look(r, name), mean, ends, tip, f"{mean:.1f}")


def _confidence(r: Results) -> list[Block]:
    charts, without = [], []
    for row in r.get("confidence", ()):
        who = ", ".join(plain(r, m) for m in row["methods"])
        if row["from"] is None:
            without.append(f"{row['trainer']} of {who}")
            continue
        yes, no = sum(row["accepted"]), sum(row["rejected"])
        source = SOURCES[row["from"]]
        note = f"{row['measure']}; {yes} accepted, {no} not, {row['without']} without; from {source}"
        words = "; ".join(
            f"to {(n + 1) / 10:g}: {a} accepted, {b} not"
            for n, (a, b) in enumerate(zip(row["accepted"], row["rejected"], strict=True))
        )
        svg = histogram(row["accepted"], row["rejected"], f"Confidence of {who}", words, row["threshold"])
        charts.append(Chart(f"{row['trainer']}: {who}", svg, f"{note}; {len(row['seeds'])} seeds"))
    blocks: list[Block] = [
        Text(
            [
                "Confidence of every prompt, counts over seeds; dashed: the threshold. A confidence of 1 is not "
                "accepted, because all samples mean the same and none can be rejected."
            ]
        )
    ]
    if charts:
        blocks.append(Panels(charts, [(Look(4, "square"), "accepted"), (Look(0, "square"), "not accepted")]))
    else:
        blocks.append(Text(["No stage of this matrix stores its confidence."], missing=True))
    if without:
        blocks.append(Text([f"No confidence is stored by: {'; '.join(without)}."], missing=True))
    return blocks


def curves(r: Results) -> Section:
    """The section with one small panel per stage and metric, one line per seed."""
    given = (r.get("curves") or {}).get("groups", ())
    if not given:
        return absent("curves", "Training curves", "No stage of this matrix has a log.jsonl.")
    seeds = sorted({int(s) for g in given for c in g["curves"].values() for s in c["lines"]})
    note = (
        f"One line per seed; adjacent rows are averaged if a log has more than {r['curves']['points']} rows. Panels of "
        "a row have the same scale, except for rewards, whose scale differs between reward models."
    )
    legend_ = [(SEEDS[n % len(SEEDS)], f"seed {seed}") for n, seed in enumerate(seeds)]
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for group in given:
        for key in group["curves"]:
            rows.setdefault((group["trainer"], key), []).append(group)
    blocks: list[Block] = [Text([note, *_shared(r, given)])]
    order = sorted(rows, key=lambda row: (list(GROUPS).index(row) if row in GROUPS else len(GROUPS), row[0]))
    for place, (trainer, key) in enumerate(order):
        groups = rows[trainer, key]
        title = GROUPS.get((trainer, key), f"{trainer}: {groups[0]['curves'][key]['label']}")
        heights = [p[1] for g in groups for line in g["curves"][key]["lines"].values() for p in line]
        scale = None if key in OWN_SCALE else around(heights)
        charts = [_curve(r, group, key, seeds, scale) for group in groups]
        blocks.append(Panels(charts, legend_, small=True, summary=title, open=place < 2))
    without = (r.get("curves") or {}).get("without", ())
    if without:
        blocks.append(Text([f"Stages without a log: {', '.join(without)}."], missing=True))
    return Section("curves", "Training curves", blocks)


def _shared(r: Results, given: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{g['stage']} is shared by {len(g['methods'])} methods: {', '.join(plain(r, m) for m in g['methods'])}."
        for g in given
        if len(g["methods"]) > 2
    ]


def _curve(
    r: Results, group: Mapping[str, Any], key: str, seeds: Sequence[int], scale: tuple[float, float] | None
) -> Chart:
    curve = group["curves"][key]
    series = [
        Line(f"seed {seed}", SEEDS[n % len(SEEDS)], [(p[0], p[1], None) for p in curve["lines"][str(seed)]])
        for n, seed in enumerate(seeds)
        if str(seed) in curve["lines"]
    ]
    many = len(group["methods"]) > 2
    who = f"{len(group['methods'])} methods" if many else ", ".join(plain(r, m) for m in group["methods"])
    caption = f"{who}: {group['stage']}"
    words = "; ".join(
        f"{line.name} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in series
    )
    svg = lines(
        series, f"{curve['label']}, {caption}", words, size=(220.0, 130.0), y_range=scale, marks=False
    )
    return Chart(caption, svg)
