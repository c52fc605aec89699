"""Names, order, colors and shapes of methods, the same in all charts."""

from collections.abc import Sequence

from .blocks import Results
from .svg import Look

LOOKS = {
    "sft": Look(1, "circle"),
    "best_of_n": Look(2, "down"),
    "ppo": Look(3, "square"),
    "rlp_uml": Look(5, "up"),
    "rlp_spg": Look(4, "diamond"),
    "more_human": Look(6, "cross"),
}
"""Marks of the methods in the paper's tables and figures, and of the upper bound; Paul Tol's vibrant palette."""
CONTROL, OTHER = Look(1, "hollow"), Look(7, "circle")


def look(r: Results, method: str) -> Look:
    if method in LOOKS:
        return LOOKS[method]
    return CONTROL if is_control(r, method) else OTHER


def is_control(r: Results, method: str) -> bool:
    return bool(r.get("methods", {}).get(method, {}).get("control"))


def marked(r: Results, method: str) -> str:
    """The name, with * if its judge labeled its training data and † if a stage is a stand-in."""
    star = "*" if method in r.get("trained_on_judge", ()) else ""
    return f"{method}{star}{'†' if method in r.get('stand_ins', ()) else ''}"


def plain(r: Results, method: str) -> str:
    """The name with † only, for charts, where nearly all names would have a *."""
    return f"{method}{'†' if method in r.get('stand_ins', ()) else ''}"


def in_order(r: Results, names: Sequence[str] | None = None) -> list[str]:
    """Controls, then the others; each group from best to worst, methods without a win rate last."""
    rates = r["suites"].get(r["main"], {})
    given = list(r["runs"]) if names is None else list(names)
    return sorted(given, key=lambda m: (not is_control(r, m), -rates.get(m, {}).get("win_rate", -1.0), m))


def first_method(r: Results, names: Sequence[str]) -> str | None:
    """The first method that is not a control, above which the line between the groups is drawn."""
    others = [m for m in names if not is_control(r, m)]
    return others[0] if others and others[0] != names[0] else None


def legend(r: Results, names: Sequence[str]) -> list[tuple[Look, str]]:
    found = [(LOOKS[m], plain(r, m)) for m in LOOKS if m in names]
    rest = [m for m in names if m not in LOOKS]
    if any(is_control(r, m) for m in rest):
        found.append((CONTROL, "other control"))
    if any(not is_control(r, m) for m in rest):
        found.append((OTHER, "other method"))
    return found
