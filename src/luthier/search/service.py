"""Searches as a service: OpenAI's chat completions on starlette and uvicorn (`luthier[serve]`), one search at a time, a bounded queue.

    POST /v1/chat/completions   OpenAI's fields, `luthier.models.chat_requests`; and beside them: tests (assertions), entry_point
    GET  /v1/models             the names that may be asked
    GET  /health                how many wait

A stream tells how the search goes on in comments (`: 5 calls, 3 programs, best 0.67`), which clients skip. Status 400 is a field that is
wrong or a foreign Host, 401 no key where one is asked, 404 an unknown model, 413 a body over a MiB, 502 a model that fails, 503 a full queue or a service that stops.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from queue import Full, Queue
from typing import TYPE_CHECKING, get_args

from luthier.errors import LuthierError, SettingsError
from luthier.models.chat_requests import UnknownModelError, chat_answer, chunks
from luthier.models.grammar import own_form
from luthier.records import JSON
from luthier.run.answering import LARGEST, Keyed, TooLargeError, error, json_body, reply
from luthier.run.listening import listen, own_names
from luthier.search.journals import Answers, Verdicts
from luthier.search.requests import Asked, answer, read
from luthier.search.service_settings import ServeSettings
from luthier.search.settings import Strategy
from luthier.search.solving import search_all
from luthier.search.wants import Say, Timed, Trials, Tried

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from luthier.models.protocol import LanguageModel
    from luthier.sandbox import Sandbox

BEAT = 0.5  # seconds between looks at how a search goes on


class StoppedError(Exception):
    """Nobody waits for this search any more."""


@dataclass
class Job:
    """A request on its way. cancelled: its client has gone; done: `made` or `problem` is there."""

    asked: Asked
    calls: int = 0
    programs: int = 0
    best: float = 0.0
    cancelled: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    made: JSON | None = None
    problem: Exception | None = None

    @property
    def told(self) -> str:
        return f"{self.calls} calls, {self.programs} programs, best {self.best:.2f}"


class Worker:
    """One thread that searches, one request after another; at most `size` wait."""

    def __init__(self, model: LanguageModel, box: Sandbox, size: int) -> None:
        self.model, self.box = model, box
        self.waiting: Queue[Job | None] = Queue(size)
        self.now: Job | None = None
        self.stopping = False
        self.thread = threading.Thread(target=self._work, name="search", daemon=True)
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
        """End what is under way at its next call, and tell those that wait."""
        self.stopping = True
        if self.now is not None:
            self.now.cancelled = True
        while not self.waiting.empty():
            job = self.waiting.get_nowait()
            if job is not None:
                job.problem = StoppedError()
                job.done.set()
        self.waiting.put(None)
        self.thread.join(timeout=30)

    def _work(self) -> None:
        while (job := self.waiting.get()) is not None:
            self.now = job
            try:
                job.made = self._answered(job)
            except Exception as problem:
                job.problem = problem
            self.now = None
            job.done.set()

    def _answered(self, job: Job) -> JSON:
        asked = job.asked
        if job.cancelled:
            raise StoppedError
        if asked.posed is None:
            answers = self.model.generate([asked.chat.prompt] * asked.count, asked.chat.samplings)
            return chat_answer(asked.chat, answers, {"searched": False, "calls": len(answers)})
        with Answers(self.model) as asking, Verdicts(self.box) as verdicts:

            def ask(says: Sequence[Say]) -> list[Timed]:
                if job.cancelled:
                    raise StoppedError
                told = asking.answer(says)
                job.calls += len(told)
                return told

            def run(wanted: Sequence[Trials]) -> list[list[Timed]]:
                found = verdicts.answer(wanted)
                for one in (each.answer for own in found for each in own):
                    if isinstance(one, Tried):
                        job.programs, job.best = job.programs + 1, max(job.best, one.share)
                return found

            (solved,) = search_all([asked.posed], asked.settings, ask, run, count=asking.count)
        return answer(asked, solved)


def application(model: LanguageModel, box: Sandbox, settings: ServeSettings) -> Starlette:
    """The service as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.routing import Route

    worker = Worker(model, box, settings.queue)
    how, form = settings.how(), own_form(model)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(worker.stop)

    async def completions(request: Request) -> Response:
        try:
            asked = read(await json_body(request), model.name, how, form)
        except UnknownModelError as problem:
            return error(404, str(problem), "model_not_found")
        except TooLargeError:
            return error(413, f"the body is over {LARGEST} bytes")
        except LuthierError as problem:
            return error(400, str(problem))
        job = Job(asked)
        if not worker.take(job):
            return error(503, "too many requests wait; come again", "queue_full", {"retry-after": "5"})
        return _streamed(job) if asked.chat.streamed else await _whole(job, request)

    async def models(request: Request) -> Response:
        names = [f"luthier/{strategy}-16:{model.name}" for strategy in get_args(Strategy)]
        return reply(
            {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 0, "owned_by": "luthier"} for name in [model.name, *names]],
            }
        )

    async def health(request: Request) -> Response:
        return reply({"waiting": worker.waiting.qsize(), "searching": worker.now is not None})

    routes = [Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models), Route("/health", health)]
    names = own_names(settings.host)
    hosts = ["*"] if names is None else sorted(names)
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Keyed, key=settings.key())]
    app = Starlette(routes=routes, lifespan=living, middleware=guards)
    app.state.worker = worker
    return app


async def _whole(job: Job, request: Request) -> Response:
    while not await asyncio.to_thread(job.done.wait, BEAT):
        if await request.is_disconnected():
            job.cancelled = True
            return error(499, "the client has gone")
    return reply(job.made) if job.made is not None else _failed(job)


def _failed(job: Job) -> Response:
    if isinstance(job.problem, StoppedError):
        return error(503, "the service stops", "stopping")
    if isinstance(job.problem, LuthierError):
        return error(502, str(job.problem))
    logging.getLogger("luthier").error("a search failed", exc_info=job.problem)
    return error(500, f"{type(job.problem).__name__}: {job.problem}")


def _streamed(job: Job) -> Response:
    from starlette.responses import StreamingResponse

    async def pieces() -> AsyncIterator[str]:
        told = ""
        try:
            while not await asyncio.to_thread(job.done.wait, BEAT):
                if job.told != told:
                    told = job.told
                    yield f": {told}\n\n"
            if job.made is None:
                body = bytes(_failed(job).body).decode()
                yield f"data: {body}\n\n"
                return
            yield f": {job.told}\n\n"
            for piece in chunks(job.made, with_usage=job.asked.chat.with_usage):
                yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            job.cancelled = True  # a client that has gone ends its search

    return StreamingResponse(pieces(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def serve(settings: ServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until a signal. Raises SettingsError where the extra is absent or the port is taken, and what opening model and sandbox raise."""
    try:
        import uvicorn
    except ImportError:
        raise SettingsError("serving needs starlette and uvicorn: pip install 'luthier[serve]'") from None
    from luthier.sandbox import Limits, Sandbox

    seconds = settings.test_seconds
    with Sandbox(limits=Limits(wall=seconds, cpu=seconds * 5 / 6)) as box:
        box.call("def ready():\n    return True\n", "ready")
        model = settings.open()
        with listen(settings.host, settings.port) as door:
            app = application(model, box, settings)
            asked = f"; clients send the key of {settings.key_from}" if settings.key() else ""
            tell(f"http://{settings.host}:{door.getsockname()[1]}/v1 answers as luthier/{settings.strategy}-16:{model.name}{asked}")
            config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
            uvicorn.Server(config).run(sockets=[door])
