"""Requests of chat completions as searches: which strategy and budget a model's name says, which tests there are, what is answered."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from luthier.errors import LuthierError, SettingsError
from luthier.models.protocol import Completion, Prompt, Sampling
from luthier.records import JSON, Message
from luthier.search.chats import Shown, doctests_of, shown_file
from luthier.search.problem import Posed, Test
from luthier.search.prompts import fenced
from luthier.search.readers import called, examples
from luthier.search.settings import SearchSettings, Strategy
from luthier.search.solving import Solved
from luthier.texts.programs import parsed, program_of

_NAME = re.compile(r"luthier/(?P<strategy>[a-z-]+?)-(?P<calls>\d{1,5})(?::(?P<model>.+))?")
_ROLES = ("system", "user", "assistant", "developer")
MOST_ANSWERS = 16


class UnknownModelError(LuthierError):
    """A model's name that is not served here."""


@dataclass(frozen=True)
class Asked:
    """A request. posed: None where it brings no tests, and the model answers by itself; file: that the answer is put in, where an earlier
    message shows one; count: answers that are wanted."""

    name: str
    prompt: Prompt
    sampling: Sampling
    posed: Posed | None
    file: Shown | None
    settings: SearchSettings
    count: int
    streamed: bool
    with_usage: bool


def read(body: Any, served: str, settings: SearchSettings) -> Asked:
    """A request's body. Raises SettingsError that names the field which is wrong, UnknownModelError."""
    if not isinstance(body, dict):
        raise SettingsError("the body is no JSON object")
    name = _field(body, "model", str, served)
    messages = _messages(body.get("messages"))
    count = _field(body, "n", int, 1)
    if not 1 <= count <= MOST_ANSWERS:
        raise SettingsError(f"n is {count}; give 1 to {MOST_ANSWERS}")
    longest = _field(body, "max_completion_tokens", int, 0) or _field(body, "max_tokens", int, 0) or settings.max_tokens
    seed = _field(body, "seed", int, settings.seed)
    if longest < 1 or not 0 <= seed < 2**32:
        raise SettingsError("max_tokens or seed is out of its range")
    chosen = replace(called_model(name, served, settings), max_tokens=longest, seed=seed)
    heat = body.get("temperature")
    sampling = Sampling(longest, float(heat) if isinstance(heat, int | float) and 0 <= heat <= 5 else 0.0, seed=seed)
    options = body.get("stream_options") if isinstance(body.get("stream_options"), dict) else {}
    entry_point, tests = _field(body, "entry_point", str, ""), body.get("tests")
    problem, file = posed(messages, tests, entry_point), None
    if problem is None and (file := shown_file(messages, entry_point)) is not None:
        problem = file.posed(_said(messages), tuple(tests or doctests_of(file)))
    return Asked(
        name,
        Prompt(messages),
        sampling,
        problem,
        file,
        chosen,
        count,
        _field(body, "stream", bool, False),
        bool(options.get("include_usage")) if isinstance(options, dict) else False,
    )


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


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise SettingsError("messages is no list of messages")
    found = []
    for one in value:
        role = one.get("role") if isinstance(one, dict) else None
        content = one.get("content") if isinstance(one, dict) else None
        if isinstance(content, list):  # parts, as some clients send them
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        if role not in _ROLES or not isinstance(content, str):
            raise SettingsError("messages holds one without a role (system, user, assistant) or without text")
        found.append(Message("system" if role == "developer" else role, content))
    return tuple(found)


def _field(body: JSON, name: str, kind: type, default: Any) -> Any:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SettingsError(f"{name} is {value!r:.60}; it is no {kind.__name__}")
    return value


def answer(asked: Asked, solved: Solved) -> JSON:
    """A search as a chat completion: the best programs, and all that was spent."""
    ranked = sorted(solved.candidates, key=lambda one: (one is not solved.answer, not one.passes, -one.reward, one.number))
    programs = list(dict.fromkeys(one.program for one in ranked))[: asked.count] or [""]
    texts = [(asked.file.answer(program) if asked.file else fenced(program)) if program else "" for program in programs]
    spent = solved.spent
    told = {"searched": True, "passes_tests": solved.passes, "stopped": solved.stopped, **spent.to_row()}
    return _completion(asked, texts, spent.prompt_tokens, spent.completion_tokens, told)


def plain_answer(asked: Asked, completions: Sequence[Completion]) -> JSON:
    """What the model said by itself, of a request without tests."""
    read_tokens = sum(one.prompt_tokens for one in completions)
    written = sum(one.completion_tokens for one in completions)
    return _completion(asked, [one.text for one in completions], read_tokens, written, {"searched": False, "calls": len(completions)})


def _completion(asked: Asked, texts: Sequence[str], prompt_tokens: int, completion_tokens: int, told: JSON) -> JSON:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.name,
        "choices": [
            {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
            for at, text in enumerate(texts)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "luthier": told,
        },
    }


def chunks(made: JSON, *, with_usage: bool) -> list[JSON]:
    """A completion as the pieces of a stream; usage comes last, where it is wanted."""
    shell = {**{name: made[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    found: list[JSON] = []
    for choice in made["choices"]:
        place = choice["index"]
        delta = {"role": "assistant", "content": choice["message"]["content"]}
        found.append({**shell, "choices": [{"index": place, "delta": delta, "finish_reason": None}]})
        found.append({**shell, "choices": [{"index": place, "delta": {}, "finish_reason": "stop"}]})
    return [*found, {**shell, "choices": [], "usage": made["usage"]}] if with_usage else found
