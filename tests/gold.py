"""The accepted answers of BFCL items, as calls."""

from __future__ import annotations

from typing import Any

from luthier.records import ToolCall
from luthier.records.bfcl import Item


def gold_calls(item: Item, choice: int = 0) -> list[ToolCall]:
    """The calls with the accepted value number `choice` of each argument (the last one, where there are fewer)."""
    calls = []
    for answer in item.truth:
        for name, arguments in answer.items():
            values = {key: [value for value in accepted if value != ""] for key, accepted in arguments.items()}
            calls.append(ToolCall(name, {key: _plain(v[min(choice, len(v) - 1)]) for key, v in values.items() if v}))
    return calls


def _plain(value: Any) -> Any:
    """A value without BFCL's lists of alternatives inside objects."""
    if isinstance(value, dict):
        return {key: _plain(item[0] if isinstance(item, list) else item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
