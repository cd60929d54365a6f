"""Arguments of any schema: nested objects and arrays, formats, patterns, limits, options, and values that mean what the names say.

A value is sought in the order of what is known best: a constant, options, examples in the words of the definition, the format, the meaning of the name,
the pattern. Whatever is found must fit the schema; `draw` returns `NOTHING` where nothing does, and the caller leaves the parameter out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from luthier.records import JSON
from luthier.records.dialects import ANY, type_set
from luthier.records.numbers import finite_number
from luthier.records.patterns import matches, usable_pattern
from luthier.synthesize.tools.meanings import Scene, code_for, code_like, is_known, meaning_of, uuid, value_of, words_of
from luthier.synthesize.tools.pattern_values import texts_of

MOST_ITEMS = 3
_DEFAULT_SHARE = 0.05  # of the values that are the schema's default: said, they teach little
_EXAMPLES = re.compile(
    r"(?:\be\.g\.?,?|\bfor example:?|\bsuch as|\bexamples?:|\blike\b)\s+(?:[\"'`]([^\"'`\n]{1,60})[\"'`]|([\w+][\w\-./:+@]*))",
    re.IGNORECASE,
)
_OPTIONS = re.compile(r"(?:\bone of:?|\beither|\bcan be:?|\bpossible values:?|\ballowed values:?|\bvalues:|:)\s+(.+)", re.IGNORECASE)
_OPTION = re.compile(r"[\"'`]?([A-Za-z][\w-]{1,24})[\"'`]?")
_ID_WORDS = re.compile(r" (id|ids|code|codes|number|numbers|no|key|ref|reference|uuid|identifier)$")


_CALENDAR = re.compile(r"\b(year|month|day|hour|minute)$")
_OPPOSITES = {"min": "max", "minimum": "maximum", "lowest": "highest", "from": "to", "lower": "upper"}


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()


@dataclass
class Draft:
    """What a call is drawn with. wanted: paths of optional parameters that are given (`guests[].phone`). examples: codes by parameter
    name, of the API's own definitions. known: values that are set, by parameter name: what an earlier call gave."""

    scene: Scene
    wanted: frozenset[str] = frozenset()
    examples: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)

    def is_wanted(self, path: str) -> bool:
        return any(one == path or one.startswith((f"{path}.", f"{path}[]")) for one in self.wanted)

    def with_scene(self, scene: Scene) -> Draft:
        return Draft(scene, self.wanted, self.examples, self.known)


def draw_arguments(parameters: JSON, draft: Draft, owner: str = "") -> Any:
    """Arguments for a tool's parameters, or NOTHING where a required one has no value. owner: the words of the tool."""
    return _object(parameters, "", "", draft, owner)


def parameters_of(schema: JSON, path: str = "") -> Iterator[str]:
    """The paths of all named parameters: `guests`, `guests[].firstName`. Those of the branches of a union count too."""
    seen: set[str] = set()
    for one in _paths(schema, path):
        if one not in seen:
            seen.add(one)
            yield one


def given(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the parameters that arguments give."""
    if isinstance(value, dict):
        for name, item in value.items():
            place = f"{path}.{name}" if path else name
            yield place
            yield from given(item, place)
    elif isinstance(value, list):
        for item in value:
            yield from given(item, f"{path}[]")


def draw(schema: JSON, name: str, path: str, draft: Draft, owner: str = "") -> Any:
    """A value of a schema, or NOTHING. name: of the parameter; path: its place; owner: words of what it is a part of."""
    random = draft.scene.random
    if "const" in schema:
        return schema["const"]
    if name in draft.known and _fits(draft.known[name], schema):
        return draft.known[name]
    if schema.get("anyOf"):
        return _union(schema, name, path, draft, owner)
    options = [option for option in schema.get("enum") or () if option is not None]
    if options:
        others = [option for option in options if option != schema.get("default")] or options
        return random.choice(options if random.random() < 0.3 else others)
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, name, path, draft, owner)
    if kind == "array":
        return _array(schema, name, path, draft, owner)
    if kind == "boolean":
        return random.random() < (0.3 if schema.get("default") is True else 0.8)
    if kind in ("integer", "number"):
        return _number(schema, name, draft, whole=kind == "integer")
    if kind == "null":
        return None
    return _string(schema, name, draft, owner)


def _paths(schema: JSON, path: str) -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        place = f"{path}.{name}" if path else name
        yield place
        if isinstance(inner, dict):
            yield from _paths(inner, place)
    if isinstance(schema.get("items"), dict):
        yield from _paths(schema["items"], f"{path}[]")
    for branch in schema.get("anyOf") or ():
        if isinstance(branch, dict):
            yield from _paths(branch, path)


def _kind(schema: JSON) -> str:
    """The one type that is drawn: of several the most telling, a text before anything looser."""
    types = type_set(schema)
    if len(types) == 1:
        return str(next(iter(types)))
    if not types:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    if "properties" in schema and "object" in types:
        return "object"
    if "items" in schema and "array" in types:
        return "array"
    return next((one for one in ("string", "integer", "number", "boolean", *ANY) if one in types), "string")


def _union(schema: JSON, name: str, path: str, draft: Draft, owner: str) -> Any:
    """One branch, of those that have what is wanted where there are such; null last."""
    around = {key: value for key, value in schema.items() if key != "anyOf"}
    branches = [branch for branch in schema["anyOf"] if isinstance(branch, dict)]
    if not branches:
        return draw(around, name, path, draft, owner)
    draft.scene.random.shuffle(branches)
    asked = [branch for branch in branches if any(draft.is_wanted(one) for one in _paths(branch, path))]
    for branch in [*asked, *sorted(branches, key=lambda one: type_set(one) == {"null"})]:
        value = draw(_both(around, branch), name, path, draft, owner)
        if value is not NOTHING and _fits(value, schema):
            return value
    return NOTHING


def _both(around: JSON, branch: JSON) -> JSON:
    """A branch with what stands around the union."""
    both = {**around, **branch}
    if "properties" in around or "properties" in branch:
        both["properties"] = {**(around.get("properties") or {}), **(branch.get("properties") or {})}
        both["required"] = [*dict.fromkeys([*(around.get("required") or ()), *(branch.get("required") or ())])]
    return both


def _object(schema: JSON, name: str, path: str, draft: Draft, owner: str) -> Any:
    """The required properties and those that are wanted, in the order of the schema; never an empty object where there is a choice."""
    if schema.get("anyOf"):
        return _union(schema, name, path, draft, owner)
    properties: JSON = schema.get("properties") or {}
    required = schema.get("required") or ()
    owner = _ID_WORDS.sub("", words_of(name)) if name else owner
    inner = draft if not path else draft.with_scene(draft.scene.anew()) if "[]" in path else draft
    values: JSON = {}
    optional = [one for one in properties if one not in required]
    wanted = {one for one in optional if draft.is_wanted(f"{path}.{one}" if path else one)}
    least = max(int(schema.get("minProperties", 0)), 1 if path and properties else 0)
    spare = [one for one in optional if one not in wanted]
    given_anyway = sum(one in properties for one in required)
    if len(wanted) + given_anyway > (most := int(schema.get("maxProperties", len(properties)))):
        wanted = set(draft.scene.random.sample(sorted(wanted), max(0, most - given_anyway)))
    for _ in range(least - len(wanted) - given_anyway):
        if spare:
            wanted.add(spare.pop(draft.scene.random.randrange(len(spare))))
    for one, part in properties.items():
        if one not in required and one not in wanted:
            continue
        value = draw(part if isinstance(part, dict) else {}, one, f"{path}.{one}" if path else one, inner, owner)
        if value is NOTHING and one in required:
            return NOTHING
        if value is not NOTHING:
            values[one] = value
    if any(one not in values for one in required):
        return NOTHING
    _order(values, properties)
    return values if properties or not path else _open_object(schema, name, draft)


def _order(values: JSON, properties: JSON) -> None:
    """The least below the most, where both are given: `min_price` and `max_price`."""
    numbers = {words_of(name): name for name, value in values.items() if _is_number(value)}
    for words, name in numbers.items():
        first, space, rest = words.partition(" ")
        other = numbers.get(f"{_OPPOSITES.get(first, '')}{space}{rest}")
        if other is None or values[name] <= values[other]:
            continue
        if _fits(values[name], properties[other]) and _fits(values[other], properties[name]):
            values[name], values[other] = values[other], values[name]


def _open_object(schema: JSON, name: str, draft: Draft) -> Any:
    """Entries of an object that names none: a key and a value of the stated kind."""
    extra = schema.get("additionalProperties", True)
    if extra is False:
        return {}
    least, most = int(schema.get("minProperties", 1)), int(schema.get("maxProperties", 2))
    inner = extra if isinstance(extra, dict) else {"type": "string"}
    values: JSON = {}
    for key in draft.scene.random.sample(
        ("season", "channel", "origin", "team", "level", "source", "batch", "zone"), min(8, max(1, least, min(most, 2)))
    ):
        value = draw(
            {"type": "string", **inner} if not inner.keys() & {"type", "anyOf", "enum", "const"} else inner, "", f"{name}.{key}", draft
        )
        if value is NOTHING:
            return NOTHING
        values[key] = value
    return values


def _array(schema: JSON, name: str, path: str, draft: Draft, owner: str) -> Any:
    if schema.get("prefixItems"):
        return _tuple(schema, name, path, draft)
    raw = schema.get("items")
    items: JSON = raw if isinstance(raw, dict) else {"type": "string"}
    random = draft.scene.random
    objects = _kind(items) == "object" or any(_kind(one) == "object" for one in items.get("anyOf", ()))
    least, most = int(schema.get("minItems", 1)), int(schema.get("maxItems", MOST_ITEMS))
    count = max(least, min(most, random.choice((1, 1, 2) if objects else (1, 2, 2, 3))))
    single = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
    values: list[Any] = []
    for _ in range(count + 24):
        if len(values) >= count:
            break
        value = draw(items, single, f"{path}[]", draft.with_scene(draft.scene.anew()), owner)
        if value is NOTHING:
            return [] if least == 0 and not values else NOTHING if len(values) < least else values
        if value not in values:
            values.append(value)
    enough = len(values) >= least
    return values if enough else NOTHING


def _tuple(schema: JSON, name: str, path: str, draft: Draft) -> Any:
    values = [draw(part if isinstance(part, dict) else {}, name, f"{path}[]", draft) for part in schema["prefixItems"]]
    return NOTHING if any(value is NOTHING for value in values) else values


def _number(schema: JSON, name: str, draft: Draft, *, whole: bool) -> Any:
    """A number within the limits: of the example's size, of the size the name speaks of, of the schema's limits."""
    low, high = _limits(schema)
    words, told = words_of(name), str(schema.get("description") or "").lower()
    meaning = meaning_of(name, str(schema.get("description") or ""))
    if meaning in ("latitude", "longitude") and not whole:
        least, most, digits = (36.0, 60.0, 4) if meaning == "latitude" else (-9.0, 24.0, 4)
    else:
        least, most, digits = _measure(words, told, whole)
    example = example_in(str(schema.get("description") or ""))
    if (
        whole
        and example.isdigit()
        and len(example) > 2
        and not _CALENDAR.search(words)
        and low <= (like := int(code_like(example, draft.scene.random))) <= high
    ):
        return like
    if whole and meaning in ("epoch", "year", "room"):
        value = int(value_of(meaning, draft.scene))
        if low <= value <= high:
            return value
    above, below = _number_or(schema.get("exclusiveMinimum"), -math.inf), _number_or(schema.get("exclusiveMaximum"), math.inf)
    overlaps = max(least, low) <= min(most, high) and least < below and most > above
    least, most = (max(least, low), min(most, high)) if overlaps else (low, high)
    if not math.isfinite(least) or not math.isfinite(most):
        least, most = max(least, low if math.isfinite(low) else -1000.0), min(most, high if math.isfinite(high) else max(least, 0) + 1000.0)
    return _stepped(schema, least, most, digits, draft, whole=whole)


def _stepped(schema: JSON, least: float, most: float, digits: int, draft: Draft, *, whole: bool) -> Any:
    random, step = draft.scene.random, schema.get("multipleOf")
    if step and finite_number(step) is None:  # no multiple but 0 is written with a float
        return 0 if least <= 0 <= most else NOTHING
    if step:
        first, last = math.ceil(least / step), math.floor(most / step)
        if first > last:
            return NOTHING
        value = round(random.randint(first, max(first, min(last, first + 400))) * step, 10)
        return int(value) if whole or (isinstance(step, int) and float(value).is_integer()) else value
    above, below = _number_or(schema.get("exclusiveMinimum"), -math.inf), _number_or(schema.get("exclusiveMaximum"), math.inf)
    if whole:
        first = max(math.ceil(least), math.floor(above) + 1 if math.isfinite(above) else math.ceil(least))
        last = min(math.floor(most), math.ceil(below) - 1 if math.isfinite(below) else math.floor(most))
        return random.randint(first, last) if first <= last else NOTHING
    for _ in range(8):
        value = min(max(round(random.uniform(least, most), digits), least), most)
        if above < value < below:
            if abs(value) >= 1000 and least <= round(value, -1) <= most and above < round(value, -1) < below:
                value = round(value, -1)
            return int(value) if float(value).is_integer() else value
        digits += 2
    return NOTHING


def _number_or(value: Any, other: float) -> float:
    number = finite_number(value)
    return other if number is None else number


def _limits(schema: JSON) -> tuple[float, float]:
    """Beyond every float a limit is none."""
    lows = [_number_or(schema.get(key), -math.inf) for key in ("minimum", "exclusiveMinimum")]
    highs = [_number_or(schema.get(key), math.inf) for key in ("maximum", "exclusiveMaximum")]
    return max(lows), min(highs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MEASURES: tuple[tuple[str, float, float, int], ...] = (
    (r"\b(rating|stars?|score|grade)$", 1, 5, 1),
    (r"\b(percent|percentage|pct|discount|rate|share|vat|tax rate|interest rate)$", 2, 40, 1),
    (r"\b(income|salary|revenue|wage)$", 1800, 6500, 0),
    (r"\b(principal|loan amount|credit limit|purchase price|property value)$", 5000, 250_000, 0),
    (r"\b(odometer|mileage|odometer km)$", 8000, 160_000, 0),
    (
        r"\b(amount|price|total|cost|fee|fare|budget|balance|salary|deposit|value|sum|subtotal|tax|revenue|income|max price|min price)$",
        15,
        900,
        2,
    ),
    (r"\b(cents|minor units?|pence)$", 500, 90_000, 0),
    (r"\b(limit|page size|per page|top|max results|max items|count|size|first|take|batch size|k)$", 5, 50, 0),
    (r"\b(page|page number)$", 2, 9, 0),
    (r"\b(offset|skip)$", 10, 200, 0),
    (
        r"\b(nights?|weeks?|rooms?|seats?|tickets?|passengers?|adults|guests?|people|persons?|party size|bags|copies|beds?|doors|attempts|retries)$",
        2,
        6,
        0,
    ),
    (r"\b(children|kids|infants)$", 1, 3, 0),
    (r"\b(quantity|qty|units|pieces|items|boxes|parcels|packages)$", 2, 24, 0),
    (r"\b(days|duration days|lead time)$", 2, 14, 0),
    (r"\b(hours?)$", 2, 12, 0),
    (r"\b(minutes?|mins?|duration|timeout)$", 15, 90, 0),
    (r"\b(months?|term)$", 3, 24, 0),
    (r"\b(years?( of experience)?|age)$", 18, 70, 0),
    (r"\b(exp|expiry|expiration|valid) year$", 2027, 2032, 0),
    (r"\byear$", 1998, 2027, 0),
    (r"\bmonth$", 1, 12, 0),
    (r"\bday$", 1, 28, 0),
    (r"\bhour$", 7, 20, 0),
    (r"\b(celsius|temperature|temp)\b", 16, 25, 1),
    (r"\bfahrenheit\b", 60, 80, 0),
    (r"\b(kg|kilograms?|weight|mass)\b", 1, 60, 1),
    (r"\b(grams?|mg|dose|dosage|ml|milliliters?|volume)\b", 50, 500, 0),
    (r"\b(km|kilomet\w+|distance|radius|mileage|odometer|miles)\b", 2, 200, 0),
    (r"\b(cm|height|width|length|depth|mm)\b", 10, 120, 0),
    (r"\b(latitude|lat)$", 36, 60, 4),
    (r"\b(longitude|lon|lng)$", -9, 24, 4),
    (r"\b(room|flat|apartment)( number)?$", 101, 640, 0),
    (r"\b(floor|level|priority|rank|step)$", 1, 5, 0),
    (r"\b(id|number|no|code|reference)$", 1000, 9999, 0),
)


@lru_cache(maxsize=8192)
def _measure(words: str, told: str, whole: bool) -> tuple[float, float, int]:
    """Usual least and most of what a name measures, and its decimals."""
    if re.search(r"\b(id|number|code)$", words):
        return 1000, 99_999, 0
    for text in (words, told.rstrip(". ")):
        for pattern, least, most, digits in _MEASURES:
            if re.search(pattern, text):
                return least, most, 0 if whole else digits
    return (1, 60, 0) if whole else (1, 100, 1)


def _string(schema: JSON, name: str, draft: Draft, owner: str) -> Any:
    """The first text that fits: an example's like, the format's, the name's, a stated option, the pattern's, a code or words."""
    for make in _makers(schema, name, draft, owner):
        for _ in range(3):
            text = make()
            if text is not None and (text := _cut(str(text), schema)) is not None:
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
    example = example_in(told) or draft.examples.get(name, "")
    if example and any(one.isdigit() for one in example):
        yield lambda: code_like(example, scene.random)
    meaning = meaning_of(name, told, owner)
    options = options_in(told)
    if options:
        yield lambda: scene.random.choice(options)
    if is_known(meaning):
        yield lambda: value_of(meaning, scene)
    if example:
        yield lambda: example
    if "pattern" in schema:
        return
    noun = _ID_WORDS.sub("", words_of(name))
    if meaning == "code":
        yield lambda: code_for(noun if noun != words_of(name) else owner or noun, scene.random)
    yield lambda: scene.of("words")
    yield lambda: f"{scene.of('words')} {scene.of('words')}"
    yield lambda: scene.of("messages")
    yield lambda: f"{scene.of('notes')} {scene.of('messages')} {scene.of('notes')} {scene.of('reviews')}"
    yield lambda: "".join(scene.random.choices("abcdefghijkmnpqrstuvwxyz23456789", k=int(schema.get("minLength", 1))))


@lru_cache(maxsize=16384)
def example_in(told: str) -> str:
    """The example that a description gives: "Property code, e.g. BER-001." has `BER-001`."""
    found = _EXAMPLES.search(told)
    return (found[1] or found[2]).rstrip(".,;:") if found else ""


@lru_cache(maxsize=16384)
def options_in(told: str) -> tuple[str, ...]:
    """The options that a description lists: "Kind of trip: single, return or open." has three."""
    found = _OPTIONS.search(told)
    if not found:
        return ()
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
    return str(value_of("birth_date", scene)) if meaning == "birth_date" else scene.coming().isoformat()


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


def _fits(value: Any, schema: JSON) -> bool:
    """Whether a value is one of the schema, by the validator where it is more than a type."""
    validator = _validator_of(id(schema), schema)
    return bool(validator.is_valid(value))


_VALIDATORS: dict[int, tuple[JSON, Any]] = {}


def _validator_of(key: int, schema: JSON) -> Any:
    from luthier.records.patterns import validator_class

    kept = _VALIDATORS.get(key)
    if kept is None or kept[0] is not schema:
        if len(_VALIDATORS) > 4096:
            _VALIDATORS.clear()
        kept = _VALIDATORS[key] = (schema, validator_class()(schema))
    return kept[1]
