"""Asking a session file: opened again where it has changed, one transaction a question, nothing trusted.

What questions there are is the reader's business (`reader.py`); this is how one is asked.
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

from workbench.errors import UserError
from workbench.session.opening import DAMAGE, TRIES, Opened, explain, identify, journal, open_to_read

T = TypeVar("T")
P = ParamSpec("P")
A = TypeVar("A", bound="Asking")

PATIENCE = 10.0
"""seconds one call may take: a crafted file must not hang the one who looks"""


def asked(
    question: Callable[Concatenate[A, P], T],
) -> Callable[Concatenate[A, P], T]:
    """A question to the file as it is now: opened again where that is needed, and asked again where it changed."""

    @wraps(question)
    def ask(self: A, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            for _ in range(TRIES):
                self._renew()
                opened = self._opened
                try:
                    answer = question(self, *args, **kwargs)
                except UserError:
                    if not (opened.frozen and opened.state.may_have_changed(self.path)):
                        raise
                else:
                    if not (opened.frozen and opened.state.may_have_changed(self.path)):
                        return answer
            raise UserError(f"{self.path} is being written and did not rest while it was read: try again")

    return ask


class Asking:
    """A session file, open to look.

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

    @asked
    def select(self, question: str, values: Sequence[Any] = (), since: int = 1) -> list[tuple[Any, ...]]:
        """The rows that answer a question of `query.py`; none in a file of an older schema than `since`."""
        with self._read() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            rows = connection.execute(question, values).fetchall() if version >= since else []
        return [plain(row) for row in rows]

    def _open(self) -> Opened:
        opened = open_to_read(self.path)
        opened.connection.set_progress_handler(lambda: time.monotonic() > self._deadline, 100_000)
        return opened

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """One transaction: what is read inside belongs together."""
        connection = self._opened.connection
        try:
            self._deadline = time.monotonic() + PATIENCE
            connection.execute("BEGIN")
            yield connection
        except DAMAGE as error:
            raise explain(error, self.path) from None
        finally:
            self._deadline = math.inf
            _end(connection)

    def _renew(self) -> None:
        """Opens the file again where what is open is not, or may not be, what is written now."""
        opened = self._opened
        now = identify(self.path)
        if now is None:
            raise UserError(f"{self.path} was moved or deleted while it was open")
        if now != opened.state.identity:
            raise UserError(f"{self.path} was replaced by another file while it was open: open it again")
        if opened.frozen:
            old = opened.state.may_have_changed(self.path)
        else:
            # Somebody deleted the write-ahead log in spite of our lock: what is written since is in another one.
            old = identify(journal(self.path)) != opened.state.wal
        if old:
            self._generation += 1
            self._opened = self._open()
            opened.connection.close()

    def _json(self, text: Any, what: str) -> Any:
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, TypeError):
            raise UserError(f"{self.path} is damaged: {what} cannot be read") from None

    def _convert(self, values: dict[str, Any], kind: type[T], what: str) -> T:
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.path} is damaged: {what} cannot be read ({error})") from None


def plain(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Texts come as bytes."""
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values)


def as_time(value: Any) -> float | None:
    """A stored time, or None where it is none."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e11 else None


def _end(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except DAMAGE:
        pass  # the read has failed already, with its own sentence
