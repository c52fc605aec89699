"""Sends requests to a chat endpoint and returns the answers in order; each request is answered at most once.

Steps: equal requests are merged; cached ones are not sent; concurrent workers send the rest, as many as the server
accepts; every answer is committed to the cache on arrival; a fault is retried, fails the request, or stops the round.
After a stop, requests in flight are awaited, so that no paid answer is lost.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from rlp_bench.api.errors import BenchError
from rlp_bench.endpoint.budget import Budget, BudgetSpent, Tally, process_budgets
from rlp_bench.endpoint.cache import Cache, Row
from rlp_bench.endpoint.connection import NO_KEY, Connection
from rlp_bench.endpoint.limit import AdaptiveLimit
from rlp_bench.endpoint.request import Answer, Request, read_body, usage_of
from rlp_bench.endpoint.retry import Fault, fault_of, pause_seconds

LONGEST_WAIT_SECONDS = 600.0
"""Longest accepted Retry-After; beyond it the command stops, to be run again later."""
DEAF_ATTEMPTS = 3
"""Attempts of one request after which a server that never responded counts as unreachable."""
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
                known = self.known(cache, key)
                if known is not None:
                    answers[key] = known
            self.tally.cached += len(answers)
            todo = [(key, request) for key, request in jobs.items() if key not in answers]
            if watch is not None:
                watch(len(answers), len(jobs), "from the cache")
            if todo:
                _Round(self, cache, len(jobs), answers, watch).run(todo)
        return [answers[request.key()] for request in requests]

    def known(self, cache: Cache, key: str) -> Answer | None:
        """The cached answer; a cached failure only if failures are not retried."""
        row = cache.get(key)
        if row is None or (row.reason and self.connection.retry_failures):
            return None
        if row.reason or row.response is None:
            return Answer(None, row.reason, cached=True, attempts=row.attempts)
        body, choice = read_body(row.response)
        return Answer(body, cached=True, attempts=row.attempts, choice=choice)

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

    def run(self, todo: list[Job]) -> None:
        """Sends all requests; returns when each has an answer or a failure."""
        if find_spec("openai") is None:
            raise BenchError("an endpoint needs the openai package: pip install 'rlp-bench[openai]'")
        secret = self.connection.key()
        for budget in self.budgets:
            budget.worth(
                self.price, 0, 0
            )  # raises for a dollar budget without a price, before anything is paid
        self.limit.reset()
        run_coroutine(self._send_all(todo, secret))
        if self.stop is not None:
            raise self.stop

    async def _send_all(self, todo: list[Job], secret: str) -> None:
        from openai import AsyncOpenAI

        self.secret = "" if secret == NO_KEY else secret
        client = AsyncOpenAI(
            api_key=secret,
            base_url=self.connection.url(),
            max_retries=0,
            timeout=self.connection.timeout,
        )
        async with client:
            self.create = client.chat.completions.with_raw_response.create
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
        fault = Fault("never sent", "again")
        for attempt in range(1, self.connection.attempts + 1):
            sent_at = await self.limit.acquire()
            try:
                known = self.endpoint.known(self.cache, key) if attempt == 1 else None
                if known is not None:  # answered meanwhile by another process
                    self.tally.cached += 1
                    return known
                if self.stop is not None or not await self._reserve(request):
                    return None
                result = await self._attempt(request)
            finally:
                self.limit.release()
            if isinstance(result, bytes):
                self.limit.answered()
                return self._keep(key, request, result, attempt, time.monotonic() - began)
            fault = result
            if fault.status == 429:
                self.tally.rate_limited += 1
                self.limit.too_many(sent_at, min(fault.retry_after, LONGEST_WAIT_SECONDS))
            self._judge_fault(fault, attempt)
            if self.stop is not None:
                return None
            if fault.what == "give_up":
                break
            if attempt < self.connection.attempts:
                pause = pause_seconds(key, attempt, fault.retry_after, self.connection.first_pause)
                await asyncio.sleep(pause)
        return self._fail(key, request, f"failed: {fault.reason}", attempt, time.monotonic() - began)

    async def _attempt(self, request: Request) -> bytes | Fault:
        """Sends the request once: the body of a complete chat completion, or the fault."""
        most = request.prompt_tokens_at_most(), request.max_tokens or 0
        spent: tuple[int, int] | None = None  # unknown: an interrupted request may have been billed
        self.tally.sent += 1
        try:
            async with asyncio.timeout(self.connection.timeout):
                raw = await self.create(**_arguments(request))
            data: bytes = raw.http_response.content
            self.endpoint._heard = True
            try:
                body, _ = read_body(data)
            except ValueError as error:
                return Fault(f"not a chat completion ({str(error)[:80]})", "again", 200)
            prompt, completion = usage_of(body)
            spent = None if prompt is None or completion is None else (prompt, completion)
            return data
        except Exception as error:
            fault = fault_of(error, self.secret)
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

    def _judge_fault(self, fault: Fault, attempt: int) -> None:
        """Sets `stop` after a fault that every further request would have, too."""
        where, kept = self.connection.url(), f'; answers so far are kept in "{self.cache.path}"'
        if fault.what == "stop":
            self._stop(f"{where}: {fault.reason}; check ${self.connection.key_env}, model and base_url{kept}")
        elif not self.endpoint._heard and attempt >= DEAF_ATTEMPTS:
            self._stop(
                f"{where}: {fault.reason}, {attempt} times; check that the server is running, and base_url"
            )
        elif fault.retry_after > LONGEST_WAIT_SECONDS:
            self._stop(
                f"{where}: asks to wait {fault.retry_after:.0f} s; run the same command after that{kept}"
            )

    def _stop(self, line: str) -> None:
        self.stop = self.stop or BenchError(line)
        self.settled.set()

    def _keep(self, key: str, request: Request, data: bytes, attempts: int, seconds: float) -> Answer | None:
        body, choice = read_body(data)
        by = body.get("model")
        prompt, completion = usage_of(body)
        self.tally.usage(self.price, prompt, completion)
        if by != request.expected_model:
            reason = f'failed: answered by model "{by}", expected "{request.expected_model}"'
            self.cache.put(self._row(key, request, reason, attempts, seconds, data, body, choice))
            self._stop(
                f'{self.connection.url()}: asked for model "{request.expected_model}", answered by "{by}"; name the '
                f"snapshot itself as the model, or give the expected name by snapshot={by}"
            )
            return None
        self.cache.put(self._row(key, request, "", attempts, seconds, data, body, choice))
        self.tally.answered += 1
        if body.get("system_fingerprint"):
            self.tally.fingerprints.add(str(body["system_fingerprint"]))
        return Answer(body, attempts=attempts, choice=choice)

    def _fail(self, key: str, request: Request, reason: str, attempts: int, seconds: float) -> Answer:
        self.cache.put(self._row(key, request, reason, attempts, seconds, None, {}, {}))
        self.tally.failed += 1
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
            answered_by=_text(body.get("model")),
            system_fingerprint=_text(body.get("system_fingerprint")),
            finish_reason=_text(choice.get("finish_reason")),
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


def _text(value: Any) -> str | None:
    """The value as a string that SQLite can store."""
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def run_coroutine(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to completion; in a separate thread where an event loop is already running (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _run(work)
        return
    raised: list[BaseException] = []

    def other() -> None:
        try:
            _run(work)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:  # raise the worker's error instead of the group
        error: BaseException = group
        with suppress(AttributeError, IndexError):
            while True:
                error = error.exceptions[0]  # type: ignore[attr-defined]
        raise error from None
