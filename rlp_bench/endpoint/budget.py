"""Cost of requests, and budgets that are never exceeded: a request is sent only if its upper bound still fits.

Users give prices; none are built in, because they go out of date. Usage that a server does not report is unknown,
not 0; a budget then counts the request's upper bound.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from rlp_bench.api.errors import BenchError

BUDGET = re.compile(r"(?P<dollars>\$?(\d+(\.\d*)?|\.\d+))|(?P<tokens>\d+)\s*tokens", re.IGNORECASE)


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens; None: unknown."""

    prompt: float | None = None
    completion: float | None = None

    @property
    def known(self) -> bool:
        """Whether both prices are known."""
        return self.prompt is not None and self.completion is not None

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """The cost in dollars; None without both prices."""
        if self.prompt is None or self.completion is None:
            return None
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class BudgetSpent(BenchError):
    """The budget is spent; the cache keeps all answers so far."""


@dataclass
class Budget:
    """A limit in dollars or tokens, the amount spent, and the amount reserved for requests in flight."""

    limit: float
    unit: Literal["dollars", "tokens"]
    spent: float = 0.0
    reserved: float = 0.0

    @classmethod
    def parse(cls, text: str, where: str) -> "Budget":
        """The budget of a text: "5" and "$5" are dollars, "200000tokens" are tokens."""
        found = BUDGET.fullmatch(text.strip())
        if not found:
            raise BenchError(f'{where} "{text}": expected dollars, e.g. 5, or tokens, e.g. 200000tokens')
        if found["dollars"]:
            return cls(float(found["dollars"].lstrip("$")), "dollars")
        return cls(float(found["tokens"]), "tokens")

    def __str__(self) -> str:
        return f"${self.limit:g}" if self.unit == "dollars" else f"{self.limit:.0f} tokens"

    def worth(self, price: Price, prompt_tokens: int, completion_tokens: int) -> float:
        """The cost of these tokens in the budget's unit."""
        dollars = price.dollars(prompt_tokens, completion_tokens)
        if self.unit == "tokens":
            return float(prompt_tokens + completion_tokens)
        if dollars is None:
            raise BenchError(
                f"budget {self}: no price is known for the model; give price_in=... and price_out=... "
                "(dollars per million tokens), or a budget in tokens, e.g. 200000tokens"
            )
        return dollars

    def fits(self, most: float) -> bool:
        """Whether a request that costs at most `most` may be sent now."""
        return self.spent + self.reserved + most <= self.limit

    def settle(self, most: float, cost: float) -> None:
        """Replaces the reservation of a request by its cost."""
        self.reserved -= most
        self.spent += cost


_of_process: list[Budget] = []


def limit_spending(text: str | None) -> None:
    """Sets one budget for all endpoints of this process; None removes it."""
    _of_process[:] = [Budget.parse(text, "--budget")] if text is not None else []


def process_budgets() -> list[Budget]:
    """The process's budget, if there is one, as a list."""
    return list(_of_process)


@dataclass
class Tally:
    """Counts of an endpoint's requests, answers, tokens and dollars."""

    sent: int = 0
    """HTTP requests sent, retries included."""
    answered: int = 0
    cached: int = 0
    failed: int = 0
    rate_limited: int = 0
    """Responses with status 429."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usage_unknown: int = 0
    """Answers whose usage the server did not report."""
    model_unknown: int = 0
    """Answers that do not name the model that gave them."""
    dollars: float | None = None
    """None: no price known."""
    fingerprints: set[str] = field(default_factory=set)

    def usage(self, price: Price, prompt: int | None, completion: int | None) -> None:
        """Adds one answer's usage."""
        if prompt is None or completion is None:
            self.usage_unknown += 1
            return
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        bill = price.dollars(prompt, completion)
        if bill is not None:
            self.dollars = (self.dollars or 0.0) + bill

    def as_dict(self) -> dict[str, object]:
        """For reports: plain JSON."""
        return {**vars(self), "fingerprints": sorted(self.fingerprints)}

    def line(self) -> str:
        """One line for users: requests sent, tokens and cost."""
        tokens = f"{self.prompt_tokens + self.completion_tokens:,} tokens"
        unknown = f" and {self.usage_unknown} answers of unknown usage" if self.usage_unknown else ""
        unnamed = f"; {self.model_unknown} answers name no model" if self.model_unknown else ""
        dollars = "" if self.dollars is None else f", ${self.dollars:,.2f}"
        return (
            f"{self.sent:,} requests sent, {self.answered:,} answered, {self.cached:,} cached, "
            f"{self.failed:,} failed, {self.rate_limited:,} times rate-limited; {tokens}{unknown}{dollars}{unnamed}"
        )
