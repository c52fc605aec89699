"""`export`: a run's policy as a checkpoint that others load."""

from pathlib import Path

from rlp_bench.api.errors import BenchError
from rlp_bench.display import print_json, print_text
from rlp_bench.run.records import find_run
from rlp_bench.store.store import Store


def export_command(
    run: str | None, out: Path | None, repository: str | None, public: bool, root: Path, as_json: bool
) -> None:
    """Writes the checkpoint; sends it where a repository is named."""
    from rlp_bench.export.checkpoint import check_push, export_run, push

    if public and repository is None:
        raise BenchError("export --public: is for --push OWNER/NAME")
    token = check_push(repository) if repository is not None else ""
    record = find_run(Store(root), run)
    folder = out or Path(record.path.name)
    files = export_run(record, folder)
    commit = None
    if repository is not None:
        message = f"{record.method} on {record.group}, seed {record.seed}"
        commit = push(folder, repository, token, message, public=public)
    if as_json:
        print_json({"folder": str(folder), "run": str(record.path), "files": files, "pushed": commit})
        return
    print_text("\n".join([f"{folder}: {', '.join(files)}", *([f"pushed: {commit}"] if commit else [])]))
