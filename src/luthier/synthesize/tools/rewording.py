"""A model says the user's request of a template dialogue in other words; tool, arguments and type stay as they were drawn (slot filling).

What it writes is taken only where everything survives: every value that the template says is grounded in it, nothing new is said, and it still
is a request of this person. Else the template's words stay. Both are counted, by reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from luthier.models.protocol import Completion, Sampling
from luthier.records import JSON, Conversation
from luthier.synthesize.tools import agent_prompts as prompts
from luthier.synthesize.tools.agents import Made
from luthier.synthesize.tools.asks import OUT_OF_BUDGET, DroppedError, asked_once, drawn_by
from luthier.synthesize.tools.grounding import grounded, letters, stems
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.numerals import numbers_in
from luthier.synthesize.tools.operations import is_verb
from luthier.synthesize.tools.rules_calls import grounded_arguments
from luthier.synthesize.tools.rules_text import clean_characters

TRIES = 2
HEATS = (0.7, 0.9)
LEAST_SHARED = 0.6  # of the stems of the template's words that are no values; all where no call holds what is wanted
MOST_LONGER = 1.6
_MORE_LETTERS = 40
_TOKENS = 256
_NAMED = re.compile(r"[^\W\d_][\w'’-]*+|[^\s\d]{0,40}+\d\S*+")
_ASSISTANT = re.compile(
    r"^(sure|surely|certainly|of course|here (is|are)|okay|great)\b|\b(as an ai|i can help|i will|i'll|we will|we'll|would you like|do you want|how (can|may) i|i have (booked|found|cancel)|rewrite|request:|please contact|contact us|let us know|you (should|need to|will|may)\b|your (booking|request|order)\b)",
    re.IGNORECASE,
)
_PLEADS = re.compile(r"\b(i|i'd|i'm|i've|we|we'd|we're|my|our|please)\b", re.IGNORECASE)
_NOT = re.compile(r"\b(not|no|without|don't|doesn't|never|nor)\b", re.IGNORECASE)
_SELF = re.compile(r"\b(i|i'd|i'm|i've|me|my|we|we'd|our|us)\b", re.IGNORECASE)
_CARRIERS = frozenset(  # of words that carry a request and are no part of it
    stems(
        "please could can would you like want need have i me my we us our hello hi good morning help to do get give tell know that then also it is there"
    )
)
KEPT = ("chat",)  # types whose words are nobody's to change: what they are is in them


def reworded(conversation: Conversation, seed: int = 0) -> Generator[Any, Any, Made]:
    """The dialogue in a model's words where they hold, else as it was; `extra` says which (`worded`: model or template)."""
    counts: Counter[str] = Counter()
    first = next((turn for turn, message in enumerate(conversation.messages) if message.role == "user"), None)
    if first is None or conversation.extra.get("type") in KEPT:
        counts.update(("not asked: nothing to say in other words", "template"))
        return Made(_marked(conversation, "template"), "", counts)
    plain = conversation.messages[first].content or ""
    for attempt in range(TRIES):
        sampling = Sampling(_TOKENS, HEATS[attempt], 0.95, seed=drawn_by(seed, conversation.extra.get("id"), plain, attempt))
        try:
            answer: Completion = yield from asked_once(prompts.words(plain), sampling, "words")
        except DroppedError:
            counts[OUT_OF_BUDGET] += 1
            break
        said = prompts.spoken(answer.text)
        problem = "it was cut off" if answer.finish != "stop" else lost(conversation, first, said)
        if not problem:
            counts["model"] += 1
            messages = list(conversation.messages)
            messages[first] = replace(messages[first], content=said)
            return Made(_marked(replace(conversation, messages=tuple(messages)), "model", plain), "", counts)
        counts[f"not taken: {problem}"] += 1
    counts["template"] += 1
    return Made(_marked(conversation, "template"), "", counts)


def lost(conversation: Conversation, turn: int, said: str) -> str:
    """What a rewording of the user's turn loses or adds, in words; empty where everything survives."""
    plain = conversation.messages[turn].content or ""
    other = replace(conversation.messages[turn], content=said)
    made = replace(conversation, messages=(*conversation.messages[:turn], other, *conversation.messages[turn + 1 :]))
    if not said or letters(said) == letters(plain):
        return "it says the same words"
    if len(said) > MOST_LONGER * len(plain) + _MORE_LETTERS:
        return "it is much longer"
    if _ASSISTANT.search(said) and not _ASSISTANT.search(plain):
        return "it speaks as the assistant"
    if not _asks(said):
        return "it asks for nothing"
    if any(_stands(leaf, plain) and not _stands(leaf, said) for leaf in _values(conversation)):
        return "a value is lost"
    if any(not grounded(leaf, {}, said) for leaf in _values(conversation) if grounded(leaf, {}, plain)):
        return "a value is lost"
    if _codes(plain) - _codes(said):
        return "a code is lost"
    if len(grounded_arguments(made)) > len(grounded_arguments(conversation)) or clean_characters(made):
        return "a rule is broken"
    if numbers_in(said) - numbers_in(plain) - {1.0} or _names(said) - _words(plain):
        return "something is added"
    if bool(_NOT.search(plain)) != bool(_NOT.search(said)):
        return "a denial is lost or added"
    if _flags(conversation, plain) - _words(said):
        return "a truth value is lost"
    rest = _words(plain) - {stem for leaf in _values(conversation) for stem in stems(str(leaf))}
    rest -= _CARRIERS
    if len(rest & _words(said)) < (LEAST_SHARED if _values(conversation) else 1.0) * len(rest):
        return "what is wanted is lost"
    return ""


def _marked(conversation: Conversation, worded: str, plain: str | None = None) -> Conversation:
    extra: JSON = {**conversation.extra, "worded": worded}
    return replace(conversation, extra=extra if plain is None else {**extra, "template": plain})


def _values(conversation: Conversation) -> list[Any]:
    """Every text and number among the arguments."""
    calls = [call for message in conversation.messages for call in message.tool_calls]
    return [leaf for call in calls for leaf in _leaves(call.arguments) if not isinstance(leaf, bool) and leaf is not None]


def _asks(text: str) -> bool:
    """Whether the first sentence is a request: a question, an order, or something that one wants."""
    first = re.split(r"(?<=[.!?:\n])\s+", re.sub(r"^(hi|hello|hey|good \w+)[,!.]? ", "", text, flags=re.IGNORECASE))[0]
    return "?" in first or _PLEADS.search(first) is not None or is_verb(first.split()[0].strip(",").lower())


def _stands(value: Any, text: str) -> bool:
    """Whether a text is said letter by letter, ids and names in their own case. Numbers may be said in another form."""
    if not isinstance(value, str):
        return False
    return value in text if value != value.lower() or any(one.isdigit() for one in value) else letters(value) in letters(text)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def _flags(conversation: Conversation, plain: str) -> set[str]:
    """Stems of the names of truth values that the template speaks of."""
    named = {
        name
        for message in conversation.messages
        for call in message.tool_calls
        for name, value in call.arguments.items()
        if isinstance(value, bool)
    }
    return {stem for name in named for stem in stems(words_of(name))} & _words(plain)


def _words(text: str) -> set[str]:
    return set(stems(text))


def _codes(text: str) -> set[str]:
    """Words with digits that are more than a number, by letters and digits: ids, codes, addresses."""
    found = {letters(word) for word in text.split() if re.search(r"\d", word) and re.search(r"[^\W\d_]", word)}
    return {one for one in found if not re.fullmatch(r"\d+(st|nd|rd|th|s|am|pm|h)", one)}


def _names(text: str) -> set[str]:
    """Stems of words that begin with a capital within a sentence, or hold digits and letters."""
    found: set[str] = set()
    for sentence in re.split(r"(?<=[.!?:\n])\s+", text):
        for place, word in enumerate(_NAMED.findall(sentence)):
            if (place and word[:1].isupper() and not _SELF.fullmatch(word)) or "@" in word:
                found |= set(stems(word))
    return found
