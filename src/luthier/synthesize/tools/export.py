"""Dialogues in the layouts that other projects train on: OpenAI, TRL, Hermes, ShareGPT, ToolACE, xLAM, Hammer.

Each is read back by `luthier.records` to the same messages and tools. A layout that cannot say a dialogue says why, and the dialogue is left out by that reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from luthier.errors import BadRowError
from luthier.records import JSON, Conversation, Message
from luthier.records.calls import render_calls
from luthier.records.conversations import Tool, ToolCall
from luthier.records.lines import to_text

Format = Literal["openai", "trl", "hermes", "sharegpt", "toolace", "xlam", "hammer"]
FORMATS: tuple[Format, ...] = get_args(Format)
HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. You may call one or more functions "
    "to assist with the user query. For each function call return a json object with function name and arguments within <tool_call></tool_call> XML tags."
)
TOOLACE = (
    "You are an expert in composing functions. You are given a question and a set of possible functions. If none of the functions can be used, or the "
    "question lacks a parameter that is required, point it out. Calls are [name(argument=value)]. Here is a list of functions in JSON format:\n"
)
HAMMER_TASK = (
    "You are a tool calling assistant. In order to complete the user's request, you need to select one or more appropriate tools from the following tools "
    "and fill in the correct values for the tool parameters. If no tool fits, or a required value is missing, answer with an empty list."
)
HAMMER_FORMAT = 'The output must be a JSON list: [{"name": "tool_name", "arguments": {"argument": "value"}}, ...]'


def exported(conversation: Conversation, layout: Format) -> JSON:
    """The row of a dialogue in a layout. Raises BadRowError where the layout cannot say it."""
    return _WRITERS[layout](conversation)


def _openai(conversation: Conversation) -> JSON:
    """`messages` with ids on calls and answers, arguments as JSON text."""
    messages: list[JSON] = []
    waiting: list[str] = []
    number = 0
    for message in conversation.messages:
        row: JSON = {"role": message.role, "content": message.content}
        if message.tool_calls:
            waiting = []
            row["tool_calls"] = []
            for call in message.tool_calls:
                number += 1
                waiting.append(call.id or f"call_{number}")
                function = {"name": call.name, "arguments": to_text(call.arguments)}
                row["tool_calls"].append({"id": waiting[-1], "type": "function", "function": function})
        if message.role == "tool":
            row["tool_call_id"] = message.tool_call_id or (waiting.pop(0) if waiting else f"call_{number}")
            if message.name:
                row["name"] = message.name
        messages.append(row)
    return {"messages": messages, "tools": [tool.to_row() for tool in conversation.tools]}


def _trl(conversation: Conversation) -> JSON:
    return {**Conversation(conversation.messages, conversation.tools).to_row()}


def _hermes(conversation: Conversation) -> JSON:
    """ShareGPT turns with the tools between `<tools>` tags in the system text, calls and answers between tags."""
    listed = "\n".join(to_text(tool.to_row()) for tool in conversation.tools)
    system = [message.content or "" for message in conversation.messages if message.role == "system"]
    turns = [{"from": "system", "value": "\n".join([*system, f"{HERMES}\n<tools>\n{listed}\n</tools>"])}]
    for message in conversation.messages:
        if message.role == "tool":
            answer = {"name": message.name, "content": _value(message.content)}
            turns.append({"from": "tool", "value": f"<tool_response>\n{to_text(answer)}\n</tool_response>"})
        elif message.role != "system":
            turns.append({"from": _SPEAKERS[message.role], "value": _tagged(message)})
    return {"conversations": turns}


def _sharegpt(conversation: Conversation) -> JSON:
    """LLaMA-Factory's ShareGPT: turns `human`, `gpt`, `function_call`, `observation`, the tools as JSON text."""
    turns: list[JSON] = []
    for message in conversation.messages:
        if message.role == "tool":
            turns.append({"from": "observation", "value": message.content or "", "name": message.name})
        elif message.tool_calls:
            if message.content:
                raise BadRowError("a turn with text and calls")
            calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
            turns.append({"from": "function_call", "value": to_text(calls)})
        elif message.role == "system":
            continue
        else:
            turns.append({"from": _SPEAKERS[message.role], "value": message.content or ""})
    system = next((message.content for message in conversation.messages if message.role == "system"), None)
    row: JSON = {"conversations": turns, "tools": to_text([_plain(tool) for tool in conversation.tools])}
    return row if system is None else {**row, "system": system}


def _toolace(conversation: Conversation) -> JSON:
    """The tools as JSON in the system text, calls in brackets, answers as a list of `name` and `results`."""
    system = "\n".join(message.content or "" for message in conversation.messages if message.role == "system")
    listed = to_text([_plain(tool) for tool in conversation.tools])
    turns: list[JSON] = []
    for message in conversation.messages:
        if message.role == "tool":
            turns.append({"from": "tool", "value": to_text([{"name": message.name or "", "results": _value(message.content)}])})
        elif message.tool_calls:
            if message.content:
                raise BadRowError("a turn with text and calls")
            turns.append({"from": "assistant", "value": render_calls(message.tool_calls)})
        elif message.role != "system":
            turns.append({"from": message.role, "value": message.content or ""})
    return {"system": f"{system}\n{TOOLACE}{listed}".lstrip(), "conversations": turns}


def _xlam(conversation: Conversation) -> JSON:
    """`query`, `tools` and `answers` as JSON text: one question and its calls; where no tool is called, an empty list."""
    query, calls = _one_turn(conversation)
    tools = [_plain(tool) for tool in conversation.tools]
    answers = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return {"query": query, "tools": to_text(tools), "answers": to_text(answers)}


def _hammer(conversation: Conversation) -> JSON:
    """The task, the tools, the form of the answer and the question in one instruction; the calls as a JSON list."""
    query, calls = _one_turn(conversation)
    tools = to_text([_plain(tool) for tool in conversation.tools])
    parts = (("TASK INSTRUCTION", HAMMER_TASK), ("AVAILABLE TOOLS", tools), ("FORMAT INSTRUCTION", HAMMER_FORMAT), ("QUERY", query))
    instruction = "\n\n".join(f"[BEGIN OF {name}]\n{text}\n[END OF {name}]" for name, text in parts)
    output = to_text([{"name": call.name, "arguments": call.arguments} for call in calls])
    return {"instruction": instruction, "input": "", "output": output}


_SPEAKERS = {"user": "human", "assistant": "gpt"}
_WRITERS: Mapping[Format, Callable[[Conversation], JSON]] = {
    "openai": _openai,
    "trl": _trl,
    "hermes": _hermes,
    "sharegpt": _sharegpt,
    "toolace": _toolace,
    "xlam": _xlam,
    "hammer": _hammer,
}


def _one_turn(conversation: Conversation) -> tuple[str, tuple[ToolCall, ...]]:
    """The question and its calls. Raises BadRowError for a dialogue of more turns, and for one that has a system text."""
    roles = [message.role for message in conversation.messages]
    if roles != ["user", "assistant"]:
        raise BadRowError("more than a question and its calls" if "system" not in roles else "a system text")
    return conversation.messages[0].content or "", conversation.messages[1].tool_calls


def _tagged(message: Message) -> str:
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    tagged = [f"<tool_call>\n{to_text(call)}\n</tool_call>" for call in calls]
    return "\n".join([*([message.content] if message.content else []), *tagged])


def _value(content: str | None) -> object:
    """The JSON that an answer holds, or its text."""
    try:
        value = json.loads(content or "")
    except (ValueError, RecursionError):
        return content or ""
    return value if json.dumps(value, ensure_ascii=False) == content else content


def _plain(tool: Tool) -> JSON:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
