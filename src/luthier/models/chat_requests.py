"""Requests of OpenAI's chat completions to a model of this machine, and what is answered: texts, or the calls that are read from them.

A field is understood, or says nothing about the answer (`user`, `metadata`), or is refused by name where it would change it.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from luthier.errors import BadRowError, EngineError, LuthierError, SettingsError
from luthier.models.grammar import FORMS, calls_grammar, can_guide
from luthier.models.protocol import Completion, LanguageModel, Prompt, Sampling
from luthier.records import JSON, Tool, ToolCall
from luthier.records.call_forms import read_calls
from luthier.records.formats import to_conversation
from luthier.records.patterns import validator_class

Value = TypeVar("Value")
MOST_ANSWERS = 16
SEEDS = 2**32  # seeds there are
MOST_CALLS = 8  # of an answer that must call
MOST_STOPS = 16
_READ = (
    *(
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "n",
        "seed",
        "max_tokens",
        "max_completion_tokens",
    ),
    *("temperature", "top_p", "top_k", "stop", "stream", "stream_options"),
)
_SILENT = ("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier", "store")  # of the answer
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "functions": ([],),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
}


class UnknownModelError(LuthierError):
    """A model's name that is not served here."""


@dataclass(frozen=True)
class ChatRequest:
    """What is asked for. prompt: with the grammar of what must be called; samplings: one an answer; one_call: at most one call an answer; bound: the form of
    calls that the grammar describes, empty where there is none."""

    name: str
    prompt: Prompt
    samplings: tuple[Sampling, ...]
    one_call: bool
    streamed: bool
    with_usage: bool
    bound: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tools on offer."""
        return tuple(tool.name for tool in self.prompt.tools)


def read_chat(
    body: Any,
    served: Collection[str],
    *,
    form: str = "brackets",
    max_tokens: int = 512,
    longest: int | None = None,
    also: Collection[str] = (),
) -> ChatRequest:
    """A request's body. served: names that may be asked; form: of the model's calls (`records.call_forms`), "" where it has none;
    max_tokens: of an answer, where the request does not say; longest: of any answer; also: fields that another reader understands.

    Raises SettingsError that names the field which is wrong, UnknownModelError.
    """
    if not isinstance(body, dict):
        raise SettingsError("the body is no JSON object")
    _refuse_unread(body, also)
    name = field(body, "model", str, next(iter(served)))
    if name not in served:
        raise UnknownModelError(f"the model {name!r} is not served; ask {', '.join(served)}")
    prompt, one_call = _prompt(body, form)
    options = field(body, "stream_options", dict, {})
    return ChatRequest(
        name,
        prompt,
        _samplings(body, max_tokens, longest),
        one_call,
        field(body, "stream", bool, False),
        field(options, "include_usage", bool, False),
        "" if prompt.grammar is None else _written(form),
    )


def check_able(asked: ChatRequest, model: LanguageModel) -> ChatRequest:
    """The request, where the model's engine can follow what binds the answer. Raises SettingsError."""
    for field_name, needed, bound in (
        ("tool_choice or strict", "grammar", asked.prompt.grammar is not None),
        ("response_format", "json_schema", asked.prompt.json_schema is not None),
    ):
        if bound and needed not in model.supports:
            raise SettingsError(
                f"{field_name}: {model.name} cannot be bound to it where it runs now; leave it out, or serve with another --engine"
            )
    return asked


def _refuse_unread(body: JSON, also: Collection[str]) -> None:
    for name, value in body.items():
        if name in _READ or name in _SILENT or name in also or value is None:
            continue
        if name not in _NEUTRAL:
            raise SettingsError(f"{name} is not known here; leave it out")
        if value not in _NEUTRAL[name]:
            raise SettingsError(f"{name} is {value!r:.60}; this service cannot do that, leave it out")


def _prompt(body: JSON, form: str) -> tuple[Prompt, bool]:
    """Messages, tools and what binds the answer; whether it may hold one call alone."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise SettingsError("messages is no list of messages")
    tools = field(body, "tools", list, [])
    try:
        read = to_conversation({"messages": messages, **({"tools": tools} if tools else {})}, "messages")
    except BadRowError as problem:
        raise SettingsError(f"messages or tools: {problem}") from None
    if read.extra:
        raise SettingsError(f"messages: {', '.join(sorted(read.extra))} is not known here; leave it out")
    one_call = not field(body, "parallel_tool_calls", bool, True)
    offered, least = _chosen(body.get("tool_choice"), read.tools)
    schema = _schema(body.get("response_format"))
    if schema is not None and least:
        raise SettingsError("response_format and a tool_choice that must call do not go together; leave one out")
    strict = bool(offered) and any(_is_strict(tool) for tool in tools)
    if strict and schema is not None:
        raise SettingsError("response_format and a tool that is strict do not go together; leave one out")
    if strict and not least and not can_guide(form):
        raise SettingsError(f"a tool is strict, and of this model's calls ({form}) no grammar is made; leave strict out, or choose a tool")
    if least or strict:
        written = _written(form)
        try:
            grammar = calls_grammar(offered, calls=(1, 1 if one_call else MOST_CALLS), text=not least, whole=True, form=written)
        except EngineError as problem:
            raise SettingsError(f"tools: {problem}") from problem
        return Prompt(read.messages, offered, grammar=grammar), one_call
    return Prompt(read.messages, offered, json_schema=schema), one_call


def _is_strict(tool: Any) -> bool:
    """Whether calls of this tool, where the model makes any, must follow its schema; told beside the tool's name."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return isinstance(function, dict) and function.get("strict") is True


def _chosen(choice: Any, tools: tuple[Tool, ...]) -> tuple[tuple[Tool, ...], bool]:
    """The tools that the model is shown, and whether it must call one of them."""
    if choice is None or choice == "auto":
        return tools, False
    if choice == "none":
        return (), False
    if choice == "required":
        if not tools:
            raise SettingsError("tool_choice is 'required', but there are no tools")
        return tools, True
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    named = tuple(tool for tool in tools if tool.name == name)
    if not named:
        raise SettingsError(f"tool_choice is {choice!r:.80}; give none, auto, required, or a function that is among the tools")
    return named, True


def _schema(wanted: Any) -> JSON | None:
    """The JSON Schema that an answer must satisfy."""
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return {"type": "object"}
    held = wanted.get("json_schema") if kind == "json_schema" and isinstance(wanted, dict) else None
    schema = held.get("schema") if isinstance(held, dict) else None
    if not isinstance(schema, dict):
        raise SettingsError("response_format is none of text, json_object, and json_schema with a schema")
    return schema


def _samplings(body: JSON, max_tokens: int, most: int | None) -> tuple[Sampling, ...]:
    """One an answer, each with a seed of its own. Where none is given, drawn answers get a fresh one; greedy ones need none, and stay the same request."""
    count = _whole(body, "n", 1, 1, MOST_ANSWERS)
    given = [_whole(body, name, 0, 1) for name in ("max_completion_tokens", "max_tokens")]
    longest = next((one for one in given if one), max_tokens)
    longest = longest if most is None else min(longest, most)  # an answer that is cut says so
    heat, top_p, top_k = (
        _number(body, "temperature", 0.0 if count == 1 else 1.0, 5.0),
        _number(body, "top_p", 1.0, 1.0),
        field(body, "top_k", int, 0),
    )
    seed = _whole(body, "seed", secrets.randbelow(SEEDS) if heat > 0 else 0, 0, SEEDS - 1)
    if top_p == 0:
        raise SettingsError("top_p is 0; give a share above 0")
    if not -1 <= top_k <= 1_000_000:
        raise SettingsError(f"top_k is {top_k}; give a number of tokens")
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(one, str) and one for one in stops):
        raise SettingsError(f"stop is no text and no list of up to {MOST_STOPS} texts")
    return tuple(Sampling(longest, heat, top_p, max(0, top_k), (seed + place) % SEEDS, tuple(stops)) for place in range(count))


def _whole(body: JSON, name: str, default: int, least: int, most: int | None = None) -> int:
    """A whole number of a body, `default` where it is absent or null; what is given is held against its range."""
    value = field(body, name, int, default)
    if body.get(name) is not None and (value < least or (most is not None and value > most)):
        raise SettingsError(f"{name} is {value}; give {f'{least} or more' if most is None else f'{least} to {most:,}'}")
    return value


def _number(body: JSON, name: str, default: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise SettingsError(f"{name} is {value!r:.60}; give a number from 0 to {most:g}")
    return float(value)


def field(body: JSON, name: str, kind: type[Value], default: Value) -> Value:
    """A field of a body, `default` where it is absent or null. Raises SettingsError for one of another type."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise SettingsError(f"{name} is {value!r:.60}; it is no {kind.__name__}")
    return value


def chat_answer(asked: ChatRequest, completions: Sequence[Completion], told: JSON) -> JSON:
    """The answers as a chat completion: calls where a text holds some and tools were on offer. told: beside the usage, under `luthier`, with the seed of
    answers that were drawn."""
    choices, dropped, unread = [], 0, 0
    for place, one in enumerate(completions):
        message, finish, left, lost = _said(asked, one)
        dropped, unread = dropped + left, unread + lost
        choices.append({"index": place, "message": message, "finish_reason": finish, "logprobs": None})
    if (first := asked.samplings[0]).temperature > 0:
        told = {**told, "seed": first.seed}
    told = {**told, **({"calls_left_out": dropped} if dropped else {}), **({"calls_not_read": unread} if unread else {})}
    spent = sum(one.prompt_tokens for one in completions), sum(one.completion_tokens for one in completions)
    return completion(asked.name, choices, *spent, told)


def _said(asked: ChatRequest, one: Completion) -> tuple[JSON, str, int, int]:
    """The message, why it ends, how many calls are left out since one was asked for, and whether it looks like a call that cannot be read."""
    thought, mark, said = one.text.partition("</think>")
    text = said.strip() if mark else one.text
    message: JSON = {"role": "assistant", "content": text}
    if mark:
        message["reasoning_content"] = thought.replace("<think>", "", 1).strip()
    finish = {"length": "length", "refused": "content_filter"}.get(one.finish, "stop")
    if not asked.prompt.tools or asked.prompt.json_schema is not None:  # what a schema binds is no call
        return message, finish, 0, 0
    reading = read_calls(text, asked.names)
    if not reading.calls:
        return message, finish, 0, int(reading.attempted)
    if (
        asked.bound
        and not _was_bound(asked.bound, text, reading.form)
        and not all(_fits(call, asked.prompt.tools) for call in reading.calls)
    ):
        return message, finish, 0, 1
    kept = reading.calls[:1] if asked.one_call else reading.calls
    message |= {"content": None, "tool_calls": [_call_row(call) for call in kept]}
    return message, "tool_calls", len(reading.calls) - len(kept), 0


def _written(form: str) -> str:
    """The form that calls under a grammar are written in."""
    return form if form in FORMS else "brackets"


def _was_bound(form: str, text: str, found: str) -> bool:
    """Whether the grammar described these calls: they stand in its form, behind its tag or, where it has none, at the very beginning."""
    return form == found and (form == "hermes" or text[:1] in ("[", "{"))


def _fits(call: ToolCall, tools: Sequence[Tool]) -> bool:
    """Whether a call is one of a tool on offer and its arguments are what the schema allows."""
    tool = next((tool for tool in tools if tool.name == call.name), None)
    return tool is not None and bool(validator_class()(tool.parameters).is_valid(call.arguments))


def _call_row(call: ToolCall) -> JSON:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def completion(name: str, choices: Sequence[JSON], prompt_tokens: int, completion_tokens: int, told: JSON) -> JSON:
    """A chat completion. told: of the usage, under `luthier`."""
    used = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": prompt_tokens + completion_tokens}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": list(choices),
        "usage": {**used, "luthier": told},
    }


def chunks(made: JSON, *, with_usage: bool) -> list[JSON]:
    """A completion as the pieces of a stream; usage comes last, where it is wanted."""
    shell = {**{name: made[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    found: list[JSON] = []
    for choice in made["choices"]:
        place, delta = choice["index"], dict(choice["message"])
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(calls)]
        found.append({**shell, "choices": [{"index": place, "delta": delta, "finish_reason": None}]})
        found.append({**shell, "choices": [{"index": place, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    return [*found, {**shell, "choices": [], "usage": made["usage"]}] if with_usage else found
