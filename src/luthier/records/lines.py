"""One row as one line of JSON text, and back.

Strict on both sides: what is written is valid UTF-8 JSON that any reader takes, and what is read is refused with a plain
reason where it is not. Knows nothing about files; `luthier.records.files` and `luthier.records.journal` do.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

from luthier.errors import BadRowError
from luthier.records.conversations import JSON
from luthier.records.encodings import not_utf8
from luthier.records.python_text import literal

MOST_NESTED = 200  # levels of objects and lists in a row


def to_text(value: Any, *, nan: bool = False) -> str:
    """The value as compact-enough JSON text that encodes as UTF-8; raises BadRowError where it has no JSON form.

    Dates and times are written in ISO form, spans of time in seconds, decimals as exact text, bytes as base64. nan: also takes numbers that
    are not finite, which JSON has no form for.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=nan, default=_as_json)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can carry it
        return json.dumps(value, allow_nan=nan, default=_as_json)
    except RecursionError:
        raise BadRowError("cannot be written as JSON: nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise BadRowError(f"cannot be written as JSON: {error}") from None
    return text


def plain(value: Any) -> Any:
    """The value as it comes back from JSON text: what columns hold and JSON does not in the form that `to_text` writes. Raises BadRowError."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return json.loads(to_text(value))


def to_line(row: JSON) -> bytes:
    """A row as one line, newline included."""
    return to_text(as_row(row)).encode() + b"\n"


def parse_row(line: bytes) -> JSON:
    """The row on a line; raises BadRowError without a place."""
    return as_row(parse_value(line), turns=True)


def parse_value(data: bytes) -> Any:
    """Any JSON value; the `line` of the BadRowError is the line within `data`."""
    try:
        return parse_text(data.decode())
    except UnicodeDecodeError as error:
        told = not_utf8(data).replace("not UTF-8 text", f"not UTF-8 text at byte {error.start + 1}", 1)
        raise BadRowError(told, line=data.count(b"\n", 0, error.start) + 1) from None


def parse_text(text: str, *, nan: bool = False) -> Any:
    """Any JSON value of at most MOST_NESTED levels, with finite numbers, or, where `nan`, also those that JSON has not."""
    try:
        value = json.loads(text) if nan else json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise BadRowError(f"not JSON: {error.msg} at column {error.colno}", line=error.lineno) from None
    except RecursionError:
        raise BadRowError("not readable as JSON: nested too deeply", line=1) from None
    except ValueError as error:  # NaN, infinity, or a number with thousands of digits
        raise BadRowError(f"not JSON: {error}", line=1) from None
    if text.count("{") + text.count("[") > MOST_NESTED and _depth(value) > MOST_NESTED:
        raise BadRowError(f"not readable as JSON: nested too deeply, more than {MOST_NESTED} levels", line=1)
    return value


def python_value(text: str) -> Any:
    """The value that a text writes as Python or NumPy prints it, `[{'role': 'user'}]`, as JSON has it; None where it is none."""
    try:
        value = plain(literal(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, BadRowError):
        return None
    return None if _depth(value) > MOST_NESTED else value


def decoded(value: Any, what: str) -> Any:
    """Text as the JSON it holds, or as the object or list that Python printed; anything else as it is. Raises BadRowError."""
    if not isinstance(value, str):
        return value
    try:
        return parse_text(value)
    except BadRowError as error:
        printed = python_value(value) if value.lstrip()[:1] in ("{", "[") else None
        if not isinstance(printed, dict | list):
            raise BadRowError(f"{what}: {error.problem}") from None
        return printed


def as_row(value: Any, *, turns: bool = False) -> JSON:
    """The value itself if it is an object with text keys, as every row is. turns: a list of turns is a row that has nothing else."""
    if turns and isinstance(value, list) and value and all(isinstance(each, dict) and ("role" in each or "from" in each) for each in value):
        return {"messages": value}
    if not isinstance(value, dict):
        raise BadRowError(f"{_KINDS.get(type(value), type(value).__name__)} where an object of fields was expected")
    if any(not isinstance(key, str) for key in value):
        raise BadRowError("a field name that is not text")
    return value


_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


def _depth(value: Any) -> int:
    """Levels of objects and lists in a value, without recursion."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
    return depth


def _as_json(value: Any) -> Any:
    """What columns hold and JSON does not: dates and times in ISO form, decimals as exact text, bytes as base64."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
