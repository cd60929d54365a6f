"""Which answer a text states, and whether two answers say the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linear_time import LARGE, SMALL, superlinear
from luthier.records import Message
from luthier.synthesize.pairs import PairReport, Question, wrong_drafts
from luthier.texts.answers import final_answer
from luthier.texts.equality import compare_answers, is_number

SAME = {
    "marks of LaTeX": [
        ("42", r"\(42\)"),
        ("6", "$6$"),
        ("12", r"\boxed{12}"),
        ("Paris", r"$\text{Paris}$"),
        ("90", r"90^\circ"),
        ("1,000", r"1{,}000"),
    ],
    "fractions": [
        ("0.5", "1/2"),
        ("1/2", r"\frac{1}{2}"),
        (r"\frac{1}{2}", r"\dfrac{1}{2}"),
        ("0.5", r"\frac12"),
        ("3.5", r"3\frac{1}{2}"),
        ("3.5", "3 1/2"),
        ("7/2", "3½"),
        ("1/3", r"\frac{2}{6}"),
        ("-0.5", "−1/2"),
    ],
    "signs": [
        ("-5", "\u22125"),
        (".5", "0.5"),
        ("5", "x = 5"),
        ("3", "approximately 3.0"),
        ("5", "= 5"),
        ("42", "42."),
        ("42", "**42**"),
        ("-5", "–5"),
    ],
    "options": [
        ("C", r"\text{(C)}"),
        ("C", "C) Paris"),
        ("B", "option B"),
        ("(B)", "b."),
        ("B", r"\textbf{(B)}"),
        ("C", "C: Paris"),
        ("B) dog park", "dog park"),
        ("A", "(a)"),
    ],
    "thousands and powers": [
        ("1000", "1 000"),
        ("1000", "10^3"),
        ("1000", "1e3"),
        ("1000", "10³"),
        ("1,000,000", "1 million"),
        ("2000", r"2 \times 10^{3}"),
        ("1000", "1,000.00"),
        ("4", "2^2"),
        ("1200", "1'200"),
    ],
    "words": [
        ("2", "two"),
        ("42", "forty-two"),
        ("twenty one", "21"),
        ("the moon", "moon"),
        ("paris", "Paris."),
        ("300", "three hundred"),
        ("7", "seven apples"),
    ],
    "units": [
        ("50%", "50 percent"),
        ("50%", r"50\%"),
        ("1 km", "1000 m"),
        ("$1,000", "1000"),
        ("$5", "5 dollars"),
        ("5 km", "5"),
        ("3 hours", "180 minutes"),
        ("7 apples", "7"),
        ("5%", "5 %"),
    ],
    "formulas": [
        (r"\frac{\sqrt{3}}{2}", r"\sqrt{3}/2"),
        (r"2\sqrt{2}", "sqrt(8)"),
        ("x+1", "1+x"),
        (r"\pi/2", r"\frac{\pi}{2}"),
        ("2x", r"2 \cdot x"),
        ("(x-1)(x+1)", "x^2-1"),
    ],
    "lists and dates": [("(1,2)", "( 1, 2 )"), ("1, 2, 3", "1,2,3"), ("2020-05-05", "May 5, 2020"), (r"\(1, \frac{1}{2}\)", "1, 0.5")],
}
UNCLEAR = [
    ("1,2", "12"),
    ("3,5", "35"),
    ("5%", "5"),
    ("1.000", "1000"),
    ("0.5", "50%"),
    ("0.333", "1/3"),
    ("3.14", r"\pi"),
    ("5 apples", "5 pears"),
    ("Paris", "Paris, France"),
    ("US", "United States"),
    ("colour", "color"),
    ("café", "cafe"),
    ("C", "Paris"),
    ("10", "10 to 12"),
    ("5 or 6", "5"),
    ("Einstein", "Albert Einstein"),
    ("Bob and Alice", "Alice and Bob"),
    ("1, 2", "2, 1"),
    ("yes", "yes, it does"),
    ("", "x"),
    ("4a", "4"),
    ("9^{9^{9^9}}", "1"),
    ("bedroom", "bed room"),
    ("1", "1st"),
]
DIFFERENT = [
    ("$5", "€5"),
    ("C", "C++"),
    ("C#", "C++"),
    ("C", "C#"),
    ("A", "B"),
    ("42", "43"),
    ("1/2", "1/3"),
    ("yes", "no"),
    ("True", "false"),
    ("-5", "5"),
    (r"\sqrt{2}", r"\sqrt{3}"),
    ("x+1", "x+2"),
    ("10^3", "10^4"),
    ("5 km", "6 km"),
    ("Paris", "London"),
    ("two", "three"),
    ("3.0", "3.5"),
    ("Paris", "5"),
    ("B) Rome", "C"),
    ("12", "12.5"),
    ("2020-05-05", "2020-05-06"),
    ("1 km", "2000 m"),
    ("cat", "dog"),
]


@pytest.mark.parametrize(("one", "two"), [pair for pairs in SAME.values() for pair in pairs])
def test_right_answers_in_other_writings_are_right(one, two):
    assert compare_answers(one, two) == compare_answers(two, one) == "same"


@pytest.mark.parametrize(("one", "two"), UNCLEAR)
def test_what_nobody_can_tell_is_unclear(one, two):
    assert compare_answers(one, two) == compare_answers(two, one) == "unclear"


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_answers_that_differ(one, two):
    assert compare_answers(one, two) == compare_answers(two, one) == "different"


def test_a_right_answer_is_never_the_rejected_one():
    pairs = [pair for each in SAME.values() for pair in each] + UNCLEAR
    for right, written in pairs:
        report = PairReport()
        question = Question((Message("user", "q"),), "s", right)
        for said in (f"The answer is {written}", rf"So \boxed{{{written}}}", f"Thus.\n#### {written}"):
            assert wrong_drafts([question], [[said]], report) == [], (right, said)


def test_a_wrong_answer_still_is():
    for right, written in DIFFERENT:
        question = Question((Message("user", "q"),), "s", right)
        assert len(wrong_drafts([question], [[f"The answer is {written}."]], PairReport())) == 1, (right, written)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So we get $\boxed{\frac{\sqrt{3}}{2}}$.", r"\frac{\sqrt{3}}{2}"),
        (r"our answer is $\boxed 2$.", "2"),
        (r"\boxed{\text{(B)}}", r"\text{(B)}"),
        (r"\boxed{\{1, \{2\}\}} done", r"\{1, \{2\}\}"),
        (r"first \boxed{1}, then \boxed{x^{2^{n}}}", r"x^{2^{n}}"),
        (r"\boxed{open and never closed", None),
        (r"\fbox{7} and \fboxed{8}", "8"),
        (r"\boxed{} then \boxed{3}", "3"),
        ("The answer is: \n\n 5", "5"),
        (r"The answer is \(42\). It fits.", r"\(42\)"),
        ("The answer is 3. Is the answer 4?", "3"),
        ("The answer is 42", "42"),
    ],
)
def test_boxes_within_boxes(text, answer):
    found = final_answer(text)
    assert (found and found.text) == answer
    if found:
        assert text[found.start : found.end] == found.text


@pytest.mark.parametrize(
    "piece",
    [
        " ",
        "\t",
        ".",
        ". ",
        "answer is a ",
        "answer is ?",
        "\\boxed{",
        "\\boxed 2 ",
        "#### ",
        "####",
        "a",
        "\n",
        "the answer is\n",
        ". . . ",
    ],
)
@pytest.mark.parametrize("start", ["The answer is", "#### ", "\\boxed{", ""])
def test_a_model_that_loops_costs_no_time(piece, start):
    small, large = (start + piece * (size // len(piece)) for size in (SMALL, LARGE))
    assert not superlinear(final_answer, small, large)


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_two_texts_are_compared_alike_from_both_sides(one, two):
    assert compare_answers(one, two) == compare_answers(two, one)
    assert compare_answers(one, one) == "same"


@given(st.integers(-(10**9), 10**9), st.integers(1, 999))
@settings(max_examples=100, deadline=None)
def test_a_fraction_is_its_own_decimal_and_no_other(top, bottom):
    assert compare_answers(f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}") == "same"
    assert compare_answers(f"{top}/{bottom}", f"{top + bottom}/{bottom}") != "same"


@pytest.mark.parametrize(
    ("text", "number"),
    [("42", True), ("-3.5%", True), ("1/2", True), ("two", True), ("5 km", True), ("x", False), ("4a", False), ("1, 2", False)],
)
def test_numbers(text, number):
    assert is_number(text) is number


@pytest.mark.parametrize(
    "text",
    [
        "1" + "/2" * 35,
        "3 1/21/'21" + "/21" * 17,
        "x" + "_x" * 39,
        "2" + "|2" * 39,
        r"\log" + "y/2" * 25,
        r"e*\sin" * 13,
        r"\cos2" + "*e2" * 24,
        "2" + "^-2" * 20,
    ],
)
def test_chains_of_signs_are_compared_in_a_moment(text: str) -> None:
    """Each doubled its time with every sign in one parser or another: minutes here, not milliseconds, where one is let in again."""
    for other in ("42", "x+1", r"\frac{1}{2}"):
        assert compare_answers(text, other) in ("unclear", "different")


def test_long_chains_of_divisions_have_their_value() -> None:
    assert compare_answers("1" + "/2" * 12, "1/4096") == "same"
    assert compare_answers("1" + "/2" * 12, "1/4095") == "unclear"
    assert compare_answers("2" + "*2" * 20, "2^21") == "same"
    assert compare_answers("x" + "*x" * 5, "x^6") == "same"
    assert compare_answers("x" + "*x" * 5, "x^5") == "different"
