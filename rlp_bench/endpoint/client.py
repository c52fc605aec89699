"""Sends requests to a chat endpoint and returns the answers in order; each request is answered at most once.

Steps: equal requests are merged; cached ones are not sent; concurrent workers send the rest, as many as the server
accepts; every answer is committed to the cache on arrival; a fault is retried, fails the request, or stops the round.
After a stop, requests in flight are awaited, so that no paid answer is lost.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.budget import Budget, BudgetSpent, Tally, process_budgets
from rlp_bench.endpoint.cache import Cache, Row
from rlp_bench.endpoint.connection import Connection
from rlp_bench.endpoint.http import open_client, proxies_in_use, redact, request_headers
from rlp_bench.endpoint.limit import AdaptiveLimit
from rlp_bench.endpoint.loop import run_coroutine
from rlp_bench.endpoint.reply import read_body, storable, usage_of
from rlp_bench.endpoint.request import Answer, Request, canonical, options_of
from rlp_bench.endpoint.retry import Fault, fault_of, fault_of_body, one_line, pause_seconds

LONGEST_WAIT_SECONDS = 600.0
"""Longest accepted Retry-After; beyond it the command stops, to be run again later."""
DEAF_ATTEMPTS = 3
"""Attempts of one request after which a server that never responded counts as unreachable."""
HEAD_START_SECONDS = 2.0
"""How long the first request of an endpoint goes alone: an error that all would have is met by one. Ours."""
FAILED_ALIKE = 3
"""Requests that fail for one reason, while none was ever answered, after which all would fail."""
SIMPLE, DIGITS = re.compile(r"[^,\s\\\"]+"), re.compile(r"\d+")
Watch = Callable[[int, int, str], None]
Job = tuple[str, Request]


_made: list["Endpoint"] = []


def spending() -> list[str]:
    """One line per server that this process used: requests sent, tokens and cost."""
    used = [endpoint for endpoint in _made if endpoint.tally.sent or endpoint.tally.cached]
    return [f"{endpoint.connection.provider_name()}: {endpoint.tally.line()}" for endpoint in used]


class Endpoint:
    """One server; keeps its tally and its concurrency limit between calls."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tally = Tally()
        self.own_budgets = [Budget.parse(connection.budget, "budget")] if connection.budget else []
        self.limit = AdaptiveLimit(connection.max_concurrency)
        self._heard = False
        """Whether the server ever sent a complete response, of any status."""
        self._accepted: set[tuple[str, str]] = set()
        """(field, value) of all requests that were answered; empty: none was."""
        _made.append(self)

    def ask(self, requests: Sequence[Request], watch: Watch | None = None) -> list[Answer]:
        """One answer per request, in order.

        Raises:
            BenchError: no further request can succeed (key, model, address, budget). The cache keeps earlier answers.
        """
        jobs = {request.key(): request for request in requests}
        answers: dict[str, Answer] = {}
        with Cache(self.connection.cache_path()) as cache:
            for key in jobs:
                known = self.known(cache, key, withdraw=True)
                if known is not None:
                    answers[key] = known
            self.tally.cached += len(answers)
            todo = [(key, request) for key, request in jobs.items() if key not in answers]
            if watch is not None:
                watch(len(answers), len(jobs), "from the cache")
            if todo:
                _Round(self, cache, len(jobs), answers, watch).run(todo)
        return [answers[request.key()] for request in requests]

    def known(self, cache: Cache, key: str, withdraw: bool = False) -> Answer | None:
        """The cached answer; a cached failure only if failures are not retried.

        Args:
            withdraw: turn a cached reply that is no final answer (an earlier version kept some) into a failure.
        """
        row = cache.get(key)
        if row is None:
            return None
        reason = row.reason
        if not reason:
            fault = fault_of_body(row.response or b"", strict=False)
            if fault is None:
                body, choice = read_body(row.response or b"")
                return Answer(body, cached=True, attempts=row.attempts, choice=choice)
            reason = f"failed: {fault.reason}"
            if withdraw:
                cache.withdraw(row, reason)
        return (
            None
            if self.connection.retry_failures
            else Answer(None, reason, cached=True, attempts=row.attempts)
        )

    def estimate(self, requests: Sequence[Request]) -> dict[str, Any]:
        """Upper bounds on tokens and dollars, and the number of (cached) requests; sends nothing."""
        jobs = {request.key(): request for request in requests}
        with Cache(self.connection.cache_path()) as cache:
            todo = [request for key, request in jobs.items() if self.known(cache, key) is None]
        prompt = sum(request.prompt_tokens_at_most() for request in todo)
        limits = [request.max_tokens for request in todo]
        completion = None if None in limits else sum(limit or 0 for limit in limits)
        dollars = None if completion is None else self.connection.price().dollars(prompt, completion)
        return {
            "requests": len(jobs),
            "cached": len(jobs) - len(todo),
            "to_send": len(todo),
            "prompt_tokens_at_most": prompt,
            "completion_tokens_at_most": completion,
            "dollars_at_most": dollars,
        }


class _Round:
    """The requests of one call of `ask` that are not in the cache."""

    def __init__(
        self, endpoint: Endpoint, cache: Cache, total: int, answers: dict[str, Answer], watch: Watch | None
    ) -> None:
        self.endpoint, self.cache, self.total = endpoint, cache, total
        self.answers, self.watch = answers, watch
        self.connection, self.tally, self.limit = endpoint.connection, endpoint.tally, endpoint.limit
        self.price = endpoint.connection.price()
        self.budgets = endpoint.own_budgets + process_budgets()
        self.stop: BenchError | None = None
        self.settled = asyncio.Event()
        self.alike: Counter[str] = Counter()

    def run(self, todo: list[Job]) -> None:
        """Sends all requests; returns when each has an answer or a failure."""
        if find_spec("openai") is None:
            raise BenchError("an endpoint needs the openai package: pip install 'rlp-bench[openai]'")
        secret = self.connection.key()
        self.secrets = self.connection.secrets()
        for budget in self.budgets:
            budget.worth(
                self.price, 0, 0
            )  # raises for a dollar budget without a price, before anything is paid
            if any(request.max_tokens is None for _, request in todo):
                raise BenchError(
                    f"budget {budget}: max_tokens is not sent, so the cost of a reply has no upper bound; give "
                    "max_tokens=N, or no budget"
                )
        self.limit.reset()
        run_coroutine(self._send_all(todo, secret))
        if self.stop is not None:
            raise self.stop

    async def _send_all(self, todo: list[Job], secret: str) -> None:
        async with open_client(self.connection, secret) as client:
            if not self.endpoint._accepted and not self.answers:
                self.limit.go_alone(HEAD_START_SECONDS)
            self.create = partial(
                client.chat.completions.with_raw_response.create,
                extra_headers=request_headers(self.connection, secret),
            )
            queue = iter(todo)
            workers = min(self.connection.max_concurrency, len(todo))
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(queue))

    async def _work(self, queue: Iterator[Job]) -> None:
        for key, request in queue:
            if self.stop is not None:
                return
            answer = await self._answer(key, request)
            if answer is None:
                return
            self.answers[key] = answer
            if self.watch is not None:
                self.watch(len(self.answers), self.total, self._note())

    def _note(self) -> str:
        limited = f", {self.tally.rate_limited} times rate-limited" if self.tally.rate_limited else ""
        failed = f", {self.tally.failed} failed" if self.tally.failed else ""
        return f"{self.limit.running} in flight{limited}{failed}"

    async def _answer(self, key: str, request: Request) -> Answer | None:
        """The answer or failure, committed to the cache; None: the round stops before this request was done."""
        began = time.monotonic()
        fault, held = Fault("never sent", "again"), False
        for attempt in range(1, self.connection.attempts + 1):
            sent_at = asyncio.get_running_loop().time() if held else await self.limit.acquire()
            held = False
            try:
                known = self.endpoint.known(self.cache, key) if attempt == 1 else None
                if known is not None:  # answered meanwhile by another process
                    self.tally.cached += 1
                    return known
                if self.stop is not None or not await self._reserve(request):
                    return None
                result = await self._attempt(request)
                if isinstance(result, bytes):
                    self.limit.answered()
                    return self._keep(key, request, result, attempt, time.monotonic() - began)
                fault = result
                self._judge_fault(request, fault, attempt, sent_at)
                if self.stop is not None:
                    return None
                if fault.what != "again" or attempt == self.connection.attempts:
                    break
                pause = pause_seconds(key, attempt, fault.retry_after, self.connection.first_pause)
                if self.limit.alone:  # nobody else is sent before this one was tried again
                    await self.limit.sleep(pause)
                    held = True
            finally:
                if not held:
                    self.limit.release()
            if not held:
                await self.limit.sleep(pause)
        return self._fail(key, request, fault, attempt, time.monotonic() - began)

    async def _attempt(self, request: Request) -> bytes | Fault:
        """Sends the request once: the body of a complete chat completion, or the fault."""
        most = request.prompt_tokens_at_most(), request.max_tokens or 0
        spent: tuple[int, int] | None = None  # unknown: an interrupted request may have been billed
        self.tally.sent += 1
        try:
            async with asyncio.timeout(self.connection.timeout):
                raw = await self.create(**_arguments(request))
            self.endpoint._heard = True
            data = redact(raw.http_response.content, self.secrets)
            fault = fault_of_body(data, self.secrets, list(request.body()), raw.http_response.headers)
            if fault is not None:
                return fault
            prompt, completion = usage_of(read_body(data)[0])
            spent = None if prompt is None or completion is None else (prompt, completion)
            return data
        except Exception as error:
            fault = fault_of(error, self.secrets, list(request.body()), proxies_in_use())
            if fault.status is not None:
                self.endpoint._heard, spent = True, (0, 0)
            return fault
        finally:
            for budget in self.budgets:
                reserved = budget.worth(self.price, *most)
                budget.settle(reserved, reserved if spent is None else budget.worth(self.price, *spent))
            self.settled.set()

    async def _reserve(self, request: Request) -> bool:
        """Waits until the request fits every budget; False if it never will."""
        most = request.prompt_tokens_at_most(), request.max_tokens or 0
        while True:
            short = next((b for b in self.budgets if not b.fits(b.worth(self.price, *most))), None)
            if short is None:
                for budget in self.budgets:
                    budget.reserved += budget.worth(self.price, *most)
                return True
            if self.stop is None and short.reserved <= 1e-12:
                self.stop = BudgetSpent(
                    f"budget {short}: spent; {len(self.answers)} of {self.total} requests are answered and kept in "
                    f'"{self.cache.path}"; run the same command with a larger budget to continue'
                )
            if self.stop is not None:
                return False
            self.settled.clear()
            await self.settled.wait()

    def _judge_fault(self, request: Request, fault: Fault, attempt: int, sent_at: float) -> None:
        """Slows down after a 429; sets `stop` after a fault that every further request would have, too."""
        if fault.status == 429:
            self.tally.rate_limited += 1
            if fault.retry_after <= LONGEST_WAIT_SECONDS:
                self.limit.too_many(sent_at, fault.retry_after)
        where, kept = self.connection.url(), f'; answers so far are kept in "{self.cache.path}"'
        if fault.what == "stop" and not self._was_accepted(request, fault.option):
            advice = fault.advice or f"check ${self.connection.key_env}, model and base_url"
            self._stop(f"{where}: {fault.reason}; {advice}{kept}")
        elif not self.endpoint._heard and attempt >= min(DEAF_ATTEMPTS, self.connection.attempts):
            times = f", {attempt} times" if attempt > 1 else ""
            proxy = ", the proxy" if proxies_in_use() else ""
            self._stop(
                f"{where}: {fault.reason}{times}; check that the server is running{proxy}, and base_url"
            )
        elif fault.retry_after > LONGEST_WAIT_SECONDS:
            self._stop(
                f"{where}: asks to wait {fault.retry_after:.0f} s ({fault.reason}); run the same command after that"
                f"{kept}"
            )

    def _was_accepted(self, request: Request, option: str) -> bool:
        """Whether a request with the same value of this field was answered, so that the fault is this request's own."""
        if not option or not self._answered_before(request):
            return False
        return (option, canonical(request.body().get(option))) in self.endpoint._accepted

    def _answered_before(self, request: Request) -> bool:
        """Whether the server ever answered in this process, or, by the cache, a request with the same options."""
        if not self.endpoint._accepted:
            wanted = options_of(request.body())
            for sent in self.cache.answered_requests(request.provider, request.model):
                if options_of(json.loads(sent)) == wanted:
                    self.endpoint._accepted |= wanted
                    break
        return bool(self.endpoint._accepted)

    def _stop(self, line: str) -> None:
        self.stop = self.stop or BenchError(line)
        self.settled.set()
        self.limit.close()

    def _keep(self, key: str, request: Request, data: bytes, attempts: int, seconds: float) -> Answer | None:
        body, choice = read_body(data)
        by = body.get("model")
        prompt, completion = usage_of(body)
        self.tally.usage(self.price, prompt, completion)
        unnamed = by is None or by == ""
        if unnamed and request.snapshot in ("", request.model):
            self.tally.model_unknown += 1
        elif by != request.expected_model:
            by = one_line(str(by), self.secrets)
            reason = f'failed: answered by model "{by}", expected "{request.expected_model}"'
            self.cache.put(self._row(key, request, reason, attempts, seconds, data, body, choice))
            self._stop(self._other_model(request, "" if unnamed else by))
            return None
        self.cache.put(self._row(key, request, "", attempts, seconds, data, body, choice))
        self.tally.answered += 1
        self.endpoint._accepted |= options_of(request.body())
        if isinstance(body.get("system_fingerprint"), str) and body["system_fingerprint"]:
            self.tally.fingerprints.add(one_line(body["system_fingerprint"], self.secrets))
        return Answer(body, attempts=attempts, choice=choice)

    def _other_model(self, request: Request, by: str) -> str:
        where = self.connection.url()
        if not by:
            return (
                f'{where}: the reply names no model, expected "{request.expected_model}"; leave snapshot=... out to '
                "accept it"
            )
        advice = f"by snapshot={by}" if SIMPLE.fullmatch(by) else "as snapshot in a TOML file"
        return (
            f'{where}: asked for model "{request.expected_model}", answered by "{by}"; name the snapshot itself as the '
            f"model, or give the expected name {advice}"
        )

    def _fail(self, key: str, request: Request, fault: Fault, attempts: int, seconds: float) -> Answer:
        """A failure; stops the round after some of the same kind, if nothing was ever answered."""
        reason = f"failed: {fault.reason}"
        self.cache.put(self._row(key, request, reason, attempts, seconds, None, {}, {}))
        self.tally.failed += 1
        if not fault.of_text and not self._answered_before(request):
            self.alike[DIGITS.sub("0", fault.reason)] += 1
            if max(self.alike.values()) >= FAILED_ALIKE:
                self._stop(
                    f"{self.connection.url()}: {fault.reason}; the first {FAILED_ALIKE} requests failed so, and none "
                    "was answered; check model, options and base_url"
                )
        return Answer(None, reason, attempts=attempts)

    def _row(
        self, key: str, request: Request, reason: str, attempts: int, seconds: float,
        data: bytes | None, body: Any, choice: Any,
    ) -> Row:  # fmt: skip
        prompt, completion = usage_of(body)
        return Row(
            key=key,
            reason=reason,
            provider=request.provider,
            model=request.model,
            answered_by=storable(body.get("model")),
            system_fingerprint=storable(body.get("system_fingerprint")),
            finish_reason=storable(choice.get("finish_reason")),
            prompt_tokens=prompt,
            completion_tokens=completion,
            attempts=attempts,
            seconds=round(seconds, 3),
            request=json.dumps(request.body(), sort_keys=True),
            response=data,
        )


def _arguments(request: Request) -> dict[str, Any]:
    """The body as arguments of `create`; all but model and messages goes into `extra_body`."""
    body = request.body()
    return {"model": body.pop("model"), "messages": body.pop("messages"), "extra_body": body}
