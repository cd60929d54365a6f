"""Held-out dialogues: of the same making as those one trains on, but with other requests and other calls.

A dialogue is held out where neither what its user says nor any of its calls, tool and arguments, stands in the others. A call without arguments
is always the same, so there only the words decide.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from luthier.records import Conversation


def marks(conversation: Conversation) -> set[str]:
    """What another dialogue must not share: each user text, without case and white space, and each call with arguments."""
    said = {" ".join((message.content or "").casefold().split()) for message in conversation.messages if message.role == "user"}
    calls = (call for message in conversation.messages for call in message.tool_calls if call.arguments)
    return said | {json.dumps([call.name, call.arguments], sort_keys=True) for call in calls}


def unseen(conversations: Iterable[Conversation], seen: set[str]) -> Iterator[Conversation]:
    """The conversations that share no mark with `seen` nor with an earlier one of them; `seen` grows by theirs."""
    for conversation in conversations:
        found = marks(conversation)
        if seen.isdisjoint(found):
            seen |= found
            yield conversation
