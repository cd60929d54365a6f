"""Rules about text: D2 (length), D3 (characters and template tokens), D4 (no mixed scripts), D5 (complete replies)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from luthier.records import Conversation
from luthier.synthesize.tools.lint import Finding

LONGEST_REPLY = 4000  # characters
MOST_CALLS = 16

_BROKEN = re.compile("[\ufffd\ud800-\udfff\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TEMPLATE = re.compile(
    r"<\|[\w-]+\|>|\[/?INST\]|<</?SYS>>|</?tool_(?:call|response)>|<(?:start|end)_of_turn>|</?s>|\[/?(?:TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]"
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^“”]*+”|`[^`]*`|'[^']*'|«[^«»]*+»")
_SCRIPTS = {
    "Latin": "A-Za-zÀ-ɏ",
    "Greek": "Ͱ-Ͽ",
    "Cyrillic": "Ѐ-ӿ",
    "Hebrew": "֐-׿",
    "Arabic": "؀-ۿ",
    "Devanagari": "ऀ-ॿ",
    "Thai": "฀-๿",
    "Japanese": "぀-ヿ",
    "Korean": "가-힯",
    "Chinese": "一-鿿",
}
_SCRIPT = re.compile("|".join(f"(?P<{name}>[{letters}])" for name, letters in _SCRIPTS.items()))
_ENDS = tuple(".!?…。！？:)]}\"'”’»`*>")
_FEWEST_LETTERS = 2  # one foreign letter is a symbol (π), not a language


def reply_length(conversation: Conversation) -> list[Finding]:
    """Rule D2."""
    long = [
        Finding("D2", f"the reply has more than {LONGEST_REPLY} characters", f"messages[{turn}].content")
        for turn, text in _replies(conversation)
        if len(text) > LONGEST_REPLY
    ]
    many = [
        Finding("D2", f"the turn makes more than {MOST_CALLS} calls", f"messages[{turn}].tool_calls")
        for turn, message in enumerate(conversation.messages)
        if len(message.tool_calls) > MOST_CALLS
    ]
    return long + many


def clean_characters(conversation: Conversation) -> list[Finding]:
    """Rule D3, for messages, arguments and the texts of tools."""
    findings = []
    for path, text in _texts(conversation):
        if _BROKEN.search(text):
            findings.append(Finding("D3", "the text holds broken or control characters", path))
        if _TEMPLATE.search(text):
            findings.append(Finding("D3", "the text holds tokens of a chat template", path))
    return findings


def same_script(conversation: Conversation) -> list[Finding]:
    """Rule D4. Quotations do not count."""
    known = scripts(" ".join(f"{tool.name} {tool.description}" for tool in conversation.tools))
    findings = []
    for turn, message in enumerate(conversation.messages):
        used = scripts(message.content or "")
        if message.role != "assistant":
            known |= used
        elif scripts(_QUOTED.sub(" ", message.content or "")) - known:
            findings.append(Finding("D4", "the assistant changes to another script", f"messages[{turn}].content"))
    return findings


def complete_replies(conversation: Conversation) -> list[Finding]:
    """Rule D5: a reply ends like one, and closes its code fences and brackets."""
    return [
        Finding("D5", "the reply breaks off", f"messages[{turn}].content")
        for turn, text in _replies(conversation)
        if text.strip() and not is_complete(text)
    ]


def is_complete(text: str) -> bool:
    """Whether a text ends in a stop or a closing sign, and everything it opens is closed."""
    closed = all(text.count(opening) <= text.count(closing) for opening, closing in ("()", "[]", "{}"))
    return closed and text.count("```") % 2 == 0 and text.rstrip().endswith(_ENDS)


def scripts(text: str) -> set[str]:
    """Scripts with at least two letters in the text. Kana and Han go together, as Japanese needs both."""
    count = Counter(match.lastgroup for match in _SCRIPT.finditer(text))
    found = {str(name) for name, number in count.items() if number >= _FEWEST_LETTERS}
    return found | {"Chinese"} if "Japanese" in found else found


def _replies(conversation: Conversation) -> Iterator[tuple[int, str]]:
    for turn, message in enumerate(conversation.messages):
        if message.role == "assistant" and not message.tool_calls:
            yield turn, message.content or ""


def _texts(conversation: Conversation) -> Iterator[tuple[str, str]]:
    for index, tool in enumerate(conversation.tools):
        yield f"tools[{index}]", f"{tool.name}\n{tool.description}"
    for turn, message in enumerate(conversation.messages):
        yield f"messages[{turn}].content", message.content or ""
        for index, call in enumerate(message.tool_calls):
            yield f"messages[{turn}].tool_calls[{index}]", "\n".join([call.name, *_strings(call.arguments)])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            yield from _strings(item)
