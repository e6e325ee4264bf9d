"""The control process' end of the pipe: bytes go straight into the buffer they stay in; the loop is never held."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from workbench.worker.messages import FromModel, ToModel, size_after
from workbench.worker.protocol import MAX_FRAME
from workbench.worker.wire import FrameError, Parser, encode

OnMessage = Callable[[FromModel, memoryview], None]


class ModelPipe(asyncio.BufferedProtocol):
    """`on_message(message, what followed it)`, and `on_error` for a peer that sends nonsense."""

    def __init__(self, on_message: OnMessage, on_error: Callable[[FrameError], None]) -> None:
        self._on_message = on_message
        self._on_error = on_error
        self._parser: Parser[FromModel] = Parser(FromModel, size_after, MAX_FRAME)
        self._transport: asyncio.WriteTransport | None = None
        self.ended = asyncio.Event()
        """all that the other side sent has been read"""

    @classmethod
    async def open(cls, end: socket.socket, on_message: OnMessage, on_error: Callable[[FrameError], None]) -> ModelPipe:
        """Takes over `end`."""
        _, pipe = await asyncio.get_running_loop().create_connection(lambda: cls(on_message, on_error), sock=end)
        return pipe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._parser.room()

    def buffer_updated(self, count: int) -> None:
        try:
            message = self._parser.received(count)
        except FrameError as error:
            self.close()
            self._on_error(error)
            return
        if message:
            self._on_message(*message)

    def send(self, message: ToModel) -> None:
        """Never blocks; lost if the model process is gone, which is reported elsewhere."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(encode(message))

    def close(self) -> None:
        if self._transport:
            self._transport.abort()
