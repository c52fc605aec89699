"""The answer cache, in SQLite: one row per request, committed on arrival, shared by processes.

WAL mode: readers never wait, and a killed process loses nothing committed. An answer is never overwritten; a failure
is, by the next attempt. Request keys, prompts and raw answers are stored, credentials are not.
"""

import hashlib
import os
import sqlite3
import time
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from rlp_bench.api.errors import BenchError, StoreError

SCHEMA_VERSION = 2
"""Since 2, rows have a seal; rows of version 1 have none and are taken as they are."""
LOCK_SECONDS = 60.0
"""Maximum wait for another process that writes."""
FILE = "answers.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  reason TEXT NOT NULL,             -- why there is no answer; empty: there is one
  provider TEXT NOT NULL, model TEXT NOT NULL,
  answered_by TEXT, system_fingerprint TEXT, finish_reason TEXT,
  prompt_tokens INTEGER, completion_tokens INTEGER,
  attempts INTEGER NOT NULL, seconds REAL NOT NULL, made_at TEXT NOT NULL,
  request TEXT NOT NULL,            -- JSON, as sent
  response BLOB,                    -- bytes, as received
  seal TEXT                         -- sha256 of the rest but made_at
)
"""
COLUMNS = (
    "key, reason, provider, model, answered_by, system_fingerprint, finish_reason, "
    "prompt_tokens, completion_tokens, attempts, seconds, made_at, request, response, seal"
)
PUT = (
    f"INSERT INTO answers ({COLUMNS}) VALUES ({', '.join('?' * 15)}) ON CONFLICT(key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[1:])
    + " WHERE answers.reason != ''"
)


@dataclass(frozen=True)
class Row:
    """One stored answer or failure."""

    key: str
    reason: str
    provider: str
    model: str
    answered_by: str | None
    system_fingerprint: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    attempts: int
    seconds: float
    request: str
    response: bytes | None

    @property
    def seal(self) -> str:
        """sha256 (hex) of all values."""
        return hashlib.sha256(repr(astuple(self)).encode("utf-8", "surrogatepass")).hexdigest()


def default_cache() -> Path:
    """`$RLP_BENCH_CACHE` (a folder, or a file named *.sqlite), else the user's cache folder."""
    given = os.environ.get("RLP_BENCH_CACHE")
    if given:
        return cache_file(Path(given))
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else _home(Path("~")) / ".cache") / "rlp-bench" / FILE


def cache_file(path: Path) -> Path:
    """The cache file in a folder, or `path` itself if it is a *.sqlite file."""
    path = _home(path)
    return path if path.suffix == ".sqlite" else path / FILE


def _home(path: Path) -> Path:
    """The path with a leading ~ expanded."""
    try:
        return path.expanduser()
    except RuntimeError:  # a user without an entry in passwd
        raise BenchError(
            "cache of answers: this user has no home folder; expected one in $HOME or in passwd; set $RLP_BENCH_CACHE "
            "to a folder"
        ) from None


class Cache:
    """One connection, for one thread at a time: `with Cache(path) as cache`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Cache":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self.path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f'cache "{self.path}": has version {version}, this rlp-bench knows up to {SCHEMA_VERSION}; '
                    "upgrade rlp-bench or give another cache"
                )
            self._set_up()
        except (sqlite3.DatabaseError, OSError) as error:
            raise _broken(self.path, error) from None
        return self

    def _set_up(self) -> None:
        """WAL mode and the table. Two processes may do it at once, and SQLite does not wait for the change to WAL."""
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute(SCHEMA)
                self._add_seal()
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _add_seal(self) -> None:
        """The column that a cache of version 1 lacks."""
        if "seal" not in {column[1] for column in self._db.execute("PRAGMA table_info(answers)")}:
            try:
                self._db.execute("ALTER TABLE answers ADD COLUMN seal TEXT")
            except sqlite3.OperationalError as error:
                if "duplicate" not in str(error):  # another process has just added it
                    raise

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def get(self, key: str) -> Row | None:
        """The row of a request; None if it was never sent.

        Raises:
            StoreError: the cache cannot be read, or the row was changed.
        """
        try:
            found = self._db.execute(f"SELECT {COLUMNS} FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise _broken(self.path, error) from None
        if found is None:
            return None
        row = Row(*found[:11], *found[12:14])
        if found[14] is not None and found[14] != row.seal:
            raise StoreError(
                f'cache "{self.path}": the answer "{key[:16]}" was changed after it was stored; move the cache '
                "away, or give another by cache=FILE or $RLP_BENCH_CACHE"
            )
        return row

    def put(self, row: Row) -> None:
        """Commits one row, unless the request already has an answer."""
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        values = (
            row.key, row.reason, row.provider, row.model, row.answered_by, row.system_fingerprint,
            row.finish_reason, row.prompt_tokens, row.completion_tokens, row.attempts, row.seconds, made_at,
            row.request, row.response, row.seal,
        )  # fmt: skip
        try:
            self._db.execute(PUT, values)
        except sqlite3.DatabaseError as error:
            raise _broken(self.path, error) from None

    def answered_requests(self, provider: str, model: str, limit: int = 50) -> list[str]:
        """The latest requests (JSON) that this model answered."""
        try:
            found = self._db.execute(
                "SELECT request FROM answers WHERE provider = ? AND model = ? AND reason = '' "
                "ORDER BY rowid DESC LIMIT ?",
                (provider, model, limit),
            ).fetchall()
        except sqlite3.DatabaseError as error:
            raise _broken(self.path, error) from None
        return [str(row[0]) for row in found]

    def withdraw(self, row: Row, reason: str) -> None:
        """Turns a stored reply that is no final answer into a failure, so that the next answer replaces it."""
        try:
            self._db.execute(
                "UPDATE answers SET reason = ?, seal = ? WHERE key = ? AND reason = '' AND response IS ?",
                (reason, replace(row, reason=reason).seal, row.key, row.response),
            )
        except sqlite3.DatabaseError as error:
            raise _broken(self.path, error) from None


def _broken(path: Path, error: Exception) -> StoreError:
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StoreError(
        f'cache "{path}": cannot be used ({message}); move it away, or give another by cache=FILE or $RLP_BENCH_CACHE'
    )
