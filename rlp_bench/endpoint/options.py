"""Parses endpoint arguments: `MODEL,option=value,...` or `FILE.toml,option=value,...`."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.request import canonical

CONNECTION: dict[str, type] = {
    **{field.name: str for field in fields(Connection)},
    "timeout": float,
    "attempts": int,
    "first_pause": float,
    "max_concurrency": int,
    "retry_failures": bool,
    "price_in": float,
    "price_out": float,
}
"""The options of a `Connection` and their types."""
MODEL: dict[str, type] = {
    **CONNECTION,
    "model": str,
    "snapshot": str,
    "max_tokens_name": str,
    "send_seed": bool,
}
"""The options of a model and its connection."""
FREE = "extra."
"""Options with this prefix are sent in the request unchanged: `extra.reasoning_effort=low`."""
TRUTH = {"true": True, "false": False}
NAMED = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read_options(where: str, argument: str, known: Mapping[str, type]) -> dict[str, Any]:
    """Option -> value of the option's type; the first part without "=" is "model".

    Tables of a TOML file become dotted names (`[extra] top_k = 1` is "extra.top_k"); later values override earlier
    ones; file names in the options "prompt" and "system" of a TOML file are relative to it.

    Raises:
        UnknownName: an option is not in `known`; the message has the nearest name.
        DataError: a value has another type, or the file is missing or not TOML.
    """
    found: dict[str, Any] = {}
    for place, part in enumerate(argument.split(",") if argument else []):
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            if place:
                raise DataError(
                    f'{where}: "{part}" is not an option; expected name=value after the first comma'
                )
            found.update(_of_file(where, Path(name), known) if name.endswith(".toml") else {"model": name})
            continue
        _check_name(where, name, known)
        found[name] = _free(value) if name.startswith(FREE) else _typed(where, name, value, known[name])
    return found


def connection_of(options: Mapping[str, Any]) -> Connection:
    """The connection that the options describe."""
    return Connection(**{name: value for name, value in options.items() if name in CONNECTION})


def model_of(options: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """The options that describe the model, for manifests and requests: its provider, name and request options."""
    return {
        "provider": connection.provider_name(),
        "model": options["model"],
        "snapshot": options.get("snapshot", ""),
        "max_tokens_name": options.get("max_tokens_name", "max_tokens"),
        "send_seed": options.get("send_seed", True),
        "extra": canonical(extra_of(options)),
    }


def extra_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The `extra.` options as nested dicts, to be sent in the request unchanged."""
    extra: dict[str, Any] = {}
    for name, value in options.items():
        if name.startswith(FREE):
            *above, last = name.removeprefix(FREE).split(".")
            inner = extra
            for key in above:
                inner = inner.setdefault(key, {})
            inner[last] = value
    return extra


def _check_name(where: str, name: str, known: Mapping[str, type]) -> None:
    if name.startswith(FREE) and "logit_bias" in name.split("."):
        raise DataError(
            f'{where}: "{name}": token ids depend on the tokenizer, and the server\'s is unknown; leave it out'
        )
    if name not in known and not (name.startswith(FREE) and len(name) > len(FREE)):
        raise UnknownName(f'{where}: no option "{name}"; {nearest(name, [*known, FREE + "..."])}')


def _free(value: str) -> Any:
    """The JSON value of the text, or the text itself if it is not JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _typed(where: str, name: str, value: Any, kind: type) -> Any:
    """A value from the command line (text) or from TOML, converted to `kind`."""
    if isinstance(value, str) and kind is not str:
        try:
            return TRUTH[value.lower()] if kind is bool else kind(value)
        except (ValueError, KeyError):
            pass
    elif kind is float and type(value) is int:
        return float(value)
    elif type(value) is kind:
        return value
    raise DataError(f"{where}: {name}={value}: expected {NAMED[kind]}")


def _of_file(where: str, path: Path, known: Mapping[str, type]) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f'{where}: "{path}": cannot be read ({error.strerror}); give an existing file'
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f'{where}: "{path}": not TOML ({error}); expected name = value lines') from None
    found: dict[str, Any] = {}
    for name, value in _flat(table):
        _check_name(f'{where}: "{path}"', name, known)
        found[name] = (
            value if name.startswith(FREE) else _typed(f'{where}: "{path}"', name, value, known[name])
        )
        if name.rpartition(".")[2] in ("prompt", "system") and (path.parent / str(value)).is_file():
            found[name] = str(path.parent / str(value))
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value
