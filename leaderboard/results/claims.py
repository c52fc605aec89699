"""The paper's claims in the results document: the summary at the top, and the table of claims."""

from collections.abc import Mapping, Sequence
from typing import Any

from rlp_bench.api import escape

from .text import ends, p_value, signed, table

Results = Mapping[str, Any]
DECIDED = ("contradicted", "replicated", "smaller than published", "larger than published")
UNTESTED = ("no test of its own", "not run")


def summary(r: Results) -> list[str]:
    """The primary family's verdicts with the document's error rate, then the decided claims of each family."""
    primary, exploratory = r["primary"], r["exploratory"]
    lines = [
        f"**{_counted('primary claims', primary)}**",
        "",
        "At most 5 % of such documents have a wrong verdict among their primary claims. The exploratory ones "
        f"({_counted('', exploratory)}) share another 5 %, and every other table has its own 5 %; these are not "
        "added up.",
        "",
    ]
    for family in ("primary", "exploratory"):
        for word in DECIDED:
            rows = [c for c in r["claims"] if c["verdict"] == word and c["family"] == family]
            if rows:
                lines.append(f"{word.capitalize()} ({family}):")
                lines += [f"- {_sentence(row)}" for row in rows] + [""]
    return lines


def _counted(what: str, verdicts: Mapping[str, int]) -> str:
    tried = {word: n for word, n in verdicts.items() if n and word not in UNTESTED}
    counts = ", ".join(f"{n} {word}" for word, n in tried.items()) or "none could be tested"
    return f"Of {sum(tried.values())} {what} that could be tested: {counts}." if what else counts


def _sentence(row: Mapping[str, Any]) -> str:
    mark = "†" if row["stand_in"] else ""
    paper = "" if row["published_effect"] is None else f"; paper {signed(row['published_effect'])}"
    size = f"; {row['size']}" if row["size"] and row["size"] != row["verdict"] else ""
    return f"{escape.markdown(row['text'])}{mark}: {signed(row['effect'])} points ({ends(row['ci95'])}){paper}{size}"


def claims(r: Results) -> str:
    """The tables of claims, one per family."""
    note = (
        "*Paper*: the published difference. *Paper could see*: the smallest difference that one run on that many items "
        "detects with 80 % power (two independent rates, without variation over seeds). A published difference below "
        "it is within the noise of the paper's own setup. *p*: of the hypothesis of no difference; *corrected* over "
        "all tests of the family. *Could see*: the difference that the test used here detects with 80 % power, after "
        "correction, with its degrees of freedom. *Seeds needed*: to exclude no difference, and the paper's "
        "difference, if the true difference is the one estimated here. Intervals are not corrected."
    )
    families: dict[str, list[Mapping[str, Any]]] = {"primary": [], "exploratory": [], "": []}
    for row in r["claims"]:
        families.get(row["family"], families[""]).append(row)
    parts = [f"## Claims\n\n{note}"]
    for name, rows in families.items():
        title = (
            f"{name.capitalize()} claims" if name else "Parts of other claims, and the same numbers: no tests"
        )
        if rows:
            parts.append(f"### {title}\n\n{_ledger(rows, belongs=not name)}")
    return "\n\n".join(parts)


def _ledger(rows: Sequence[Mapping[str, Any]], belongs: bool) -> str:
    head = ["table", "claim", "paper", "paper could see", "here, points"]
    head += (
        ["is"]
        if belongs
        else ["p", "corrected", "could see", "seeds needed: not 0", "not the paper's", "verdict"]
    )
    return table(head, [_line(row, belongs) for row in rows])


def _line(row: Mapping[str, Any], belongs: bool) -> list[str]:
    paper = "not at hand" if row["published_effect"] is None else signed(row["published_effect"])
    seen = "" if row["published_detectable"] is None else f"{row['published_detectable']:.1f}"
    first = [row["table"], row["text"] + ("†" if row["stand_in"] else ""), paper, seen]
    if row["verdict"] == "not run":
        return [*first, "", "not run"] if belongs else [*first, *[""] * 6, "not run"]
    here = f"{signed(row['effect'])} ({ends(row['ci95'])})"
    if belongs:
        return [*first, here, row["family"]]
    needed = row.get("seeds_needed", {})
    seeds = [_seeds(needed[name]) if name in needed else "" for name in ("zero", "published")]
    tests = [p_value(row["p"]), p_value(row["p_holm"]), f"{row['detectable']:.1f}"]
    return [*first, here, *tests, *seeds, words(row)]


def _seeds(needed: int | None) -> str:
    return "over 1000" if needed is None else str(needed)


def words(row: Mapping[str, Any]) -> str:
    """The verdict, and how the effect compares with the published one if that is decided too."""
    return ", ".join(dict.fromkeys(word for word in (row["verdict"], row["size"]) if word))
