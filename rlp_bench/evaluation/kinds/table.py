"""The kinds of suite by name."""

from rlp_bench.api.errors import UnknownName, nearest
from rlp_bench.evaluation.kinds.few_shot import FEW_SHOT
from rlp_bench.evaluation.kinds.kind import Kind
from rlp_bench.evaluation.kinds.options import OPTIONS
from rlp_bench.evaluation.kinds.pairs import PAIRS
from rlp_bench.evaluation.kinds.win_rate import WIN_RATE

KINDS: dict[str, Kind] = {kind.name: kind for kind in (WIN_RATE, OPTIONS, PAIRS, FEW_SHOT)}


def kind_of(suite: str, kind: str) -> Kind:
    """The kind of that name; `suite` is for the message.

    Raises:
        UnknownName: there is none.
    """
    if kind not in KINDS:
        raise UnknownName(
            f'suite "{suite}": kind "{kind}" is not known; {nearest(kind, KINDS)}; upgrade rlp-bench, or give '
            "another suite"
        )
    return KINDS[kind]
