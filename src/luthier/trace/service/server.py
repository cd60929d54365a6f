"""The HTTP side of a service: JSON in and out, errors as one line of JSON with their status, nothing logged that names a learner.

It listens on loopback unless told otherwise and knows no passwords: whatever else can reach it is for a proxy in front of it to decide.
"""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from luthier.errors import BadRowError, DiskError, SettingsError
from luthier.records import JSON
from luthier.records.lines import parse_row, to_text
from luthier.trace.service.roster import Roster
from luthier.trace.service.routes import RequestError, find_route, query_fields, respond

if TYPE_CHECKING:
    from luthier.trace.tracer import Tracer

HOST, PORT = "127.0.0.1", 8765
LARGEST_BODY = 1 << 20  # bytes
_DRAINED = 16 << 20  # bytes of a body too large that are still read, so that the client sees the reply
_IDLE = 60.0  # seconds until a silent connection is closed


def serve(tracer: Tracer, folder: str | Path, host: str = HOST, port: int = PORT, *, tell: Callable[[str], None] = lambda _: None) -> None:
    """Serve a fitted tracer until SIGTERM or SIGINT (Ctrl-C); `tell` hears the address, and that it stops.

    folder: keeps learners and added items. port: 0 takes a free one. Raises SettingsError where the port or the folder is in use.
    """
    with Service(tracer, folder, host, port, tell=tell) as service, _stopped_by_signals(service):
        tell(f"serving on {service.url} (learners in {folder}); Ctrl-C stops it")
        service.run()
        tell("stopped; every answer is kept")


class Service:
    """A server that runs until `stop`; use it as a context manager, or `start` it beside other work. Raises as `serve`."""

    def __init__(
        self, tracer: Tracer, folder: str | Path, host: str = HOST, port: int = PORT, *, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.roster = Roster(tracer, folder)
        try:
            self._server = _Server(self, host, port, tell)
        except (OSError, OverflowError) as problem:
            self.roster.close()
            reason = getattr(problem, "strerror", None) or problem
            raise SettingsError(f"cannot listen on {host}, port {port}: {reason}; choose another port") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> None:
        """Answer requests until `stop` is called from another thread."""
        self._server.serve_forever(poll_interval=0.1)

    def start(self) -> None:
        """Answer requests in a thread of its own."""
        threading.Thread(target=self.run, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()

    def close(self) -> None:
        """Close the port, let the request in progress end, and write all learners."""
        self._server.server_close()
        with self.roster.lock:
            if not self.roster.closed:
                self.roster.close()

    def reply(self, method: str, path: list[str], fields: JSON) -> JSON:
        """Raises RequestError, DiskError."""
        return respond(self.roster, method, path, fields)


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, host: str, port: int, tell: Callable[[str], None]) -> None:
        self.service, self.tell = service, tell
        self.names = _own_names(host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        problem = sys.exception()
        if not isinstance(problem, ConnectionError | TimeoutError):  # a client that went away is no news
            self.tell(f"a connection failed: {type(problem).__name__}")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "luthier", ""
    timeout = _IDLE
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        try:
            status, reply = 200, self._reply()
        except RequestError as problem:
            status, reply = problem.status, {"error": str(problem)}
        except DiskError as problem:
            status, reply = 507, {"error": str(problem)}
        except (ConnectionError, TimeoutError):
            raise
        except Exception as problem:  # one bad request must not end the service, and its trace may name a learner
            self.server.tell(f"{self.command} failed: {type(problem).__name__}")
            status, reply = 500, {"error": f"the service has a fault ({type(problem).__name__})"}
        self._send(status, reply)

    do_POST = do_DELETE = do_PUT = do_PATCH = do_GET  # noqa: N815, the names that the standard library calls

    def _reply(self) -> JSON:
        body = self._body()
        host = (self.headers.get("Host") or "localhost").rsplit("@", 1)[-1]
        name = host[: host.find("]") + 1] if host.startswith("[") else host.split(":", 1)[0]
        if self.server.names is not None and name.strip("[]").lower() not in self.server.names:
            raise RequestError(403, "the Host of the request is not this machine")  # a web page that was pointed here
        address = urlsplit(self.path)
        try:
            path = [unquote(part, errors="strict") for part in address.path.strip("/").split("/")]
            fields = query_fields(address.query)
        except UnicodeDecodeError:
            raise RequestError(400, "the address is not UTF-8 text") from None
        find_route(self.command, path)
        if self.command in ("GET", "DELETE"):
            return self.server.service.reply(self.command, path, fields)
        if fields:
            raise RequestError(400, "the fields of this request belong in its body")
        return self.server.service.reply(self.command, path, self._fields(body))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit() and len(length) < 16):
            self.close_connection = True
            raise RequestError(411, "give the length of the body in Content-Length")
        if int(length) > LARGEST_BODY:
            self.close_connection = True
            left = min(int(length), _DRAINED)
            while left and (read := self.rfile.read(min(left, 1 << 16))):
                left -= len(read)
            raise RequestError(413, f"the body has {length} bytes; the most is {LARGEST_BODY}")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionError("the request was cut off")
        return body

    def _fields(self, body: bytes) -> JSON:
        kind = self.headers.get_content_type() if "Content-Type" in self.headers else "nothing"
        if kind != "application/json":
            raise RequestError(415, f"the Content-Type is {kind[:60]!r}; send application/json")
        try:
            return parse_row(body)
        except BadRowError as problem:
            raise RequestError(400, f"the body is {problem.problem}") from None

    def handle_expect_100(self) -> bool:
        """A client that waits before it sends its body must hear at once."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, in JSON as everything else."""
        self.close_connection = True
        self._send(int(code), {"error": message or "the request cannot be read"})

    def _send(self, status: int, reply: JSON) -> None:
        data = to_text(reply).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Addresses name learners: none is written down."""


def _own_names(host: str) -> frozenset[str] | None:
    """What a request may call a server on loopback; None where it listens to others too."""
    names = {"localhost", "127.0.0.1", "::1", host.lower()}
    if host == "localhost":
        return frozenset(names)
    try:
        return frozenset(names) if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None


@contextlib.contextmanager
def _stopped_by_signals(service: Service) -> Iterator[None]:
    """SIGTERM and SIGINT stop the service; only the main thread may hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # `stop` waits for the loop that the handler interrupts, so it must run beside it
    before = {
        each: signal.signal(each, lambda *_: threading.Thread(target=service.stop, daemon=True).start())
        for each in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
