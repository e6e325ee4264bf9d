"""A small HTTP server on loopback that can do what networks do: ranges, cut connections, refusals."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """bytes after which the first, second … GET of it loses its connection; after these all is sent"""
    cuts_ranges: bool = False
    """only a GET that asks for a range loses its connection, whatever else is asked meanwhile"""


class Server:
    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        """by path, without the query"""
        self.log: list[tuple[str, str, str]] = []
        """method, path, Range"""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def ranges(self, path: str) -> list[str]:
        """The Range of every GET of `path`, in order."""
        return [asked for method, at, asked in self.log if at == path and method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, send: bool) -> None:
        path = self.path.partition("?")[0]
        asked = self.headers.get("Range", "")
        self.owner.log.append((self.command, path, asked))
        answer = self.owner.routes.get(path, Answer(status=404))
        body, status, headers = answer.body, answer.status, dict(answer.headers)
        if asked and answer.ranges and status == 200:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end) if end else len(body) - 1
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            body, status = body[first : last + 1], 206
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            cuts = answer.cuts and (asked or not answer.cuts_ranges)
            cut = answer.cuts.pop(0) if cuts else len(body)
            try:
                self.wfile.write(body[:cut])
            except ConnectionError:  # a client that has seen enough
                self.close_connection = True
            if cut < len(body):
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server._http.shutdown()
        server._http.server_close()
        thread.join()
