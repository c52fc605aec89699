"""`rlp-bench audit`: a judge's own report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.types import LabelledPair
from rlp_bench.cli.options import Json, plugin_names
from rlp_bench.display import Display, pairs, print_json, show, table

ALIASES = {"llmbar": "llmbar_pairs"}
"""What people call a suite of pairs -> its name."""


def audit(
    judge: Annotated[
        str,
        typer.Argument(
            help="name or name:argument, for example replay:result.json.",
            autocompletion=plugin_names("judge"),
        ),
    ],
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="Labelled pairs: llmbar, micro_llmbar_pairs, or any suite of that kind.",
            autocompletion=plugin_names("suite"),
        ),
    ] = "llmbar",
    data: Annotated[Path | None, typer.Option("--data", help="The suite's folder or file.")] = None,
    humans: Annotated[
        Path | None, typer.Option("--humans", help="Annotations of people on other pairs, to agree with.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Ask everything so often, with other seeds.", min=1)
    ] = 1,
    as_json: Json = False,
) -> None:
    """Judge a judge: accuracy, both orders, position, agreement with people, agreement with itself."""
    from rlp_bench.evaluation.judge_audit import audit as ask_everything
    from rlp_bench.evaluation.judge_audit import human_agreement
    from rlp_bench.evaluation.resolve import load_judge

    loaded = load_judge(judge)
    with Display(quiet=as_json) as display:
        task = display.task("audit")
        found = ask_everything(loaded, labelled_pairs(loaded, suite, data), task, repeats)
        if humans is not None:
            found["humans"] = human_agreement(loaded, load_judge(f"human:{humans}"), task)
        task.close()
    if as_json:
        print_json({"suite": suite, **found["statistics"], **found})
        return
    show(*_tables(judge, found))


def labelled_pairs(judge: Any, suite: str, data: Path | None) -> list[LabelledPair]:
    """The suite's pairs; without --data, those that a replayed file of that suite judged.

    Raises:
        DataError: the suite has no labelled pairs.
    """

    rows = judge.rows() if data is None and hasattr(judge, "rows") else []
    if rows and "results" in rows[0]:
        return [LabelledPair(r["input"], r["output_1"], r["output_2"], r["label"]) for r in rows]
    reference = ALIASES.get(suite, suite)
    found = registry.resolve("suite", reference if data is None else f"{reference.partition(':')[0]}:{data}")
    if getattr(found, "kind", None) != "pairs":
        raise DataError(
            f'audit --suite "{suite}": has no labelled pairs; expected llmbar or another suite of pairs'
        )
    return list(found.items())


def _tables(name: str, found: Mapping[str, Any]) -> list[Any]:
    columns = ["subset", ">order given", ">swapped", ">average", ">both right", ">equal"]
    keys = ("correct_False", "correct_True", "correct_average", "correct_both", "equal")
    named = {**{k: v for k, v in found["subsets"].items() if k}, "all": found["statistics"]}
    rows = [(subset, *(f"{s[key]:.1f}" for key in keys)) for subset, s in named.items()]
    accuracy = found["accuracy"]
    facts: list[tuple[str, str]] = [
        ("accuracy", f"{accuracy['mean']:.1f} ({accuracy['ci95'][0]:.1f} to {accuracy['ci95'][1]:.1f})"),
        ("the longer answer is right", f"{found['longest']:.1f}"),
        (
            "prefers what is shown first",
            "" if found["first_preferred"] is None else f"{100 * found['first_preferred']:.1f}",
        ),
        ("ties; no verdict", f"{found['ties']}; {found['unparsed']} of {2 * found['n']}"),
    ]
    if found["adversarial_mean"] is not None:
        facts.append(("mean of adversarial subsets", f"{found['adversarial_mean']:.1f}"))
    if found["self_agreement"] is not None:
        facts.append(("agrees with itself", f"{found['self_agreement']:.1f}"))
    humans = found.get("humans")
    if humans:
        facts.append(
            ("of the people's majority", f"{humans['judge']['mean']:.1f} (n {humans['judge']['n']})")
        )
        facts.append(("the longer answer is", f"{humans['longest']['mean']:.1f}"))
        facts += [(f"people: {key}", str(value)) for key, value in humans["people"].items()]
    return [table(f"{name}, percent right", columns, rows), pairs("", facts)]
