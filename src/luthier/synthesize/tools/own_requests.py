"""Requests for the user's own operations: every argument is said, as a person would say it.

A value stands where the order itself speaks of it ("cancel a booking" with an id is "cancel booking 4711"), else in a phrase ("from 3 May 2026"), in
a sentence of its own, or in a list. Dates are written out, lists joined with "and", objects spelled out field by field, truth values in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meanings import singular, words_of
from luthier.synthesize.tools.operations import Operation
from luthier.synthesize.tools.own_details import PREPOSITIONS, Detail, compound, detail, is_plural, meaning_in
from luthier.synthesize.tools.spoken_values import day_text, is_day, said, schema_of, spoken_list

OWN_SHARE = 0.4  # of requests that say what one wants rather than what is to be done
LISTED_FROM = 4  # details from which a request may be written as a list
_PLACES = frozenset(("city", "country_name", "region"))
_PLACED = frozenset(
    ("code", "room", "airport", "sku", "plate", "flight", "tracking", "seat", "gate", "company", "product", "person", "file", "isbn", "vin")
)
_TAIL = re.compile(r" (id|ids|code|codes|number|numbers|no|key|ref|reference|uuid|identifier|name)$")
_PLAIN = r"(?!(?:of|for|to|in|on|at|with|from|by|and|that|which)\b)[a-z]+"
_AFTER_NOUN = r"(?:of|for|to|in|on|at|with|from|by|and|or|that|which|as|into|onto|through|until|between|within|under|over|per|via|using|if|when|before|after|so|including|without)"
_COUNTS = re.compile(r"(\b(?:with|for) [\w,.]+ \w+),? (?:with|for) (\w+ \w+)(?=$|,)")  # with two adults, with one child
_BETWEEN = re.compile(r" (?:that were [a-z]+ )?between two (?:days|dates)\b")
_MAKING = re.compile(r"(?:create|add|make|set|change|update|choose|pick|assign|open|register|replace|edit)\b")
_BY_ID = re.compile(r" (?:by|with|for) (?:its|the|an?|their)(?: given| specified| unique)? (?:id|uuid|identifier|code|number)\b")
_KIND = re.compile(r" (type|kind|class|category|size|tier|grade)$")
# Verbs of ours that mean one thing only with some objects: one books a room and reserves it, but books time.
_BOUND = {
    "book": re.compile(r"(?!(?:the |some )?(?:time|hours|minutes|working|amounts?|payments?|entr|transactions?|expenses?|costs?)\b)"),
    "check": re.compile(r"(?:whether|if|how|what|when|which|the)\b"),
    "register": re.compile(
        r"(?:an? |the )?(?:new )?(?:user|customer|guest|reader|member|student|patient|participant|attendee|player|account)"
    ),
    "open": re.compile(r"(?:an? |the )?(?:new )?(?:account|ticket|case|file|order|request|incident|dispute)"),
    "tell": re.compile(r"(?:whether|if|how|what|when|where|which|who|why)\b"),
}
_PARTICLE = re.compile(r"(?:in|out|up|off|on|down|over|back|away|through)\b")  # to book in a delivery is not to reserve in one
_ORDERS = (
    "{A}.",
    "{A}.",
    "{A}, please.",
    "Please {a}.",
    "Can you {a}?",
    "Could you {a}?",
    "Could you please {a}?",
    "Hi, please {a}.",
    "Would you {a}?",
)
_OWN_ORDERS = ("I need to {a}.", "I want to {a}.", "I'd like to {a}.", "We have to {a}.", "Hello, I'd like to {a}.", "We need to {a}.")
_SYNONYMS = {  # said to the assistant
    "find": ("find", "look for", "search for", "find me"),
    "get": ("get", "fetch", "show me", "give me", "look up"),
    "show": ("show", "show me", "pull up", "look up"),
    "list": ("list", "show me", "give me"),
    "fetch": ("fetch", "get", "get me"),
    "create": ("create", "make", "set up"),
    "book": ("book", "reserve"),
    "change": ("change", "update"),
    "update": ("update", "change"),
    "delete": ("delete", "remove"),
    "open": ("open", "create"),
    "check": ("check", "see", "find out"),
    "register": ("register", "sign up"),
    "tell": ("tell me", "tell me", "find out"),  # an API tells, people are told
}
_OWN_SYNONYMS = {  # of oneself: "I want to see the rooms"
    **{verb: tuple(word for word in words if not word.endswith(" me")) for verb, words in _SYNONYMS.items()},
    "show": ("see", "look at"),
    "list": ("see", "have a list of"),
    "get": ("get", "see"),
    "fetch": ("get", "see"),
    "tell": ("know", "find out"),
}


def request_text(operation: Operation, arguments: JSON, random: Random, without: Sequence[str] = (), *, plain: bool = False) -> str:
    """A user's text that says every argument but those in `without`. plain: as an order without "please" and "can you"."""
    ask, rest = _placed(operation, {name: value for name, value in arguments.items() if name not in without}, random)
    properties: JSON = operation.tool.parameters.get("properties") or {}
    if not any(is_day(value) for value in arguments.values()):
        ask = _BETWEEN.sub("", ask)
    details = [detail(name, value, schema_of(properties, name), operation, random) for name, value in rest.items()]
    own = not plain and random.random() < OWN_SHARE
    verb, _, after = ask.partition(" ")
    fits = (verb not in _BOUND or _BOUND[verb].match(after)) and not _PARTICLE.match(after)
    words = (_OWN_SYNONYMS if own else _SYNONYMS).get(verb, (verb,)) if fits else (verb,)
    ask = f"{random.choice(words)} {after}" if own or verb == "tell" or random.random() < 0.6 else ask
    return _tidy(_written(ask, details, "{A}." if plain else random.choice(_OWN_ORDERS if own else _ORDERS), random))


def _placed(operation: Operation, arguments: JSON, random: Random) -> tuple[str, JSON]:
    """The order with the values it speaks of in their places, and the arguments that are still to be said."""
    ask, rest = operation.ask, dict(arguments)
    days = [name for name, value in arguments.items() if is_day(value)]
    if len(days) == 2 and (
        found := _swap(ask, r"\bbetween two (?:days|dates)\b", f"between {' and '.join(day_text(arguments[one], random) for one in days)}")
    ):
        ask, rest = found, {name: value for name, value in rest.items() if name not in days}
    for name, value in list(rest.items()):
        found = _place(ask, name, value, operation, random)
        if found is not None:
            ask = found
            del rest[name]
    return ask, rest


def _place(ask: str, name: str, value: Any, operation: Operation, random: Random) -> str | None:
    """The order with a value in its place, None where the order does not speak of it."""
    schema, words = schema_of(operation.tool.parameters.get("properties") or {}, name), words_of(name)
    if isinstance(value, bool | dict) or value is None or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
        return None
    meaning = meaning_in(name, schema, operation)
    text = said(value, schema, name, random)
    noun = _TAIL.sub("", words)
    if words in PREPOSITIONS and isinstance(value, str) and len(text) < 60:
        return _swap(ask, rf"\b{words} (?:an?|the) [a-z]+\b$", f"{words} {text}")
    if (
        isinstance(value, str)
        and len(text) < 40
        and (found := _swap(ask, rf"\bby (?:the |its |their )?{re.escape(words)}\b$", f"by the {words} {text}"))
    ):
        return found
    if isinstance(value, list):
        noun = noun if len(value) != 1 else singular(noun)
        return (
            _swap(ask, rf"\b(?:the |some |several )?{re.escape(_TAIL.sub('', words))}\b(?! (?:of|id))", f"{noun} {text}")
            if words.endswith("s") and len(text) < 60
            else None
        )
    kind = _KIND.sub("", words)
    if schema.get("enum") and kind != words and isinstance(value, str) and value.isalpha():
        article = "an" if text[:1].lower() in "aeiou" else "a"
        return _swap(ask, rf"\b(?:an?|one) {re.escape(kind)}\b", f"{article} {text} {kind}")
    if schema.get("enum") and isinstance(value, str) and value.isalpha() and not _MAKING.match(ask):
        return _swap(ask, rf"\b(?:an?|one) {re.escape(words)}\b", f"the {text} {words}")  # when the central branch is open
    if meaning in _PLACES:
        return _swap(ask, rf"\b(?:an?|the|one|this) {re.escape(noun)}\b", text)
    is_id = noun != words or schema.get("format") == "uuid" or meaning in _PLACED
    if not is_id or (isinstance(value, str) and len(value) > 44) or schema.get("enum"):
        return None
    found = _swap(
        ask,
        rf"\b{re.escape(noun.rsplit(' ', 1)[-1])} by (?:its |the |an? )?(?:id|uuid|identifier|code|number)\b",
        f"{noun.rsplit(' ', 1)[-1]} {text}",
    )
    if found is not None:
        return found
    for one in dict.fromkeys((compound(noun, ask), noun, noun.rsplit(" ", 1)[-1])):
        said_with = text if meaning in ("person", "company", "product") else f"{one} {text}"
        found = _swap(
            ask, rf"\b(?:an?|the|one|this|some|single) ((?:{_PLAIN} ){{0,3}}){re.escape(one)}\b(?= {_AFTER_NOUN}\b|[,.;:)]|$)", said_with
        )
        if found is not None:
            return _BY_ID.sub("", found)
    return None


def _swap(ask: str, pattern: str, text: str) -> str | None:
    """The order with the first match replaced by what its group holds, if it has one, and the text; None where nothing matches."""
    match = _compiled(pattern).search(ask)
    return None if match is None else f"{ask[: match.start()]}{match[1] if match.lastindex else ''}{text}{ask[match.end() :]}"


@lru_cache(maxsize=8192)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _written(ask: str, details: list[Detail], order: str, random: Random) -> str:
    if not details:
        return _in_order(order, ask)
    if len(details) >= LISTED_FROM and random.random() < 0.3:
        lines = "\n".join(f"- {one.label}: {one.said}" for one in details)
        head = _in_order(order, ask).rstrip(".?")
        return (
            f"{head}:\n{lines}"
            if random.random() < 0.7
            else f"{head}. " + _capital("; ".join(f"{one.label}: {one.said}" for one in details)) + "."
        )
    short = [one for one in details if not one.long]
    late = [one for one in details if one.long]
    keep = len(short) if len(short) <= 3 or random.random() < 0.3 else random.randint(1, 3)
    short.sort(key=lambda one: one.phrase == "")  # what has a preposition of its own reads best next to the order
    inline, apart = short[:keep], [*short[keep:], *late]
    text = _in_order(order, " ".join([ask, _inline(inline, random)]).strip())
    return f"{text} {_sentences(apart, random)}".strip()


def _in_order(order: str, ask: str) -> str:
    return order.replace("{A}", ask[:1].upper() + ask[1:]).replace("{a}", ask)


def _inline(details: Sequence[Detail], random: Random) -> str:
    """Phrases one after another, then those that need their label: from 3 May to 7 May 2026, with voucher MAPLE43."""
    phrases = [one.phrase for one in details if one.phrase]
    named = [f"{one.label} {one.said}" for one in details if not one.phrase]
    text = (" " if len(phrases) < 3 else ", ").join(phrases).replace(", ,", ",")
    text = _COUNTS.sub(r"\1 and \2", text)
    if not named:
        return text
    lead = random.choice(("with {}", "with the {}")).format(spoken_list(named))
    if phrases and phrases[-1].startswith("with "):
        return f"{text} and {named[0]}" if len(named) == 1 else f"{text}, {spoken_list(named)}"
    return f"{text}, {lead}" if phrases else lead


def _sentences(details: Sequence[Detail], random: Random) -> str:
    """The other details, one or two to a sentence."""
    texts: list[str] = []
    waiting: list[str] = []
    for one in details:
        if one.said in ("yes", "no"):
            texts.append(f"{_capital(one.label)}: {one.said}.")
        elif one.long:
            texts.append(_alone(one, random))
        elif one.label.rpartition(" ")[2] in PREPOSITIONS and one.phrase:
            texts.append(f"{_capital(one.phrase)}.")
        else:
            waiting.append(_is_said(one))
    while waiting:
        pair, waiting = waiting[:2], waiting[2:]
        texts.insert(0 if random.random() < 0.5 else len(texts), _capital(" and ".join(pair)) + ".")
    return " ".join(texts)


def _is_said(one: Detail) -> str:
    """A detail as a clause: the branch is central, the colours are red and blue, the number of people is 2."""
    if one.said.isdigit() and is_plural(one.label):
        return f"the number of {one.label} is {one.said}"
    return f"the {one.label} {'are' if is_plural(one.label) else 'is'} {one.said}"


def _alone(one: Detail, random: Random) -> str:
    verb = "are" if is_plural(one.label) and not one.said.startswith('"') else "is"
    if one.label.rpartition(" ")[2] in PREPOSITIONS:
        return f"{_capital(one.label)}: {one.said}."
    ways: tuple[Callable[[], str], ...] = (
        lambda: f"{_capital(one.label)}: {one.said}",
        lambda: f"The {one.label} {verb} {one.said}",
        lambda: f"Use this {one.label}: {one.said}",
    )
    text = random.choice(ways[:2] if verb == "are" or is_plural(one.label) else ways)()
    return text if text.endswith(('."', '!"', '?"')) else f"{text}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tidy(text: str) -> str:
    text = re.sub(r"(?<!\s)[ \t]++([,.:?])(?=\s|$)", r"\1", text)
    return re.sub(r"[ \t]{2,}", " ", text).strip()
