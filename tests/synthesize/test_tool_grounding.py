"""Grounding accepts what was said in another form and rejects what was not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.records import Conversation, Message, Tool
from luthier.synthesize.tools.contamination import Contamination
from luthier.synthesize.tools.grounding import grounded, ungrounded
from luthier.synthesize.tools.numerals import numbers_in


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.05, "an interest rate of 5%"),
        (0.05, "five percent of it"),
        (5, "an interest rate of 5%"),
        (2000, "two thousand people"),
        (2501, "two thousand five hundred and one"),
        (22, "twenty-two rooms"),
        (1200, "about 1,200 units"),
        (1234567.5, "1,234,567.5 in total"),
        (200, "the list 1,200,300"),
        (3_500_000, "3.5 million dollars"),
        (5000, "a budget of 5k"),
        (5000, "$5,000"),
        (-3, "x^2 - 3x + 2"),
        (-4, "minus 4 degrees"),
        (0.5, "1/2 of the cake"),
        (1e-5, "a step of 1e-5"),
        (12, "a dozen eggs"),
        (3, "the third one"),
        (10.0, "a base of 10 units"),
        ("New York", "Flights to NEW-YORK please"),
        ("St. John's", "weather in st johns"),
        ("2023-03-15", "on March 15, 2023"),
        ("15/03/2023", "on March 15th, 2023"),
        ("running shoes", "I want to run in new shoes"),
        ("a@b.org", "mail it to a@b.org"),
        ("東京", "東京の天気"),
        ("+", "what is 3 + 4"),
        ("", "anything"),
        (True, "nothing"),
        (None, "nothing"),
        ([1, 2, 3], "the numbers 1, 2 and 3"),
        ([], "nothing"),
        ({"city": "Lisbon", "nights": [3]}, "Three nights in Lisbon"),
    ],
)
def test_accepted(value, text):
    assert grounded(value, {}, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "a base of 10 units"),
        (0.05, "an interest rate of 6%"),
        (20, "two thousand people"),
        (-3, "three of them"),
        (1e400, "a lot"),
        ("AAPL", "the stock of Apple"),
        ("Paris", "a hotel in Lisbon"),
        ("2023-03-16", "on March 15, 2023"),
        ("the", "no articles here"),
        ("+", "what is 3 minus 4"),
        ([1, 2, 9], "the numbers 1, 2 and 3"),
        ({"city": "Porto"}, "Three nights in Lisbon"),
        ("+351 5", "call"),
    ],
)
def test_rejected(value, text):
    assert not grounded(value, {}, text)


def test_defaults_and_options_need_no_evidence():
    assert grounded("metric", {"enum": ["metric", "imperial"]}, "")
    assert grounded(10, {"default": 10}, "")
    assert not grounded(1, {"default": True}, "")
    assert not grounded(11, {"default": 10}, "")
    nested = {"properties": {"unit": {"enum": ["C", "F"]}}, "additionalProperties": {"default": 4}}
    assert grounded({"unit": "C", "other": 4}, nested, "")
    assert grounded(["C"], {"items": {"enum": ["C"]}}, "")


def test_the_ungrounded_leaf_is_named():
    assert list(ungrounded({"a": [1, 9], "b": {"c": "xyz"}}, {}, "only 1 here")) == [(".a[1]", 9), (".b.c", "xyz")]


def test_number_words_in_a_row_are_read_both_ways():
    assert {2.0, 3.0} <= numbers_in("two three")
    assert 120.0 in numbers_in("one hundred and twenty")
    assert 1_000_002.0 in numbers_in("one million two")


@given(st.integers(-(10**9), 10**9), st.text(max_size=30))
def test_a_number_that_is_written_is_grounded(number, around):
    assert grounded(number, {}, f"{around} ; {number} ; {around}")
    assert grounded(number, {}, f"{around} ; {number:,} ;")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_string_that_is_quoted_is_grounded(value, before, after):
    assert grounded(value, {}, f"{before} {value} {after}")


@given(st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.text())
def test_it_never_fails(value, text):
    assert grounded(value, {}, text) in (True, False)


def asking(text, *tools):
    return Conversation((Message("user", text), Message("assistant", "Done.")), tools)


def test_a_planted_leak_is_found():
    long = "Please find the area of a triangle whose base is ten units and whose height is five units"
    secret = Tool("math.area", "Computes an area.", {"type": "object", "properties": {"h": {}, "b": {}}})
    known = Contamination([(long, [secret]), ("Factorial of 5!", []), ("What is the weather in Lisbon in early June?", [])])
    assert known.findings(asking(f"Hello! {long.upper()}, and then some more words")) != []
    assert known.findings(asking("factorial of 5")) != []
    assert known.findings(asking("Tell me: what is the weather in Lisbon in early June? Thanks!")) != []
    same = Tool("math.area", "Other words.", {"type": "object", "properties": {"b": {"type": "string"}, "h": {}}})
    (finding,) = known.findings(asking("Something else entirely", same))
    assert (finding.rule, finding.path) == ("C1", "tools[0]")


def test_what_is_merely_alike_is_not_a_leak():
    known = Contamination([("Please find the area of a triangle whose base is ten units and whose height is five units", [])])
    assert known.findings(asking("Please find the area of a triangle whose base is three units")) == []
    other = Tool("math.area", "Computes an area.", {"type": "object", "properties": {"h": {}, "c": {}}})
    assert Contamination([("x y", [])]).findings(asking("I said x y twice", other)) == []
    assert Contamination([]).findings(asking("")) == []
