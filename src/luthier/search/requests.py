"""Requests of chat completions as searches: which strategy and budget a model's name says, which tests there are, what is answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from luthier.errors import SettingsError
from luthier.models.chat_requests import ChatRequest, UnknownModelError, completion, field, read_chat
from luthier.records import JSON, Message
from luthier.search.chats import Shown, doctests_of, shown_file
from luthier.search.doctests import examples
from luthier.search.problem import Posed, Test
from luthier.search.prompts import fenced
from luthier.search.readers import called
from luthier.search.settings import SearchSettings, Strategy
from luthier.search.solving import Solved
from luthier.texts.programs import parsed, program_of

_NAME = re.compile(r"luthier/(?P<strategy>[a-z-]+?)-(?P<calls>\d{1,5})(?::(?P<model>.+))?")


@dataclass(frozen=True)
class Asked:
    """A request. posed: None where it brings no tests, and the model answers by itself; file: that the answer is put in, where an earlier
    message shows one; settings: of the search."""

    chat: ChatRequest
    posed: Posed | None
    file: Shown | None
    settings: SearchSettings

    @property
    def count(self) -> int:
        """Answers that are wanted."""
        return len(self.chat.samplings)


def read(body: Any, served: str, settings: SearchSettings, form: str = "brackets") -> Asked:
    """A request's body. form: of calls, where it must be answered by some. Raises SettingsError that names the field which is wrong, UnknownModelError."""
    if not isinstance(body, dict):
        raise SettingsError("the body is no JSON object")
    name = field(body, "model", str, served)
    chosen = called_model(name, served, settings)
    told = {**body, "model": served, "seed": settings.seed if body.get("seed") is None else body["seed"]}
    chat = replace(read_chat(told, (served,), form=form, max_tokens=settings.max_tokens, also=("tests", "entry_point")), name=name)
    chosen = replace(chosen, max_tokens=chat.samplings[0].max_tokens, seed=chat.samplings[0].seed)
    messages, entry_point, tests = chat.prompt.messages, field(body, "entry_point", str, ""), body.get("tests")
    bound = bool(chat.prompt.tools) or chat.prompt.json_schema is not None
    if bound and tests is not None:
        raise SettingsError("tests do not go together with tools or response_format: a program is no call")
    problem, file = None if bound else posed(messages, tests, entry_point), None
    if problem is None and not bound and (file := shown_file(messages, entry_point)) is not None:
        problem = file.posed(_said(messages), tuple(tests or doctests_of(file)))
    return Asked(chat, problem, file, chosen)


def called_model(name: str, served: str, settings: SearchSettings) -> SearchSettings:
    """Strategy and budget of a model's name: luthier/STRATEGY-CALLS, or luthier/STRATEGY-CALLS:NAME. Raises UnknownModelError."""
    if name in (served, "luthier"):
        return settings
    match = _NAME.fullmatch(name)
    known = get_args(Strategy)
    if match is None or match["strategy"] not in known or match["model"] not in (None, served) or int(match["calls"]) < 1:
        raise UnknownModelError(f"the model {name!r} is not served; ask luthier/STRATEGY-CALLS:{served} with one of {', '.join(known)}")
    return replace(settings, strategy=match["strategy"], budget=f"{int(match['calls'])} calls")  # type: ignore[arg-type]


def posed(messages: Sequence[Message], tests: Any, entry_point: str) -> Posed | None:
    """The problem of the last message with the tests of the request, else with the doctests and assertions in it; None without any."""
    text = _said(messages)
    if tests is not None and (not isinstance(tests, list) or not all(isinstance(test, str) and parsed(test) for test in tests)):
        raise SettingsError("tests is no list of Python assertions")
    code = program_of(text, entry_point) if "```" in text else text
    name = entry_point or next((found for test in tests or () if (found := called(test))), "") or _defined(code) or _first_called(text)
    if not name:
        return None
    public: tuple[Test, ...] = (
        tuple(tests) if tests else tuple(dict.fromkeys((*examples(code, name), *examples(text, name), *_assertions(text, name))))
    )
    if not public:
        return None
    is_code = parsed(code.rstrip() + "\n    pass\n") is not None and bool(_defined(code))
    return Posed("request", code if is_code else text, name, public)


def _said(messages: Sequence[Message]) -> str:
    """What the user says last."""
    return next((message.content or "" for message in reversed(messages) if message.role == "user"), "")


def _defined(code: str) -> str:
    """The last function that a text of code begins to define."""
    found = re.findall(r"^(?:async ++)?def ++(\w++) *+\(", code, re.MULTILINE)
    return found[-1] if found else ""


def _first_called(text: str) -> str:
    found = re.search(r"^[ \t]*+(?:>>>[ \t]*+|assert[ \t]++)(\w++)\(", text, re.MULTILINE)
    return found[1] if found else ""


def _assertions(text: str, name: str) -> list[str]:
    lines = [line.strip().strip("`") for line in text.splitlines()]
    return [line for line in lines if line.startswith("assert ") and f"{name}(" in line and parsed(line)]


def answer(asked: Asked, solved: Solved) -> JSON:
    """A search as a chat completion: the best programs, and all that was spent."""
    ranked = sorted(solved.candidates, key=lambda one: (one is not solved.answer, not one.passes, -one.reward, one.number))
    programs = list(dict.fromkeys(one.program for one in ranked))[: asked.count] or [""]
    texts = [(asked.file.answer(program) if asked.file else fenced(program)) if program else "" for program in programs]
    spent = solved.spent
    told = {"searched": True, "passes_tests": solved.passes, "stopped": solved.stopped, **spent.to_row()}
    choices = [
        {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
        for at, text in enumerate(texts)
    ]
    return completion(asked.chat.name, choices, spent.prompt_tokens, spent.completion_tokens, told)
