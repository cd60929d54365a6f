"""Texts for a parameter: an example's like, the format's, the name's, a stated option, the pattern's, a code or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from luthier.records import JSON
from luthier.records.patterns import matches, usable_pattern
from luthier.synthesize.tools.drafts import NOTHING, Draft
from luthier.synthesize.tools.meaning_values import Scene, code_for, code_like, is_known, uuid, value_of
from luthier.synthesize.tools.meanings import meaning_of, words_of
from luthier.synthesize.tools.pattern_values import texts_of

_EXAMPLES = re.compile(
    r"(?:\be\.g\.?,?|\bfor example:?|\bsuch as|\bexamples?:|\blike\b)\s+"
    r"(?:\"([^\"\n]{1,80})\"|'([^'\n]{1,80})'(?!\w)|`([^`\n]{1,80})`|([\w+][\w\-./:+@]*))",
    re.IGNORECASE,
)
_MORE_EXAMPLES = re.compile(
    r",? (?:or )?(?:\"([^\"\n]{1,80})\"|'([^'\n]{1,80})'(?!\w)|`([^`\n]{1,80})`|(?<=or )([A-Za-z+]{0,8}\d[\w\-./:+@]*))"
)
# What an API's own examples say better than any list of ours: a feed's `product` is no coffee grinder.
_OF_THE_API = frozenset(
    (
        *(
            "product",
            "dish",
            "ingredient",
            "category",
            "tag",
            "topic",
            "title",
            "subject",
            "group",
            "material",
            "department",
            "job",
            "plan",
            "size",
        ),
        *(
            "unit",
            "event",
            "file",
            "species",
            "breed",
            "genre",
            "speciality",
            "symptom",
            "diagnosis",
            "medicine",
            "method",
            "status",
            "gate",
        ),
        *(
            "message",
            "note",
            "description",
            "instruction",
            "reason",
            "brand",
            "car_maker",
            "car_model",
            "cuisine",
            "allergy",
            "sort",
            "carrier",
        ),
    )
)
_STAMP = re.compile(
    r"(?:\d{4}-\d\d-\d\d|(?P<slashed>\d\d/\d\d/\d{4}))(?:(?P<t>[T ])(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?(?P<rest>(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?))?"
)
_SPAN = re.compile(r"\d{1,3} ?[a-z]{1,7}(?: \d{1,3} ?[a-z]{1,7}){0,3}")
_DIGITS = re.compile(
    r"(?i)(?:^|[,;:(] ?|\b(?:is|has|of|with|are|an?) )([3-9]|1[0-9]|20)[- ]digits?(?: (?:number|code|id|identifier|pin|reference)\b|[.,;)]|$)"
)
_NOT_ALONE = re.compile(r"(?i)\b(letters?|characters?|hex|up to|at least|at most|between|over|case|e\.g|example|before|after)\b")
_OPTIONS = re.compile(r"(?:\bone of:?|\beither|\bcan be:?|\bpossible values:?|\ballowed values:?|\bvalues:|:)\s+(.+)", re.IGNORECASE)
_LISTED = re.compile(
    r"((?:[\w-]{2,24}, )+[\w-]{2,24},? or [\w-]{2,24})"
)  # three or more are all that a description says: morning, afternoon or night
_OPTION = re.compile(r"[\"'`]?([A-Za-z][\w-]{1,24})[\"'`]?")
_WISHED = re.compile(r"(suggest|propose|recommend|request|apply|ask|nominate)\b")
_TRADED = re.compile(
    r"\b(orders?|returns?|refunds?|purchases?|parcels?|deliver\w*|products?|goods|bookings?|reservations?|rentals?|invoices?|charges?|payments?)\b"
)
_ID_WORDS = re.compile(r" (id|ids|code|codes|number|numbers|no|key|ref|reference|uuid|identifier)$")


def draw_text(schema: JSON, name: str, draft: Draft, owner: str) -> Any:
    """The first text that fits: an example's like, the format's, the name's, a stated option, the pattern's, a code or words."""
    told = str(schema.get("description") or "")
    for make in _makers(schema, name, draft, owner):
        for _ in range(3):
            text = make()
            if text is not None and (text := _cut(_cased(str(text), told), schema)) is not None:
                return text
    bank = (
        texts_of(str(schema.get("pattern") or ""), int(schema.get("minLength", 0)), int(schema.get("maxLength", 600)))
        if "pattern" in schema
        else ()
    )
    if bank:
        return draft.scene.random.choice(bank)
    return NOTHING


def _makers(schema: JSON, name: str, draft: Draft, owner: str) -> Iterator[Callable[[], Any]]:
    scene, told = draft.scene, str(schema.get("description") or "")
    shape = schema.get("format")
    if shape in _FORMATS:
        yield lambda: _FORMATS[shape](scene, meaning_of(name, told, owner))
    if shape is not None and shape not in ("byte", *_FORMATS):
        shape = None
    parts = _parts_of(schema.get("default"), told)
    if parts:
        yield lambda: ",".join(one for one in parts if scene.random.random() < 0.6) or parts[0]
    example = example_in(told) or draft.examples.get(name, "") or _of_another(told, draft.examples)
    listed = examples_in(told, codes=True)
    if len(listed) > 1 and any(one.isdigit() for one in "".join(listed)):
        yield lambda: scene.random.choice(listed)  # several are shown: one of them, as they may be all there are
    if example and any(one.isdigit() for one in example):
        yield lambda: another_like(example, scene)
    meaning = meaning_of(name, told, owner)
    shown = examples_in(told)
    if shown and (meaning in _OF_THE_API or not is_known(meaning)):
        yield lambda: scene.random.choice(shown)
    options = options_in(told)
    if options:
        yield lambda: scene.random.choice(options)
    if is_known(meaning):
        yield lambda: scene.of(_reasons_of(owner)) if meaning == "reason" else value_of(meaning, scene)
    if example:
        yield lambda: example
    if "pattern" in schema:
        return
    if digits := digits_in(told):
        yield lambda: code_like(digits, scene.random)
    noun = owner_in(name)
    if meaning == "code":
        yield lambda: code_for(noun if noun != words_of(name) else owner or noun, scene.random)
    yield lambda: scene.of("words")
    yield lambda: f"{scene.of('words')} {scene.of('words')}"
    yield lambda: scene.of("messages")
    yield lambda: f"{scene.of('notes')} {scene.of('messages')} {scene.of('notes')} {scene.of('reviews')}"
    yield lambda: "".join(scene.random.choices("abcdefghijkmnpqrstuvwxyz23456789", k=int(schema.get("minLength", 1))))


def _reasons_of(owner: str) -> str:
    """The list of reasons for what an operation does: somebody wishes for something, sends something back, or none of these."""
    return "wishes" if _WISHED.match(owner) else "reasons" if _TRADED.search(owner) else "plain_reasons"


def another_like(example: str, scene: Scene) -> str:
    """Another text of the kind of an example: a day for a day, a time for a time, hours and minutes for `1h 30m`, a code of the same shape for a
    code. An address of a page or a person, and anything of several words, stays as it is."""
    if found := _STAMP.fullmatch(example):
        day, clock = scene.coming(), str(value_of("time", scene))
        month_first = bool(found["slashed"]) and int(found["slashed"][3:5]) > 12
        shown = day.strftime("%m/%d/%Y" if month_first else "%d/%m/%Y") if found["slashed"] else day.isoformat()
        return shown + (f"{found['t']}{clock}{':00' if found['seconds'] else ''}{found['rest'] or ''}" if found["clock"] else "")
    if re.fullmatch(r"\d\d:\d\d", example):
        return str(value_of("time", scene))
    if _SPAN.fullmatch(example):
        return re.sub(
            r"\d+", lambda number: str(scene.random.choice((5, 10, 15, 20, 30, 45) if len(number[0]) > 1 else range(1, 9))), example
        )
    words = [word for word in example.split() if word.isalpha() and (len(word) > 3 or word.islower())]
    return example if "://" in example or "@" in example or (" " in example and len(words) > 1) else code_like(example, scene.random)


def digits_in(told: str) -> str:
    """As many digits as a description says that there are: "Record number, 8 digits"."""
    found = None if _NOT_ALONE.search(told) else _DIGITS.search(told)
    return "12345678901234567890"[: int(found[1])] if found else ""


def _parts_of(default: Any, told: str) -> tuple[str, ...]:
    """The parts of a default that is a list in one text: `summary,status,assignee`."""
    if not isinstance(default, str) or not re.search(r"(?i)comma[- ]separated", told):
        return ()
    return tuple(part.strip() for part in default.split(",") if part.strip())


def _cased(text: str, told: str) -> str:
    """In small letters or capitals where the description asks for them."""
    found = {case.lower() for case in re.findall(r"(?i)\b(?:in|must be|all|always)(?: all)? (lower|upper)[- ]?case\b", told)}
    return text if len(found) != 1 else text.lower() if found == {"lower"} else text.upper()


def _of_another(told: str, examples: Mapping[str, str]) -> str:
    """The code of the parameter that a description begins with: "Ear tag of the mother" has that of `earTag`."""
    words = told.lower()
    return next((code for name, code in examples.items() if words.startswith((f"{words_of(name)} of ", f"the {words_of(name)} of "))), "")


def owner_in(name: str) -> str:
    """The words of what an id or code belongs to: `bookingId` has `booking`."""
    return _ID_WORDS.sub("", words_of(name))


@lru_cache(maxsize=16384)
def example_in(told: str) -> str:
    """The example that a description gives: "Property code, e.g. BER-001." has `BER-001`."""
    found = _EXAMPLES.search(told)
    return _shown(found) if found else ""


def _shown(found: re.Match[str]) -> str:
    """What stands in quotes as it is; a bare word without the sentence's own marks."""
    bare = found[4]
    return bare.rstrip(".,;:") if bare else next(one for one in found.groups() if one)


@lru_cache(maxsize=16384)
def examples_in(told: str, *, codes: bool = False) -> tuple[str, ...]:
    """All the examples that a description gives, without those that are codes: `e.g. "maize silage", "barley"` has two. codes: with them."""
    found, shown = _EXAMPLES.search(told), []
    while found:
        shown.append(_shown(found).rstrip(",;:"))
        found = _MORE_EXAMPLES.match(told, found.end())
    return tuple(one for one in dict.fromkeys(shown) if codes or not any(sign.isdigit() for sign in one))


@lru_cache(maxsize=16384)
def options_in(told: str) -> tuple[str, ...]:
    """The options that a description lists: "Kind of trip: single, return or open." has three."""
    found = _OPTIONS.search(told) or _LISTED.fullmatch(told.rstrip(". "))
    if not found or (found.re is _LISTED and any(meaning_of(word) for word in re.findall(r"[\w-]+", told) if word != "or")):
        return ()  # "Name, email or phone" says what it is, not what it may be
    parts = [part.strip() for part in re.split(r",|\bor\b|\||/", found[1].rstrip(". "))]
    fitting = [match[1] for part in parts if (match := _OPTION.fullmatch(part))]
    return tuple(dict.fromkeys(fitting)) if len(fitting) >= 2 and len(fitting) == len([part for part in parts if part]) else ()


def _cut(text: str, schema: JSON) -> str | None:
    """The text within the stated lengths, cut at a word; None where it does not fit."""
    most, least = schema.get("maxLength"), int(schema.get("minLength", 0))
    if most is not None and len(text) > most:
        text = text[: int(most)].rsplit(" ", 1)[0].rstrip(" ,;") if " " in text[: int(most)] else text[: int(most)]
    return text if least <= len(text) and text.strip() and _is_of_pattern(text, schema) else None


def _is_of_pattern(text: str, schema: JSON) -> bool:
    pattern = schema.get("pattern")
    return not isinstance(pattern, str) or not usable_pattern(pattern) or _matched(pattern, text)


@lru_cache(maxsize=16384)
def _matched(pattern: str, text: str) -> bool:
    return matches(pattern, text)


def _date(scene: Scene, meaning: str) -> str:
    return str(value_of(meaning, scene)) if meaning in ("birth_date", "past_date") else scene.coming().isoformat()


_FORMATS: dict[Any, Callable[[Scene, str], str]] = {
    "date": _date,
    "date-time": lambda scene, meaning: str(value_of("moment", scene)),
    "time": lambda scene, meaning: f"{value_of('time', scene)}:00Z",
    "duration": lambda scene, meaning: scene.random.choice(("PT30M", "PT2H", "P1D", "P7D", "PT45M")),
    "email": lambda scene, meaning: str(value_of("email", scene)),
    "uri": lambda scene, meaning: str(value_of("url", scene)),
    "hostname": lambda scene, meaning: str(value_of("host", scene)),
    "ipv4": lambda scene, meaning: str(value_of("ip", scene)),
    "ipv6": lambda scene, meaning: f"2001:db8::{scene.random.randint(1, 9999):x}",
    "uuid": lambda scene, meaning: uuid(scene),
    "byte": lambda scene, meaning: str(value_of("cursor", scene)) + "=" * (-len(str(value_of("cursor", scene))) % 4),
}
