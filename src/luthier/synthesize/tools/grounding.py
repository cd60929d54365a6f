"""Whether an argument's value was said: ToolACE's hallucination check (arXiv 2409.00920, sec. 2.4) without a model.

Strings are compared by letters and digits, by word stems and by their numbers; numbers after thousands separators, number words,
percent and scale words. World knowledge (Apple -> AAPL), relative dates and counting are beyond it: such values count as not grounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from luthier.records import JSON
from luthier.synthesize.tools.numerals import numbers_in

_WORD = re.compile(r"[^\W_]+")
_STOP = frozenset(["a", "an", "the", "of", "in", "on", "at", "to", "for", "and", "or", "with", "by", "from", "is", "are", "be"])
_SUFFIXES = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e", "y")
_SHORTEST_STEM = 3
_WHOLE_MINUTE = re.compile(r"(?<=\d:\d\d):00(?:\.0{1,9})?(?=Z|[+-]\d\d:\d\d|$)")  # seconds that nobody says


def grounded(value: Any, schema: JSON, text: str) -> bool:
    """Whether every leaf of a value is grounded in the text: said in it, the schema's default, one of its options, or a truth value."""
    return not list(ungrounded(value, schema, text))


def ungrounded(value: Any, schema: JSON, text: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves that are not grounded, as (path, value)."""
    if _is_free(value, schema):
        return
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        for name, item in value.items():
            inner = properties.get(name, extra if isinstance(extra, dict) else {})
            yield from ungrounded(item, inner if isinstance(inner, dict) else {}, text, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        items = schema.get("items")
        for index, item in enumerate(value):
            yield from ungrounded(item, items if isinstance(items, dict) else {}, text, f"{path}[{index}]")
    elif not _said(value, evidence(text)):
        yield path, value


@dataclass(frozen=True)
class Evidence:
    """What a text offers: its letters and digits run together, the stems of its words, its numbers in every reading."""

    text: str
    letters: str
    stems: frozenset[str]
    numbers: frozenset[float]

    def has_number(self, value: float) -> bool:
        """Equal to a number of the text within 1e-6, relative for large ones."""
        if value in self.numbers:
            return True
        tolerance = 1e-6 * max(1.0, abs(value))
        return any(abs(number - value) <= tolerance for number in self.numbers)


@lru_cache(maxsize=256)
def evidence(text: str) -> Evidence:
    """Reads a text once for all the values that are looked for in it."""
    return Evidence(text.lower(), letters(text), frozenset(stems(text)), numbers_in(text))


def letters(text: str) -> str:
    """Letters and digits only, lower case: `St. John's` -> `stjohns`."""
    return "".join(character for character in text.lower() if character.isalnum())


def stems(text: str) -> list[str]:
    """Stems of the words that carry meaning; of all words where only small ones are left."""
    words = [word.lower() for word in _WORD.findall(text)]
    meant = [word for word in words if word not in _STOP] or words
    return [_stem(word) for word in meant]


def _is_free(value: Any, schema: JSON) -> bool:
    """Values that need no evidence. `==` alone would take True for 1."""
    if value is None or isinstance(value, bool):
        return True
    if "default" in schema and type(value) is type(schema["default"]) and value == schema["default"]:
        return True
    options = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    return any(value == option and not isinstance(option, bool) for option in options)


def _said(value: Any, source: Evidence) -> bool:
    if isinstance(value, int | float):
        return source.has_number(float(value)) if abs(value) < 1e300 else str(value) in source.letters
    if not isinstance(value, str):
        return False
    plain = letters(value)
    if not plain:
        return value.strip().lower() in source.text
    return plain in source.letters or _words_said(value, source) or _numbers_said(value, source)


def _words_said(value: str, source: Evidence) -> bool:
    words = stems(value)
    return 2 * sum(word in source.stems for word in words) >= len(words)


def _numbers_said(value: str, source: Evidence) -> bool:
    told = _WHOLE_MINUTE.sub("", value)
    numbers = [float(digits) for digits in re.findall(r"\d{1,300}(?:\.\d{1,300})?", told)]
    return bool(numbers) and all(source.has_number(number) for number in numbers)


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST_STEM:
            return word[: -len(suffix)]
    return word
