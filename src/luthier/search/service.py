"""Searches as a service: OpenAI's chat completions (`luthier.models.completions_service`), one search at a time.

Beside OpenAI's fields a request may bring `tests` (assertions) and `entry_point`. A stream tells how the search goes on in comments
(`: 5 calls, 3 programs, best 0.67`), which clients skip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from luthier.models.chat_checks import check_bound, check_prompt
from luthier.models.chat_requests import chat_answer, check_able
from luthier.models.completions_service import Job, StoppedError, Worker, application, check_extra, serve
from luthier.models.grammar import family_form
from luthier.search.journals import Answers, Verdicts
from luthier.search.requests import Asked, answer, read
from luthier.search.service_settings import ServeSettings
from luthier.search.settings import Strategy
from luthier.search.solving import search_all
from luthier.search.wants import Say, Timed, Trials, Tried

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from luthier.models.protocol import LanguageModel
    from luthier.records import JSON
    from luthier.sandbox import Sandbox


@dataclass(kw_only=True)
class SearchJob(Job):
    """calls, programs, best: so far."""

    asked: Asked
    calls: int = 0
    programs: int = 0
    best: float = 0.0

    @property
    def told(self) -> str:
        return f"{self.calls} calls, {self.programs} programs, best {self.best:.2f}"


class SearchWorker(Worker[SearchJob]):
    """Searches, one request after another."""

    def __init__(self, model: LanguageModel, box: Sandbox, size: int) -> None:
        self.model, self.box = model, box
        super().__init__("search", size)

    def answer(self, jobs: Sequence[SearchJob]) -> None:
        for job in jobs:
            job.end(self._answered(job))

    def _answered(self, job: SearchJob) -> JSON:
        asked = job.asked
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


def search_application(model: LanguageModel, box: Sandbox, settings: ServeSettings) -> Starlette:
    """The service as an ASGI application."""
    how, form = settings.how(), family_form(model)

    def job(body: object) -> SearchJob:
        asked = read(body, model.name, how, form)
        chat = check_bound(check_able(asked.chat, model), model)
        if asked.posed is None:  # a search writes prompts of its own
            asked = replace(asked, chat=check_prompt(chat, model))
        return SearchJob(asked=asked, streamed=asked.chat.streamed, with_usage=asked.chat.with_usage)

    names = [model.name, *(f"luthier/{strategy}-16:{model.name}" for strategy in get_args(Strategy))]
    return application(SearchWorker(model, box, settings.queue), job, names, settings)


def serve_search(settings: ServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until a signal. Raises SettingsError where the extra is absent or the port is taken, and what opening model and sandbox raise."""
    check_extra()
    from luthier.sandbox import Limits, Sandbox

    seconds = settings.test_seconds
    with Sandbox(limits=Limits(wall=seconds, cpu=seconds * 5 / 6)) as box:
        box.call("def ready():\n    return True\n", "ready")
        model = settings.open()
        names = f"luthier/{settings.strategy}-16:{model.name}"
        serve(lambda: search_application(model, box, settings), settings, names, tell)
