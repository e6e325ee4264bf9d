"""A session file, open to read: opened again where it has changed, one transaction for each read, nothing trusted.

What is read is the business of `reader.py`; this is how.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import msgspec

from workbench.errors import JSON_ERRORS, UserError
from workbench.session.opening import DAMAGE_ERRORS, TRIES, OpenedFile, explain, file_identity, open_to_read, wal_path

T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound="ReadableFile")

TIME_LIMIT = 10.0
"""seconds that one call may take: a crafted file must not hang its reader"""


def fresh_read(
    read: Callable[Concatenate[F, P], T],
) -> Callable[Concatenate[F, P], T]:
    """Makes a method read the file as it is now: opened again where needed, read again where it changed meanwhile."""

    @wraps(read)
    def read_fresh(self: F, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            for _ in range(TRIES):
                self._reopen_if_stale()
                opened = self._opened
                try:
                    answer = read(self, *args, **kwargs)
                except UserError:
                    if not (opened.immutable and opened.state.may_have_changed(self.path)):
                        raise
                else:
                    if not (opened.immutable and opened.state.may_have_changed(self.path)):
                        return answer
            raise UserError(f"{self.path} is being written and did not rest while it was read: try again")

    return read_fresh


class ReadableFile:
    """A session file, open to read.

    Attributes: `path`; `notice`, a sentence where not all of it can be seen, else empty.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._lock = threading.RLock()
        self._generation = 0
        self._deadline = math.inf
        self._opened = self._open()

    @property
    def notice(self) -> str:
        return self._opened.notice

    def close(self) -> None:
        with self._lock:
            self._opened.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @fresh_read
    def select(self, statement: str, values: Sequence[Any] = (), since: int = 1) -> list[tuple[Any, ...]]:
        """The rows of a statement of `query.py`; none in a file of an older schema than `since`."""
        with self._read() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            rows = connection.execute(statement, values).fetchall() if version >= since else []
        return [decode_texts(row) for row in rows]

    def _open(self) -> OpenedFile:
        opened = open_to_read(self.path)
        opened.connection.set_progress_handler(lambda: time.monotonic() > self._deadline, 100_000)
        return opened

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One transaction: what is read inside belongs together."""
        connection = self._opened.connection
        try:
            self._deadline = time.monotonic() + TIME_LIMIT
            connection.execute("BEGIN")
            yield connection
        except DAMAGE_ERRORS as error:
            raise explain(error, self.path) from None
        finally:
            self._deadline = math.inf
            _end(connection)

    def _reopen_if_stale(self) -> None:
        """Opens the file again where the connection does not, or may not, see what is written now."""
        opened = self._opened
        identity = file_identity(self.path)
        if identity is None:
            raise UserError(f"{self.path} was moved or deleted while it was open")
        if identity != opened.state.identity:
            raise UserError(f"{self.path} was replaced by another file while it was open: open it again")
        if opened.immutable:
            stale = opened.state.may_have_changed(self.path)
        else:
            # Somebody deleted the write-ahead log in spite of our lock: what is written since is in another one.
            stale = file_identity(wal_path(self.path)) != opened.state.wal
        if stale:
            self._generation += 1
            self._opened = self._open()
            opened.connection.close()

    def _json(self, text: Any, what: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (*JSON_ERRORS, TypeError):
            raise UserError(f"{self.path} is damaged: {what} cannot be read") from None

    def _convert(self, values: dict[str, Any], kind: type[T], what: str) -> T:
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.path} is damaged: {what} cannot be read ({error})") from None


def decode_texts(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row with its texts, which come as bytes, as strings."""
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values)


def as_time(value: Any) -> float | None:
    """A stored time, or None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e11 else None


def _end(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except DAMAGE_ERRORS:
        pass  # the read has failed already, with its own sentence
