"""Framing: 4 bytes big-endian length, then one msgpack map. On the pipe to the model process raw bytes may follow.

Nothing here knows what messages mean. `FrameError` is for a peer that does not speak this.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from workbench.errors import JSON_ERRORS, UserError
from workbench.worker.protocol import MAX_FRAME

M = TypeVar("M")

LENGTH = struct.Struct(">I")
_READ = 1 << 16


class FrameError(UserError):
    """The other side does not speak our protocol, or is broken."""


def encode(message: Any) -> bytes:
    """One message as a frame. Raises UserError for text that is no Unicode (a lone surrogate)."""
    try:
        body = msgspec.msgpack.encode(message)
    except UnicodeEncodeError:
        raise UserError("the text holds bytes that are not UTF-8: it cannot be sent") from None
    if len(body) > MAX_FRAME:
        raise UserError(f"a message of {len(body):,} bytes is too large to be sent")
    return LENGTH.pack(len(body)) + body


def decode(body: bytes | bytearray | memoryview, kind: Any) -> Any:
    """The message in a frame. Raises FrameError."""
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except JSON_ERRORS as error:
        raise FrameError(f"the other side sent what is no message of ours: {error}") from None


def frame_length(header: bytes | bytearray | memoryview, limit: int = MAX_FRAME) -> int:
    """Raises FrameError for a length beyond `limit`."""
    (length,) = LENGTH.unpack(header)
    if length > limit:
        raise FrameError(f"the other side announced a message of {length:,} bytes (limit {limit:,})")
    return int(length)


async def read_frame(reader: asyncio.StreamReader, limit: int = MAX_FRAME) -> bytes:
    """The next frame's body. Raises EOFError at the end, FrameError for a frame that is too long or cut."""
    try:
        header = await reader.readexactly(LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise FrameError("the other side stopped within a message") from None
        raise EOFError from None
    except ConnectionError:
        raise EOFError from None
    try:
        return await reader.readexactly(frame_length(header, limit))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise FrameError("the other side stopped within a message") from None


class Parser(Generic[M]):
    """Frames from bytes that arrive in any pieces. `size_after` says how many raw bytes follow a message."""

    def __init__(self, kind: Any, size_after: Callable[[M], int] = lambda _: 0, limit: int = MAX_FRAME) -> None:
        self._kind = kind
        self._size_after = size_after
        self._limit = limit
        self._message: M | None = None
        self._expect(LENGTH.size)
        self._stage = "length"

    def _expect(self, size: int) -> None:
        # np.empty: a large buffer must not be filled with zeros first, which would hold the loop.
        self._buffer = memoryview(np.empty(size, np.uint8).data)
        self._filled = 0

    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._buffer[self._filled :]

    def received(self, count: int) -> tuple[M, memoryview] | None:
        """`count` bytes were put into `room`. A message with what followed it, once it is whole."""
        self._filled += count
        while self._filled == len(self._buffer):
            if self._stage == "length":
                size = frame_length(self._buffer, self._limit)
                if size == 0:
                    raise FrameError("the other side sent an empty message")
                self._stage = "body"
                self._expect(size)
            elif self._stage == "body":
                self._message = decode(self._buffer, self._kind)
                size = self._size_after(self._message)
                if not 0 <= size <= self._limit:
                    raise FrameError(f"the other side announced {size:,} bytes of arrays (limit {self._limit:,})")
                self._stage = "after"
                self._expect(size)
            else:
                message, after = self._message, self._buffer
                self._message = None
                self._stage = "length"
                self._expect(LENGTH.size)
                assert message is not None
                return message, after
        return None


class PipeClosed(Exception):  # noqa: N818 - an end, not always an error
    """The control process is gone. No library raises it: a file that ends too early can't be taken for it."""


class Pipe(Generic[M]):
    """The blocking end of a socket pair, in the model process. Sending is safe from any thread.

    Both methods raise `PipeClosed` when the other side is gone.
    """

    def __init__(self, end: socket.socket, kind: Any) -> None:
        self._socket = end
        self._parser: Parser[M] = Parser(kind)
        self._sending = threading.Lock()

    def send(self, message: Any, after: Sequence[Any] = ()) -> None:
        """A message and the raw buffers that follow it."""
        frame = encode(message)
        with self._sending:
            try:
                self._socket.sendall(frame)
                for data in after:
                    self._socket.sendall(data)
            except ConnectionError:
                raise PipeClosed from None

    def receive(self, wait: bool) -> list[M]:
        """What has arrived; with `wait` at least one message."""
        messages: list[M] = []
        while True:
            if not (wait and not messages) and not select.select([self._socket], [], [], 0)[0]:
                return messages
            try:
                count = self._socket.recv_into(self._parser.room())
            except ConnectionError:
                count = 0
            if not count:
                raise PipeClosed
            message = self._parser.received(count)
            if message:
                messages.append(message[0])
