"""`rlp-bench gc`: removes artifacts that no run needs."""

from typing import Annotated

import typer

from rlp_bench.api.errors import BenchError
from rlp_bench.cli.options import STORE, StoreFolder
from rlp_bench.display import show, size


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")
    ] = False,
    store: StoreFolder = STORE,
) -> None:
    """Remove artifacts that no run needs, and leftovers of killed processes; evaluations are kept."""
    from rlp_bench.store.garbage_collection import collect
    from rlp_bench.store.store import Store

    garbage = collect(Store(store), dry_run)
    for folder in garbage.folders:
        show(str(folder))
    verb = "would be removed" if dry_run else "removed"
    show(f"{len(garbage.folders)} folders, {size(garbage.bytes)} {verb}")
    if garbage.faults:
        raise BenchError("\n".join(garbage.faults))
