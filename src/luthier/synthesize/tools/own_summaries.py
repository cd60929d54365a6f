"""What an assistant says of a tool's answer: what was found, what was done."""

from __future__ import annotations

import re
from random import Random

from luthier.records import JSON, ToolCall
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.spoken_values import said, spoken_list


def summary(call: ToolCall, answer: JSON, ask: str, random: Random) -> str:
    """What came of a call, in a sentence or two. ask: what the tool does, `list the rooms`."""
    listed = next((value for value in answer.values() if isinstance(value, list)), None)
    reading = re.match(r"(get|show|list|find|fetch|look|check|search|view)\b", ask) is not None
    new = {name: value for name, value in answer.items() if (reading or name not in call.arguments) and name != "status"}
    if listed is not None and all(isinstance(one, dict) for one in listed):
        entries = [_fields(one, call.arguments, random) for one in listed[:3]]
        found = len(listed)
        if not found:
            return "Nothing was found."
        return (
            f"I found {found}: {'; '.join(one for one in entries if one)}."
            if any(entries)
            else f"I found {found} {'entry' if found == 1 else 'entries'}."
        )
    told = _fields(new, {}, random)
    if told:
        return f"{random.choice(('Here it is', 'This is what I found') if reading else ('Done', 'That is done', 'It worked'))}: {told}."
    return "It answers that all is well." if reading or not call.arguments else random.choice(("Done.", "That is done.", "It worked."))


def _fields(record: JSON, asked: JSON, random: Random) -> str:
    """Up to four fields of a record that were not asked for, as they are said."""
    fields = [(name, value) for name, value in record.items() if name not in asked and isinstance(value, str | int | float | bool)]
    return spoken_list([f"{words_of(name)} {said(value, {}, name, random)}".rstrip(".") for name, value in fields[:4]]) if fields else ""
