"""`rlp-bench audit`: measures the quality of a judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.types import LabeledPair
from rlp_bench.cli.options import Json, Strict, plugin_names
from rlp_bench.display import Display, pairs, print_json, show, table

ALIASES = {"llmbar": "llmbar_pairs"}
"""Short name of a suite of pairs -> its registered name."""


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
            help="Suite of labeled pairs: llmbar, micro_llmbar_pairs, or another one.",
            autocompletion=plugin_names("suite"),
        ),
    ] = "llmbar",
    data: Annotated[Path | None, typer.Option("--data", help="The suite's folder or file.")] = None,
    humans: Annotated[
        Path | None, typer.Option("--humans", help="File of human annotations, to measure agreement with.")
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", help="Repeat all judgments with this many seeds.", min=1)
    ] = 1,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out pairs with missing verdicts.")
    ] = False,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Audit a judge: accuracy in both orders, position bias, agreement with humans and with itself."""
    from rlp_bench.api.rows import reading
    from rlp_bench.evaluation.human_agreement import human_agreement
    from rlp_bench.evaluation.judge_audit import audit as ask_everything
    from rlp_bench.evaluation.resolve import load_judge

    with Display(quiet=as_json) as display, reading(strict) as files:
        loaded = load_judge(judge)
        task = display.task("audit")
        items = labeled_pairs(loaded, suite, data)
        found = ask_everything(loaded, items, task, repeats, allow_missing=allow_missing)
        if humans is not None:
            people: Any = load_judge(f"human:{humans}")
            found["humans"] = human_agreement(loaded, people, task, allow_missing=allow_missing)
        task.close()
        for line in files.lines():
            display.say(line)
    if as_json:
        print_json({"suite": suite, **found["statistics"], **found, **files.found()})
        return
    show(*_tables(judge, found))


def labeled_pairs(judge: Any, suite: str, data: Path | None) -> list[LabeledPair]:
    """The suite's labeled pairs; without --data, for a replay judge those in its file.

    Raises:
        DataError: the suite has no labeled pairs.
    """
    reference = ALIASES.get(suite, suite)
    if reference == ALIASES["llmbar"] and data is None and hasattr(judge, "labeled"):
        stored: list[LabeledPair] = judge.labeled()
        if stored:
            return stored
    found = registry.resolve("suite", reference if data is None else f"{reference.partition(':')[0]}:{data}")
    if getattr(found, "kind", None) != "pairs":
        raise DataError(
            f'audit --suite "{suite}": has no labeled pairs; expected llmbar or another suite of pairs'
        )
    return list(found.items())


def _tables(name: str, found: Mapping[str, Any]) -> list[Any]:
    columns = ["subset", ">order given", ">swapped", ">average", ">both right", ">equal"]
    keys = ("correct_False", "correct_True", "correct_average", "correct_both", "equal")
    named = {**{k: v for k, v in found["subsets"].items() if k}, "all": found["statistics"]}
    rows = [(subset, *(f"{s[key]:.1f}" if s else "none" for key in keys)) for subset, s in named.items()]
    counts = ", ".join(f"{n} {kind}" for kind, n in found["coverage"].items() if n)
    facts: list[tuple[str, str]] = [
        ("accuracy", _rate(found["accuracy"])),
        ("the longer answer is correct", f"{found['longest']:.1f}"),
        ("prefers the first answer", f"{100 * found['first_preferred']:.1f}"),
        ("pairs; tied verdicts", f"{counts}; {found['ties']} of {2 * found['n_scored']}"),
    ]
    if found["mirrored"]:
        facts.append(("duplicate pairs, in either order", str(found["mirrored"])))
    if found["adversarial_mean"] is not None:
        facts.append(("mean of adversarial subsets", f"{found['adversarial_mean']:.1f}"))
    if found["self_agreement"] is not None:
        facts.append(("self-agreement", f"{found['self_agreement']:.1f}"))
    tables = [table(f"{name}, percent correct", columns, rows), pairs("", facts)]
    return [*tables, _with_people(found["humans"])] if "humans" in found else tables


def _with_people(found: Mapping[str, Any]) -> Any:
    """Table of agreement with the human majority: another human, the judge and the length rule."""
    one, whole = found["leave_one_out"], found["majority"]
    rows = [
        (who, _rate(one[key]), _rate(whole[key]) if key in whole else "")
        for who, key in (
            ("another human", "people"),
            ("the judge", "judge"),
            ("the longer answer", "longest"),
        )
    ]
    rows.append(("pairs without a majority", str(one["divided"]), str(whole["divided"])))
    counts = ", ".join(f"{n} {kind}" for kind, n in found["coverage"].items() if n)
    title = f"percent agreement with the human majority ({counts}; {found['people']['annotators']} humans)"
    return table(title, ["", ">of the others' votes", ">of all votes"], rows)


def _rate(found: Mapping[str, Any]) -> str:
    """`93.5 (88.9 to 98.1), n 100`."""
    if found["mean"] is None:
        return "none"
    low, high = found["ci95"]
    return f"{found['mean']:.1f} ({low:.1f} to {high:.1f}), n {found['n']}"
