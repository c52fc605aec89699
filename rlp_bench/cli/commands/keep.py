"""`cp`, `gc` and `doctor`."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError, UnknownName, nearest
from rlp_bench.display import print_json, show, size, table


def cp_command(kind: str, name: str, to: Path, root: Path) -> None:
    """Copies a recipe file or an artifact's folder; never over something that is there."""
    if kind not in ("recipe", "artifact"):
        raise UnknownName(f'cp "{kind}": there is no such kind; {nearest(kind, ("recipe", "artifact"))}')
    if kind == "recipe":
        from rlp_bench.recipes.load import find_recipe

        source = find_recipe(name)
        to = to / source.name if to.is_dir() else to
    else:
        from rlp_bench.cli.commands.show import find_artifact

        source = find_artifact(name, root).path
    if to.exists():
        raise BenchError(f'cp: "{to}" is there already; give another name')
    if not to.resolve().parent.is_dir():
        raise BenchError(f'cp: "{to.parent}" is no folder; make it first')
    if source.is_dir():
        shutil.copytree(source, to)
    else:
        shutil.copyfile(source, to)
    show(f"{to}")


def gc_command(dry_run: bool, root: Path) -> None:
    """Removes what no run needs."""
    from rlp_bench.store.garbage_collection import collect
    from rlp_bench.store.store import Store

    garbage = collect(Store(root), dry_run)
    for folder in garbage.folders:
        show(str(folder))
    verb = "would be removed" if dry_run else "removed"
    show(f"{len(garbage.folders)} folders, {size(garbage.bytes)} {verb}")


def doctor_command(root: Path, as_json: bool) -> None:
    """Checks everything that a run needs; exit status 2 where something is wrong."""
    checks = [*_installation(), *_plugins(), *_recipes(), *_store(root)]
    wrong = [check for check in checks if not check["ok"]]
    if as_json:
        print_json({"ok": not wrong, "checks": checks})
    else:
        rows = [("ok" if check["ok"] else "WRONG", check["check"], check["found"]) for check in checks]
        show(table("", ["", "check", "found"], rows))
    if wrong:
        raise BenchError(
            f"doctor: {len(wrong)} of {len(checks)} checks failed: {wrong[0]['check']}: {wrong[0]['found']}"
        )


def _check(name: str, ok: bool, found: Any) -> dict[str, Any]:
    return {"check": name, "ok": ok, "found": str(found)}


def _installation() -> list[dict[str, Any]]:
    from rlp_bench.run.provenance import machine, versions

    here = machine()
    checks = [_check(f"package {name}", True, number) for name, number in versions().items()]
    for name in ("torch", "transformers"):
        if find_spec(name) is None:
            checks.append(_check(f"package {name}", False, "is not installed"))
    memory = here["memory_bytes"] / 1e9
    return [*checks, _check("machine", True, f"{here['cores']} cores, {memory:.0f} GB, {here['processor']}")]


def _plugins() -> list[dict[str, Any]]:
    """Imports every plugin: one that cannot be imported is found here and not in the middle of a run."""
    checks = []
    for group in registry.GROUPS:
        for name in registry.names(group):
            try:
                registry.load(group, name)
            except (ImportError, AttributeError) as error:
                checks.append(_check(f"{group} {name}", False, f"cannot be imported: {error}"))
        broken = {check["check"] for check in checks}
        fine = [name for name in registry.names(group) if f"{group} {name}" not in broken]
        checks.append(_check(f"{group}s", True, ", ".join(fine)))
    return checks


def _recipes() -> list[dict[str, Any]]:
    from rlp_bench.recipes.load import load_recipe, recipe_names

    checks = []
    for name in recipe_names():
        try:
            checks.append(_check(f"recipe {name}", True, load_recipe(name).id))
        except BenchError as error:
            checks.append(_check(f"recipe {name}", False, error))
    return checks


def _store(root: Path) -> list[dict[str, Any]]:
    from rlp_bench.store.store import Store
    from rlp_bench.store.verify import verify

    parent = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    checks = [_check("free disk", True, size(shutil.disk_usage(parent).free))]
    try:
        found = list(verify(Store(root)))
    except BenchError as error:
        return [*checks, _check("store", False, error)]
    checks += [_check(each["artifact"], False, each["problem"]) for each in found if not each["ok"]]
    return [*checks, _check("store", True, f"{root}: {sum(each['ok'] for each in found)} sound artifacts")]
