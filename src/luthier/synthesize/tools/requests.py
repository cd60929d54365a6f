"""Request text from blueprints: what a person would type, given the tool's intent and the values it must carry.

Most values are mentioned without their parameter's name ("in Lisbon", "for 3 nights"); a model that only ever sees named values
learns to leave out what is not named (ToolACE's query-description dissimilarity, arXiv 2409.00920, sec. 3.2).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.blueprints import PLACE, Blueprint, Slot, spoken
from luthier.synthesize.tools.values import Source, kinds

NAMED_SHARE = 0.35
AHEAD_SHARE = 0.45
QUESTION_SHARE = 0.5  # of the requests for tools that people ask a question for
_BEFORE_NOUN = re.compile(r"^[a-z]+ (?:(?:up|out|for|on|off|back) )?((?:a|an|the) )?([a-z]+)")
_ABOUT = re.compile(r"(information|facts|details) (about|of) ?")
_NUMBER_WORDS: dict[Any, str] = dict(enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2))  # noqa: SIM905
_BETWEEN = (" ", " ", ": ", "=", " is ")  # a field and its value
_SYNONYMS = {
    "find": ("find", "look for", "search for", "get me", "look up"),
    "get": ("get", "fetch", "show me", "give me", "look up"),
    "compute": ("compute", "calculate", "work out", "determine", "figure out", "find"),
    "estimate": ("estimate", "predict", "work out", "project"),
    "look": ("look",),
    "work": ("work",),
    "book": ("book", "reserve"),
    "create": ("create", "make", "set up"),
    "check": ("check", "find out"),
    "search": ("search",),
    "send": ("send",),
    "describe": ("describe", "show"),
    "list": ("list", "show me", "give me a list of"),
    "return": ("return", "get", "show me"),
    "retrieve": ("retrieve", "get", "fetch"),
    "delete": ("delete", "remove"),
}
_ORDERS = (
    "{A}.",
    "{A}",
    "Please {a}.",
    "Can you {a}?",
    "Could you {a}?",
    "I need to {a}.",
    "I want to {a}.",
    "Help me {a}.",
    "I'd like to {a}.",
    "Could you please {a}?",
    "{A}, please.",
    "I would like you to {a}.",
    "We have to {a}.",
)
_QUESTIONS = (
    "What is the {q}?",
    "What's the {q}?",
    "Tell me the {q}.",
    "I need the {q}.",
    "Can you tell me the {q}?",
    "Give me the {q}.",
    "I wonder what the {q} is.",
    "How do I know the {q}?",
    "What would be the {q}?",
    "Show me the {q}.",
)

_LEADS = frozenset(("with", "for", "in", "on", "at", "using", "where", "whose", "until", "from", "over", "within", "under", "by"))


@dataclass(frozen=True)
class Request:
    """A user's text with the arguments it carries; `mentioned` are the slots it names or implies."""

    text: str
    arguments: JSON
    mentioned: tuple[Slot, ...]


def draw_arguments(blueprint: Blueprint, source: Source, optional_share: float = 0.4) -> JSON:
    """Values for every required parameter and some optional ones, in schema order."""
    chosen = [slot for slot in blueprint.slots if slot.required or source.random.random() < optional_share]
    return {slot.name: slot.draw(source) for slot in chosen}


def request(blueprint: Blueprint, arguments: JSON, source: Source, *, without: str | None = None) -> Request:
    """A request that carries the arguments; `without` names one that it withholds."""
    slots = [slot for slot in blueprint.slots if slot.name in arguments and slot.name != without]
    question = _question(blueprint, slots, source)
    if question:
        return Request(_asked(question, slots, arguments, source), arguments, tuple(slots))
    ask, noun, first = _led_ask(blueprint, slots, arguments, source)
    mentions = _mentions([slot for slot in slots if slot is not first], arguments, source)
    return Request(_sentence(ask, noun, mentions, source), arguments, tuple(slots))


def _mentions(slots: list[Slot], arguments: JSON, source: Source) -> list[str]:
    alike = Counter(slot.said for slot in slots)
    named = [alike[slot.said] > 1 or source.random.random() < NAMED_SHARE for slot in slots]  # two like values must be told apart
    mentions = [mention(slot, arguments[slot.name], source, named=by) for slot, by in zip(slots, named, strict=True)]
    if len(mentions) > 1 and source.random.random() < 0.3:
        source.random.shuffle(mentions)
    return mentions


def _question(blueprint: Blueprint, slots: list[Slot], source: Source) -> str | None:
    """A question of which all parts are known, where the tool has one, for half of the requests."""
    known = {slot.name for slot in slots}
    fitting = [one for one in blueprint.questions if known.issuperset(PLACE.findall(one))]
    return source.random.choice(fitting) if fitting and source.random.random() < QUESTION_SHARE else None


def _asked(question: str, slots: list[Slot], arguments: JSON, source: Source) -> str:
    """The question with its values; what else is known follows inside it ("... in 1510") or as sentences of their own ("Without images.")."""
    inside = set(PLACE.findall(question))
    text = PLACE.sub(lambda place: value_text(arguments[place[1]], source), question)
    mentions = _mentions([slot for slot in slots if slot.name not in inside], arguments, source)
    if mentions and mentions[0].split(" ")[0] in _LEADS and '"' not in text and source.random.random() < 0.6:
        text = f"{text.removesuffix('?')} {mentions.pop(0)}?"
    values = tuple(str(value) for value in arguments.values())
    for detail in mentions:
        text = _followed(text, detail, values)
    return _tidy(text)


def _followed(text: str, detail: str, values: tuple[str, ...] = ()) -> str:
    """The text and a detail after it, as a sentence of its own; one that begins with one of the values keeps its first letter."""
    extra = detail.strip(" -,()").removeprefix("and ")
    if not extra.startswith(values):
        extra = extra[:1].upper() + extra[1:]
    return f"{text.rstrip('.')}. {extra}." if text[-1] in ".?" else f"{text}. {extra}."


def _led_ask(blueprint: Blueprint, slots: list[Slot], arguments: JSON, source: Source) -> tuple[str, str, Slot | None]:
    """The imperative and the noun of a question, sometimes with one value in them ("find five restaurants", "the price of a car")."""
    random = source.random
    for slot in slots:
        value = arguments[slot.name]
        about = _ABOUT.search(blueprint.ask)
        if about and isinstance(value, str | list) and slot.said == kinds()[_aspect(value)].said:
            if random.random() < 0.7:
                wanted = f"{value_text(value, source)} of {blueprint.ask[about.end() :].strip()}"
                return f"{blueprint.ask[: about.start()]}the {wanted}", wanted, slot
            continue
        if not slot.ahead or random.random() > AHEAD_SHARE:
            continue
        match = _BEFORE_NOUN.match(blueprint.ask)
        if match is None or (isinstance(value, int) and (match[1] or not match[2].endswith("s"))):
            continue
        top = random.choice(["", "", "the top ", "the best "]) if isinstance(value, int) else ""
        start = blueprint.ask[: match.start(2)]
        said = _NUMBER_WORDS[value] if value in _NUMBER_WORDS and random.random() < 0.4 else value_text(value, source)
        return f"{start}{top}{said} {blueprint.ask[match.start(2) :]}", "", slot
    return blueprint.ask, blueprint.noun, None


def _aspect(value: str | list[Any]) -> str:
    return "aspects" if isinstance(value, list) else "aspect"


def mention(slot: Slot, value: Any, source: Source, *, named: bool) -> str:
    """One value in words, with its parameter's name or without."""
    template = source.random.choice(slot.named if named else slot.said)
    if template.startswith("["):
        yes, no = template.strip("[]").split("|")
        return yes if value else no
    if "{p}" in template:
        return template.replace("{p}", f"{round(value * 100, 4):g}")
    if "{q}" in template:
        return template.replace("{q}", " and ".join(f"{round(share * 100, 4):g}%" for share in value))
    spelled = isinstance(value, int) and not isinstance(value, bool) and re.search(r"(^| )\{v\}( [a-z]|$)", template)
    if spelled and value in _NUMBER_WORDS and not named and source.random.random() < 0.3:
        return template.replace("{v}", _NUMBER_WORDS[value])
    return template.replace("{v}", value_text(value, source))


def value_text(value: Any, source: Source) -> str:
    """A value as people write it: lists with commas or in brackets, large numbers sometimes with separators or in millions."""
    random = source.random
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _fields_text(value, random.choice(_BETWEEN), source)
    if isinstance(value, list):
        between = random.choice(_BETWEEN)
        texts = [_fields_text(item, between, source) if isinstance(item, dict) else value_text(item, source) for item in value]
        if len(texts) == 1:
            return texts[0]
        if isinstance(value[0], dict):
            return random.choice(["; ".join(texts), " | ".join(texts), " and ".join(f"({text})" for text in texts)])
        if isinstance(value[0], str):
            mark = random.choice(["", "", "", "'", '"'])
            texts = [f"{mark}{text}{mark}" for text in map(str, value)]
            return random.choice([", ".join(texts[:-1]) + " and " + texts[-1], ", ".join(texts)])
        return random.choice(
            ["[" + ", ".join(map(str, value)) + "]", ", ".join(map(str, value)), ", ".join(map(str, value[:-1])) + f" and {value[-1]}"]
        )
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        if value % 10_000 == 0 and value >= 1_000_000 and random.random() < 0.5:
            return f"{value / 1_000_000:g} million"
        if random.random() < 0.5:
            return f"{value:,}"
    return str(value)


def _fields_text(fields: JSON, between: str, source: Source) -> str:
    """`name Anna Keller, age 34 and seat window`."""
    texts = [f"{spoken(name)}{between}{value_text(item, source)}" for name, item in fields.items()]
    return ", ".join(texts) if between == "=" or len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _sentence(ask: str, noun: str, mentions: list[str], source: Source) -> str:
    random = source.random
    follows = len(mentions) > 2 and mentions[-1].split(" ")[0] in _LEADS and random.random() < 0.4
    late = [mentions.pop()] if follows else []
    details = _joined(mentions, source)
    if noun and random.random() < 0.45:
        text = random.choice(_QUESTIONS).replace("{q}", f"{noun} {details}".strip())
    else:
        ask = f"{_synonym(ask, source)} {details}".strip()
        frame = random.choice(_ORDERS)
        text = frame.replace("{A}", ask[:1].upper() + ask[1:]).replace("{a}", ask)
    for detail in late:
        text = _followed(text, detail)
    return _tidy(text)


def _joined(mentions: list[str], source: Source) -> str:
    glue = source.random.choice([" ", " ", " ", ", "])
    if len(mentions) >= 2 and source.random.random() < 0.25:
        return glue.join(mentions[:-1]) + " and " + mentions[-1].removeprefix("and ")
    return glue.join(mentions)


def _synonym(ask: str, source: Source) -> str:
    verb, _, rest = ask.partition(" ")
    return f"{source.random.choice(_SYNONYMS.get(verb, (verb,)))} {rest}"


def _tidy(text: str) -> str:
    text = re.sub(r"(?<!\s)\s++([,.:?])", r"\1", text)
    text = re.sub(r"[,.]([.?])", r"\1", text)
    text = re.sub(r"\?\.(?=\s|$)", "?", text)
    return re.sub(r"\s{2,}", " ", text).strip()
