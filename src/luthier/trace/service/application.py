"""The service as an ASGI application: who may ask, the body as fields, errors as one line of JSON with their status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from luthier.errors import BadRowError, DiskError
from luthier.records import JSON
from luthier.records.lines import parse_row, to_text
from luthier.run.listening import bears
from luthier.trace.service.openapi import document
from luthier.trace.service.roster import Roster
from luthier.trace.service.routes import RequestError, find_route, query_fields, respond
from luthier.trace.service.worker import Worker

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes
_DRAINED = 16 << 20  # bytes of a body too large that are still read, so that the client sees the reply


class Door:
    """Answers every path. names: what a request may call this machine, None for anything; key: what a request must carry, None for nothing."""

    def __init__(self, roster: Roster, names: frozenset[str] | None, key: str | None, tell: Callable[[str], None]) -> None:
        self.roster, self.names, self.tell = roster, names, tell
        self.key = None if key is None else key.encode()
        self.document = document(keyed=key is not None)

    @asynccontextmanager
    async def living(self, _: Starlette) -> AsyncIterator[None]:
        with Worker(self.roster) as self.worker:
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, headers = Request(scope, receive), {"cache-control": "no-store"}
        try:
            status, reply = 200, await self._reply(request)
        except RequestError as problem:
            status, reply = problem.status, {"error": str(problem)}
            headers |= {"www-authenticate": "Bearer"} if status == 401 else {"connection": "close"} if status == 413 else {}
        except DiskError as problem:
            status, reply = 507, {"error": str(problem)}
        except ClientDisconnect:  # its request was cut off: nothing was done
            return
        except Exception as problem:  # one bad request must not end the service, and its trace may name a learner
            self.tell(f"{request.method} failed: {type(problem).__name__}")
            status, reply = 500, {"error": f"the service has a fault ({type(problem).__name__})"}
        await Response(to_text(reply) + "\n", status, headers, "application/json")(scope, receive, send)

    async def _reply(self, request: Request) -> JSON:
        self._admit(request)
        try:
            path = [unquote(part, errors="strict") for part in request.scope["raw_path"].decode().strip("/").split("/")]
            fields = query_fields(request.scope["query_string"].decode())
        except UnicodeDecodeError:
            raise RequestError(400, "the address is not UTF-8 text") from None
        if path == ["openapi.json"] and request.method == "GET":
            return self.document
        route = find_route(request.method, path)
        body = await _body(request)
        if request.method not in ("GET", "DELETE"):
            if fields:
                raise RequestError(400, "the fields of this request belong in its body")
            fields = _fields(request.headers.get("content-type", "nothing"), body)
        return await self.worker.ask(partial(respond, self.roster, request.method, path, fields), writes=route.writes)

    def _admit(self, request: Request) -> None:
        """Raises RequestError for a web page that was pointed here, and for a client without the key."""
        host = request.headers["host"].rsplit("@", 1)[-1]
        name = host[: host.find("]") + 1] if host.startswith("[") else host.split(":", 1)[0]
        if self.names is not None and name.strip("[]").lower() not in self.names:
            raise RequestError(403, "the Host of the request is not this machine")
        if self.key is not None and not bears(request.headers.get("authorization", ""), self.key):
            raise RequestError(401, "send the key of this service as `Authorization: Bearer KEY`")


def application(roster: Roster, names: frozenset[str] | None, key: str | None, tell: Callable[[str], None]) -> Starlette:
    door = Door(roster, names, key, tell)
    return Starlette(routes=[Route("/{path:path}", door)], lifespan=door.living)


async def _body(request: Request) -> bytes:
    length = int(request.headers.get("content-length", "0"))
    if length > LARGEST_BODY and "expect" in request.headers:
        raise RequestError(413, f"the body has {length} bytes; the most is {LARGEST_BODY}")
    body, read = bytearray(), 0
    async for part in request.stream():
        read += len(part)
        if length <= LARGEST_BODY:
            body += part
        elif read > _DRAINED:
            break
    if length > LARGEST_BODY:
        raise RequestError(413, f"the body has {length} bytes; the most is {LARGEST_BODY}")
    return bytes(body)


def _fields(kind: str, body: bytes) -> JSON:
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise RequestError(415, f"the Content-Type is {kind[:60]!r}; send application/json")
    try:
        return parse_row(body)
    except BadRowError as problem:
        raise RequestError(400, f"the body is {problem.problem}") from None
