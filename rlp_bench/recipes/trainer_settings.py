"""A trainer's settings: its dataclass fields, checked by name and type before a run starts."""

import ast
import copy
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rlp_bench.api.errors import BenchError, nearest

REQUIRED = ("name", "version", "inputs", "output", "uses")


def setting_names(trainer: type) -> list[str]:
    """The settings that `[stages.<trainer>]` may have."""
    return [field.name for field in dataclasses.fields(trainer) if field.init]


def setting_meanings(trainer: type) -> dict[str, str]:
    """Setting -> the docstring below the field (meaning, unit, source), inherited fields included."""
    found: dict[str, str] = {}
    for owner in reversed(trainer.__mro__):
        if "__annotations__" in vars(owner):
            found |= _lines_below_fields(owner)
    return found


def _lines_below_fields(cls: type) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(after.value.value))
    return found


def not_a_trainer(name: str, trainer: Any) -> str | None:
    """Why a plug-in is not an `api.Trainer`, as an error message; None if it is one."""
    if not (isinstance(trainer, type) and dataclasses.is_dataclass(trainer)):
        return (
            f'trainer "{name}": is not a dataclass; make it a frozen dataclass whose fields are its settings'
        )
    missing = [part for part in (*REQUIRED, "train") if not hasattr(trainer, part)]
    if missing:
        return f'trainer "{name}": lacks {", ".join(missing)}; see rlp_bench.api.protocols.Trainer'
    return None


def build(trainer: type, settings: Mapping[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """The trainer with these settings, or None, and the errors as (setting, message).

    Types are checked strictly, as JSON: "3" is not a number, 1 is a valid float, a list is a valid tuple.
    """
    names = setting_names(trainer)
    problems = [(key, f"unknown setting; {nearest(key, names)}") for key in settings if key not in names]
    known = {key: value for key, value in settings.items() if key in names}
    try:
        text = json.dumps(known)
    except TypeError as error:
        return None, [*problems, ("", f"settings must be plain values ({error})")]
    try:
        instance: Any = TypeAdapter(trainer).validate_json(text, strict=True)
    except ValidationError as error:
        return None, problems + list(_messages(error))
    except BenchError as error:
        return None, [*problems, ("", str(error))]
    return (None if problems else instance), problems


def canonical(instance: Any) -> dict[str, Any]:
    """All settings of a trainer as JSON values, defaults included."""
    return TypeAdapter(type(instance)).dump_python(instance, mode="json")


def default_settings(instance: Any) -> dict[str, Any]:
    """The defaults of a trainer's settings as JSON values; settings without a default are left out."""
    defaults = {}
    for field in dataclasses.fields(instance):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    at_default = copy.copy(instance)
    for name, value in defaults.items():
        object.__setattr__(at_default, name, value)  # the dataclass is frozen; __post_init__ is skipped
    return {name: value for name, value in canonical(at_default).items() if name in defaults}


def changed_settings(instance: Any) -> dict[str, Any]:
    """The settings that differ from their defaults; part of the fingerprint.

    So a new setting whose default keeps the old behavior changes no fingerprint, and a changed default must come with
    a new `version` of the trainer.
    """
    defaults = default_settings(instance)
    return {
        name: value
        for name, value in canonical(instance).items()
        if name not in defaults or not _equal(value, defaults[name])
    }


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 equals 1.0 but not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _messages(error: ValidationError) -> Iterator[tuple[str, str]]:
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"])
        given = "" if fault["type"] == "missing" else f"{shown(fault['input'])}: "
        yield where, given + fault["msg"]


def shown(value: Any) -> str:
    """A given value for an error message, truncated to 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
