"""Evaluation items out of a person's own tool dialogues: every turn of the assistant is one decision, asked with the true turns before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from luthier.errors import SettingsError
from luthier.records import Conversation, Message, Tool, ToolCall, read_conversations
from luthier.records.account import note
from luthier.records.files import evenly


@dataclass(frozen=True)
class OwnItem:
    """One decision: the turns so far, the tools on offer, the calls that are right (none where the assistant should speak), and what it said.

    category: the dialogue's type where it has one, else "calls" or "no call". dialogue: which row it is of. missing: parameters that it should ask
    for, where the row names them.
    """

    id: str
    dialogue: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    calls: tuple[ToolCall, ...]
    said: str
    missing: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return "\n".join(message.content or "" for message in self.messages if message.role == "user")

    @property
    def abstain(self) -> bool:
        """Whether the right answer is to call nothing."""
        return not self.calls

    @property
    def several(self) -> bool:
        """Whether more than one call is asked for somewhere in dialogues of this type."""
        return len(self.calls) > 1


def read_own_items(paths: Sequence[str], limit: int | None = None) -> list[OwnItem]:
    """The decisions in files of dialogues, in any layout that training reads; with a limit, of that many dialogues of each file, evenly spaced within
    each type, so that each has its share.

    Raises SettingsError where a file has no tool dialogue, and what reading the rows raises.
    """
    found: dict[str, list[OwnItem]] = {}
    for path in paths:
        rows = list(_with_tools(path))
        if not rows:
            raise SettingsError(f"{path}: no dialogues with tools there; give rows with `messages` and `tools`")
        for number, row in sorted(evenly(sorted(rows, key=_kind), limit), key=itemgetter(0)):
            place = f"{Path(path).name.split('.')[0]}-{number}"
            name = str(row.extra.get("id") or place)
            name = name if name not in found else f"{name} ({place})"
            found[name] = list(_items(row, name))
    return [item for items in found.values() for item in items]


def _kind(row: tuple[int, Conversation]) -> str:
    return str(row[1].extra.get("type") or "")


def _with_tools(path: str) -> Iterator[tuple[int, Conversation]]:
    for number, row in enumerate(read_conversations(path), 1):
        if row.tools:
            yield number, row
        else:
            note("left out", "a dialogue without tools", path, number)


def _items(row: Conversation, name: str) -> Iterator[OwnItem]:
    turns = [index for index, message in enumerate(row.messages) if message.role == "assistant" and message.weight != 0]
    asked = [index for index in turns if any(one.role == "user" for one in row.messages[:index])]  # a greeting before that decides nothing
    for number, index in enumerate(asked):
        message = row.messages[index]
        kind = row.extra.get("type") or ("calls" if message.tool_calls else "no call")
        id_ = name if len(asked) == 1 else f"{name}#{number + 1}"
        listed = row.extra.get("missing")
        missing = tuple(map(str, listed)) if isinstance(listed, list) and not message.tool_calls else ()
        yield OwnItem(id_, name, str(kind), row.messages[:index], row.tools, message.tool_calls, message.content or "", missing)
