"""Patterns of JSON Schema from outside, run in linear time by llguidance's derivative engine; Python's `re` never sees them.

What that engine cannot build (look-around, back-references, huge automata) is no usable pattern: importers leave it out, lint names it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llguidance import LLMatcher

_LONGEST = 2000  # characters of a pattern
_LONGEST_TEXT = 1 << 20  # characters of a text that is matched


@lru_cache(maxsize=65536)
def usable_pattern(pattern: str) -> bool:
    """Whether a pattern can be run in linear time; the empty one says nothing and is not usable."""
    return bool(pattern) and len(pattern) <= _LONGEST and not _matcher(pattern).is_error()


def matches(pattern: str, text: str) -> bool:
    """Whether a usable pattern is found anywhere in the text, by ECMA-262's rules: `$` is the end, `\\w` is ASCII."""
    if len(text) > _LONGEST_TEXT:
        return False
    tokens = _bytes().tokenize_str(json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f"))
    matcher = _compiled(pattern).deep_copy()
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


def byte_matcher(schema: str) -> LLMatcher | None:
    """What says byte by byte which JSON text a schema, itself JSON text, allows; None where the engine cannot build it."""
    matcher = _built(schema)
    return None if matcher.is_error() else matcher.deep_copy()


def is_multiple(value: float, step: float) -> bool:
    """Whether a number is a multiple of another as both are written: 19.99 is one of 0.01, whatever binary fractions say."""
    if not step or any(isinstance(one, float) and not math.isfinite(one) for one in (value, step)):
        return False
    return _exact(value) % _exact(step) == 0


def _exact(number: float) -> Fraction:
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


@lru_cache(maxsize=1)
def validator_class() -> Any:
    """`jsonschema`'s validator of 2020-12 with patterns run here, of which one that is not usable constrains nothing, and multiples told by decimals."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def pattern_keyword(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, str) and isinstance(pattern, str) and usable_pattern(pattern) and not matches(pattern, instance):
            yield ValidationError(f"{instance!r} does not match {pattern!r}")

    def named_by_pattern(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
        for pattern, part in patterns.items() if isinstance(instance, dict) else ():
            for name, value in instance.items():
                if usable_pattern(pattern) and matches(pattern, name):
                    yield from validator.descend(value, part, path=name, schema_path=pattern)

    def other_names(validator: Any, other: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, dict):
            return
        patterns = schema.get("patternProperties", {})
        for name in instance:
            if name in schema.get("properties", {}) or any(not usable_pattern(one) or matches(one, name) for one in patterns):
                continue
            if other is False:
                yield ValidationError(f"additional property {name!r}")
            elif other is not True:
                yield from validator.descend(instance[name], other, path=name)

    def multiple_keyword(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(instance, bool) and isinstance(instance, int | float) and not is_multiple(instance, step):
            yield ValidationError(f"{instance!r} is not a multiple of {step!r}")

    own = {
        "multipleOf": multiple_keyword,
        "pattern": pattern_keyword,
        "patternProperties": named_by_pattern,
        "additionalProperties": other_names,
    }
    extended: Any = extend
    return extended(Draft202012Validator, own)


@lru_cache(maxsize=1)
def _bytes() -> Any:
    import llguidance

    return llguidance.LLTokenizer("byte")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return _matcher(pattern)


def _matcher(pattern: str) -> Any:
    return _of(json.dumps({"type": "string", "pattern": pattern}))


@lru_cache(maxsize=64)
def _built(schema: str) -> Any:
    return _of(schema)


def _of(schema: str) -> Any:
    from llguidance import LLMatcher

    return LLMatcher(_bytes(), LLMatcher.grammar_from_json_schema(schema))
