"""`rlp-bench claims`: tests whether a matrix supports the paper's claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.cli.options import STORE, Json, MatrixName, StoreFolder
from rlp_bench.display import Display, print_json, show, table


def claims(matrix: MatrixName = None, store: StoreFolder = STORE, as_json: Json = False) -> None:
    """Test the paper's claims on a matrix: effect, interval, corrected p, and verdict."""
    from rlp_bench.analysis.matrix_results import open_matrix, results
    from rlp_bench.store.store import Store

    opened = Store(store)
    document = open_matrix(opened, matrix)
    with Display(quiet=as_json) as display:
        rows = results(opened, document, display)["claims"]
    if as_json:
        print_json({"matrix": document["recipe_id"], "seeds": document["seeds"], "claims": rows})
    else:
        show(claims_table(rows))


def claims_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """One row per claim: the paper's effect, the measured one with its interval, and the verdict."""
    lines = []
    for row in rows:
        text = row["text"] + (" (stand-in)" if row["stand_in"] else "")
        paper = "" if row["published_effect"] is None else f"{row['published_effect']:+.1f}"
        if row["verdict"] == "not run":
            lines.append((row["id"], row["family"], text, paper, *[""] * 4, "not run"))
            continue
        here = f"{row['effect']:+.1f} ({{:+.1f}} to {{:+.1f}})".format(*row["ci95"])
        p = "" if row["p_holm"] is None else f"{row['p_holm']:.2g}"
        needed = "; ".join(
            f"{'0' if name == 'zero' else 'paper'}: {'>1000' if n is None else n}"
            for name, n in row.get("seeds_needed", {}).items()
        )
        words = list(dict.fromkeys(word for word in (row["verdict"], row["size"]) if word))
        seen = f"{row['detectable']:.1f}"
        lines.append((row["id"], row["family"], text, paper, here, p, seen, needed, ", ".join(words)))
    columns = ["id", "family", "claim", ">paper", ">here, points", ">corrected p", ">could see"]
    return table("Claims", [*columns, "seeds needed to exclude", "verdict"], lines)
