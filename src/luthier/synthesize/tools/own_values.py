"""Arguments of any schema: nested objects and arrays, formats, patterns, limits, options, and values that mean what the names say.

A value is sought in the order of what is known best: a constant, options, examples in the words of the definition, the format, the meaning of the name,
the pattern. Whatever is found must fit the schema; `draw` returns `NOTHING` where nothing does, and the caller leaves the parameter out.
"""

from __future__ import annotations

import re
from typing import Any

from luthier.records import JSON
from luthier.records.dialects import ANY, type_set
from luthier.synthesize.tools.drafts import NOTHING, Draft, parameters_of
from luthier.synthesize.tools.meanings import meaning_of, singular, words_of
from luthier.synthesize.tools.own_agreements import agree
from luthier.synthesize.tools.own_maps import entries
from luthier.synthesize.tools.own_numbers import draw_number
from luthier.synthesize.tools.own_texts import draw_text, examples_in, options_in, owner_in

MOST_ITEMS = 3
_DEFAULT_SHARE = 0.05  # of the values that are the schema's default: said, they teach little
_OPPOSITES = {"min": "max", "minimum": "maximum", "lowest": "highest", "from": "to", "lower": "upper"}
_ENDS = {"from": "to", "source": "target", "origin": "destination", "base": "quote", "old": "new"}
_FIRST = frozenset(("earliest", "first", "start", "begin", "beginning", "from", "min", "minimum", "least", "lowest"))
_LAST = frozenset(("latest", "last", "end", "to", "until", "max", "maximum", "most", "highest"))
_TRIES = 4
_NO_CENTS = frozenset(("CLP", "ISK", "JPY", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF", "XPF"))
_SUM = re.compile(r"\b(amount|balance|budget|cost|deposit|fee|premium|price|refund|salary|sum|total)\b")
_BOUND_PAIRS = (("gt", "lt"), ("gte", "lte"), ("gt", "lte"), ("gte", "lt"))
_OPPOSITES |= {"start": "end", "starts": "ends", "begin": "end", "begins": "ends", "opens": "closes", "open": "close", "opening": "closing"}


def draw_arguments(parameters: JSON, draft: Draft, owner: str = "") -> Any:
    """Arguments for a tool's parameters, or NOTHING where a required one has no value. owner: the words of the tool."""
    return _object(parameters, "", "", draft, owner)


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
        return draw_number(schema, name, draft, whole=kind == "integer")
    if kind == "null":
        return None
    return draw_text(schema, name, draft, owner)


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
    asked = [branch for branch in branches if any(draft.is_wanted(one) for one in parameters_of(branch, path))]
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
    if _is_either(schema):
        return _either(schema, name, path, draft, owner)
    if schema.get("anyOf"):
        return _union(schema, name, path, draft, owner)
    properties: JSON = schema.get("properties") or {}
    required = schema.get("required") or ()
    owner = owner_in(name) if name else owner
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
    people = 0
    for one, part in properties.items():
        if one not in required and one not in wanted:
            continue
        inside: JSON = part if isinstance(part, dict) else {}
        is_person = meaning_of(one, str(inside.get("description") or ""), owner) == "person"
        another = is_person and people > 0  # a client and the opposing party are two
        people += is_person
        here = inner.with_scene(inner.scene.anew()) if another else inner
        value = draw(inside, one, f"{path}.{one}" if path else one, here, owner)
        if value is NOTHING and one in required:
            return NOTHING
        if value is not NOTHING:
            values[one] = value
    if any(one not in values for one in required):
        return NOTHING
    _differ(values, properties, path, inner, owner)
    agree(values, properties, owner, inner, _fits)
    _order(values, properties)
    _whole(values, properties)
    return values if properties or not path else _open_object(schema, name, draft)


def _differ(values: JSON, properties: JSON, path: str, draft: Draft, owner: str) -> None:
    """Two ends of one thing are two: money is not converted from yen to yen."""
    by_words = {words_of(name): name for name, value in values.items() if isinstance(value, str)}
    for words, name in by_words.items():
        first, space, rest = words.partition(" ")
        other = by_words.get(f"{_ENDS.get(first, '')}{space}{rest}")
        if other is None:
            continue
        for _ in range(_TRIES):
            if values[name] != values[other]:
                break
            place = f"{path}.{other}" if path else other
            value = draw(properties[other], other, place, draft.with_scene(draft.scene.anew()), owner)
            values[other] = values[other] if value is NOTHING else value


def _is_either(schema: JSON) -> bool:
    """Whether its union only says which properties must be there: a tracking number or an order id."""
    branches = schema.get("anyOf") or ()
    return bool(branches) and all(isinstance(branch, dict) and set(branch) == {"required"} for branch in branches)


def _either(schema: JSON, name: str, path: str, draft: Draft, owner: str) -> Any:
    """With what one branch requires and nothing that only the others do: so it fits where one of them and where any of them is meant."""
    branches: list[list[str]] = [branch["required"] for branch in schema["anyOf"]]
    places = {one: f"{path}.{one}" if path else one for branch in branches for one in branch}
    draft.scene.random.shuffle(branches)
    asked = [branch for branch in branches if any(draft.is_wanted(places[one]) for one in branch)]
    around = {key: value for key, value in schema.items() if key != "anyOf"}
    for chosen in [*asked, *(branch for branch in branches if branch not in asked)]:
        required = [*dict.fromkeys([*(schema.get("required") or ()), *chosen])]
        others = {one for branch in branches for one in branch} - set(required)
        properties = {one: part for one, part in (schema.get("properties") or {}).items() if one not in others}
        value = _object({**around, "properties": properties, "required": required}, name, path, draft, owner)
        if value is not NOTHING:
            return value
    return NOTHING


def _whole(values: JSON, properties: JSON) -> None:
    """Sums in a currency without cents are whole: 4,810 JPY."""
    if not any(isinstance(value, str) and value.upper() in _NO_CENTS for value in values.values()):
        return
    for name, value in values.items():
        if isinstance(value, float) and _SUM.search(words_of(name)) and _fits(round(value), properties[name]):
            values[name] = round(value)


def _order(values: JSON, properties: JSON) -> None:
    """The least below the most, where both are given: `min_price` and `max_price`, a shift that starts and ends."""
    numbers = {words_of(name): name for name, value in values.items() if _is_number(value) or _is_clock(value)}
    for words, name in numbers.items():
        first, space, rest = words.partition(" ")
        other = numbers.get(f"{_OPPOSITES.get(first, '')}{space}{rest}")
        if other is None or _is_clock(values[name]) is not _is_clock(values[other]) or values[name] <= values[other]:
            continue
        if _fits(values[name], properties[other]) and _fits(values[other], properties[name]):
            values[name], values[other] = values[other], values[name]
    for low, high in _BOUND_PAIRS:
        if low not in numbers or high not in numbers:
            continue
        least, most = numbers[low], numbers[high]
        if values[least] > values[most] and _fits(values[least], properties[most]) and _fits(values[most], properties[least]):
            values[least], values[most] = values[most], values[least]


def _open_object(schema: JSON, name: str, draft: Draft) -> Any:
    """Entries of an object that names none: a key and a value of the stated kind."""
    extra = schema.get("additionalProperties", True)
    if extra is False:
        return {}
    least, most = int(schema.get("minProperties", 1)), int(schema.get("maxProperties", 2))
    inner = extra if isinstance(extra, dict) else {"type": "string"}
    inner = {"type": "string", **inner} if not inner.keys() & {"type", "anyOf", "enum", "const"} else inner
    wanted = max(1, least, min(most, 2))
    values: JSON = {}
    for entry in entries(name, schema, draft):
        if len(values) == wanted:
            break
        fitting = [text for text in entry.texts if _fits(text, inner)]
        value = draft.scene.random.choice(fitting) if fitting else draw(inner, singular(name), f"{name}.{entry.key}", draft)
        if value is NOTHING:
            return NOTHING
        values[entry.key] = value
    return values if len(values) >= least else NOTHING


def _array(schema: JSON, name: str, path: str, draft: Draft, owner: str) -> Any:
    if schema.get("prefixItems"):
        return _tuple(schema, name, path, draft)
    raw = schema.get("items")
    items: JSON = raw if isinstance(raw, dict) else {"type": "string"}
    told = str(schema.get("description") or "")
    if _kind(items) == "string" and not items.get("description") and (examples_in(told, codes=True) or options_in(told)):
        items = {**items, "description": told}  # the list says what its parts are
    random = draft.scene.random
    objects = _kind(items) == "object" or any(_kind(one) == "object" for one in items.get("anyOf", ()))
    least, most = int(schema.get("minItems", 1)), int(schema.get("maxItems", MOST_ITEMS))
    count = max(least, min(most, random.choice((1, 1, 2) if objects else (1, 2, 2, 3))))
    single = singular(name)
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
    if any(value is NOTHING for value in values):
        return NOTHING
    words = set(re.findall(r"[a-z]+", str(schema.get("description") or "").lower()))
    ordered = bool(words & _FIRST and words & _LAST)
    alike = all(map(_is_number, values)) or all(map(_is_clock, values))
    return sorted(values) if ordered and alike and schema["prefixItems"][1:] == schema["prefixItems"][:-1] else values


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


def _is_clock(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\dZ?)?", value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
