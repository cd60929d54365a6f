"""Patterns run in linear time: the known bombs, and equality with Python's `re` where both read a pattern alike."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linear_time import LARGE, SMALL, superlinear
from luthier.records.patterns import matches, usable_pattern, validator_class

BOMBS = [
    "((a+))+$",
    "(a|aa)+$",
    "(a|a)*$",
    "(?:(?:a)+)+$",
    "([a)]+)+$",
    "^(a?){40}a{40}$",
    "a*a*a*a*a*a*a*a*b",
    "^(a|aa)+$",
    "(?=(a+))+(a|a)+$",
    "(x+x+)+y",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(.*)*(.*)*z",
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_or_takes_linear_time(bomb):
    if not usable_pattern(bomb):
        return
    matches(bomb, "a")  # compiled once
    assert not superlinear(lambda text: matches(bomb, text + "!"), "a" * SMALL, "a" * LARGE)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[a-z]+$", "abc", True),
        ("^[a-z]+$", "abc\n", False),
        ("b", "abc", True),
        (r"^\d{2}:\d{2}$", "12:45", True),
        ("^[^x]*$", "\x7f", True),
        ('"', 'say "so"', True),
        (r"\\", "C:\\x", True),
        (r"^\p{L}+$", "déjà", True),
        (r"^\w+$", "déjà", False),
        ("^.$", "😀", True),
        ("a|^b$", "xb", False),
        ("[\\u0041-\\u0043]", "B", True),
    ],
)
def test_patterns_mean_what_ecma_262_says(pattern, text, found):
    assert matches(pattern, text) is found


atoms = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", "(a|b)", "ab", '"', "\\\\", " "])
regexes = st.lists(st.tuples(atoms, st.sampled_from(["", "*", "+", "?", "{1,2}"])), min_size=1, max_size=5).map(
    lambda parts: "".join(atom + repeat for atom, repeat in parts)
)


@settings(max_examples=200, deadline=None)
@given(regexes, st.text('ab" \\c', max_size=8), st.booleans(), st.booleans())
def test_patterns_match_where_python_does(core, text, start, end):
    pattern = f"{'^' if start else ''}{core}{'$' if end else ''}"
    assert usable_pattern(pattern)
    assert matches(pattern, text) is bool(re.search(pattern.replace("$", r"\Z"), text))


def test_the_validator_runs_patterns_of_values_and_of_names():
    schema = {"patternProperties": {"^x-": {"type": "string", "pattern": "^(a|aa)+$"}}, "additionalProperties": False}
    validator = validator_class()(schema)
    assert validator.is_valid({"x-a": "aaa"})
    problems = {error.validator for error in validator.iter_errors({"x-a": "a" * 5_000 + "!", "y": 1})}
    assert problems == {"pattern", "additionalProperties"}
    assert [error.validator for error in validator.iter_errors({"x-a": 1})] == ["type"]
