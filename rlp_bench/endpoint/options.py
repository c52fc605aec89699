"""Parses endpoint arguments: `MODEL,option=value,...` or `FILE.toml,option=value,...`."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlp_bench.api.documents import NotJson, fault_of, json_value, read_toml
from rlp_bench.api.errors import DataError, UnknownName, nearest
from rlp_bench.endpoint.connection import FROM_ENVIRONMENT, TOKEN, Connection
from rlp_bench.endpoint.request import canonical

CONNECTION: dict[str, type] = {
    **{field.name: str for field in fields(Connection) if field.name not in ("query", "headers")},
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
QUERY, HEADERS = "extra_query.", "extra_headers."
"""Options with these prefixes are sent in the address and as headers; `env:NAME` as a value is read from $NAME."""
PREFIXES = (FREE, QUERY, HEADERS)
OMITTABLE = ("temperature", "top_p", "max_tokens")
"""Request fields that the value "none" leaves out."""
SET_ELSEWHERE: dict[str, type] = dict.fromkeys(OMITTABLE, type(None))
"""The types of these options where their values come from a recipe or a pool: only "none" can be given."""
FIXED = {"model": None, "messages": None, "stream": False, "n": 1}
"""Request fields that no `extra.` option may change, and the value that does no harm."""
SECRET = re.compile(
    r"authorization|cookie|secret|passw|credential|api[-_]?key|(?:access|auth)[-_]?token", re.I
)
"""Names whose values are keys."""
SECRET_PARAMETER = re.compile(r"(?:^|[-_.])(?:key|token|sig|code)$", re.I)
"""More such names of headers and parameters of the address."""
SECRET_VALUE = re.compile(r"(?:sk|hf|gsk|xai|pk)[-_]\w|bearer |basic ", re.I)
TRUTH = {"true": True, "false": False}
NAMED = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "none, which leaves it out of the request; its value is set elsewhere",
}


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
        found[name] = _value(
            where, name, _free(where, name, value) if name.startswith(FREE) else value, known
        )
    return _own_options(where, found, known)


def connection_of(options: Mapping[str, Any]) -> Connection:
    """The connection that the options describe."""
    own = {name: value for name, value in options.items() if name in CONNECTION}
    return Connection(
        **own,
        query=canonical(_with_prefix(options, QUERY)),
        headers=canonical(_with_prefix(options, HEADERS)),
    )


def model_of(options: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """The options that describe the model, for manifests and requests: its provider, name and request options.

    Parameters of the address and headers are there only if any are given.
    """
    more = {"query": connection.query_given(), "headers": connection.headers_given()}
    return {
        "provider": connection.provider_name(),
        "model": options["model"],
        "snapshot": options.get("snapshot", ""),
        "max_tokens_name": options.get("max_tokens_name", "max_tokens"),
        "send_seed": options.get("send_seed", True),
        "extra": canonical(extra_of(options)),
        **{name: canonical(given) for name, given in more.items() if given},
    }


def omitted(options: Mapping[str, Any]) -> list[str]:
    """The request fields that are left out by "none"."""
    return [name for name in OMITTABLE if name in options and options[name] is None]


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


def _with_prefix(options: Mapping[str, Any], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}


def _check_name(where: str, name: str, known: Mapping[str, type]) -> None:
    if name.startswith(FREE) and "logit_bias" in name.split("."):
        raise DataError(
            f'{where}: "{name}": token ids depend on the tokenizer, and the server\'s is unknown; leave it out'
        )
    prefix = next((one for one in PREFIXES if name.startswith(one) and len(name) > len(one)), "")
    if name not in known and not prefix:
        raise UnknownName(
            f'{where}: no option "{name}"; {nearest(name, [*known, *(p + "..." for p in PREFIXES)])}'
        )
    if prefix == HEADERS and not TOKEN.fullmatch(name.removeprefix(HEADERS)):
        raise DataError(f'{where}: "{name}": expected the name of a header after {HEADERS}')


def _value(where: str, name: str, value: Any, known: Mapping[str, type]) -> Any:
    """The value of an option; one that would write a key into manifests and the cache is refused."""
    if not name.startswith(PREFIXES):
        return _typed(where, name, value, known[name])
    secret = SECRET.search(name) or (isinstance(value, str) and SECRET_VALUE.match(value))
    if secret or SECRET_PARAMETER.search(name):
        where = re.sub(r',.*(?=")', ",...", where)  # the message would show the key
    if name.startswith(FREE):
        if secret:
            raise DataError(f'{where}: "{name}" is a key, which would be stored; give it by key_env=VARIABLE')
        field = name.removeprefix(FREE)
        if field in FIXED and value != FIXED[field]:
            raise DataError(f'{where}: "{name}": this field is set by rlp-bench; leave it out')
        return value
    if not isinstance(value, str) or not value.isprintable() or not value.isascii():
        raise DataError(f"{where}: {name}: expected text in printable ASCII")
    if (secret or SECRET_PARAMETER.search(name)) and not value.startswith(FROM_ENVIRONMENT):
        raise DataError(
            f'{where}: "{name}" is a key, which would be stored; put it into a variable, and give '
            f"{name}={FROM_ENVIRONMENT}VARIABLE"
        )
    return value


def _own_options(where: str, found: dict[str, Any], known: Mapping[str, type]) -> dict[str, Any]:
    """`extra.temperature` and the like as the options that they are, so that manifests show what is sent."""
    for name in OMITTABLE:
        extra = f"{FREE}{name}"
        if name in known and extra in found and "max_tokens_name" not in found:
            value = found.pop(extra)
            found[name] = None if value is None else _typed(where, name, value, known[name])
    return found


def _free(where: str, name: str, value: str) -> Any:
    """The JSON value of the text, or the text itself if it is not JSON."""
    try:
        found = json_value(value)
    except NotJson:
        return value
    if fault := fault_of(found):
        raise DataError(f"{where}: {name} {fault}; expected a shorter value")
    return found


def _typed(where: str, name: str, value: Any, kind: type) -> Any:
    """A value from the command line (text) or from TOML, converted to `kind`; None for "none" if it may be left out."""
    if name.rpartition(".")[2] in OMITTABLE and isinstance(value, str) and value.lower() in ("", "none"):
        return None
    if isinstance(value, str) and kind is not str:
        try:
            found = TRUTH[value.lower()] if kind is bool else kind(value)
            if kind is not float or math.isfinite(found):
                return found
        except (ValueError, KeyError, TypeError):
            pass
    elif kind is float and type(value) is int and abs(value) < 10**300:
        return float(value)
    elif type(value) is kind:
        return value
    raise DataError(f"{where}: {name}={value}: expected {NAMED[kind]}")


def _of_file(where: str, path: Path, known: Mapping[str, type]) -> dict[str, Any]:
    try:
        table = read_toml(path)
    except DataError as error:
        raise DataError(f"{where}: {error}; expected name = value lines") from None
    found: dict[str, Any] = {}
    for name, value in _flat(table):
        _check_name(f'{where}: "{path}"', name, known)
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f'{where}: "{path}": {name}={value}: expected a finite number')
        found[name] = _value(f'{where}: "{path}"', name, value, known)
        if name.rpartition(".")[2] in ("prompt", "system") and (path.parent / str(value)).is_file():
            found[name] = str(path.parent / str(value))
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value
