"""A small OpenAI-compatible server with faults that can be had on demand; its own log is the witness of what it did.

In a thread: `with Stub(...) as stub: stub.url`. As a process: `python stub_server.py '{"faults": 0.3}' LOG`, which
prints its address. What it answers and which faults it makes hang on the request and on how often it came.
"""

import asyncio
import hashlib
import json
import math
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTS = (*("429", "500", "cut", "malformed", "empty", "no_choices") * 6, "timeout")
"""What may happen; a time-out is rarer, for it is what takes long."""
MOST_FAULTS = 3
"""Faults in a row on one request."""
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    429: "Too Many",
    500: "Error",
}

Respond = Callable[[dict[str, Any], "Stub"], tuple[int, str, Any]]
"""Request body, server -> (status, header lines that end in CRLF, the reply as bytes or as a JSON document).

With status 0 the bytes are all that is sent before the connection is closed.
"""


class Stub:
    """The server; its attributes may be changed while it runs."""

    def __init__(
        self,
        faults: float = 0.0,
        script: tuple[str, ...] = (),
        model: str = "",
        reply: str | Callable[[dict[str, Any]], str] = "",
        retry_after: str = "0",
        delay: float = 0.0,
        finish: str = "stop",
        usage: bool = True,
        logprobs: dict[str, float] | None = None,
        at_once: int = 0,
        gather: int | Callable[[], int] = 0,
        log: Path | None = None,
        respond: Respond | None = None,
    ) -> None:
        self.faults, self.script, self.model, self.reply = faults, list(script), model, reply
        self.retry_after, self.delay, self.finish, self.usage = retry_after, delay, finish, usage
        self.logprobs, self.at_once = logprobs, at_once
        self.gather, self.respond = gather, respond
        self.log: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.running = self.most_running = 0
        self._file = log.open("a") if log else None
        self._seen: Counter[str] = Counter()

    # --- what it does with a request ---------------------------------------------------------------

    @staticmethod
    def key(body: dict[str, Any]) -> str:
        """Names a request in the log."""
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def fault(self, key: str) -> str:
        """The fault that this request meets now; "" for none."""
        self._seen[key] += 1
        if self.at_once and self.running > self.at_once:
            return "429"
        if self.script:
            return self.script.pop(0)
        times = self._seen[key]
        draw = hashlib.sha256(f"{key} {times}".encode()).digest()
        if times > MOST_FAULTS or int.from_bytes(draw[:4]) >= self.faults * 2**32:
            return ""
        return FAULTS[draw[4] % len(FAULTS)]

    def answer(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        """A completion."""
        text = self.reply(body) if callable(self.reply) else self.reply
        if not text:
            text = "AB"[int(key, 16) % 2]
        choice: dict[str, Any] = {
            "index": 0, "finish_reason": self.finish, "message": {"role": "assistant", "content": text}
        }  # fmt: skip
        if body.get("logprobs"):
            share = (int(key[:6], 16) + 0.5) / 16**6
            found = self.logprobs or {"A": math.log(share), "B": math.log(1 - share)}
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in found.items()]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        found = {
            "id": key[:8],
            "object": "chat.completion",
            "created": 0,
            "model": self.model or body["model"],
            "system_fingerprint": "stub",
            "choices": [choice],
        }
        if self.usage:
            words = sum(len(message["content"]) for message in body["messages"]) // 4
            found["usage"] = {"prompt_tokens": words, "completion_tokens": 1, "total_tokens": words + 1}
        return found

    # --- HTTP ----------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:  # the server is being stopped
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        if "/chat/completions" not in lines[0]:
            await self._send(writer, 404, b'{"error": {"message": "no such path"}}')
            return True
        body = json.loads(data)
        key = self.key(body)
        if self._file is None:
            self.bodies.append(body)
            self.headers.append(headers)
            self.paths.append(lines[0].split()[1])
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._work()
            return await self._respond(reader, writer, body, key)
        finally:
            self.running -= 1

    async def _work(self) -> None:
        """For `delay` seconds, and until as many are there as are to be: once (a number), or now (a function)."""
        while self.running < self.gather() if callable(self.gather) else self.most_running < self.gather:
            await asyncio.sleep(0.002)
        if self.delay:
            await asyncio.sleep(self.delay)

    async def _respond(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any], key: str
    ) -> bool:
        if self.respond is not None:
            status, head, data = self.respond(body, self)
            self._note(key, str(status))
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            if status == 0:
                writer.write(data)
                await writer.drain()
                return False
            await self._send(writer, status, data, head)
            return True
        fault = self.fault(key)
        whole = json.dumps(self.answer(body, key)).encode()
        if fault == "":
            self._note(key, "ok")
            await self._send(writer, 200, whole)
            return True
        self._note(key, fault)
        if fault == "429":
            error = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
            await self._send(writer, 429, error, f"Retry-After: {self.retry_after}\r\n")
        elif fault == "quota":
            await self._send(writer, 429, b'{"error": {"message": "no money", "code": "insufficient_quota"}}')
        elif fault == "timeout":
            await reader.read()  # until the one who asked gives up
            return False
        elif fault == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(whole) + whole[: len(whole) // 2])
            await writer.drain()
            return False
        elif fault in ("malformed", "empty", "no_choices"):
            wrong = {"malformed": whole[:-7], "empty": b"", "no_choices": b'{"choices": []}'}[fault]
            await self._send(writer, 200, wrong)
        else:
            key_sent = self.headers[-1].get("authorization", "") if self.headers else ""
            said = json.dumps({"error": {"message": f"status {fault}, you sent {key_sent}"}}).encode()
            await self._send(writer, int(fault), said)
        return True

    async def _send(self, writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
        head = f"HTTP/1.1 {status} {REASONS.get(status, '-')}\r\nContent-Type: application/json\r\n{more}"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    def _note(self, key: str, outcome: str) -> None:
        if self._file is None:
            self.log.append((key, outcome))
        else:
            self._file.write(f"{key} {outcome}\n")
            self._file.flush()

    # --- in a thread -----------------------------------------------------------------------------------

    def __enter__(self) -> "Stub":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready.set)), daemon=True)
        self._thread.start()
        assert ready.wait(900)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(900)

    async def _main(self, ready: Callable[[], None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=512, limit=2**16)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stop.wait()
        server.close()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def outcomes(self) -> Counter[str]:
        """How often what happened."""
        return Counter(outcome for _, outcome in self.log)


if __name__ == "__main__":
    stub = Stub(**json.loads(sys.argv[1]), log=Path(sys.argv[2]))
    asyncio.run(stub._main(lambda: print(stub.url, flush=True)))
