"""A model behind OpenAI's chat completions: with tools on offer its calls are read and answered as calls; requests that wait are answered side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luthier.errors import SettingsError
from luthier.models.chat_checks import check_bound, check_prompt
from luthier.models.chat_requests import ChatRequest, chat_answer, check_able, read_chat
from luthier.models.completions_service import Job, Worker, application, check_extra, serve
from luthier.models.grammar import family_form
from luthier.models.service_settings import ListeningSettings
from luthier.settings import option

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from luthier.models.protocol import LanguageModel

SIDE_BY_SIDE = 16  # requests that are answered in one batch


@dataclass(frozen=True)
class ChatServeSettings(ListeningSettings):
    """Serve a model to any client of OpenAI's chat completions, tools included: what it calls is answered as `tool_calls`.

    The model answers to its own name and to `luthier`; --adapter puts a trained adapter on it.
    """

    port: int = option(8767, "0 takes a free one.", least=0, most=65535)
    queue: int = option(64, "Requests that wait; one more is told to come again.", least=1, most=4096)
    max_tokens: int = option(512, "Longest answer where a request does not say.", least=1, most=1_000_000)
    longest: int = option(
        4096, "Longest answer of all, in tokens; one that would be longer is cut, and its finish_reason says so.", least=1, most=1_000_000
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens > self.longest:
            raise SettingsError(f"--max-tokens {self.max_tokens} is more than --longest {self.longest}; give less, or more")


@dataclass(kw_only=True)
class ChatJob(Job):
    asked: ChatRequest


class ChatWorker(Worker[ChatJob]):
    """Asks the model, for all requests that wait at a time."""

    def __init__(self, model: LanguageModel, size: int) -> None:
        self.model = model
        super().__init__("chat", size)

    @property
    def side_by_side(self) -> int:
        return SIDE_BY_SIDE

    def answer(self, jobs: Sequence[ChatJob]) -> None:
        """All at once; where that fails each alone, so that one that is too long fails nobody else."""
        try:
            prompts = [job.asked.prompt for job in jobs for _ in job.asked.samplings]
            found = iter(self.model.generate(prompts, [one for job in jobs for one in job.asked.samplings]))
        except Exception as problem:
            for job in jobs if len(jobs) > 1 else ():
                self.answer([job])
            if len(jobs) == 1:
                jobs[0].end(problem=problem)
            return
        for job in jobs:
            answers = [next(found) for _ in job.asked.samplings]
            try:
                job.end(chat_answer(job.asked, answers, {"calls": len(answers)}))
            except Exception as problem:
                job.end(problem=problem)


def chat_application(model: LanguageModel, settings: ChatServeSettings) -> Starlette:
    """The service as an ASGI application."""
    names, form = (model.name, "luthier"), family_form(model)

    def read(body: object) -> ChatJob:
        asked = check_able(read_chat(body, names, form=form, max_tokens=settings.max_tokens, longest=settings.longest), model)
        asked = check_prompt(check_bound(asked, model), model)
        return ChatJob(asked=asked, streamed=asked.streamed, with_usage=asked.with_usage)

    return application(ChatWorker(model, settings.queue), read, names, settings)


def serve_chat(settings: ChatServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until a signal. Raises SettingsError where the extra is absent or the port is taken, and what opening the model raises."""
    check_extra()
    model: LanguageModel = settings.open()
    serve(lambda: chat_application(model, settings), settings, model.name, tell)
