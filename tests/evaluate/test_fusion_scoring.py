"""The scorer: refusals against a hundred lines made by hand, verdicts on known answers, and the rule that R_acc never exceeds R_cover."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.evaluate.fusion import Scorer
from luthier.evaluate.fusion.refusals import refuses
from luthier.records.fusion import Fact, FusionItem, Needed, Snippet

REFUSING = """\
I do not know.
I don't know the release date of the Nova 3.
I don’t know.
Sorry, I do not know that.
I'm sorry, but I don't have that information.
I am not sure when the Nova 3 was released.
I'm not sure.
I have no idea.
No idea, sorry.
I have no information about the Nova 3.
I have no record of that device.
I cannot answer this question.
I can't tell from the passages.
I can not say.
I could not find the release date in the passages.
I couldn't find it.
I am unable to answer this.
I'm unable to determine the release date.
Unable to answer from the passages given.
The passages do not mention the Nova 3.
The passages don't say.
The passage does not state the release date of the Nova 3.
The context doesn't contain that.
The text does not provide the release date.
The given documents do not include this.
Neither the passages nor my memory tells the release date.
The release date of the Nova 3 is unknown.
The release date is not known.
The release date is not mentioned.
The release date of the Nova 3 is not specified in the passages.
It is not stated.
It isn't given anywhere.
That was not disclosed.
The release date remains unknown.
There is no information about the Nova 3.
There is not enough information to answer.
There is insufficient information here.
No information is available.
No data on this one.
The release date cannot be determined.
It can't be determined from what is given.
This cannot be answered.
That could not be established.
I do not have access to that information.
I don't have any data about the Nova 3.
I do not have enough details.
I can't provide the release date.
I cannot confirm it.
I am not aware of a release date.
I'm not aware of that.
I am not certain.
I'm afraid I don't know.
I really don't know.
We do not know when it was released.
I did not find a release date.
I don't recall.
I cannot recall the release date of the Nova 3.
It's unknown to me.
Unknown.
Not specified.
Not known.
The release date of the Nova 3 is currently unknown.
The exact release date is not specified, but passages tell of others.
The Nova 3's release date is not available.
The release date wasn't mentioned.
My memory holds no information about it.
That is beyond my knowledge.
I lack that information.
I was unable to locate the Nova 3 in the passages.
This is something I do not know.
I honestly don't know.
The documents do not reveal it.
""".splitlines()
ANSWERING = """\
The release date of the Nova 3 is 2025-09-19.
2025-09-19
It was released on 19 September 2025.
September 19, 2025.
Nova 3: release date 2025-09-19.
The Nova 3 came out in September 2025.
It is 2025.
I do not know for certain, but it is 2025-09-19.
I'm not sure, maybe 3 May 2024.
I don't know exactly; the release date is 2024.
The passages do not mention it, but from memory it is 2023-01-01.
Unknown to many, it came out on 2025-09-19.
The release date is not in the passages; I recall 1 June 2022.
According to passage 2, it is 2025-09-19.
As for the Nova 3, its release date is 2025-09-19.
The Nova 3 was announced and released on the same day, 2025-09-19.
Both came out on 2025-09-19.
The Nova 3 is a phone.
Released.
The release date of the Nova 3 is the same as that of the Nova 2.
It was released last year.
The date of release was the nineteenth of the month.
It knows no bounds: 2025-09-19.
I know that it is 2025-09-19.
The device is well known.
(nothing)
They announced it early.
The unknowns are many.
"""
ANSWERS = [line.replace("(nothing)", "") for line in ANSWERING.splitlines()]


def test_there_are_a_hundred_lines():
    assert len(REFUSING) + len(ANSWERS) == 100


@pytest.mark.parametrize("line", REFUSING)
def test_refusals_are_seen(line: str):
    assert refuses(line, ["date"], ["Nova 3"])


@pytest.mark.parametrize("line", ANSWERS)
def test_answers_are_no_refusals(line: str):
    assert not refuses(line, ["date"], ["Nova 3"])


def fact(name: str, subject: str, value: str, attribute: str = "release date", kind: str = "date") -> Fact:
    return Fact(name, subject, attribute, value, kind)  # type: ignore[arg-type]


E1 = fact("e1", "Nova 3", "2025-09-19")
P1 = fact("p1", "Nova 2", "2022-03-04")
H1 = fact("h1", "Nova 9", "2021-01-02")
OTHER = fact("e2", "Orion 7", "2025-11-30")
FACTS = {one.id: one for one in (E1, P1, H1, OTHER)}


def need(one: Fact, part: str) -> Needed:
    return Needed(one.id, part, one.subject, one.attribute, one.values, one.kind)  # type: ignore[arg-type]


def item(scenario: str, *needed: Needed, gold: tuple[Fact, ...] = (), form: str = "single", question: str = "When?") -> FusionItem:
    context = [Snippet(f"The {one.attribute} of {one.subject} is {one.value}.", "gold", (one.id,)) for one in gold]
    context.append(Snippet(f"The release date of Orion 7 is {OTHER.value}.", "distractor", ("e2",)))
    return FusionItem(scenario, scenario, scenario, form, question, "", needed, tuple(context), 1)  # type: ignore[arg-type]


S1 = item("S1", need(E1, "external"), gold=(E1,))
S2 = item("S2", need(E1, "external"), need(P1, "memory"), gold=(E1,), form="two-part", question="Nova 3 and Nova 2?")
S3 = item("S3", need(P1, "memory"))
S4 = item("S4", need(H1, "nowhere"))
COMPARED = replace(S2, form="comparison", conclusion=("Nova 2", "Nova 3", "earlier"))


@pytest.mark.parametrize(
    ("asked", "answer", "right", "cover", "refused", "wrong", "misled"),
    [
        (S1, "It is 19 September 2025.", True, 1.0, False, False, False),
        (S1, "[1] says that the Nova 3 came out on 2025-09-19, in 2025.", True, 1.0, False, False, False),
        (S1, "2025-09-19, not 2025-09-20.", False, 1.0, False, True, False),
        (S1, "2025-11-30", False, 0.0, False, True, True),
        (S1, "In September 2025.", False, 0.0, False, False, False),
        (S1, "In August 2025.", False, 0.0, False, True, False),
        (S1, "I do not know.", False, 0.0, True, False, False),
        (S1, "", False, 0.0, False, False, False),
        (S2, "2025-09-19", False, 0.5, False, False, False),
        (S2, "2025-09-19 and 2022-03-04", True, 1.0, False, False, False),
        (S2, "Nova 2 on 2022-03-04, Nova 3 on 2025-09-19.", True, 1.0, False, False, False),
        (S2, "Nova 3 on 2022-03-04, Nova 2 on 2025-09-19.", False, 1.0, False, False, False),
        (S2, "2022-03-04 and 2025-09-19", False, 1.0, False, False, False),
        (S2, "2025-09-19 and 2022-03-04, perhaps 2020-01-01", False, 1.0, False, True, False),
        (S2, "Nova 3: 2025-09-19. I do not know that of Nova 2.", False, 0.5, False, False, False),
        (S2, "I do not know either.", False, 0.0, True, False, False),
        (S3, "The Nova 2 was released March 4th, 2022", True, 1.0, False, False, False),
        (S3, "2025-11-30", False, 0.0, False, True, True),
        (S4, "I do not know.", True, 1.0, True, False, False),
        (S4, "2021-01-02", False, 0.0, False, True, False),
        (S4, "2025-11-30", False, 0.0, False, True, True),
        (COMPARED, "Nova 3 is 2025-09-19 and Nova 2 is 2022-03-04, so that of Nova 2 is earlier.", True, 1.0, False, False, False),
        (COMPARED, "Nova 2 (2022-03-04) came earlier than Nova 3 (2025-09-19).", True, 1.0, False, False, False),
        (COMPARED, "Nova 3 is 2025-09-19 and Nova 2 is 2022-03-04, so that of Nova 3 is earlier.", False, 1.0, False, False, False),
        (COMPARED, "Nova 3 is 2025-09-19 and Nova 2 is 2022-03-04.", False, 1.0, False, False, False),
    ],
)
def test_known_answers_get_known_verdicts(asked, answer, right, cover, refused, wrong, misled):
    verdict = Scorer(FACTS).judge(asked, answer)
    assert (verdict.right, verdict.cover, verdict.refused, verdict.wrong, verdict.misled) == (right, cover, refused, wrong, misled)


def test_a_name_of_the_same_attribute_is_a_wrong_value_and_its_part_is_not():
    makers = [
        fact("a", "Nova 3", "Acme Corporation", "maker", "text"),
        fact("b", "Orion 7", "Bolt", "maker", "text"),
        fact("c", "Vega", "Acme", "maker", "text"),
    ]
    scorer = Scorer({one.id: one for one in makers})
    asked = item("S1", need(makers[0], "external"), gold=(makers[0],))
    assert scorer.judge(asked, "The ACME corporation made it.").right
    assert not scorer.judge(asked, "Acme Corporation, or Bolt.").right
    assert scorer.judge(asked, "Acme Corporation, or Bolt.").cover == 1.0
    assert scorer.judge(replace(asked, scenario="S4"), "I do not know; Bolt, perhaps.").refused is False
    assert scorer.judge(replace(asked, scenario="S4"), "I do not know.").right


def test_numbers_of_another_unit_are_about_something_else():
    weight = fact("w", "Nova 3", "180 g", "weight", "number")
    scorer, asked = Scorer({"w": weight}), item("S1", need(weight, "external"), gold=(weight,))
    assert scorer.judge(asked, "It weighs 0.18 kg and has 8 GB.").right
    assert scorer.judge(asked, "It weighs 180, says passage 2.").right
    assert not scorer.judge(asked, "It weighs 180 g, or 190 g.").right


def test_the_newer_value_is_wanted_and_the_older_may_be_mentioned():
    conflict = replace(S1, scenario="C", stale=("2024-01-01",))
    scorer = Scorer(FACTS)
    assert scorer.judge(conflict, "2025-09-19; it was 2024-01-01 before.").right
    assert not scorer.judge(conflict, "2024-01-01").right


WORDS = st.sampled_from(
    ["2025-09-19", "2022-03-04", "2020-01-01", "Nova 3", "Nova 2", "I do not know", "earlier", "[1]", "September 2025", "unknown", ".", ","]
)


@given(st.lists(WORDS, max_size=8).map(" ".join), st.sampled_from([S1, S2, S3, S4, COMPARED]))
def test_a_right_answer_covers_everything_and_a_refusal_states_nothing(answer: str, asked: FusionItem):
    verdict = Scorer(FACTS).judge(asked, answer)
    assert float(verdict.right) <= verdict.cover <= 1.0
    assert not (verdict.right and verdict.wrong)
    if verdict.refused:
        assert not any(verdict.stated)
        assert verdict.right is (asked.scenario == "S4")


@pytest.mark.parametrize(
    ("first", "other", "more"),
    [
        ("Alien: Covenant", "Shrek", "greater"),
        ("Kevin A. Evans", "Ann Poe", "earlier"),
        ("Evans, Kevin", "Poe, Ann", "greater"),
        ("What's Up, Doc? The Movie", "Yahoo! Answers", "greater"),
        ("Before Sunrise", "First Blood, Part II", "earlier"),
        ("The More, the Merrier", "Mission: Impossible. Fallout", "greater"),
    ],
)
def test_names_with_punctuation_are_not_cut_into_clauses(first, other, more):
    needs = tuple(Needed(name, "memory", name, "size", (size,), "number") for name, size in ((other, "90"), (first, "122")))
    item = FusionItem("i", "i", "S2", "comparison", "Which?", "", needs, (), 0, (first, other, more))
    scorer = Scorer({})
    told = f"The size of {other} is 90, and the size of {first} is 122, so that of"
    assert scorer.judge(item, f"{told} {first} is {more}.").right
    assert not scorer.judge(item, f"{told} {other} is {more}.").right
    assert scorer.judge(item, f"{told} course: {first} was {more} than {other}.").right
