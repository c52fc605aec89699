"""The settings of `eval --policy` without --recipe: whatever cannot be derived from policy and suites must be given.

The recipe `micro` applies to the items of the micro world only. For other items, an endpoint gets the bare instruction
and a checkpoint its own chat template; answers have at most 300 tokens, at temperature .7 (AlpacaFarm, Dubois et al.
2023).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, DataError
from rlp_bench.api.report import Report
from rlp_bench.evaluation.kinds.table import kind_of
from rlp_bench.evaluation.resolve import load_suite
from rlp_bench.recipes.load import load_recipe, override_content, recipe_of
from rlp_bench.recipes.schema import Recipe

MICRO = "micro"
NO_JUDGE = "constant"
"""In a recipe for suites that are not judged and bring their own prompts, as MMLU."""


def evaluation_recipe(
    policy: str,
    suites: Sequence[str] | None,
    judge: str | None,
    recipe: str | None,
    overrides: Sequence[str],
    *,
    endpoint: bool,
) -> tuple[Recipe, bool]:
    """The recipe to evaluate a policy under, and whether it was named (or is the micro world's own).

    Raises:
        BenchError: items of the micro world and others are mixed, no judge is given, or a checkpoint has no chat
            template and no template is given.
    """
    if recipe is not None:
        return load_recipe(recipe, overrides), True
    micro = load_recipe(MICRO, overrides)
    foreign = [name for name in suites or () if not micro.suites.get(name, name).startswith(f"{MICRO}_")]
    if not foreign:
        return micro, True
    if len(foreign) < len(suites or ()):
        raise BenchError(
            f'eval --policy: suite "{foreign[0]}" is not of the micro world, others are, and they need different '
            "prompts; evaluate them in two calls, or give --recipe"
        )
    judged = [name for name in foreign if kind_of(name, load_suite(name, {}).kind).pairs is not None]
    if judge is None and judged:
        raise BenchError(
            f'eval --policy: suite "{judged[0]}" has no default judge; give --judge NAME, e.g. --judge chat:MODEL, or '
            "--recipe"
        )
    content = _content(policy, judge or NO_JUDGE)
    override_content(content, overrides)
    if judged and not endpoint and "template" not in content["prompting"]:
        content["prompting"]["template"] = chat_template(Path(policy))
    return recipe_of(content), False


def with_settings(report: Report, recipe: Recipe, named: bool) -> Report:
    """The report with its settings: the recipe's id, or without a recipe the template and decoding."""
    if named:
        return {"recipe": recipe.id, **report}
    sections = {"prompting": recipe.prompting, "decoding": recipe.decoding}
    return {
        **report,
        "settings": {name: section.model_dump(mode="json") for name, section in sections.items()},
    }


def _content(policy: str, judge: str) -> dict[str, Any]:
    return {
        "name": "none",
        "base": {"checkpoint": policy},
        "data": {"source": ""},
        "annotator": {"judge": ""},
        "judge": {"name": judge},
        "prompting": {},
        "decoding": {"temperature": 0.7},
    }


def chat_template(folder: Path) -> str:
    """The prompt template of a checkpoint's chat template.

    Raises:
        DataError: the tokenizer has no chat template, or one that does not keep the instruction as it is.
    """
    ask = (
        "give one, e.g. --set 'prompting.template=\"Question: {instruction}\\nAnswer:\"', or a recipe by --recipe; "
        "the micro world's template does not fit these items"
    )
    text = str(registry.load("engine", "transformers")().chat_template(folder))
    if not text:
        raise DataError(
            f'checkpoint "{folder}": has no chat template, and no prompt template is given; {ask}'
        )
    if text.count("{instruction}") != 1:
        raise DataError(
            f'checkpoint "{folder}": its chat template does not contain the instruction once; {ask}'
        )
    return text
