"""Loads recipes: TOML -> frozen `Recipe` with an id; all errors of a recipe are collected and raised together.

A recipe is the problem that methods are compared on. `Recipe.id` is `name@hash` of everything in it but [compute]:
device, processes and threads do not define the problem (like another machine, they can change the last bits of a
float; the run's provenance records them).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rlp_bench.api import registry
from rlp_bench.api.documents import BEYOND, parse_toml, read_text
from rlp_bench.api.errors import BenchError, RecipeError, UnknownName, nearest
from rlp_bench.recipes.schema import Recipe
from rlp_bench.recipes.trainer_settings import build, not_a_trainer, setting_names, shown

FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """Names of the recipes shipped with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_recipe(name_or_path: str) -> Path:
    """The file of a shipped recipe by name, or the path itself if it ends in .toml or has a separator."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        if not path.is_file():
            raise RecipeError(f'recipe "{name_or_path}": no such file; give the path of a .toml file')
        return path
    if name_or_path not in recipe_names():
        raise UnknownName(
            f'recipe "{name_or_path}" does not exist: {nearest(name_or_path, recipe_names())}; '
            "give a name or the path of a .toml file"
        )
    return FOLDER / f"{name_or_path}.toml"


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a name or path, with `a.b=value` overrides applied.

    Raises:
        UnknownName: no shipped recipe has that name.
        RecipeError: all errors of the file and the overrides, one per line.
    """
    path = find_recipe(name_or_path)
    try:
        content = parse_toml(read_text(path, "TOML"))
    except ValueError as error:
        raise RecipeError(f"{path.name}: not TOML: {error}") from None
    faults: list[str] = []
    given: set[str] = set()
    for override in overrides:
        fault = _set(content, override, given)
        if fault:
            faults.append(fault)

    def label(where: str) -> str:
        ours = any(f"{where}.".startswith(f"{key}.") or key.startswith(f"{where}.") for key in given)
        return f"--set {where}" if ours else f"{path.name}: {where}"

    recipe = None
    try:
        recipe = Recipe.model_validate(_tuples(content))
    except ValidationError as error:
        faults += [f"{label(where)}: {message}" for where, message in _explain(error)]
    faults += [f"{label(where)}: {message}" for where, message in _unknown_names(content)]
    faults += [f"{label(where)}: is not a finite number" for where in _not_finite(content)]
    if faults or recipe is None:
        raise RecipeError("\n".join(dict.fromkeys(faults)))
    recipe._overridden = frozenset(given)
    return recipe


def _not_finite(value: Any, where: str = "") -> Iterator[str]:
    """Places of nan and inf, which no setting takes and no fingerprint can hold."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _not_finite(each, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _not_finite(each, where)
    elif isinstance(value, float) and not math.isfinite(value):
        yield where


def override_content(content: dict[str, Any], overrides: Sequence[str]) -> None:
    """Applies `a.b=value` overrides to a recipe's content.

    Raises:
        RecipeError: all errors, one per line.
    """
    faults = [fault for override in overrides if (fault := _set(content, override, set()))]
    if faults:
        raise RecipeError("\n".join(faults))


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """The recipe of a content, for which no file exists; installed names are not checked.

    Raises:
        RecipeError: all errors, one per line.
    """
    try:
        return Recipe.model_validate(_tuples(content))
    except ValidationError as error:
        faults = [f"--set {where}: {message}" for where, message in _explain(error)]
        raise RecipeError("\n".join(faults)) from None


def _set(content: dict[str, Any], override: str, given: set[str]) -> str | None:
    """Sets one `a.b=value` in `content`; returns the error message, if any."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        return f'--set "{override}": expected key.key=value'
    table = content
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return f'--set {key}: "{part}" is a value, not a table'
    try:
        table[parts[-1]] = _value(text.strip())
    except ValueError as error:
        return f"--set {key}: {shown(text)} is not a TOML value ({error})"
    given.add(".".join(parts))
    return None


def _value(text: str) -> Any:
    """A TOML value; also accepts unquoted strings and numbers such as `.05`."""
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError as error:
        if text[:1] in ('"', "'", "[", "{") or str(error).startswith(BEYOND):
            raise
    try:
        return float(text)
    except ValueError:
        return text


def _tuples(value: Any) -> Any:
    """Converts TOML arrays to tuples where the strict models expect tuples; [stages] is unchanged."""
    if not isinstance(value, Mapping):
        return value
    out = dict(value)
    for section in ("evaluation", "tuning", "training"):
        if isinstance(out.get(section), Mapping):
            out[section] = {k: tuple(v) if isinstance(v, list) else v for k, v in out[section].items()}
    return out


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            model = _model_at(fault["loc"][:-1])
            yield where, f"unknown setting; {nearest(str(fault['loc'][-1]), model.model_fields)}"
        elif fault["type"] == "missing":
            yield where, "is missing"
        else:
            yield where, f"{shown(fault['input'])}: {fault['msg']}"


def _model_at(location: Sequence[Any]) -> type[BaseModel]:
    model: type[BaseModel] = Recipe
    for part in location:
        inner = model.model_fields[str(part)].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return model


REFERENCES = {
    "data.source": "suite",
    "data.preferences_from": "suite",
    "data.strengths_from": "suite",
    "engine.name": "engine",
    "annotator.judge": "judge",
    "judge.name": "judge",
}


def _unknown_names(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (where, message) for names that are not installed and for invalid stage settings."""
    for where, group in REFERENCES.items():
        table, key = where.split(".")
        yield from _reference(where, group, _table(content, table).get(key))
    suites = _table(content, "suites")
    for alias, reference in suites.items():
        yield from _reference(f"suites.{alias}", "suite", reference)
    evaluation = _table(content, "evaluation")
    for number, reference in enumerate(_list(evaluation.get("second_judges"))):
        yield from _reference(f"evaluation.second_judges.{number}", "judge", reference)
    for number, alias in enumerate(_list(evaluation.get("suites"))):
        if isinstance(alias, str) and alias not in suites:
            yield f"evaluation.suites.{number}", f'"{alias}" is not in [suites]; {nearest(alias, suites)}'
    yield from _tuning(_table(content, "tuning"))
    for trainer, settings in _table(content, "stages").items():
        if isinstance(settings, Mapping):
            yield from _stage(trainer, settings)


def _tuning(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    stage, setting = section.get("stage"), section.get("setting")
    if not isinstance(stage, str) or not stage:
        return
    if stage not in registry.names("trainer"):
        yield (
            "tuning.stage",
            f'trainer "{stage}" is not installed; {nearest(stage, registry.names("trainer"))}',
        )
        return
    names = setting_names(load_trainer(stage))
    if setting not in names:
        yield "tuning.setting", f'"{setting}" is not a setting of {stage}; {nearest(str(setting), names)}'
    if not section.get("values"):
        yield "tuning.values", "is empty or missing; give the values to choose from"


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _reference(where: str, group: str, reference: Any) -> Iterator[tuple[str, str]]:
    if isinstance(reference, str):
        name = reference.partition(":")[0]
        if name not in registry.names(group):
            yield where, f'{group} "{name}" is not installed; {nearest(name, registry.names(group))}'


def _stage(trainer: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if trainer not in registry.names("trainer"):
        known = registry.names("trainer")
        yield f"stages.{trainer}", f'trainer "{trainer}" is not installed; {nearest(trainer, known)}'
        return
    found = load_trainer(trainer)
    faults = build(found, settings)[1]
    missing_is_fine = [fault for fault in faults if not fault[1].startswith("Field required")]
    yield from ((f"stages.{trainer}.{name}".rstrip("."), message) for name, message in missing_is_fine)


@cache
def load_trainer(name: str) -> type:
    """The trainer class of that name.

    Raises:
        UnknownName: no installed package registers it.
        BenchError: the registered object is not a trainer.
    """
    trainer = registry.load("trainer", name)
    fault = not_a_trainer(name, trainer)
    if fault:
        raise BenchError(fault)
    return trainer
