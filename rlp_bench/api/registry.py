"""Plug-ins by name, found through entry points; built-in plug-ins and third-party packages are found the same way.

Listing reads package metadata only; a plug-in's module is imported when that plug-in is loaded.
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
    from importlib.metadata import entry_points  # takes 60 ms, which `--help` does not need

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUPS[group]):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise UnknownName(
                f'{group} "{entry.name}": registered by two packages ({_package(other)}: {other.value} and '
                f"{_package(entry)}: {entry.value}); uninstall one or rename its entry point"
            )
    return found


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else "unknown package"


def names(group: str) -> list[str]:
    """All registered names of a group of `GROUPS`, sorted."""
    return sorted(_entries(group))


def origin(group: str, name: str) -> str:
    """The installed package that registers `name`."""
    return _package(_entry(group, name))


def load(group: str, name: str) -> Any:
    """The plug-in of that name; imports its module and no other plug-in's.

    Raises:
        UnknownName: no installed package registers it; the message has the nearest name.
    """
    return _entry(group, name).load()


def resolve(group: str, reference: str) -> Any:
    """The plug-in of "name" or "name:argument", called with its argument ("" where there is none).

    hf:// references in the argument are downloaded first, so that plug-ins only get local paths.

    Raises:
        UnknownName: no installed package registers the name.
        DataError: an hf:// file cannot be downloaded.
    """
    name, _, argument = reference.partition(":")
    return load(group, name)(localize(argument))


def _entry(group: str, name: str) -> "EntryPoint":
    known = _entries(group)
    if name not in known:
        raise UnknownName(
            f'{group} "{name}" is not installed: {nearest(name, known)}; '
            f"`rlp-bench ls {group}s` lists them; reinstall a package to register its new entry points"
        )
    return known[name]
