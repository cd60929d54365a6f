"""Tool calls in what a model says, in the form of whatever family it is of; an attempt in no known form is told apart from no call.

| form | as in |
| --- | --- |
| `brackets` | `[name(argument=value)]`: ToolACE, BFCL, this project |
| `hermes` | `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen |
| `xml` | `<tool_call>` with `<function=…>` or `<arg_key>` inside: Qwen Coder, GLM |
| `llama` | `{"name": …, "parameters": …}`, after `<|python_tag|>` or without |
| `mistral` | `[TOOL_CALLS]`, then a JSON list, or `name[ARGS]{…}` |
| `json` | an object or a list of them with `name` and `arguments`: xLAM and others, in a code block too |
| `python` | calls in a code block, in `print(…)` too: Gemma |
| `gemma` | `<|tool_call>call:name{…}<tool_call|>` |
| `lfm` | `<|tool_call_start|>[name(argument=value)]<|tool_call_end|>` |
| `deepseek` | `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name`, then a JSON block |
| `harmony` | `to=functions.name … <|message|>{…}`: gpt-oss |

Nothing that is read is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from luthier.errors import BadRowError
from luthier.records.call_rows import ARGUMENTS, calls_from
from luthier.records.calls import CallSyntaxError, is_call_attempt, parse_calls
from luthier.records.conversations import JSON, ToolCall
from luthier.records.lines import parse_text
from luthier.records.text_calls import json_value, json_values

MARKS = (  # special tokens that open or close calls: what a tokenizer leaves out of its text would not be read
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<|tool_call>",
    "<tool_call|>",
    '<|"|>',
    "<|tool_call_start|>",
    "<|tool_call_end|>",
    "<think>",
    "</think>",
    "<|channel|>",
    "<|message|>",
    "<|call|>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
)
_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|$)", re.DOTALL)
_LFM = re.compile(r"<\|tool_call_start\|>(.*?)(?:<\|tool_call_end\|>|$)", re.DOTALL)
_FENCE = re.compile(r"```[ \t]*+([\w+-]*+)[ \t]*+\n(.*?)(?:\n[ \t]*+```|$)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^<>\n]++)>(.*?)(?:</function>|$)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^<>\n]++)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|$)", re.DOTALL)
_MISTRAL = re.compile(r"(?<![\w.\-/])([\w.\-/]++)(?:\[CALL_ID\][\w-]++)?+(?:\[ARGS\])?+\s*+(?=\{)")
_DEEPSEEK = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?+\s*+([\w.\-/]++)\s*+(?:<｜tool▁sep｜>)?+\s*+(?:```json)?+\s*+(?=\{)"
)
_HARMONY = re.compile(r"to=functions\.([\w.\-/]++)[^{]{0,200}?<\|message\|>\s*+(?=\{)")
_GEMMA = "<|tool_call>call:"
_ATTEMPTS = re.compile(
    r"\[TOOL_CALLS\]|<\|python_tag\|>|<function=|<\|tool_call|<tool_call|<invoke name=|<function_?call|to=functions\.|<｜tool▁call"
)


class Reading(NamedTuple):
    """calls: None where none could be read. form: that they are in; "" where there are none or it is unknown. attempted: whether the text
    tries to call something."""

    calls: tuple[ToolCall, ...] | None
    form: str
    attempted: bool


def read_calls(text: str, names: Sequence[str] = ()) -> Reading:
    """The calls in an answer, whatever form they are in. names: the tools on offer."""
    before, thought, after = text.partition("</think>")
    said = (after if thought else before).strip()
    for reader in (_tagged, _marked, _plain, _fenced):
        try:
            form, calls = reader(said, names)
        except (CallSyntaxError, BadRowError):
            continue
        if form:
            return Reading(calls, form, bool(calls))
    return Reading(None, "", is_call_attempt(said) or attempts_by_mark(said))


def attempts_by_mark(text: str) -> bool:
    """Whether a mark of calls stands in a text."""
    return _ATTEMPTS.search(text) is not None


_Found = tuple[str, tuple[ToolCall, ...]]
_NONE: _Found = ("", ())


def _tagged(text: str, names: Sequence[str]) -> _Found:
    """Between `<tool_call>` tags."""
    parts = [part.strip() for part in _TAGGED.findall(text)]
    if not parts:
        return _NONE
    if "<function=" in parts[0] or "<arg_key>" in text or not parts[0].startswith("{"):
        return "xml", tuple(call for part in parts for call in _xml(part))
    return "hermes", tuple(call for part in parts for call in _objects(part))


def _xml(part: str) -> list[ToolCall]:
    functions = _FUNCTION.findall(part)
    if functions:
        return [ToolCall(name.strip(), {key.strip(): _value(value) for key, value in _PARAMETER.findall(body)}) for name, body in functions]
    name = part.partition("<arg_key>")[0].strip()
    if not name or len(name.split()) > 1:
        raise BadRowError("a call without a name")
    return [ToolCall(name, {key.strip(): _value(value) for key, value in _glm(part)})]


def _glm(part: str) -> Iterator[tuple[str, str]]:
    """`<arg_key>name</arg_key><arg_value>value</arg_value>`, one after another."""
    for piece in part.split("<arg_key>")[1:]:
        key, _, rest = piece.partition("</arg_key>")
        value, closed, _ = rest.lstrip().removeprefix("<arg_value>").partition("</arg_value>")
        if not closed:
            raise BadRowError("an argument that is not closed")
        yield key, value


def _value(text: str) -> Any:
    """A JSON value where it is one, else the text."""
    try:
        return parse_text(text.strip())
    except BadRowError:
        return text


def _marked(text: str, names: Sequence[str]) -> _Found:
    """After a mark of Llama, Mistral, Gemma or LFM."""
    if "[TOOL_CALLS]" in text:
        return "mistral", _mistral(text.partition("[TOOL_CALLS]")[2])
    if "<|python_tag|>" in text:
        return "llama", _python_tag(text.partition("<|python_tag|>")[2].strip(), names)
    if "<|tool_call_start|>" in text:
        return "lfm", tuple(call for part in _LFM.findall(text) for call in parse_calls(part.strip(), names))
    for form, pattern in (("deepseek", _DEEPSEEK), ("harmony", _HARMONY)):
        if pattern.search(text):
            return form, _named(text, pattern)
    if "<|tool_call>" in text:
        return "gemma", tuple(_gemma_call(part) for part in text.split(_GEMMA)[1:]) or _fail()
    return _NONE


def _mistral(text: str) -> tuple[ToolCall, ...]:
    if text.strip().startswith("["):
        return _objects(text.strip())
    return _named(text, _MISTRAL) or _fail()


def _named(text: str, pattern: re.Pattern[str]) -> tuple[ToolCall, ...]:
    """Names that a pattern finds, each before a JSON object of arguments."""
    calls, at = list[ToolCall](), 0
    while match := pattern.search(text, at):
        arguments, at = json_value(text, match.end())
        calls.append(ToolCall(match[1], arguments))
    return tuple(calls)


def _python_tag(text: str, names: Sequence[str]) -> tuple[ToolCall, ...]:
    if text.startswith(("{", "[")):
        return _objects(text)
    name, dot, rest = text.partition(".call(")
    return parse_calls(f"{name}({rest}" if dot and name.replace("_", "").isalnum() else text, names)


def _gemma_call(part: str) -> ToolCall:
    name, brace, body = part.partition("<tool_call|>")[0].strip().partition("{")
    if not name.strip() or not brace or not body.endswith("}"):
        raise BadRowError("a call without a name or arguments")
    return ToolCall(name.strip(), _gemma("{" + body))


def _gemma(body: str) -> JSON:
    """`{key:<|"|>text<|"|>,other:3}`: JSON but for the quotes and the keys."""
    if "\0" in body or "\\u0000" in body:  # what stands for texts below
        raise BadRowError("a null character in arguments")
    texts: list[str] = []

    def keep(match: re.Match[str]) -> str:
        texts.append(match[1])
        return f'"\\u0000{len(texts) - 1}"'

    bare = re.sub(r'<\|"\|>(.*?)<\|"\|>', keep, body, flags=re.DOTALL)
    read = parse_text(re.sub(r"([{,]\s*+)([\w.\-$]++)\s*+:", r'\1"\2":', bare))
    if not isinstance(read, dict):
        raise BadRowError("arguments that are no object")
    found: JSON = _restored(read, texts)
    return found


def _restored(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {_restored(key, texts): _restored(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item, texts) for item in value]
    return texts[int(value[1:])] if isinstance(value, str) and value.startswith("\0") else value


def _plain(text: str, names: Sequence[str]) -> _Found:
    """The whole answer is calls."""
    if text.startswith("{") or re.match(r"\[\s*\{", text):
        return _form_of(text), _objects(text)
    calls = parse_calls(text, names)
    return ("brackets", calls) if calls or text.startswith("[") else _NONE


def _form_of(text: str) -> str:
    return "llama" if '"parameters"' in text and '"arguments"' not in text else "json"


def _fenced(text: str, names: Sequence[str]) -> _Found:
    """In a code block, with words around it. Blocks that hold no calls of tools on offer are code like any other."""
    for language, body in _FENCE.findall(text):
        inner = body.strip()
        try:
            if inner.startswith(("{", "[{")) or language.lower() == "json":
                found = _form_of(inner), _objects(inner)
            else:
                found = "python", _python(inner, names)
        except (CallSyntaxError, BadRowError):
            continue
        if found[1] and (not names or all(call.name in names for call in found[1])):
            return found
    return _NONE


def _python(text: str, names: Sequence[str]) -> tuple[ToolCall, ...]:
    """Calls on lines of their own, in brackets, or inside `print(…)`."""
    if text.startswith("["):
        return parse_calls(text, names)
    calls: list[ToolCall] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith(("import ", "from ", "#")):
            continue
        inner = line.removeprefix("print(").removesuffix(")") if line.startswith("print(") and line.endswith("))") else line
        calls += parse_calls(inner, names)
    return tuple(calls)


def _objects(text: str) -> tuple[ToolCall, ...]:
    """Calls as JSON objects, one after another or in a list; what follows the last is not read. Raises BadRowError for any other object."""
    try:
        values = json_values(text) or _literals(text)
    except BadRowError:
        values = _literals(text)
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    if not flat or not all(is_call(one) for one in flat):
        raise BadRowError("no calls")
    return calls_from(flat, 1)


def _literals(text: str) -> list[Any]:
    """As Python's quotes have it."""
    try:
        return [ast.literal_eval(text.strip())]
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadRowError("no JSON") from None


def is_call(value: Any) -> bool:
    """Whether an object names what it calls, and has arguments."""
    inner = value.get("function", value) if isinstance(value, dict) else None
    named = inner if isinstance(inner, dict) else value
    return isinstance(named, dict) and isinstance(named.get("name"), str) and any(key in named for key in ARGUMENTS)


def _fail() -> Any:
    raise BadRowError("no call")
