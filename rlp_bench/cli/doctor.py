"""`rlp-bench doctor`: checks the installation, the plug-ins, the recipes and the store."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlp_bench.api import registry
from rlp_bench.api.errors import BenchError
from rlp_bench.cli.options import STORE, Json, StoreFolder
from rlp_bench.display import print_json, show, size, table

if TYPE_CHECKING:
    from rlp_bench.store.store import Store


def doctor(store: StoreFolder = STORE, as_json: Json = False) -> None:
    """Check the installation, the plug-ins, the recipes, and every artifact's hashes."""
    checks = [*_installation(), *_plugins(), *_recipes(), *_store(store)]
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
    from importlib.util import find_spec

    from rlp_bench.run.provenance import machine, versions

    here = machine()
    checks = [_check(f"package {name}", True, number) for name, number in versions().items()]
    for name in ("torch", "transformers"):
        if find_spec(name) is None:
            checks.append(_check(f"package {name}", False, "is not installed"))
    memory = here["memory_bytes"] / 1e9
    return [*checks, _check("machine", True, f"{here['cores']} cores, {memory:.0f} GB, {here['processor']}")]


def _plugins() -> list[dict[str, Any]]:
    """Imports every plug-in, to find import errors before a run."""
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
    import shutil

    from rlp_bench.store.store import Store
    from rlp_bench.store.verify import verify

    parent = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.exists())
    checks = [_check("free disk", True, size(shutil.disk_usage(parent).free))]
    try:
        found = list(verify(Store(root)))
    except BenchError as error:
        return [*checks, _check("store", False, error)]
    checks += [_check(each["artifact"], False, each["problem"]) for each in found if not each["ok"]]
    checks += _records(Store(root))
    return [*checks, _check("store", True, f"{root}: {sum(each['ok'] for each in found)} sound artifacts")]


def _records(store: "Store") -> list[dict[str, Any]]:
    """The faults of files about runs and matrices; each is a check that failed."""
    from rlp_bench.api.report import read_report
    from rlp_bench.matrix.jobs import POINTS, read_points
    from rlp_bench.matrix.schedule import MATRIX, read_matrix
    from rlp_bench.run.records import REPORT, read_record, run_folders
    from rlp_bench.store.manifest import read_meter

    folders = run_folders(store)
    readers: list[tuple[Path, Callable[[], Any]]] = [
        *((folder, partial(read_record, folder)) for folder in folders),
        *((f, partial(read_report, f / REPORT)) for f in folders if (f / REPORT).exists()),
        *((f, partial(read_points, f / POINTS)) for f in folders if (f / POINTS).exists()),
        *((path, partial(read_matrix, path)) for path in (store.root / "matrix").glob(f"*/{MATRIX}")),
        *((folder, partial(read_meter, folder)) for folder in store.folders()),
    ]
    checks = []
    for path, read in readers:
        try:
            read()
        except BenchError as error:
            checks.append(_check(path.name, False, error))
    return checks
