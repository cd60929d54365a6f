"""Connections of the service: uvicorn's, on llhttp's parser, with what it leaves open: whose request is read, how many and for how long.

A head that RFC 9112 calls malformed is refused before anything is done, in one line of JSON, and its connection ends. What is refused here
and not by the parser: a Host that is absent, empty or there twice, an address that is no path, a body without a length, an upgrade, a long head.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from luthier.records.lines import to_text

if TYPE_CHECKING:
    import asyncio

LARGEST_HEAD = 1 << 16  # bytes
TAKEN = 32  # connections that are taken in a row, each a descriptor before it can be refused
WAITING = 2048  # connections that wait to be taken


class Bounds(NamedTuple):
    """Connections at once; seconds a client has to send its whole request, or to take its reply; seconds a silent connection is kept."""

    connections: int
    deadline: float = 20.0
    idle: float = 60.0


class Refusal(NamedTuple):
    status: int
    problem: str


class RefusedError(Exception):
    """Ends the parsing of a request."""


def wrong_head(url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """What is wrong with a head that could be parsed; names of headers are in small letters."""
    names = [name for name, _ in headers]
    for name in (b"host", b"content-length", b"content-type", b"authorization"):
        if names.count(name) > 1:
            return Refusal(400, f"Bad request: the header {name.decode().title()} stands there twice")
    if not dict(headers).get(b"host", b"").strip():
        return Refusal(400, "Bad request: the header Host is missing")
    if not url.startswith(b"/") or not url.isascii():
        return Refusal(400, "Bad request: the address must be a path that begins with /")
    if b"upgrade" in names:
        return Refusal(400, "Bad request: this service changes to no other protocol")
    if b"transfer-encoding" in names:
        return Refusal(411, "give the length of the body in Content-Length")
    return None


class Connection(HttpToolsProtocol):
    """One client. begun: when it began to send a request; reading: that request is not whole yet; deaf: nothing of it is read any more."""

    bounds: Bounds

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.begun, self.reading, self.in_head, self.head, self.deaf = time.monotonic(), True, False, 0, False
        self.refusal: Refusal | None = None
        self.admitted = len(self.connections) < self.bounds.connections
        if self.admitted:
            super().connection_made(transport)
            return
        transport.write(_refusal(503, "too many connections; come again"))
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.admitted:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.deaf or not self.admitted:
            return
        if not self.reading:
            self.begun, self.reading = time.monotonic(), True
        super().data_received(data)
        self.head = self.head + len(data) if self.in_head else 0
        if self.head > LARGEST_HEAD and not self.deaf:
            self.refusal = Refusal(431, f"the head of a request has at most {LARGEST_HEAD} bytes")
            self.send_400_response("")

    def eof_received(self) -> bool:
        """Whether the connection stays: only for the reply to a request that came whole."""
        if not self.admitted or self.reading or self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        self.begun, self.reading, self.in_head = time.monotonic(), True, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.refusal = wrong_head(self.url, self.headers)
        if self.refusal is not None:
            raise RefusedError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.reading = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.reading:
            self.begun = time.monotonic()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what was read last; replies to what came before go out, and the connection ends with them."""
        self.deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            return
        self.transport.write(_refusal(*(self.refusal or Refusal(400, "Bad request: this is no HTTP/1.1"))))
        self.transport.close()

    def late(self, now: float) -> bool:
        """Whether the client takes too long: over its request, or over taking the reply."""
        return (self.reading or self.transport.get_write_buffer_size() > 0) and now - self.begun > self.bounds.deadline


class Server(uvicorn.Server):
    """Leaves signals to others, and cuts off clients that are late."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for door in sockets or ():
            door.listen(WAITING)

    async def on_tick(self, counter: int) -> bool:
        if counter % 5 == 0:
            self.cut_late()
        return bool(await super().on_tick(counter))

    def cut_late(self) -> None:
        now = time.monotonic()
        for each in [each for each in self.server_state.connections if each.late(now)]:
            each.transport.abort()


def server(app: Any, bounds: Bounds) -> Server:
    """An ASGI application behind such connections."""
    protocol = type("Connection", (Connection,), {"bounds": bounds})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        log_level="critical",  # what it says names addresses, which name learners
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=TAKEN,
        timeout_keep_alive=bounds.idle,  # type: ignore[arg-type]  # any number of seconds
        timeout_graceful_shutdown=10,
    )
    return Server(config)


def _refusal(status: int, problem: str) -> bytes:
    body = to_text({"error": problem}).encode() + b"\n"
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return head.encode() + body
