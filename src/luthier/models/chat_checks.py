"""What is held against a request before it waits: that the chat template takes its messages, that there is room for them, and that what binds it can be built.

A client can mend all of this, so it is told at once and as its own fault; clients of OpenAI's servers ask again what ends with a status from 500.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luthier.errors import TOO_LONG, PromptError, SettingsError
from luthier.models.chat_requests import ChatRequest
from luthier.models.grammar import why_unusable
from luthier.models.protocol import LanguageModel
from luthier.records import JSON
from luthier.records.patterns import validator_class


def check_bound(asked: ChatRequest, model: LanguageModel) -> ChatRequest:
    """The request, where what binds its answer is a schema, and one that the model's engine knows. Raises SettingsError."""
    if asked.prompt.json_schema is not None:
        _check_schema(asked.prompt.json_schema, "response_format")
    if asked.prompt.grammar is not None:
        for tool in asked.prompt.tools:
            _check_schema(tool.parameters, f"tools: {tool.name}")
    if getattr(model, "guided_by", "") == "llguidance" and (why := why_unusable(asked.prompt)):
        raise SettingsError(
            f"{'response_format' if asked.prompt.json_schema is not None else 'tools'}: the schema cannot be followed: {why}"
        )
    return asked


def check_prompt(asked: ChatRequest, model: LanguageModel) -> ChatRequest:
    """The request with its answers no longer than there is room for. A model elsewhere judges by itself.

    Raises PromptError for messages that the template refuses or that leave no room, EngineError for a template that nothing can be rendered with.
    """
    reader: Any = model
    if not hasattr(model, "render") or not hasattr(model, "encode"):
        return asked
    taken, room = len(reader.encode(reader.render(asked.prompt))), reader.room
    if taken >= room:
        raise PromptError(f"messages: {taken:,} tokens, and {model.name} has room for {room:,}; shorten them", TOO_LONG)
    return replace(asked, samplings=tuple(replace(one, max_tokens=min(one.max_tokens, room - taken)) for one in asked.samplings))


def _check_schema(schema: JSON, where: str) -> None:
    from jsonschema import SchemaError

    try:
        validator_class().check_schema(schema)
    except SchemaError as problem:
        place = f" at {'/'.join(map(str, problem.absolute_path))}" if problem.absolute_path else ""
        raise SettingsError(f"{where}: the schema is no JSON Schema{place}: {problem.message:.200}") from None
    except RecursionError:
        raise SettingsError(f"{where}: the schema is nested too deeply") from None
