"""Values: every writing of a date, number, version or name is that value, and nothing else is."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.texts.values import agrees, blank, comparable, keys_of, kind_of, mentions, plain_words, same, states

DATES = st.dates(datetime.date(1500, 1, 1), datetime.date(2199, 12, 31))
WRITINGS = ("%Y-%m-%d", "%Y/%m/%d", "%d %B %Y", "%B %d, %Y", "%d. %b %Y", "%b %d, %Y", "%d %b. %Y", "%A, %d %B %Y")


def ordinal(day: datetime.date) -> str:
    ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return f"the {day.day}{ending} of {day:%B %Y}"


@given(DATES, st.sampled_from(WRITINGS))
def test_every_writing_of_a_date_states_it(day: datetime.date, form: str):
    text = f"It came out on {day.strftime(form)}, they say."
    assert states(text, day.isoformat(), "date") is not None
    assert states(text, (day + datetime.timedelta(days=1)).isoformat(), "date") is None
    assert states(f"Seen on {ordinal(day)}.", day.isoformat(), "date") is not None


@given(DATES)
def test_an_ambiguous_date_may_be_either_and_a_clear_one_is_not(day: datetime.date):
    text = f"{day.day:02}/{day.month:02}/{day.year}"
    found = mentions(text, "date")[0].keys
    assert day.isoformat() in found
    assert len(found) == (1 if day.day > 12 or day.day == day.month else 2)


def test_a_part_of_a_date_agrees_but_does_not_state_it():
    whole = keys_of("2025-09-19", "date")
    for text, fits in (("September 2025", True), ("2025", True), ("in 2025-09", True), ("August 2025", False), ("2024", False)):
        assert states(text, "2025-09-19", "date") is None
        assert agrees(mentions(text, "date")[0].keys, whole) is fits
    assert not agrees(whole, whole)


@given(st.integers(0, 10**9), st.sampled_from(["", ".5", ".25"]))
def test_numbers_are_compared_by_what_they_are_worth(whole: int, part: str):
    plain, grouped = f"{whole}{part}", f"{whole:,}{part}"
    assert states(f"about {grouped} units", plain, "number") is not None
    assert states(f"about {whole + 1}{part} units", plain, "number") is None
    assert comparable(plain, "number") == ("", Decimal(plain).normalize())


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("It weighs 1.5 kg.", "1500 g", True),
        ("It weighs 1500 grams.", "1.5 kg", True),
        ("It weighs 1.5 g.", "1.5 kg", False),
        ("5,000mAh", "5 Ah", True),
        ("It has 8GB of memory", "8 GB", True),
        ("It has 8 apples", "8", True),
        ("It has 8", "8 GB", True),
        ("It costs $1,299", "1299 dollars", True),
        ("costs €5", "$5", False),
        ("2 million sold", "2,000,000", True),
        ("3.0", "3", True),
        ("2 weeks", "14 days", True),
        ("-5", "5", False),
        ("a 6.1-inch display", "6.1 in", True),
        ("15", "1", False),
        ("version 1.5.2", "1.5", False),
    ],
)
def test_units_thousands_and_scales(text: str, value: str, said: bool):
    assert (states(text, value, "number") is not None) is said


def test_digits_of_a_date_are_no_numbers_and_those_of_a_name_can_be_blanked():
    assert mentions("On 2025-09-19 and on 3 May 2024.", "number") == []
    assert blank("The iPhone 17 has 8 GB", ["iPhone 17", "iPhone"]) == "The           has 8 GB"
    assert [one.keys for one in mentions(blank("The iPhone 17 has 8 GB", ["iPhone 17"]), "number")] == [
        frozenset({"#8000000000 byte", "~8"})
    ]


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("It is v25.0.4.0.4+7.", "25.0.4.0.4+7", True),
        ("It is 25.0.4", "25.0.4.1", False),
        ("26.70", "26.7", False),
        ("V3.11.7 now", "3.11.7", True),
        ("at 1.2.3-rc1.", "1.2.3-RC1", True),
        ("the 17 line", "17", True),
        ("170", "17", False),
        ("17.1", "17", False),
    ],
)
def test_versions_are_compared_as_they_are_written(text: str, value: str, said: bool):
    assert (states(text, value, "version") is not None) is said


@pytest.mark.parametrize(
    ("text", "value", "said"),
    [
        ("It was made by the ACME Corporation!", "Acme corporation", True),
        ("acme", "Acme Corporation", False),
        ("a Pacific Acme", "acme", True),
        ("pacme", "acme", False),
        ("Café‑Bar", "café bar", True),
        ("Version ﬁne", "fine", True),
        ("The The", "the the", True),
        ("rock", "The The", False),
    ],
)
def test_names_are_compared_word_by_word(text: str, value: str, said: bool):
    assert (states(text, value, "text") is not None) is said


@given(st.text(max_size=60), st.sampled_from(["date", "number", "version", "text"]))
def test_any_text_can_be_looked_into(text: str, kind: str):
    for one in mentions(text, kind):
        assert 0 <= one.start < one.end <= len(text)
        assert one.keys
    assert states(f"x {text} y", text, kind) is not None or not plain_words(text) or kind != "text"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2025-01-02", "3 May 2024"], "date"),
        (["2025"], "number"),
        (["5 GB", "1,000"], "number"),
        (["1.2.3", "4.5"], "version"),
        (["4.5", "4.50"], "number"),
        (["2025-01-02", "soon"], "text"),
        (["Acme"], "text"),
        ([], "text"),
        (["iPhone 17"], "text"),
        (["1.2.3-rc1"], "version"),
        (["17 Pro"], "text"),
    ],
)
def test_kinds_are_of_all_values_together(values: list[str], kind: str):
    assert kind_of(values) == kind


def test_values_without_an_order_have_no_key():
    assert comparable("2025-01-02", "date") == "2025-01-02"
    assert comparable("01/02/2025", "date") is None
    assert comparable("5 kg", "number") == ("g", Decimal(5000))
    assert comparable("Acme", "text") is None
    assert same(keys_of("5", "number"), keys_of("5 kg", "number"))
    assert not same(keys_of("5 g", "number"), keys_of("5 kg", "number"))
    assert same(keys_of("5", "number"), keys_of("5 apples", "number"))
