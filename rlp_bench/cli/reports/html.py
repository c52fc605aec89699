"""`rlp-bench report html`: a matrix as one self-contained HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from rlp_bench.api import registry
from rlp_bench.api.errors import DataError
from rlp_bench.api.files import write_atomic
from rlp_bench.cli.options import STORE, Json, MatrixName, StoreFolder
from rlp_bench.display import Display, print_json, print_text


def html(
    matrix: MatrixName = None,
    out: Annotated[Path, typer.Option("--out", help="The self-contained HTML file.")] = Path("report.html"),
    instructions: Annotated[
        int,
        typer.Option(
            "--instructions", help="Instructions shown with all outputs, at the lowest seed.", min=0
        ),
    ] = 60,
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Write a matrix as one HTML file: leaderboard, charts, claims, curves, outputs side by side."""
    from rlp_bench.analysis.html_data import html_data
    from rlp_bench.store.store import Store

    if out.is_dir():
        raise DataError(
            f'report html: --out "{out}" is a folder; give the name of a file, as {out / "report.html"}'
        )
    with Display(quiet=as_json) as display:
        found = html_data(Store(store), matrix, display, instructions)
    text = registry.load("board", "html")().render([found], "html")
    _write(text, out)
    summary = {
        "report": str(out),
        "bytes": len(text.encode()),
        "matrix": found["matrix"]["recipe_id"],
        "methods": len(found["runs"]),
        "instructions": len(found["samples"]["rows"]),
        "missing": found["missing"],
    }
    if as_json:
        print_json(summary)
    else:
        print_text(f"report: {out} ({summary['bytes'] / 1e6:.1f} MB, {summary['instructions']} instructions)")


def _write(text: str, out: Path) -> None:
    """Writes the page atomically.

    Raises:
        DataError: `out` cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text.encode("utf-8"))
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise DataError(
            f'report html: --out "{out}" cannot be written ({error.strerror}); give another'
        ) from None
