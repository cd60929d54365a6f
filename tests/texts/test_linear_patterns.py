"""No text from outside can make a regular expression of the package slow: the time grows as the text does."""

import re
from collections.abc import Callable

import pytest

from linear_time import LARGE, SMALL, superlinear
from patterns import Used, all_patterns, pumped


def reader(used: Used, method: str) -> Callable[[str], object]:
    """The pattern, used as the package uses it."""
    if method in ("sub", "subn"):
        return lambda text: used.pattern.sub("", text)
    if method == "finditer":
        return lambda text: sum(1 for _ in used.pattern.finditer(text))
    return getattr(used.pattern, method)


PATTERNS = all_patterns()


def test_the_patterns_are_found():
    assert len(PATTERNS) > 150
    assert any(used.place.startswith("luthier.texts.answers._STATED") for used in PATTERNS)


@pytest.mark.parametrize("used", PATTERNS, ids=[used.place for used in PATTERNS])
def test_time_grows_as_the_text_does(used: Used):
    for small, large in zip(pumped(used.pattern, SMALL), pumped(used.pattern, LARGE), strict=True):
        for method in used.methods:
            assert not (slow := superlinear(reader(used, method), small, large)), (method, small[:40], slow)


def test_a_quadratic_pattern_is_seen():
    assert superlinear(re.compile("a*b").search, "a" * SMALL, "a" * LARGE)
