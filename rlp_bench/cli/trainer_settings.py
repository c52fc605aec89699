"""Rows of `show trainer`: each setting with its type, default and meaning, from the trainer's class."""

import dataclasses
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rlp_bench.recipes.trainer_settings import setting_meanings


def setting_rows(trainer: Any) -> list[dict[str, Any]]:
    """One row per field of a trainer's dataclass."""
    meanings = setting_meanings(trainer)
    return [
        {
            "setting": field.name,
            "type": type_name(field.type),
            "default": _default(field),
            "meaning": meanings.get(field.name, ""),
        }
        for field in dataclasses.fields(trainer)
    ]


def type_name(given: Any) -> str:
    """`int`, `float | None`, `'standard' | 'alpacafarm'`: without module names and bounds."""
    if get_origin(given) is Annotated:
        return type_name(get_args(given)[0])
    if get_origin(given) is Literal:
        return " | ".join(map(repr, get_args(given)))
    if get_origin(given) in (Union, UnionType):
        return " | ".join(type_name(each) for each in get_args(given))
    return "None" if given is type(None) else getattr(given, "__name__", str(given))


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else "(required)"
