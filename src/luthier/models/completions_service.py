"""OpenAI's chat completions over HTTP, whoever answers them: on starlette and uvicorn (`luthier[serve]`), with a bounded queue and one thread that works.

    POST /v1/chat/completions   a whole answer, or a stream of it
    GET  /v1/models             the names that may be asked
    GET  /v1/models/NAME        one of them
    GET  /health                how many wait, and what is under way

Status 400 is a field that is wrong, a prompt that the model cannot read (`context_length_exceeded`, `invalid_prompt`) or a foreign Host, 401 no key where
one is asked, 404 an unknown model or path, 413 a body over a MiB, 502 a model that fails, 503 a full queue or a service that stops.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Generic, TypeVar

from luthier.errors import EngineError, LuthierError, PromptError, SettingsError
from luthier.models.chat_requests import UnknownModelError, chunks
from luthier.models.service_settings import ListeningSettings
from luthier.records import JSON
from luthier.run.listening import bears, listen, own_names

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

LARGEST = 1 << 20  # bytes of a body
BEAT = 0.5  # seconds between looks at how it goes on, and at whether the client has gone


class StoppedError(Exception):
    """The service stops, or nobody waits for this answer any more."""


class _TooLargeError(Exception):
    """A body over `LARGEST`."""


@dataclass(kw_only=True)
class Job:
    """A request on its way. cancelled: its client has gone; done: `made` or `problem` is there."""

    streamed: bool
    with_usage: bool
    cancelled: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    made: JSON | None = None
    problem: Exception | None = None

    @property
    def told(self) -> str:
        """How it goes on; a stream says it in comments, which clients skip."""
        return "answering"

    def end(self, made: JSON | None = None, problem: Exception | None = None) -> None:
        self.made, self.problem = made, problem
        self.done.set()


Wanted = TypeVar("Wanted", bound=Job)


class Worker(Generic[Wanted]):
    """One thread that answers, in the order of the requests; at most `size` wait. now: what is under way."""

    def __init__(self, name: str, size: int) -> None:
        self.waiting: Queue[Wanted | None] = Queue(size)
        self.now: Sequence[Wanted] = ()
        self.stopping = False
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def answer(self, jobs: Sequence[Wanted]) -> None:
        """End each of the jobs. What this raises ends those that are not."""
        raise NotImplementedError

    @property
    def side_by_side(self) -> int:
        """How many of those that wait are answered together."""
        return 1

    def take(self, job: Wanted) -> bool:
        """Whether there is room for it."""
        if self.stopping:
            return False
        try:
            self.waiting.put_nowait(job)
        except Full:
            return False
        return True

    def stop(self) -> None:
        """Tell those that wait, and what is under way that nobody waits for it."""
        self.stopping = True
        for job in self.now:
            job.cancelled = True
        while (waits := self._next()) is not None:
            waits.end(problem=StoppedError())
        self.waiting.put(None)
        self.thread.join(timeout=30)

    def _next(self) -> Wanted | None:
        try:
            return self.waiting.get_nowait()
        except Empty:
            return None

    def _work(self) -> None:
        while (first := self.waiting.get()) is not None:
            jobs = [first]
            while len(jobs) < self.side_by_side and (another := self._next()) is not None:
                jobs.append(another)
            self.now = jobs
            problem: Exception = StoppedError()
            try:
                self.answer([job for job in jobs if not job.cancelled])
            except Exception as found:
                problem = found
            for job in jobs:
                if not job.done.is_set():
                    job.end(problem=problem)
            self.now = ()


class Keyed:
    """Lets in who bears the key, before anything of a request is read. key: None for everybody."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self.app, self.key = app, None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.key is not None and scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not bears(given.decode("latin-1"), self.key):
                text = "send the key of this service as `Authorization: Bearer KEY`"
                await _error(401, text, "invalid_api_key", {"www-authenticate": "Bearer"})(scope, receive, send)
                return
        await self.app(scope, receive, send)


def application(worker: Worker[Wanted], read: Callable[[object], Wanted], names: Sequence[str], settings: ListeningSettings) -> Starlette:
    """The service as an ASGI application. read: a body as a job; it raises SettingsError and UnknownModelError. names: that may be asked."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    reading = asyncio.Lock()

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.stop)

    async def completions(request: Request) -> Response:
        try:
            body = await _json_body(request)
            async with (
                reading
            ):  # off the loop, since prompts are rendered and counted; one at a time, since tokenizers are not made for more
                job = await asyncio.to_thread(read, body)
        except _TooLargeError:
            return _error(413, f"the body is over {LARGEST} bytes")
        except Exception as problem:
            return _refused(problem)
        if not worker.take(job):
            return _error(503, "too many requests wait; come again", "queue_full", {"retry-after": "5"})
        return _streamed(job) if job.streamed else await _whole(job, request)

    async def models(request: Request) -> Response:
        return _reply({"object": "list", "data": [_told_of(name) for name in names]})

    async def one_model(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in names:
            return _error(404, f"the model {name!r:.100} is not served; ask {', '.join(names)}", "model_not_found", param="model")
        return _reply(_told_of(name))

    async def unknown(request: Request, problem: Exception) -> Response:
        status = getattr(problem, "status_code", 500)
        return _error(status, f"{request.method} {request.url.path:.100} is not served here", headers=getattr(problem, "headers", None))

    async def health(request: Request) -> Response:
        return _reply({"waiting": worker.waiting.qsize(), "answering": len(worker.now)})

    routes = [
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", one_model),
        Route("/health", health),
    ]
    own = own_names(settings.host)
    hosts = ["*"] if own is None else sorted(own)
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Keyed, key=settings.key())]
    app = Starlette(routes=routes, lifespan=living, middleware=guards, exception_handlers={HTTPException: unknown})
    app.state.worker = worker
    return app


def check_extra() -> None:
    """Raises SettingsError where the extra is not installed; before a model is opened."""
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        raise SettingsError("serving needs starlette and uvicorn: pip install 'luthier[serve]'") from None


def serve(make: Callable[[], Starlette], settings: ListeningSettings, names: str, tell: Callable[[str], None]) -> None:
    """Serve what `make` gives until a signal; the port is taken first. names: what clients ask. Raises SettingsError for a port that cannot be had."""
    import uvicorn

    with listen(settings.host, settings.port) as door:
        app = make()
        key = f"; clients send the key of {settings.key_from}" if settings.key() else ""
        tell(f"http://{settings.host}:{door.getsockname()[1]}/v1 answers as {names}{key}")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)).run(sockets=[door])


async def _json_body(request: Request) -> object:
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST:
            raise _TooLargeError
    try:
        body = json.loads(data)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SettingsError("the body holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError):
        raise SettingsError("the body is no JSON") from None
    return body


async def _whole(job: Job, request: Request) -> Response:
    while not await asyncio.to_thread(job.done.wait, BEAT):
        if await request.is_disconnected():
            job.cancelled = True
            return _error(499, "the client has gone")
    return _failed(job) if job.made is None else _reply(job.made)


def _failed(job: Job) -> Response:
    if isinstance(job.problem, LuthierError) and not isinstance(job.problem, PromptError):
        return _error(502, str(job.problem))
    return _refused(job.problem)


def _refused(problem: Exception | None) -> Response:
    """What a request, or its answer, ended with: whose fault it is."""
    if isinstance(problem, StoppedError):
        return _error(503, "the service stops", "stopping")
    if isinstance(problem, UnknownModelError):
        return _error(404, str(problem), "model_not_found", param="model")
    if isinstance(problem, PromptError):
        return _error(400, str(problem), problem.code, param="messages")
    if isinstance(problem, LuthierError):
        return _error(502 if isinstance(problem, EngineError) else 400, str(problem))
    if isinstance(problem, RecursionError):
        return _error(400, "the body is nested too deeply")
    logging.getLogger("luthier").error("an answer failed", exc_info=problem)
    return _error(500, f"{type(problem).__name__}: {problem}")


def _told_of(name: str) -> JSON:
    return {"id": name, "object": "model", "created": 0, "owned_by": "luthier"}


def _streamed(job: Job) -> Response:
    """The whole answer in the form of a stream, after comments on how it goes on: calls and programs can only be read once they are whole."""
    from starlette.responses import StreamingResponse

    async def pieces() -> AsyncIterator[str]:
        told = ""
        try:
            while not await asyncio.to_thread(job.done.wait, BEAT):
                if job.told != told:
                    told = job.told
                    yield f": {told}\n\n"
            if job.made is None:
                yield f"data: {bytes(_failed(job).body).decode()}\n\n"
                return
            yield f": {job.told}\n\n"
            for piece in chunks(job.made, with_usage=job.with_usage):
                yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            job.cancelled = True  # nobody waits for it any more

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)


def _error(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None, *, param: str | None = None
) -> Response:
    """In the form that clients of OpenAI's servers read."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return _reply({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)
