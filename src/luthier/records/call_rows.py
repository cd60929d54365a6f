"""Tool calls as other projects write them: OpenAI, LangChain (`args`), Anthropic (`input`), Llama (`parameters`), Gemini (`functionCall`).

A field that is not understood is carried along in `ToolCall.extra`. Everything raises BadRowError without a place.
"""

from __future__ import annotations

from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON, ToolCall
from luthier.records.lines import decoded, plain

ARGUMENTS = ("arguments", "args", "input", "parameters", "kwargs", "tool_input", "tool_args", "tool_parameters")
_NAMES = ("name", "tool_name", "tool", "function_name")
_IDS = ("id", "call_id", "tool_call_id")
_WRAPPERS = ("function", "functionCall", "function_call", "toolUse", "custom")
_KINDS = (None, "function", "function_call", "tool_use", "tool_call", "tool")


def calls_from(value: Any, number: int) -> tuple[ToolCall, ...]:
    """The calls of message `number`: a list of them or a single one, as objects or JSON text."""
    calls = decoded(value, f"message {number}: the tool calls")
    return tuple(_call(call, number) for call in (calls if isinstance(calls, list) else [calls]))


def _call(call: Any, number: int) -> ToolCall:
    call = decoded(call, f"message {number}: a tool call")
    outer = call if isinstance(call, dict) else {}
    wrapper = next((key for key in _WRAPPERS if isinstance(outer.get(key), dict)), None)
    function = outer[wrapper] if wrapper else outer
    name_key = next((key for key in (*_NAMES, "function") if isinstance(function.get(key), str)), None)
    if name_key is None:
        raise BadRowError(f"message {number}: a tool call without a name")
    name, kind = function[name_key], outer.get("type")
    if kind not in _KINDS or wrapper == "custom":
        raise BadRowError(f"message {number}: the call of {name!r} is of the type {kind or wrapper!r}; only functions are called")
    used, arguments = _arguments(function, f"message {number}: the arguments of {name!r}")
    id_key, call_id = next(((key, outer[key]) for key in _IDS if outer.get(key) is not None), ("id", None))
    if call_id is not None and not isinstance(call_id, str):
        call_id = str(call_id)
    extra = {key: value for key, value in function.items() if key not in (name_key, *used) and value is not None}
    if wrapper:
        extra |= {key: value for key, value in outer.items() if key != wrapper and value is not None}
    extra = {key: value for key, value in extra.items() if key not in ("type", id_key)}
    if not used and extra:
        raise BadRowError(f"message {number}: the call of {name!r} has no arguments; it has {', '.join(map(repr, outer))}")
    return ToolCall(name, arguments, call_id, extra)


def _arguments(function: JSON, what: str) -> tuple[list[str], JSON]:
    """The fields that hold the arguments, and these."""
    used = [key for key in ARGUMENTS if key in function]
    given = [decoded(function[key] or {}, what) for key in used if function[key] is not None]
    given = [decoded(each, what) if isinstance(each, str) else each for each in given]  # some are encoded twice
    if any(each != given[0] for each in given):
        raise BadRowError(f"{what} are told twice and differ ({', '.join(used)})")
    arguments = given[0] if given else {}
    if not isinstance(arguments, dict):
        raise BadRowError(f"{what} are not an object")
    try:
        return used, plain(arguments)
    except BadRowError as error:
        raise BadRowError(f"{what} {error.problem}") from None
