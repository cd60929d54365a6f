"""What the services that speak as OpenAI's servers do have in common: JSON bodies of limited size, errors in their form, and a key.

starlette (`luthier[serve]`) is imported where it is used.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.run.listening import bears

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

LARGEST = 1 << 20  # bytes of a body


class TooLargeError(Exception):
    """A body over `LARGEST`."""


class Keyed:
    """Lets in who bears the key, before anything of a request is read. key: None for everybody."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self.app, self.key = app, None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.key is not None and scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not bears(given.decode("latin-1"), self.key):
                text = "send the key of this service as `Authorization: Bearer KEY`"
                await error(401, text, "invalid_api_key", {"www-authenticate": "Bearer"})(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def json_body(request: Request) -> object:
    """The body of a request. Raises TooLargeError, and SettingsError for what is no JSON."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST:
            raise TooLargeError
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise SettingsError("the body is no JSON") from None


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)


def error(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """In the form that clients of OpenAI's servers read."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return reply({"error": {"message": message, "type": kind, "code": code}}, status, headers)
