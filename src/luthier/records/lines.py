"""One row as one line of JSON text, and back.

Strict on both sides: what is written is valid UTF-8 JSON that any reader takes, and what is read is refused with a plain
reason where it is not. Knows nothing about files; `luthier.records.files` and `luthier.records.journal` do.
"""

from __future__ import annotations

import json
from typing import Any

from luthier.errors import BadRowError
from luthier.records.conversations import JSON


def to_text(value: Any) -> str:
    """The value as compact-enough JSON text that encodes as UTF-8; raises BadRowError where it has no JSON form."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can carry it
        return json.dumps(value, allow_nan=False)
    except RecursionError:
        raise BadRowError("cannot be written as JSON: nested too deeply") from None
    except (TypeError, ValueError) as error:
        raise BadRowError(f"cannot be written as JSON: {error}") from None
    return text


def to_line(row: JSON) -> bytes:
    """A row as one line, newline included."""
    return to_text(as_row(row)).encode() + b"\n"


def parse_row(line: bytes) -> JSON:
    """The row on a line; raises BadRowError without a place."""
    return as_row(parse_value(line))


def parse_value(data: bytes) -> Any:
    """Any JSON value; the `line` of the BadRowError is the line within `data`."""
    try:
        return json.loads(data.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise BadRowError(f"not UTF-8 text at byte {error.start + 1}", line=data.count(b"\n", 0, error.start) + 1) from None
    except json.JSONDecodeError as error:
        raise BadRowError(f"not JSON: {error.msg} at column {error.colno}", line=error.lineno) from None
    except RecursionError:
        raise BadRowError("not readable as JSON: nested too deeply", line=1) from None
    except ValueError as error:  # NaN, or a number with thousands of digits
        raise BadRowError(f"not JSON: {error}", line=1) from None


def as_row(value: Any) -> JSON:
    """The value itself if it is an object with text keys, as every row is."""
    if not isinstance(value, dict):
        raise BadRowError(f"{_KINDS.get(type(value), type(value).__name__)} where an object of fields was expected")
    if any(not isinstance(key, str) for key in value):
        raise BadRowError("a field name that is not text")
    return value


_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")
