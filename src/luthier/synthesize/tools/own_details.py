"""How one argument of a call is said: with a preposition of its own ("from 3 May 2026"), with its unit ("a dose of 96 ml"), in words ("without
breakfast"), or after its name; and what a question calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.meanings import meaning_of, singular, words_of
from luthier.synthesize.tools.operations import Operation, is_verb
from luthier.synthesize.tools.spoken_values import PROSE, is_day, said

_ID_TAIL = re.compile(r" (id|ids|number|no|uuid|code|identifier)$")
PREPOSITIONS = frozenset(("to", "from", "on", "at", "by", "for", "in", "until", "since", "before", "after"))
_BARE = frozenset(("from", "to", "since", "until", "before", "after"))
_BOUNDS = frozenset(("after", "before", "since", "until", "from", "to", "above", "below", "over", "under"))  # of a number
_TIMES = frozenset(("nights", "days", "hours", "minutes", "weeks", "months", "years", "people", "persons", "guests", "passengers"))
_MANY = frozenset(("people", "children", "men", "women"))  # plural without an s
_COUNTED = re.compile(r"num|number|(?:total )?number of|no of|total|count|how many")
_SPANS = frozenset(("seconds", "minutes", "hours", "days", "weeks", "months", "years"))
_ADJECTIVE = re.compile(r"(e|ic|al|ed|able|ible|ive|ful|less|ous|ing|y|ent|ant)$")
_PARTICIPLE = re.compile(r"(ed|en|sold|bought|born|built|paid|sent|made|left|held|sown|shown|spent|lent|met|set|kept|lost|found)$")
_COMPARED = re.compile(
    r"(.*\b(?:than|within|after|before|last|next|past|every|for)) (seconds|minutes|hours|days|weeks|months|years|metres|meters|kilometres|kilometers|km|miles|percent)"
)
_AHEAD = re.compile(r"(?:(.+) )?(seconds|minutes|hours|days|weeks|months) (before|after|ahead|earlier|later|in advance)")
_BEGINS = {"starts": "starting", "begins": "beginning", "ends": "ending", "departs": "departing", "arrives": "arriving", "opens": "opening"}
_BEGINS |= {"closes": "closing", "leaves": "leaving", "expires": "expiring", "finishes": "finishing", "takes place": "taking place"}
_LIMITS = {**dict.fromkeys(("min", "minimum", "least"), "at least"), **dict.fromkeys(("max", "maximum", "most"), "at most")}
_LOOKS_UP = re.compile(r"(find|search|list|get|show|look up|lookup|fetch|browse|query)\b")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
# Units at the end of a name ("doseMl", "price_eur") as people write them after the number; a name that is a unit ("litres") follows its number.
_UNITS = {
    **{
        one: one
        for one in ("ml", "kg", "mg", "km", "cm", "mm", "percent", "grams", "litres", "liters", "tonnes", "tons", "kilograms", "miles")
    },
    **{one: one for one in ("kilometres", "kilometers", "metres", "meters", "acres", "hectares", "gallons", "calories", "watts", "volts")},
    **{one: one for one in ("degrees", "euros", "dollars", "pounds", "hours")},
    **{"kwh": "kWh", "mb": "MB", "gb": "GB", "eur": "EUR", "usd": "USD", "gbp": "GBP", "pct": "percent", "lbs": "pounds"},
    **{"celsius": "degrees Celsius", "fahrenheit": "degrees Fahrenheit", "kmh": "km/h", "kph": "km/h", "mph": "mph", "ms": "ms", "m": "m"},
}
_RATE = re.compile(rf"(.+?)(?: ({'|'.join(_UNITS)}))? per ({'|'.join(_UNITS)}|hour|day|night|week|month|year|person|item|unit)")
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
    "field": ("about {v}", "on {v}"),
    "currency": ("in {v}",),
    "weekday": ("on {v}",),
    "reason": ("because {v}",),
    "room": ("for {label} {v}", "in {label} {v}"),
    "seat": ("for {label} {v}",),
}


_MAKERS = frozenset(
    """architect artist author cinematographer composer creator director illustrator lyricist novelist painter performer photographer playwright poet
    producer sculptor singer songwriter translator writer""".split()  # noqa: SIM905
)  # what they made is "by" them
_TAKING_PART = frozenset(
    """actor actress agent attorney broker captain coach cook chef dentist doctor driver editor guide instructor interpreter judge lawyer lecturer
    mechanic mentor midwife nurse officer physician pilot professor referee speaker surgeon suspect teacher technician therapist trainer tutor vet
    veterinarian victim witness""".split()  # noqa: SIM905
)  # it is done "with" them, or they are in it; for a guest it is done "for"


@dataclass(frozen=True)
class Detail:
    """An argument to be said. said: the value in words; phrase: with a preposition of its own, or empty; long: better in a sentence of its own."""

    label: str
    said: str
    phrase: str = ""
    long: bool = False


def detail(name: str, value: Any, schema: JSON, operation: Operation, random: Random) -> Detail:
    """How one argument is said."""
    label, told = words_of(name), str(schema.get("description") or "")
    if isinstance(value, list) and len(value) == 1 and is_plural(label):
        label = singular(label)
    meaning = meaning_in(name, schema, operation)
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
        if label == "year" and _LOOKS_UP.match(operation.words):
            phrase = "from {v}"  # songs from 1999
        phrase = phrase or _bounded(label) or _form(label, value, meaning, schema, operation.ask)
        return Detail(label, text, phrase.replace("{v}", text).replace("{label}", label))
    if isinstance(value, str) and (len(value) > 48 or (" " in value and value.endswith((".", "!", "?")))):
        return Detail(label, f'"{value}"', long=True)
    if isinstance(value, str) and meaning in PROSE and meaning not in ("topic", "reason") and " " in value:
        return Detail(label, f'"{value}"', f'with the {label} "{value}"')
    forms = _text_forms(label, value, text, meaning, schema, operation) or (_form(label, value, meaning, schema, operation.ask),)
    return Detail(label, text, random.choice(forms).replace("{v}", text).replace("{label}", label))


def asked_for(name: str, schema: JSON) -> str:
    """What a question calls a parameter: its words without a unit, and of things that are counted or measured their number."""
    words, amount = words_of(name), schema.get("type") in ("integer", "number")
    if words in _BARE or (amount and words in ("above", "below", "over", "under", "after", "before")):
        return _asked_bare(words, name, schema, amount=amount)
    if amount and (compared := _COMPARED.fullmatch(words)):
        return f"number of {compared[2]}"
    head, _, last = words.rpartition(" ")
    if amount and last in _UNITS:
        return head or f"number of {words}"
    if head and last in ("on", "at") and _PARTICIPLE.search(head):
        return f"day it {'was' if head == 'born' else 'is'} {head}" if last == "on" else f"time it is {head}"
    if head and last in ("after", "before", "since") and _PARTICIPLE.search(head) and not schema.get("format"):
        return f"{'year' if amount else 'time'} {last} which it was {head}"
    if head and last in ("from", "until", "since", "by") and schema.get("format") == "date":
        return f"day to {words}" if is_verb(head) else f"day it is {words}"
    if head in _BEGINS and last in ("on", "at"):
        return f"{'day' if last == 'on' else 'time'} it {head}"
    if words in ("body", "payload", "request body", "data") and (schema.get("type") == "object" or "anyOf" in schema):
        return "details"
    counted = schema.get("type") == "integer" and is_plural(words)
    return f"number of {words}" if counted else words


def _asked_bare(words: str, name: str, schema: JSON, *, amount: bool) -> str:
    """What a parameter that is called by a preposition alone is: the last day, the least value, the currency to convert to."""
    least, told = words in ("from", "since", "after", "above", "over"), str(schema.get("description") or "").rstrip(". ")
    if amount:
        return "least value" if least else "highest value"
    if schema.get("format") in ("date", "date-time") or meaning_of(name, told) in ("start_date", "end_date", "date", "moment"):
        return "first day" if least else "last day"
    if told and len(told.split()) <= 7:
        return re.sub(r"^(?:the|an?) ", "", told[:1].lower() + told[1:])
    return {"to": "recipient", "from": "sender"}.get(words, words) if "mail" in told.lower() else "start" if least else "destination"


def _bounded(label: str) -> str:
    """The phrase of a number whose name ends in what goes before it: `publishedAfter` as "published after 1940"."""
    head, _, last = label.rpartition(" ")
    return f"{label} {{v}}" if head and last in _BOUNDS else ""


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
    if label in _BEGINS and meaning == "time":
        return (f"{_BEGINS[label]} at {{v}}",)
    head, _, last = label.rpartition(" ")
    if last in PREPOSITIONS and _PARTICIPLE.search(head):  # collected on
        return (f"{label} {{v}}",)
    if head in _BEGINS and last in ("before", "after", "by", "in", "from"):
        return (f"{_BEGINS[head]} {last} {{v}}",)
    if head and last in ("at", "on") and head in _BEGINS:
        return (f"{_BEGINS[head]} on {{v}}" if schema.get("format") in ("date", "date-time") else f"{_BEGINS[head]} {last} {{v}}",)
    if head and last in ("at", "on") and not is_day(value) and schema.get("format") == "date-time":
        return (f"with the {head} on {{v}}",)
    if last in PREPOSITIONS and meaning not in ("start_date", "end_date"):
        return (f"{label} {{v}}",)
    first, _, rest = label.partition(" ")
    moment = rest in ("time", "date", "day", "moment") and not is_day(value)
    if first in ("from", "to") and (moment or (rest and meaning in ("city", "country_name", "region", "airport", "group"))):
        return (f"{first} {{v}}",)  # from location, to location
    bare = meaning != "date" or not head or head in operation.words or label in ("travel date", "visit date")
    usual = () if not bare or schema.get("enum") else _of_person(label, operation) if meaning == "person" else _PHRASES.get(meaning, ())
    if usual:
        return usual
    if schema.get("format") in ("date", "date-time"):
        return ("on {v}",) if label in ("when", "date") else ()
    if head and label.partition(" ")[0] in PREPOSITIONS and not is_day(value):  # in barn
        return (f"{label} {{v}}",)
    return ()


def _of_person(label: str, operation: Operation) -> tuple[str, ...]:
    """Phrases in which somebody's name may stand: books by an author, an appointment with a dentist, a room for a guest."""
    role = singular(label.removesuffix(" name").removesuffix(" names").rpartition(" ")[2])
    if label in operation.ask:
        return ()
    if role in operation.ask.split():
        return _PHRASES["person"]
    return ("by {v}",) if role in _MAKERS else ("with {label} {v}",) if role in _TAKING_PART else _PHRASES["person"]


def compound(noun: str, ask: str) -> str:
    """The whole of a name of which a parameter's is the first half: the pull number is of a pull request."""
    found = re.search(rf"\b{re.escape(noun)} (request|order|note|sheet|list|card)\b", ask)
    return f"{noun} {found[1]}" if found else noun


def _form(label: str, value: Any, meaning: str, schema: JSON, ask: str) -> str:
    """A phrase made of the label: with the arrival on a day, for which booking."""
    if (is_day(value) or schema.get("format") == "date-time") and "birth" not in label and not label.endswith(("date", "day")):
        return f"with the {label} on {{v}}"
    noun = _ID_TAIL.sub("", label)
    noun = noun if noun == label else compound(noun, ask)
    if noun != label and isinstance(value, str | int) and (meaning == "code" or schema.get("format") == "uuid"):
        return f"for {noun} {{v}}"
    return ""


def meaning_in(name: str, schema: JSON, operation: Operation) -> str:
    """What a parameter means; a format says more than a name."""
    stated = {"uuid": "code", "uri": "url", "email": "email"}.get(str(schema.get("format")))
    return stated or meaning_of(name, str(schema.get("description") or ""), operation.words)


def _flag(label: str, value: bool, told: str, random: Random) -> str:
    """A truth value as a phrase: with breakfast, without breakfast; what a description says of it, or its opposite."""
    only = re.match(r"(?i)only (.+?)\.?$", told)
    whether = re.match(r"(?i)(?:whether to|if true,?|true to|set to true to) ([a-z]+ [^.;,()]{2,50})\.?$", told)
    if only and len(told) < 60:
        return f"only {only[1]}" if value else f"not only {only[1]}"
    narrowed = re.match(r"[a-z]+ only (.+)", whether[1]) if whether else None  # whether to list only overdue books
    if narrowed:
        return f", only {narrowed[1]}" if value else f", not only {narrowed[1]}"
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
        return f"{random.choice((', {}: {}', '({}: {})')).format(label, 'yes' if value else 'no')}"
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
    if (rate := _RATE.fullmatch(label)) and (rate[2] or rate[3] in _UNITS):  # dose mg per kg, and not days per week
        unit = f"{_UNITS[rate[2]] if rate[2] else ''} per {_UNITS.get(rate[3], rate[3])}".strip()
        return rate[1], f"{text} {unit}", ""
    head, _, last = label.rpartition(" ")
    if last in _SPANS and _COUNTED.fullmatch(head):  # number of days
        return last, f"{text} {last}", f"for {text} {last}"
    if head and last in _SPANS and not is_verb(head) and head.partition(" ")[0] not in _LIMITS:
        head = f"{head} time" if head.endswith("ing") else head  # waiting minutes
        short = head in ("duration", "length", "time", "period")
        return (
            head,
            f"{text} {last}",
            f"for {text} {last}" if short else f"with {'an' if head[0] in 'aeiou' else 'a'} {head} of {text} {last}",
        )
    if last not in _UNITS:
        return label, text, ""
    unit = _UNITS[last]
    if head:
        return head, f"{text} {unit}", ""
    return label, text, "" if last == "celsius" else f"{'for' if last in _TIMES else 'with'} {text} {unit}"


def _measure(label: str, value: float, text: str, random: Random) -> str:
    """A number as a phrase: 3 nights, at most 20 results, at 21.5 degrees Celsius."""
    if label in ("limit", "page size", "per page", "max results", "top", "size", "max items", "first"):
        return random.choice((f", at most {text} results", f", limited to {text}", f", no more than {text} results"))
    if label == "celsius":
        return f"{random.choice(('at', 'to'))} {text} degrees Celsius"
    last = label.rsplit(" ", 1)[-1]
    limit, _, counted = label.partition(" ")
    if limit in _LIMITS and (counted in _TIMES or is_plural(counted)):
        return f"with {_LIMITS[limit]} {text} {counted}"
    if isinstance(value, int) and value >= 0 and is_plural(last):
        one = singular(last)
        counted = label if value != 1 else f"{label[: len(label) - len(last)]}{one}"
        number = _NUMBERS[value] if 0 < value <= 12 and random.random() < 0.4 else text
        return f"{'for' if last in _TIMES else 'with'} {number} {counted}" if random.random() < 0.8 else f", {number} {counted}"
    return ""


def is_plural(label: str) -> bool:
    if label.rpartition(" ")[2] in _MANY or label.endswith(("people", "children")):
        return True
    return label.endswith("s") and not label.endswith(("ss", "us", "is", "species", "series"))
