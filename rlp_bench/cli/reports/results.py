"""`rlp-bench report results`: a matrix's results beside the paper's tables, as a document with figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rlp_bench.api import registry
from rlp_bench.api.files import write_text
from rlp_bench.cli.options import STORE, Json, MatrixName, StoreFolder
from rlp_bench.display import Display, print_json, print_text, show


def results(
    matrix: MatrixName = None,
    out: Annotated[
        Path, typer.Option("--out", help="The document; figures go to figures/ beside it.")
    ] = Path("results.md"),
    store: StoreFolder = STORE,
    as_json: Json = False,
) -> None:
    """Write a matrix's results beside the paper's tables, with the verdict on every claim."""
    from rlp_bench.analysis.matrix_results import analyze, gather, open_matrix
    from rlp_bench.analysis.stored_results import write_stored
    from rlp_bench.cli.reports.claims import claims_table
    from rlp_bench.store.store import Store

    opened = Store(store)
    document = open_matrix(opened, matrix)
    with Display(quiet=as_json) as display:
        gathered = gather(opened, document, display)
    found = analyze(gathered)
    if as_json:
        print_json(found)
        return
    figures = _write(found, out)
    write_stored(figures / "results.json", gathered, found["claims"])
    show(claims_table(found["claims"]))
    print_text(f"results: {out}\npictures: {figures}")


def _write(found: Mapping[str, Any], out: Path) -> Path:
    """Writes the document and its figures; returns the folder of the figures."""
    board = registry.load("board", "results")()
    figures = out.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in ("subsets", "kl"):
        drawn = board.render([found], f"{picture}.svg")
        write_text(figures / f"results-{picture}.svg", drawn)
    write_text(out, board.render([found], "md"))
    return figures
