"""Signs tell answers apart: relations, brackets, operators, bars, minus signs and what stands right behind a number; words for numbers are numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luthier.records import Message
from luthier.records.choice_layouts import match_option
from luthier.records.choices import stated_choice
from luthier.synthesize.pairs import PairReport, Question, wrong_drafts
from luthier.texts.clock import times_of_day
from luthier.texts.counts import ordinal, roman, spelled
from luthier.texts.equality import compare_answers

APART = {
    "relations": [
        ("x<2", "x>2"), (r"x \le 2", "x<2"), ("x != 2", "x < 2"), ("1 < x < 2", "1 < x <= 2"), ("<5", ">5"), ("x≥2", "x≤2"), ("x = 5", "y = 5"),
        ("x \\lt 2", "x \\gt 2"), ("x = 2", "x ≠ 2"), ("a => b", "a <= b"), ("f(x) = 1", "g(x) = 1"),
    ],
    "brackets": [
        ("(1,2)", "[1,2]"), (r"(-\infty,2)", r"(-\infty,2]"), ("[0, 1)", "(0, 1]"), (r"\{1,2\}", "(1,2)"), ("((1,2),3)", "(1,(2,3))"), ("[5]", "5"),
        (r"\{5\}", "5"), ("[x+1]", "x+1"), (r"\{x+1\}", "x+1"), ("1, 234", "1,234"), ("]1,2[", "(1,2)"), ("[1,2]", "1,2"),
    ],
    "behind": [
        ("3!", "3"), ("n!", "n"), ("(n+1)!", "n+1"), ("f'(x)", "f(x)"), ("x'", "x"), ("A*", "A"), ("x!!", "x!"), ("5'", '5"'), ("5%", "5"), ("5+", "5"),
        ("n³", "n3"), ("x²", "x2"), ("x₂", "x²"),
    ],
    "before": [("-x", "x"), ("¬p", "p"), ("!p", "p"), ("~p", "p"), ("±5", "5"), ("√x", "x"), ("∛x", "√x"), ("|x|", "x"), ("|-5|", "-5"), ("#5", "*5")],
    "between": [
        ("a && b", "a || b"), ("p → q", "p ↔ q"), ("x-y", "x+y"), ("a*b", "a/b"), ("a ∪ b", "a ∩ b"), ("1 or 2", "1 and 2"), ("1:2", "1-2"), ("a + b", "+ b"),
        ("p and q", "p or q"), ("x ≡ y", "x = y"), ("a ^ b", "a _ b"), ("x - y", "x y"),
    ],
    "letters behind a number": [
        ("5k", "5"), ("5K", "5"), ("5M", "5"), ("$5M", "5"), ("$5bn", "$5"), ("5B", "5"), ("2n", "2"), ("5xy", "5"), ("5/x", "5"), ("5-x", "5"), ("2 pi", "2"),
        ("5 ms", "5 m"), ("2m", "2"), ("5 factorial", "5"), ("5 squared", "5"), ("5 or more", "5"), ("five or less", "5"), ("5 sin x", "5"), ("5 dozen", "5"),
    ],
    "words": [
        ("one third", "1"), ("two and a half", "2"), ("3 pm", "3 am"), ("noon", "midnight"), ("first", "1"), ("first", "2nd"), ("IV", "5"), ("Henry IV", "Henry V"),
        ("vitamin A", "vitamin"), ("before May 5, 2020", "after May 5, 2020"), ("2020-05-05 10:00", "2020-05-05 11:00"), ("C", "100"), ("mix", "9"),
    ],
}  # fmt: skip
ALIKE = {
    "relations": [("2 < x", "x > 2"), (r"x \geq 2", "x >= 2"), ("x⩽2", r"x \leqslant 2"), ("y ≠ 0", "0 != y"), ("x -> y", "x → y"), ("2<x<3", "3 > x > 2")],
    "brackets": [("(1, 2]", "(1,2]"), ("((1, 2), 3)", "((1,2),3)"), ("1, 2", r"\{1,2\}"), ("(5)", "5"), ("[Paris]", "Paris"), ("(1,200)", "(1, 200)")],
    "behind": [("Paris!", "Paris"), ("**Paris**.", "Paris"), ('"Paris."', "Paris"), ("42**", "42"), ("n !", "n!"), ("x²", "x^2"), ("5 m²", "5 m^2")],
    "letters behind a number": [("5k", "5000"), ("$5M", "$5 million"), ("$2.5bn", "2.5 billion"), ("300 K", "300"), ("10 min", "10 minutes"), ("5-star", "5")],
    "words": [
        ("12", "a dozen"), ("6", "half a dozen"), ("24 eggs", "two dozen eggs"), ("100", "a hundred"), ("1/3", "one third"), ("2.5", "two and a half"),
        ("3/4", "three quarters"), ("-5", "minus five"), ("105", "one hundred and five"), ("1st", "first"), ("21st", "twenty-first"), ("IV", "4"),
        ("World War II", "World War 2"), ("World War Two", "World War 2"), ("the first president", "1st president"), ("a million", "1000000"),
    ],
    "times": [("12:00", "noon"), ("12 p.m.", "noon"), ("midnight", "00:00"), ("15:00", "3 pm"), ("3:30 PM", "15:30"), ("12 am", "midnight")],
    "indices": [("H₂O", "H2O"), ("C₆H₁₂O₆", "C6H12O6"), ("x₂", "x2")],
    "prose": [("St. Louis", "St Louis"), ("T-shirt", "T shirt"), ("Paris (France)", "Paris France"), ("Newton's law", "Newton’s law")],
}  # fmt: skip


@pytest.mark.parametrize(("one", "two"), [pair for pairs in APART.values() for pair in pairs])
def test_answers_with_other_signs_are_never_the_same(one: str, two: str):
    assert compare_answers(one, two) == compare_answers(two, one) != "same"


@pytest.mark.parametrize(("one", "two"), [pair for pairs in ALIKE.values() for pair in pairs])
def test_other_writings_of_one_answer_are_the_same(one: str, two: str):
    assert compare_answers(one, two) == compare_answers(two, one) == "same"


@pytest.mark.parametrize(
    ("one", "two"), [("x<2", "x>2"), ("x≤2", "x<2"), ("(-∞,2)", "(-∞,2]"), ("3 pm", "3 am"), ("first", "2nd"), ("IV", "5")]
)
def test_where_only_the_sign_is_another_they_differ(one: str, two: str):
    assert compare_answers(one, two) == "different"


@pytest.mark.parametrize(
    ("options", "text", "named"),
    [
        (("x < 2", "x > 2", "x = 2"), "So the answer is x > 2.", 1),
        (("(1,2)", "[1,2]"), "The answer is [1,2].", 1),
        (("3!", "3"), "The answer is 3.", 1),
        (("5k", "5"), "The answer is 5.", 1),
    ],
)
def test_the_option_with_these_signs_is_named(options: tuple[str, ...], text: str, named: int):
    assert stated_choice(text, options) == named


def test_the_words_of_an_option_go_before_what_says_the_same():
    assert match_option("4", ["four", "4"]) == 1
    assert match_option("IV", ["four", "4"]) is None


def test_a_draft_with_another_sign_is_wrong_and_one_in_words_is_not():
    for right, written, wrong in (
        ("x > 2", "x < 2", True),
        ("12", "a dozen", False),
        ("12:00", "noon", False),
        ("1st", "first", False),
        ("IV", "4", False),
    ):
        question = Question((Message("user", "q"),), "s", right)
        assert bool(wrong_drafts([question], [[f"The answer is {written}."]], PairReport())) is wrong


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("half", "1/2"),
        ("two thirds of it", "2/3"),
        ("three and a half", "7/2"),
        ("five halves", "5/2"),
        ("two hundred", "200"),
        ("negative half", "-1/2"),
    ],
)
def test_numbers_in_words(text: str, value: str):
    found = spelled(text)
    assert found is not None
    assert found.value == Fraction(value)


@pytest.mark.parametrize(
    ("text", "place"), [("first", 1), ("twelfth", 12), ("forty-second", 42), ("hundredth", 100), ("two first", None), ("x", None)]
)
def test_ordinals(text: str, place: int | None):
    assert ordinal(text) == place


@pytest.mark.parametrize(("text", "value"), [("iv", 4), ("mcmxcix", 1999), ("iiii", None), ("ic", None), ("", None), ("vat", None)])
def test_roman_numerals(text: str, value: int | None):
    assert roman(text) == value


@pytest.mark.parametrize(
    ("text", "hours"), [("noon", [12]), ("3:00", [3, 15]), ("03:00", [3]), ("24:00", [0]), ("13 pm", []), ("12:75", []), ("3", [])]
)
def test_times_of_day(text: str, hours: list[int]):
    assert sorted(times_of_day(text)) == [hour * 3600 for hour in hours]


# A strict reading: what is written from a tree has the value of that tree, and two trees with other values are other answers.
Tree = tuple[Any, ...]
_ATOMS = st.one_of(st.integers(0, 12).map(lambda number: ("number", number)), st.sampled_from("xyn").map(lambda name: ("name", name)))
_TERMS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-*/"), inner, inner),
        st.tuples(st.sampled_from(["negated", "factorial", "prime", "bars", "squared"]), inner),
    ),
    max_leaves=4,
)
_RELATIONS = st.tuples(st.just("relation"), st.sampled_from("<>≤≥≠"), _TERMS, _TERMS)
_ENCLOSED = st.tuples(
    st.just("enclosed"), st.sampled_from(["()", "[]", "[)", "(]", "{}"]), st.lists(_TERMS, min_size=2, max_size=3).map(tuple)
)
_TREES = st.one_of(_TERMS, _RELATIONS, _ENCLOSED)
_POINTS = (
    {"x": Fraction(7, 3), "y": Fraction(-11, 5), "n": Fraction(19, 7)},
    {"x": Fraction(-5, 9), "y": Fraction(3, 13), "n": Fraction(8, 3)},
)
_WRAPPED = {"factorial": "{}!", "prime": "{}'", "bars": "|{}|", "squared": "{}^2"}


def written(tree: Tree, inner: bool = False) -> str:
    """A tree as people type it; each part with operators in brackets of its own."""
    kind, *parts = tree
    if kind in ("number", "name"):
        return str(parts[0])
    if kind == "relation":
        return f"{written(parts[1])} {parts[0]} {written(parts[2])}"
    if kind == "enclosed":
        return parts[0][0] + ", ".join(written(part) for part in parts[1]) + parts[0][1]
    if kind == "negated":
        text = f"-{written(parts[0], True)}"
    elif kind in _WRAPPED:
        return _WRAPPED[kind].format(written(parts[0], kind != "bars"))
    else:
        text = f"{written(parts[0], True)}{kind}{written(parts[1], True)}"
    return f"({text})" if inner else text


def meaning(tree: Tree, point: dict[str, Fraction]) -> Any:
    """What a tree says where its letters have these values; what has no number stays as it is built."""
    kind, *parts = tree
    if kind == "number":
        return Fraction(parts[0])
    if kind == "name":
        return point[parts[0]]
    if kind == "relation":
        left, right = meaning(parts[1], point), meaning(parts[2], point)
        turned = {">": "<", "≥": "≤"}
        if parts[0] == "≠":
            return "≠", frozenset(map(str, (left, right)))
        return (turned[parts[0]], right, left) if parts[0] in turned else (parts[0], left, right)
    if kind == "enclosed":
        return (parts[0], *(meaning(part, point) for part in parts[1]))
    values = [meaning(part, point) for part in parts]
    if kind in ("factorial", "prime") or not all(isinstance(value, Fraction) for value in values) or (kind == "/" and not values[1]):
        return (kind, *values)
    if kind in ("negated", "bars", "squared"):
        return {"negated": -values[0], "bars": abs(values[0]), "squared": values[0] ** 2}[kind]
    left, right = values
    return left + right if kind == "+" else left - right if kind == "-" else left * right if kind == "*" else left / right


def changed(tree: Tree) -> list[Tree]:
    """The same tree with one sign of another kind, added or left out."""
    kind, *parts = tree
    if kind in ("number", "name"):
        return [("negated", tree), ("factorial", tree), ("prime", tree), ("bars", tree), ("squared", tree)]
    if kind == "relation":
        return [("relation", sign, *parts[1:]) for sign in "<>≤≥≠" if sign != parts[0]]
    if kind == "enclosed":
        return [("enclosed", around, parts[1]) for around in ("()", "[]", "[)", "(]", "{}") if around != parts[0]]
    if len(parts) == 1:
        return [parts[0], *((kind, other) for other in changed(parts[0]))]
    return (
        [(sign, *parts) for sign in "+-*/" if sign != kind]
        + [(kind, other, parts[1]) for other in changed(parts[0])]
        + [(kind, *parts[::-1])]
    )


@given(_TREES, st.data())
@settings(max_examples=150, deadline=None)
def test_answers_that_a_strict_reading_tells_apart_are_never_the_same(tree: Tree, data: st.DataObject):
    other = data.draw(st.one_of(st.sampled_from(changed(tree)), _TREES))
    assume([meaning(tree, point) for point in _POINTS] != [meaning(other, point) for point in _POINTS])
    one, two = written(tree), written(other)
    assert compare_answers(one, two) != "same", (one, two)


@given(_TREES)
@settings(max_examples=100, deadline=None)
def test_spaces_are_no_signs(tree: Tree):
    text = written(tree)
    spaced = "".join(f" {sign} " if sign in "+*/<>≤≥≠" else sign for sign in text)
    assert compare_answers(text, " ".join(spaced.split())) == "same"
