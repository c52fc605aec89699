"""A result of a matrix by hand, as `rlp_bench.analysis.html_data.html_data` gives it, with texts that mean harm."""

import copy
from typing import Any

BREAK_OUT = '</script><img src=x onerror="window.hacked=1"><script>window.hacked=2</script>\'"><b onclick=x>'
HOSTILE = [
    BREAK_OUT,
    "nul \x00 and escape \x1b[31m and bell \x07",
    "half a pair \ud800 and its other half \udc00",
    "turned \u202egnitirw\u202c and lines \u2028 apart \u2029",
    "{{ 7 * 7 }} {% for x in y %} ${7*7} <!-- --> ]]> &lt;b&gt;",
    "endless " * 131072,
]
METHODS = {"ppo": 52.0, "rlp_spg": 55.0, "base": 20.0, "constant": 7.0}
SUBSETS = ("koala", "vicuna")


def cell(rate: float, seeds: int, n: int = 80) -> dict[str, Any]:
    return {
        "win_rate": rate,
        "standard_error": 2.0,
        "ci95": [rate - 4, rate + 4],
        "seeds": list(range(seeds)),
        "n_items": n,
    }


def compared(candidate: str, difference: float, p: float) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "baseline": "ppo",
        "seeds": [0, 1],
        "n_items": 80,
        "difference": difference,
        "standard_error": 1.0,
        "ci95": [difference - 2, difference + 2],
        "p": p,
        "p_holm": p,
        "smallest_detectable_difference": 2.8,
        "verdict": f"{candidate} is better" if p < 0.05 else "inconclusive: below 2.8 is often missed",
    }


def claim(id: str, verdict: str) -> dict[str, Any]:
    run = {"effect": 3.0, "ci95": [1.0, 5.0], "p": 0.01, "p_holm": 0.02, "detectable": 2.5}
    row = {"id": id, "table": "2", "text": f"a wins {BREAK_OUT}", "stand_in": False, "verdict": verdict}
    row |= {"family": "primary", "size": ""}
    row |= {"published": [50.2, 46.8], "published_effect": 3.4, "published_detectable": 7.0}
    return row | (run if verdict != "not run" else {"effect": None, "ci95": None, "p": None, "p_holm": None})


def samples(n: int) -> list[dict[str, Any]]:
    """n instructions; the first ones hostile, the k-th mentions `number k`."""
    return [
        {
            "id": f"{k:016x}",
            "instruction": f"number {k} {HOSTILE[k] if k < len(HOSTILE) else 'tell me'}",
            "input": "",
            "subset": SUBSETS[k % 2],
            "category": "qa" if k % 3 else BREAK_OUT,
            "reference": None if k == 1 else f"reference {k}",
            "answers": [
                {
                    "method": method,
                    "seed": 0,
                    "text": HOSTILE[k] if k < len(HOSTILE) else f"{method} says {k}",
                    "tokens": 4,
                    "score": None if method == "base" else 0.5,
                }
                for method in METHODS
            ],
        }
        for k in range(n)
    ]


def curves() -> dict[str, Any]:
    line = [[float(step), 0.5 + step / 100] for step in range(20)]
    group = {
        "trainer": "ppo",
        "stage": "ppo",
        "methods": ["ppo"],
        "curves": {"score_mean": {"label": "reward", "lines": {"0": line, "1": line[:1]}}},
    }
    return {"groups": [group], "without": ["spg"], "points": 100}


def scores(seeds: int) -> dict[str, Any]:
    """80 items a method and seed; ppo and rlp_spg cannot be told apart, the others can."""
    # wins at seed 0, and how many more a seed
    wins = {"ppo": (42, 1), "rlp_spg": (44, -1), "base": (16, 2), "constant": (5, 0)}
    return {
        name: {
            s: {f"item {k}": float((k * 7 + s) % 80 < won + more * s) for k in range(80)}
            for s in range(seeds)
        }
        for name, (won, more) in wins.items()
    }


def took(flops: float | None) -> dict[str, Any]:
    known = {"wall_seconds": 2.0, "cpu_seconds": 1.5, "samples_per_second": 100.0, "peak_bytes": 3e8}
    return {**known, "artifacts": 2, "unmetered": 0, "resumed": 1, "flops": flops, "flops_are_all": False}


def place(mean: float | None) -> dict[str, Any]:
    return {"pool": {"accuracy": mean, "matched": mean, "n": 30}}


def result(seeds: int = 2, instructions: int = 25) -> dict[str, Any]:
    """A matrix of four methods, one of them a control, one a stand-in."""
    rates = {name: cell(rate, seeds) for name, rate in METHODS.items()}
    point = {"mean": 1.0, "ci95": [0.5, 1.5] if seeds > 1 else None, "n": seeds}
    points = [
        {"rollouts": k, "seeds": seeds, "kl": float(k), "proxy": point, "gold": None, "win_rate": point}
        | {"accuracy": point, "length": point}
        for k in (0, 10)
    ]
    facts = {
        "seeds": list(range(seeds)),
        "kl": [2.0] * seeds,
        "length_tokens": [20.0] * seeds,
    }
    judge = {"name": "chat", "version": "1", "prompt_sha256": "abc123", "note": BREAK_OUT}
    main = {
        "suite": "alpacafarm",
        "suite_version": "1",
        "metric": "win_rate.soft",
        "order": "both",
        "evidence": "",
    }
    label = {"accuracy": 0.8, "se": 0.01, "ci95": [0.75, 0.85], "n": 60}
    found = {
        "matrix": {
            "recipe_id": "nano@0123abcd",
            "methods": list(METHODS),
            "seeds": list(range(seeds)),
            "failed": {},
            "match_steps": False,
        },
        "versions": {"rlp-bench": "0.1.0"},
        "machine": {"processor": "a", "cores": 2, "system": "b"},
        "judge": judge,
        "judge_hash": "0" * 16,
        "main": "alpacafarm",
        "suites": {"alpacafarm": rates, "vicuna": {n: rates[n] for n in ("ppo", "rlp_spg")}},
        "second": {"gold": rates},
        "subsets": dict.fromkeys(SUBSETS, rates),
        "runs": dict.fromkeys(METHODS, facts),
        "stand_ins": {"rlp_spg": ["spg"]},
        "trained_on_judge": ["ppo"],
        "methods": {n: {"text": "what", "source": "where", "control": n == "constant"} for n in METHODS},
        "measured": {
            "alpacafarm": {**main, "judge": judge, "data": {"items": "f" * 64}},
            "vicuna": {
                **main,
                "judge": judge,
                "data": {"items": "e" * 64},
                "evidence": "subset of alpacafarm",
            },
        },
        "coverage": {
            "alpacafarm": {
                n: {"seeds": seeds, "n_items": 80, "n_scored": 78, "lost": {"unparsed": 2}} for n in METHODS
            }
        },
        "scores": scores(seeds),
        "longest": {"ppo": [90.0] * seeds},
        "length_controlled": {},
        "comparisons": [compared("rlp_spg", 3.0, 0.01), compared("constant", -45.0, 0.2)],
        "against_control": [],
        "matched_kl": [{"kl": 1.0, "candidate": "rlp_spg", "baseline": "ppo", "difference": None}],
        "points": {"ppo": points},
        "reward_models": [
            {"method": "ppo", "seed": s, "stage": "reward", "sft": place(0.6 + s / 50), "own": place(0.5)}
            for s in range(seeds)
        ],
        "labels": [
            {
                "method": "rlp_spg",
                "seeds": list(range(seeds)),
                "pool": label,
                "gold": None,
                "length_rule": label,
            }
        ],
        "confidence": [
            {
                "trainer": "spg",
                "methods": ["rlp_spg"],
                "threshold": 0.5,
                "seeds": list(range(seeds)),
                "from": "rows",
                "measure": "share of the largest cluster",
                "accepted": [0] * 5 + [9, 8, 7, 6, 0],
                "rejected": [30, 20, 10, 5, 5, 0, 0, 0, 0, 1],
                "without": 3,
            },
            {"trainer": "reward_pairs", "methods": ["ppo"], "from": None},
        ],
        "throughput": {
            "machines": ["a, 2 cores"],
            "devices": ["cpu"],
            "notes": ["a note"],
            "formula": "6 N",
            "stages": [{"stage": "ppo", "methods": ["ppo"], **took(3.2e12)}],
            "methods": [{"method": "ppo", "runs": 2, **took(3.2e12)}],
            "total": took(None),
        },
        "budgets": {"ppo": {"tokens_trained": 1.2e6, "cpu_seconds": 88.0}},
        "claims": [claim("T2-a", "replicated"), claim("T2-b", "contradicted"), claim("T2-c", "not run")],
        "verdicts": {"replicated": 1, "contradicted": 1, "inconclusive": 0, "not run": 1},
        "curves": curves(),
        "samples": {"suite": "alpacafarm", "seed": 0, "of": 80, "rows": samples(instructions)},
        "missing": [],
    }
    return copy.deepcopy(found)
