"""Requests for the user's own operations: every argument is said, as a person would say it.

A value stands where the order itself speaks of it ("cancel a booking" with an id is "cancel booking 4711"), else in a phrase ("from 3 May 2026"), in
a sentence of its own, or in a list. Dates are written out, lists joined with "and", objects spelled out field by field, truth values in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meanings import meaning_of, singular, words_of
from luthier.synthesize.tools.operations import Operation, is_verb
from luthier.synthesize.tools.spoken_values import PROSE, day_text, is_day, said, schema_of, spoken_list

OWN_SHARE = 0.4  # of requests that say what one wants rather than what is to be done
LISTED_FROM = 4  # details from which a request may be written as a list
_PLACES = frozenset(("city", "country_name", "region"))
_PLACED = frozenset(
    ("code", "room", "airport", "sku", "plate", "flight", "tracking", "seat", "gate", "company", "product", "person", "file", "isbn", "vin")
)
_TAIL = re.compile(r" (id|ids|code|codes|number|numbers|no|key|ref|reference|uuid|identifier|name)$")
_ID_TAIL = re.compile(r" (id|ids|number|no|uuid|code|identifier)$")
_PLAIN = r"(?!(?:of|for|to|in|on|at|with|from|by|and|that|which)\b)[a-z]+"
_PREPOSITIONS = frozenset(("to", "from", "on", "at", "by", "for", "in", "until", "since", "before", "after"))
_TIMES = frozenset(("nights", "days", "hours", "minutes", "weeks", "months", "years", "people", "persons", "guests", "passengers"))
_COUNTS = re.compile(r"(\b(?:with|for) [\w,.]+ \w+),? (?:with|for) (\w+ \w+)(?=$|,)")  # with two adults, with one child
_ADJECTIVE = re.compile(r"(e|ic|al|ed|able|ible|ive|ful|less|ous|ing|y|ent|ant)$")
_BETWEEN = re.compile(r" (?:that were [a-z]+ )?between two (?:days|dates)\b")
_BY_ID = re.compile(r" (?:by|with|for) (?:its|the|an?|their)(?: given| specified| unique)? (?:id|uuid|identifier|code|number)\b")
_KIND = re.compile(r" (type|kind|class|category|size|tier|grade)$")
PARTICIPLE = re.compile(r"(ed|en|sold|bought|born|built|paid|sent|made|left|held|sown|shown)$")
_COMPARED = re.compile(
    r"(.*\b(?:than|within|after|before|last|next|past|every|for)) (seconds|minutes|hours|days|weeks|months|years|metres|meters|kilometres|kilometers|km|miles|percent)"
)
_AHEAD = re.compile(r"(?:(.+) )?(seconds|minutes|hours|days|weeks|months) (before|after|ahead|earlier|later|in advance)")
BEGINS = {"starts": "starting", "begins": "beginning", "ends": "ending", "departs": "departing", "arrives": "arriving", "opens": "opening"}
BEGINS |= {"closes": "closing", "leaves": "leaving", "expires": "expiring", "finishes": "finishing", "takes place": "taking place"}
# Verbs of ours that mean one thing only with some objects: one books a room and reserves it, but books time.
_BOUND = {
    "book": re.compile(r"(?!(?:the |some )?(?:time|hours|minutes|working|amounts?|payments?|entr|transactions?|expenses?|costs?)\b)"),
    "check": re.compile(r"(?:whether|if|how|what|when|which|the)\b"),
    "register": re.compile(
        r"(?:an? |the )?(?:new )?(?:user|customer|guest|reader|member|student|patient|participant|attendee|player|account)"
    ),
    "open": re.compile(r"(?:an? |the )?(?:new )?(?:account|ticket|case|file|order|request|incident|dispute)"),
}
# Units at the end of a name ("doseMl", "price_eur") as people write them after the number; a name that is a unit ("litres") follows its number.
UNITS = {
    **{one: one for one in ("ml", "kg", "mg", "km", "cm", "mm", "percent")},
    **{"kwh": "kWh", "mb": "MB", "gb": "GB", "eur": "EUR", "usd": "USD", "gbp": "GBP", "pct": "percent", "lbs": "pounds"},
    **{"celsius": "degrees Celsius", "fahrenheit": "degrees Fahrenheit"},
    **{
        one: one
        for one in ("grams", "litres", "liters", "tonnes", "tons", "kilograms", "kilometres", "kilometers", "miles", "metres", "meters")
    },
    **{
        one: one for one in ("acres", "hectares", "gallons", "calories", "watts", "volts", "degrees", "euros", "dollars", "pounds", "hours")
    },
}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
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
}
_OWN_SYNONYMS = {  # of oneself: "I want to see the rooms"
    **{verb: tuple(word for word in words if not word.endswith(" me")) for verb, words in _SYNONYMS.items()},
    "show": ("see", "look at"),
    "list": ("see", "have a list of"),
    "get": ("get", "see"),
    "fetch": ("get", "see"),
}
_PHRASES = {
    "start_date": ("from {v}", "starting {v}", "from {v}"),
    "end_date": ("until {v}",),
    "date": ("on {v}", "for {v}"),
    "time": ("at {v}",),
    "city": ("in {v}",),
    "country_name": ("in {v}",),
    "region": ("in {v}",),
    "airport": ("at {v}", "for airport {v}"),
    "person": ("for {v}",),
    "company": ("for {v}",),
    "topic": ('for "{v}"', "about {v}"),
    "currency": ("in {v}",),
    "weekday": ("on {v}",),
    "reason": ("because {v}",),
    "room": ("for {label} {v}", "in {label} {v}"),
    "seat": ("for {label} {v}",),
}


@dataclass(frozen=True)
class Detail:
    """An argument to be said. said: the value in words; phrase: with a preposition of its own, or empty; long: better in a sentence of its own."""

    label: str
    said: str
    phrase: str = ""
    long: bool = False


def request_text(operation: Operation, arguments: JSON, random: Random, without: Sequence[str] = (), *, plain: bool = False) -> str:
    """A user's text that says every argument but those in `without`. plain: as an order without "please" and "can you"."""
    ask, rest = _placed(operation, {name: value for name, value in arguments.items() if name not in without}, random)
    properties: JSON = operation.tool.parameters.get("properties") or {}
    if not any(is_day(value) for value in arguments.values()):
        ask = _BETWEEN.sub("", ask)
    details = [detail(name, value, schema_of(properties, name), operation, random) for name, value in rest.items()]
    own = not plain and random.random() < OWN_SHARE
    verb, _, after = ask.partition(" ")
    fits = verb not in _BOUND or _BOUND[verb].match(after)
    words = (_OWN_SYNONYMS if own else _SYNONYMS).get(verb, (verb,)) if fits else (verb,)
    ask = f"{random.choice(words)} {after}" if own or random.random() < 0.6 else ask
    return _tidy(_written(ask, details, "{A}." if plain else random.choice(_OWN_ORDERS if own else _ORDERS), random))


def detail(name: str, value: Any, schema: JSON, operation: Operation, random: Random) -> Detail:
    """How one argument is said."""
    label, told = words_of(name), str(schema.get("description") or "")
    if isinstance(value, list) and len(value) == 1 and _is_plural(label) and not isinstance(value[0], dict):
        label = singular(label)
    meaning = _meaning(name, schema, operation)
    text = said(value, schema, name, random)
    if isinstance(value, bool):
        return Detail(label, text, _flag(label, value, told, random))
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        money = isinstance(value, dict) and set(map(words_of, value)) == {"amount", "currency"}
        return Detail(label, text, f"with a {label} of {text}" if money else "", long=not money)
    if isinstance(value, int | float):
        label, text, measured = _with_unit(label, text)
        phrase = (
            measured or _measure(label, value, text, random) or (random.choice(_PHRASES[meaning]) if meaning in ("room", "seat") else "")
        )
        phrase = phrase or _form(label, value, meaning, schema)
        return Detail(label, text, phrase.replace("{v}", text).replace("{label}", label))
    if isinstance(value, str) and (len(value) > 48 or (" " in value and value.endswith((".", "!", "?")))):
        return Detail(label, f'"{value}"', long=True)
    if isinstance(value, str) and meaning in PROSE and meaning not in ("topic", "reason") and " " in value:
        return Detail(label, f'"{value}"', f'with the {label} "{value}"')
    forms = _text_forms(label, value, text, meaning, schema, operation) or (_form(label, value, meaning, schema),)
    return Detail(label, text, random.choice(forms).replace("{v}", text).replace("{label}", label))


def _text_forms(label: str, value: Any, text: str, meaning: str, schema: JSON, operation: Operation) -> tuple[str, ...]:  # noqa: PLR0917
    """Phrases in which a text or a list may stand; none where its label is to be said."""
    if schema.get("format") == "time" or (meaning == "time" and label in ("at", "time")):
        return ("at {v}",)
    if (
        (meaning == "reason" and not re.search(r"\s", text))
        or (meaning in ("start_date", "end_date") and not is_day(value))
        or (meaning == "currency" and label != "currency")
    ):
        return ()
    head, _, last = label.rpartition(" ")
    if last in _PREPOSITIONS and PARTICIPLE.search(head):  # collected on
        return (f"{label} {{v}}",)
    if head and last in ("at", "on") and head in BEGINS:
        return (f"{BEGINS[head]} on {{v}}" if schema.get("format") in ("date", "date-time") else f"{BEGINS[head]} {last} {{v}}",)
    if head and last in ("at", "on") and not is_day(value) and schema.get("format") == "date-time":
        return (f"with the {head} on {{v}}",)
    if last in _PREPOSITIONS and meaning not in ("start_date", "end_date"):
        return (f"{label} {{v}}",)
    bare = meaning != "date" or not head or head in operation.words or label in ("travel date", "visit date")
    usual = () if not bare or schema.get("enum") or (meaning == "person" and label in operation.ask) else _PHRASES.get(meaning, ())
    if usual:
        return usual
    if schema.get("format") in ("date", "date-time"):
        return ("on {v}",) if label in ("when", "date") else ()
    if head and label.partition(" ")[0] in _PREPOSITIONS and not is_day(value):  # in barn
        return (f"{label} {{v}}",)
    return ()


def _form(label: str, value: Any, meaning: str, schema: JSON) -> str:
    """A phrase made of the label: with the arrival on a day, for which booking."""
    if (is_day(value) or schema.get("format") == "date-time") and "birth" not in label and not label.endswith(("date", "day")):
        return f"with the {label} on {{v}}"
    noun = _ID_TAIL.sub("", label)
    if noun != label and isinstance(value, str | int) and (meaning == "code" or schema.get("format") == "uuid"):
        return f"for {noun} {{v}}"
    return ""


def _meaning(name: str, schema: JSON, operation: Operation) -> str:
    """What a parameter means; a format says more than a name."""
    stated = {"uuid": "code", "uri": "url", "email": "email"}.get(str(schema.get("format")))
    return stated or meaning_of(name, str(schema.get("description") or ""), operation.words)


def _flag(label: str, value: bool, told: str, random: Random) -> str:
    """A truth value as a phrase: with breakfast, without breakfast; what a description says of it, or its opposite."""
    only = re.match(r"(?i)only (.+?)\.?$", told)
    whether = re.match(r"(?i)(?:whether to|if true,?|true to|set to true to) ([a-z]+ [^.;,()]{2,50})\.?$", told)
    if only and len(told) < 60:
        return f"only {only[1]}" if value else f"not only {only[1]}"
    if whether and is_verb(whether[1].split()[0]):
        return f"and {whether[1]}" if value else f"and don't {whether[1]}"
    verb, _, rest = label.partition(" ")
    if verb in ("include", "with", "has", "show", "add") and rest:
        return f"{'with' if value else 'without'} {rest}"
    if (
        verb
        in ("is", "are", "be", "should", "must", "allow", "allows", "enable", "enabled", "use", "can", "send", "notify", "force", "dry")
        or " " in label
        or label.endswith(("ed", "able", "ive"))
    ):
        return f"{random.choice(('{}: {}', '({}: {})')).format(label, 'yes' if value else 'no')}"
    if told and told.lower().rstrip(".") == label and not _ADJECTIVE.search(label):
        return f"{'with' if value else 'without'} {label}"
    if re.fullmatch(r"(?i)every (day|week|month|year|morning|evening)\.?", told):
        return told.lower().rstrip(".") if value else f"not {told.lower().rstrip('.')}"
    return f", {label}: {'yes' if value else 'no'}"


def _with_unit(label: str, text: str) -> tuple[str, str, str]:
    """The name without its unit, the number with it, and a phrase where the name asks for one: a dose of `96 ml`, `older than 15 months`."""
    if ahead := _AHEAD.fullmatch(label):
        return label, text, f"{'with the ' + ahead[1] if ahead[1] else 'for'} {text} {ahead[2]} {ahead[3]}"
    if compared := _COMPARED.fullmatch(label):
        return label, text, f"{compared[1]} {text} {compared[2]}"
    head, _, last = label.rpartition(" ")
    if last not in UNITS:
        return label, text, ""
    unit = UNITS[last]
    if head:
        return head, f"{text} {unit}", ""
    return label, text, "" if last == "celsius" else f"with {text} {unit}"


def _measure(label: str, value: float, text: str, random: Random) -> str:
    """A number as a phrase: 3 nights, at most 20 results, at 21.5 degrees Celsius."""
    if label in ("limit", "page size", "per page", "max results", "top", "size", "max items", "first"):
        return random.choice((f", at most {text} results", f", limited to {text}", f", no more than {text} results"))
    if label == "celsius":
        return f"{random.choice(('at', 'to'))} {text} degrees Celsius"
    last = label.rsplit(" ", 1)[-1]
    if (
        isinstance(value, int)
        and value >= 0
        and (last in ("children", "people", "nights") or (last.endswith("s") and not last.endswith(("ss", "us", "is"))))
    ):
        one = singular(last)
        counted = label if value != 1 else f"{label[: len(label) - len(last)]}{one}"
        number = _NUMBERS[value] if 0 < value <= 12 and random.random() < 0.4 else text
        return f"{'for' if last in _TIMES else 'with'} {number} {counted}" if random.random() < 0.8 else f", {number} {counted}"
    return ""


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
    meaning = _meaning(name, schema, operation)
    text = said(value, schema, name, random)
    noun = _TAIL.sub("", words)
    if words in _PREPOSITIONS and isinstance(value, str) and len(text) < 60:
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
    for one in dict.fromkeys((noun, noun.rsplit(" ", 1)[-1])):
        said_with = text if meaning in ("person", "company", "product") else f"{one} {text}"
        found = _swap(ask, rf"\b(?:an?|the|one|this|some|single) ((?:{_PLAIN} ){{0,3}}){re.escape(one)}\b(?! [a-z]+ of\b)", said_with)
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
        elif one.label.rpartition(" ")[2] in _PREPOSITIONS and one.phrase:
            texts.append(f"{_capital(one.phrase)}.")
        else:
            waiting.append(f"the {one.label} {'are' if _is_plural(one.label) else 'is'} {one.said}")
    while waiting:
        pair, waiting = waiting[:2], waiting[2:]
        texts.insert(0 if random.random() < 0.5 else len(texts), _capital(" and ".join(pair)) + ".")
    return " ".join(texts)


def _alone(one: Detail, random: Random) -> str:
    several = _is_plural(one.label)
    verb = "are" if several and ";" in one.said else "is"
    if several and verb == "is" and not one.said.startswith('"'):
        one = Detail(singular(one.label), one.said)
    if one.label.rpartition(" ")[2] in _PREPOSITIONS:
        return f"{_capital(one.label)}: {one.said}."
    ways: tuple[Callable[[], str], ...] = (
        lambda: f"{_capital(one.label)}: {one.said}",
        lambda: f"The {one.label} {verb} {one.said}",
        lambda: f"Use this {one.label}: {one.said}",
    )
    text = random.choice(ways[:2] if verb == "are" else ways)()
    return text if text.endswith(('."', '!"', '?"')) else f"{text}."


def _is_plural(label: str) -> bool:
    return label.endswith("s") and not label.endswith(("ss", "us", "is", "species", "series"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tidy(text: str) -> str:
    text = re.sub(r"(?<!\s)[ \t]++([,.:?])(?=\s|$)", r"\1", text)
    return re.sub(r"[ \t]{2,}", " ", text).strip()
