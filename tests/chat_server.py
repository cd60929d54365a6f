"""A loopback server that speaks chat completions as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = dict[str, Any]


def completion(text: str | None = None, *, calls: list[tuple[str, str]] | None = None, finish: str = "stop", usage: bool = True) -> Reply:
    """A chat completion as OpenAI writes it; calls are (name, arguments as JSON text)."""
    message: Reply = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ]
    reply: Reply = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage:
        reply["usage"] = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return reply


def echo(request: Reply) -> Reply:
    return completion(f"echo {request['messages'][-1]['content']}")


class ChatServer:
    """Use as a context manager. statuses: answered first, one a request; then `answer` is called.

    barrier: every request waits there, so that as many must be in flight at once as it has parties.
    """

    def __init__(
        self, answer: Callable[[Reply], Any] = echo, statuses: tuple[int, ...] = (), barrier: threading.Barrier | None = None
    ) -> None:
        self.answer, self.statuses, self.barrier = answer, list(statuses), barrier
        self.requests: list[Reply] = []
        self.headers: list[dict[str, str]] = []
        self.active = self.peak = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handle(self, request: Reply, headers: dict[str, str]) -> tuple[int, Any]:
        with self.lock:
            self.requests.append(request)
            self.headers.append(headers)
            self.active += 1
            self.peak = max(self.peak, self.active)
            status = self.statuses.pop(0) if self.statuses else 200
        if self.barrier is not None:
            self.barrier.wait(timeout=10)
        body = self.answer(request) if status == 200 else {"error": {"message": f"failure {status}", "type": "test"}}
        with self.lock:
            self.active -= 1
        return status, body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, body = owner.handle(request, {name.lower(): value for name, value in self.headers.items()})
                kind, data = ("text/html", body.encode()) if isinstance(body, str) else ("application/json", json.dumps(body).encode())
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
