"""A pool with the structure of AlpacaFarm's: 13 annotators, one drawn for every question, on models of your choice.

"alpacafarm_pool:MODEL" uses one model for all three families; "alpacafarm_pool:large=...,medium=...,completion=..."
names each; "alpacafarm_pool:FILE.toml" can set a separate server for each family. The prompts are reworded and the
original models are retired, so results are not comparable with AlpacaFarm's.
Source: Dubois et al. 2023, arXiv 2305.14387, section 3.1 and appendix; the structure of annotator_pool_v0.
Departs: one pair per request (there up to 5), no token bias, annotators drawn by sha256 (there a salted hash).
"""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rlp_bench.api import DataError, Pair, Progress, UnknownName, Verdict, content_id, nearest
from rlp_bench.endpoint import Endpoint, Request, check_endpoint
from rlp_bench.endpoint.options import MODEL, SET_ELSEWHERE, connection_of, model_of, omitted, read_options

from .api.asking import Asking
from .api.prompts import load_prompt

SEATS = Path(__file__).parent / "prompts" / "alpacafarm_pool.toml"
FAMILIES = ("large", "medium", "completion")
MODES = {"one": "one annotator, drawn for every question", "all": "mean of all 13"}
OPTIONS: dict[str, type] = {
    **MODEL,
    **SET_ELSEWHERE,
    "mode": str,
    **dict.fromkeys(FAMILIES, str),
    **{f"{family}.{name}": kind for family in FAMILIES for name, kind in {**MODEL, **SET_ELSEWHERE}.items()},
}


class AlpacaFarmPool:
    """A judge (`rlp_bench.api.Judge`). No label noise: recipes add it, for training labels only."""

    name = "alpacafarm_pool"
    version = "1"
    progress: Progress | None = None

    def __init__(self, argument: str = "") -> None:
        where = f'judge "{self.name}:{argument}"'
        options = read_options(where, argument, OPTIONS)
        self.mode = options.get("mode", "one")
        if self.mode not in MODES:
            raise UnknownName(f'{where}: mode "{self.mode}" is not known; {nearest(self.mode, MODES)}')
        self._options = {family: _of_family(where, options, family) for family in FAMILIES}
        self._connections = {family: connection_of(found) for family, found in self._options.items()}
        self.seats = [
            (seat, self._asking(where, seat)) for seat in tomllib.loads(SEATS.read_text())["annotators"]
        ]

    def _asking(self, where: str, seat: Mapping[str, Any]) -> Asking:
        options = self._options[seat["family"]]
        left_out = omitted(options)
        return Asking(
            **model_of(options, self._connections[seat["family"]]),
            prompt=load_prompt(seat["prompt"], where),
            parser=seat["parser"],
            temperature=None if "temperature" in left_out else seat["temperature"],
            max_tokens=None if "max_tokens" in left_out else seat["max_tokens"],
            seat=seat["name"],
        )

    @cached_property
    def endpoints(self) -> dict[str, Endpoint]:
        """Family -> endpoint; families with the same connection share one."""
        made = {connection: Endpoint(connection) for connection in self._connections.values()}
        return {family: made[connection] for family, connection in self._connections.items()}

    def manifest(self) -> Mapping[str, Any]:
        """The pool's structure, and the options of its 13 annotators."""
        return {
            "name": self.name,
            "version": self.version,
            "pool": "alpacafarm-v0-shape",
            "note": "the shape of AlpacaFarm's pool over other models and prompts; not comparable with its numbers",
            "mode": self.mode,
            "annotators": [
                {"name": seat["name"], "family": seat["family"], **asking.manifest()}
                for seat, asking in self.seats
            ],
            "noise": 0.0,
            "scale": "binary" if self.mode == "one" else "soft",
        }

    def judge(self, pairs: Sequence[Pair], seed: int = 0) -> list[Verdict]:
        """The drawn annotator's verdict on each pair, or the mean of all; `raw` has the annotators' names."""
        asked = self._asked(pairs, seed)
        verdicts: dict[tuple[int, int], Verdict] = {}
        done = 0
        for endpoint, group in self._by_endpoint(asked):
            answers = endpoint.ask([request for _, _, request in group], self._watch(done, len(asked)))
            done += len(group)
            for (place, seat, _), answer in zip(group, answers, strict=True):
                verdicts[place, seat] = self.seats[seat][1].verdict(answer)
        given: list[list[tuple[str, Verdict]]] = [[] for _ in pairs]
        for place, seat, _ in asked:
            given[place].append((self.seats[seat][0]["name"], verdicts[place, seat]))
        return [_together(of_pair) for of_pair in given]

    def check(self, questions: Sequence[tuple[str, str]], *, reach: bool) -> str:
        """Checks the keys and, with `reach`, whether the servers answer; returns what was checked."""
        connections = dict.fromkeys(self._connections.values())
        for connection in connections:
            check_endpoint(connection, reach)
        names = ", ".join(dict.fromkeys(connection.provider_name() for connection in connections))
        return f"{names}: {'answers' if reach else 'not asked'}"

    def estimate(self, pairs: Sequence[Pair], seed: int = 0) -> Mapping[str, Any]:
        """Upper bound of the requests, tokens and dollars for judging these pairs; sends nothing."""
        found = [
            endpoint.estimate([request for _, _, request in group])
            for endpoint, group in self._by_endpoint(self._asked(pairs, seed))
        ]
        return {
            key: None if any(one[key] is None for one in found) else sum(one[key] for one in found)
            for key in (found[0] if found else {})
        }

    def spent(self) -> Mapping[str, Any]:
        """The tally of requests so far, by family."""
        return {family: endpoint.tally.as_dict() for family, endpoint in self.endpoints.items()}

    def _asked(self, pairs: Sequence[Pair], seed: int) -> list[tuple[int, int, Request]]:
        """(index of the pair, seat, request) of all requests."""
        return [
            (place, seat, self.seats[seat][1].request(pair, seed))
            for place, pair in enumerate(pairs)
            for seat in (
                range(len(self.seats)) if self.mode == "all" else [seat_of(pair, seed, len(self.seats))]
            )
        ]

    def _by_endpoint(
        self, asked: Sequence[tuple[int, int, Request]]
    ) -> list[tuple[Endpoint, list[tuple[int, int, Request]]]]:
        groups: dict[int, tuple[Endpoint, list[tuple[int, int, Request]]]] = {}
        for one in asked:
            endpoint = self.endpoints[self.seats[one[1]][0]["family"]]
            groups.setdefault(id(endpoint), (endpoint, []))[1].append(one)
        return list(groups.values())

    def _watch(self, done: int, total: int) -> Any:
        watch = self.progress
        return None if watch is None else lambda more, _, note: watch(done + more, total, note)


def seat_of(pair: Pair, seed: int, seats: int) -> int:
    """The annotator drawn for a question; it does not depend on the answers, so all policies have the same one."""
    return int(content_id(f"annotator {seed}", pair.instruction, pair.input), 16) % seats


def _of_family(where: str, options: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The common options, overridden by the family's own.

    Raises:
        DataError: the family has no model.
    """
    others = set(FAMILIES)
    common = {name: value for name, value in options.items() if name.partition(".")[0] not in others}
    if family in options:
        common["model"] = options[family]
    prefix = f"{family}."
    own = {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}
    found = {**common, **own}
    if not found.get("model"):
        raise DataError(
            f"{where}: no model for family {family}; give {family}=MODEL, or one MODEL for all three"
        )
    return found


def _together(given: Sequence[tuple[str, Verdict]]) -> Verdict:
    """One annotator's verdict, or the mean of all; no verdict if one is missing."""
    raw = "\n".join(f"{name}: {verdict.raw}" for name, verdict in given)
    for _, verdict in given:
        if verdict.preference is None:
            return Verdict(None, verdict.reason, raw)
    known = [verdict.preference for _, verdict in given if verdict.preference is not None]
    return Verdict(sum(known) / len(known), raw=raw)
