"""The typed rows that flow between the benches: tools, tool calls, messages, conversations, preference pairs.

On disk they are TRL's conversational rows (`messages` and `tools`; `prompt`, `chosen`, `rejected`); these classes know nothing
about files. `luthier.records.formats` reads other layouts into them, `luthier.records.files` streams them from and to disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
JSON = dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """One function a model may call.

    parameters: a JSON Schema 2020-12 object (`type: object`, `properties`, `required`).
    source: where the definition was read, e.g. ``"botocore 1.44.5: ec2"``; license: its SPDX id. extra: fields that are carried along.
    lineage: of a tool that was made of others, from which and how.
    """

    name: str
    description: str
    parameters: JSON
    returns: JSON | None = None
    source: str = ""
    license: str = ""
    extra: JSON = field(default_factory=dict)
    lineage: JSON | None = None

    def to_row(self) -> JSON:
        """The layout that chat templates and the OpenAI API expect under `tools`."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters, **self.extra}
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class ToolCall:
    """A call the model makes: the tool's name and keyword arguments as plain JSON values. extra: fields that are carried along."""

    name: str
    arguments: JSON = field(default_factory=dict)
    id: str | None = None
    extra: JSON = field(default_factory=dict, hash=False)

    def to_row(self) -> JSON:
        row: JSON = {"type": "function", "function": {"name": self.name, "arguments": self.arguments}, **self.extra}
        return row if self.id is None else {"id": self.id, **row}


@dataclass(frozen=True)
class Message:
    """One turn. An assistant turn has text, tool calls or both; a tool turn answers the call `tool_call_id`.

    reasoning: what was thought before it was said (`reasoning_content`). weight: of the turn in the loss, 0 leaves it out. extra: fields that
    are carried along.
    """

    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None
    weight: float | None = None
    extra: JSON = field(default_factory=dict, hash=False)

    def to_row(self) -> JSON:
        row: JSON = {"role": self.role, "content": self.content if self.content is not None else ""}
        if self.reasoning is not None:
            row["reasoning_content"] = self.reasoning
        if self.tool_calls:
            row["tool_calls"] = [call.to_row() for call in self.tool_calls]
        if self.tool_call_id is not None:
            row["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            row["name"] = self.name
        if self.weight is not None:
            row["weight"] = self.weight
        return {**row, **self.extra}


@dataclass(frozen=True)
class Conversation:
    """Messages with the tools on offer; `extra` keeps every other field of the row (id, source, scores)."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    extra: JSON = field(default_factory=dict)

    def to_row(self) -> JSON:
        """TRL's conversational row. `tools` is left out where there are none."""
        row: JSON = {"messages": [message.to_row() for message in self.messages]}
        if self.tools:
            row["tools"] = [tool.to_row() for tool in self.tools]
        return {**row, **self.extra}


@dataclass(frozen=True)
class PreferencePair:
    """A prompt with a better and a worse answer (TRL's `prompt`, `chosen`, `rejected`, conversational form)."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    extra: JSON = field(default_factory=dict)

    def to_row(self) -> JSON:
        row: JSON = {
            "prompt": [message.to_row() for message in self.prompt],
            "chosen": [message.to_row() for message in self.chosen],
            "rejected": [message.to_row() for message in self.rejected],
        }
        if self.tools:
            row["tools"] = [tool.to_row() for tool in self.tools]
        return {**row, **self.extra}
