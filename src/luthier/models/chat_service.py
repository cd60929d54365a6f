"""A model behind OpenAI's chat completions, on starlette and uvicorn (`luthier[serve]`): with tools its calls are read and answered as calls.

    POST /v1/chat/completions   OpenAI's fields, `luthier.models.chat_requests`
    GET  /v1/models             the names that may be asked
    GET  /health                how many wait

Requests that wait are answered side by side. Status 400 is a field that is wrong or a foreign Host, 401 no key where one is asked, 404 an unknown
model, 413 a body over a MiB, 502 a model that fails, 503 a full queue or a service that stops.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

from luthier.errors import LuthierError, SettingsError
from luthier.models.chat_requests import ChatRequest, UnknownModelError, chat_answer, chunks, read_chat
from luthier.models.grammar import own_form
from luthier.models.service_settings import ListeningSettings
from luthier.records import JSON
from luthier.run.answering import LARGEST, Keyed, TooLargeError, error, json_body, reply
from luthier.run.listening import listen, own_names
from luthier.settings import option

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from luthier.models.protocol import LanguageModel

SIDE_BY_SIDE = 16  # requests that are answered in one batch
BEAT = 0.5  # seconds between looks at whether a client has gone


@dataclass(frozen=True)
class ChatServeSettings(ListeningSettings):
    """Serve a model to any client of OpenAI's chat completions, tools included: what it calls is answered as `tool_calls`.

    The model answers to its own name and to `luthier`; --adapter puts a trained adapter on it.
    """

    port: int = option(8767, "0 takes a free one.", least=0, most=65535)
    queue: int = option(64, "Requests that wait; one more is told to come again.", least=1, most=4096)
    max_tokens: int = option(512, "Longest answer where a request does not say.", least=1, most=1_000_000)


class StoppedError(Exception):
    """The service stops, or nobody waits for this answer any more."""


@dataclass
class Job:
    """A request on its way. cancelled: its client has gone; done: `made` or `problem` is there."""

    asked: ChatRequest
    cancelled: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    made: JSON | None = None
    problem: Exception | None = None

    def end(self, made: JSON | None = None, problem: Exception | None = None) -> None:
        self.made, self.problem = made, problem
        self.done.set()


class Worker:
    """One thread that asks the model, for all requests that wait at a time; at most `size` wait."""

    def __init__(self, model: LanguageModel, size: int) -> None:
        self.model = model
        self.waiting: Queue[Job | None] = Queue(size)
        self.stopping = False
        self.answering = 0
        self.thread = threading.Thread(target=self._work, name="chat", daemon=True)
        self.thread.start()

    def take(self, job: Job) -> bool:
        """Whether there is room for it."""
        if self.stopping:
            return False
        try:
            self.waiting.put_nowait(job)
        except Full:
            return False
        return True

    def stop(self) -> None:
        """Answer what is under way, and tell those that wait."""
        self.stopping = True
        while (job := self._next()) is not None:
            job.end(problem=StoppedError())
        self.waiting.put(None)
        self.thread.join(timeout=30)

    def _next(self) -> Job | None:
        try:
            return self.waiting.get_nowait()
        except Empty:
            return None

    def _work(self) -> None:
        while (first := self.waiting.get()) is not None:
            jobs = [first]
            while len(jobs) < SIDE_BY_SIDE and (job := self._next()) is not None:
                jobs.append(job)
            self.answering = len(jobs)
            self._answer(jobs)
            self.answering = 0

    def _answer(self, jobs: Sequence[Job]) -> None:
        """All at once; where that fails each alone, so that one that is too long fails nobody else."""
        wanted = [job for job in jobs if not job.cancelled]
        for job in jobs:
            if job.cancelled:
                job.end(problem=StoppedError())
        try:
            prompts = [job.asked.prompt for job in wanted for _ in job.asked.samplings]
            found = iter(self.model.generate(prompts, [one for job in wanted for one in job.asked.samplings]))
            for job in wanted:
                answers = [next(found) for _ in job.asked.samplings]
                job.end(chat_answer(job.asked, answers, {"calls": len(answers)}))
        except Exception as problem:
            left = [job for job in wanted if not job.done.is_set()]
            if len(wanted) == 1:
                wanted[0].end(problem=problem)
                return
            for job in left:
                self._answer([job])


def application(model: LanguageModel, settings: ChatServeSettings) -> Starlette:
    """The service as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    worker, names, form = Worker(model, settings.queue), (model.name, "luthier"), own_form(model)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.stop)

    async def completions(request: Request) -> Response:
        try:
            asked = read_chat(await json_body(request), names, form=form, max_tokens=settings.max_tokens)
        except UnknownModelError as problem:
            return error(404, str(problem), "model_not_found")
        except TooLargeError:
            return error(413, f"the body is over {LARGEST} bytes")
        except LuthierError as problem:
            return error(400, str(problem))
        job = Job(asked)
        if not worker.take(job):
            return error(503, "too many requests wait; come again", "queue_full", {"retry-after": "5"})
        return _streamed(job) if asked.streamed else await _whole(job, request)

    async def models(request: Request) -> Response:
        return reply({"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "luthier"} for name in names]})

    async def health(request: Request) -> Response:
        return reply({"waiting": worker.waiting.qsize(), "answering": worker.answering})

    routes = [Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models), Route("/health", health)]
    known = own_names(settings.host)
    hosts = ["*"] if known is None else sorted(known)
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Keyed, key=settings.key())]
    app = Starlette(routes=routes, lifespan=living, middleware=guards)
    app.state.worker = worker
    return app


async def _whole(job: Job, request: Request) -> Response:
    while not await asyncio.to_thread(job.done.wait, BEAT):
        if await request.is_disconnected():
            job.cancelled = True
            return error(499, "the client has gone")
    return _failed(job) if job.made is None else reply(job.made)


def _failed(job: Job) -> Response:
    if isinstance(job.problem, StoppedError):
        return error(503, "the service stops", "stopping")
    if isinstance(job.problem, LuthierError):
        return error(502, str(job.problem))
    logging.getLogger("luthier").error("an answer failed", exc_info=job.problem)
    return error(500, f"{type(job.problem).__name__}: {job.problem}")


def _streamed(job: Job) -> Response:
    """The whole answer, in the form of a stream: calls can only be read once they are whole."""
    from starlette.responses import StreamingResponse

    async def pieces() -> AsyncIterator[str]:
        try:
            while not await asyncio.to_thread(job.done.wait, BEAT):
                yield ": answering\n\n"
            if job.made is None:
                yield f"data: {bytes(_failed(job).body).decode()}\n\n"
                return
            for piece in chunks(job.made, with_usage=job.asked.with_usage):
                yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            job.cancelled = True  # a client that has gone is not answered

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def serve(settings: ChatServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until a signal. Raises SettingsError where the extra is absent or the port is taken, and what opening the model raises."""
    try:
        import uvicorn
    except ImportError:
        raise SettingsError("serving needs starlette and uvicorn: pip install 'luthier[serve]'") from None
    model: LanguageModel = settings.open()
    with listen(settings.host, settings.port) as door:
        app = application(model, settings)
        key = f"; clients send the key of {settings.key_from}" if settings.key() else ""
        tell(f"http://{settings.host}:{door.getsockname()[1]}/v1 answers as {model.name}{key}")
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
        uvicorn.Server(config).run(sockets=[door])
