"""`report html`: a matrix as one file that anybody can open."""

from pathlib import Path

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.display import Display, print_json
from rlp_bench.store.store import Store


def html_command(name: str | None, out: Path, instructions: int, root: Path, as_json: bool) -> None:
    """Writes the page, whole or not at all, and says where.

    Raises:
        DataError: `out` cannot be written.
    """
    from rlp_bench.analysis.html_data import html_data

    if out.is_dir():
        raise DataError(
            f'report html: --out "{out}" is a folder; give the name of a file, as {out / "report.html"}'
        )
    with Display(quiet=as_json) as display:
        found = html_data(Store(root), name, display, instructions)
    text = registry.load("board", "html")().render([found], "html")
    partial = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(out)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f'report html: --out "{out}" cannot be written ({error.strerror}); give another'
        ) from None
    told = {
        "report": str(out),
        "bytes": len(text.encode()),
        "matrix": found["matrix"]["recipe_id"],
        "methods": len(found["runs"]),
        "instructions": len(found["samples"]["rows"]),
        "missing": found["missing"],
    }
    if as_json:
        print_json(told)
    else:
        print(f"report: {out} ({told['bytes'] / 1e6:.1f} MB, {told['instructions']} instructions)")
