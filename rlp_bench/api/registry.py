"""Plugins by name, found through entry points: the built-in ones exactly as a stranger's package.

Listing reads package metadata only; a plugin's module is imported when that one plugin is loaded.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.api.hub import localize

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUPS = {
    "method": "rlp_bench.methods",
    "trainer": "rlp_bench.trainers",
    "engine": "rlp_bench.engines",
    "entailment": "rlp_bench.entailments",
    "judge": "rlp_bench.judges",
    "suite": "rlp_bench.suites",
    "board": "rlp_bench.boards",
}


@cache
def _entries(group: str) -> "dict[str, EntryPoint]":
    from importlib.metadata import entry_points  # 60 ms, which `--help` does not need

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUPS[group]):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UnknownName(
                f'{group} "{entry.name}": offered by two packages ({_package(other)}: {other.value} and '
                f"{_package(entry)}: {entry.value}); uninstall one or rename its entry point"
            )
    return found


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else "unknown package"


def names(group: str) -> list[str]:
    """All names of a group of `GROUPS`, sorted."""
    return sorted(_entries(group))


def origin(group: str, name: str) -> str:
    """The installed package that offers `name`."""
    return _package(_entry(group, name))


def load(group: str, name: str) -> Any:
    """The plugin of that name: imports its module, and only that one.

    Raises:
        UnknownName: nobody offers it; the message has the nearest name and how a new one becomes visible.
    """
    return _entry(group, name).load()


def resolve(group: str, reference: str) -> Any:
    """What "name" or "name:argument" refers to: the plugin called with its argument ("" where there is none).

    Files of a hub in the argument (hf://) are fetched first, so that a plugin only ever sees paths.

    Raises:
        UnknownName: nobody offers the name. DataError: a file of a hub cannot be fetched.
    """
    name, _, argument = reference.partition(":")
    return load(group, name)(localize(argument))


def _entry(group: str, name: str) -> "EntryPoint":
    known = _entries(group)
    if name not in known:
        raise UnknownName(
            f'{group} "{name}" is not installed: {nearest(name, known)}; '
            f"`rlp-bench ls {group}s` lists them; install a package again to have its new entry points seen"
        )
    return known[name]
