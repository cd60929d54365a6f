"""A suite's own answers are right, whatever the tables it was made of hold: names with punctuation, dates with times, signs, units."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from luthier.evaluate.fusion import Scorer
from luthier.records import write_jsonl
from luthier.records.fusion import FusionItem
from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase
from luthier.synthesize.fusion.splitting import split_facts
from luthier.synthesize.fusion.suite import SuiteSettings

NAMES = (
    "Alien: Covenant",
    "Kevin A. Evans",
    "Evans, Kevin Jr.",
    "Mr. & Mrs. Smith",
    "What's Up, Doc?",
    "Yahoo!",
    "C++",
    "C#",
    "C",
    "Objective-C",
    "Se7en",
    "2001: A Space Odyssey",
    "1917",
    "Before Sunrise",
    "First Blood",
    "The More the Merrier",
    "Unknown Pleasures",
    "I Don't Know Jack",
    "Not Available",
    "Apollo 13",
    "8½",
    "M*A*S*H",
    "WALL·E",
    "O'Brien (Ireland)",
    "[REC]",
    "Wall-E 2.0",
    "v1.2.3 Tool",
    "May 2012 Edition",
    "5 kg Bell",
    "100% Wolf",
    "$9.99",
    "Zoë & Chloë",
    "Übermensch",
    "東京物語",
    "किताब",
    "Война и мир",
    "a.b.c",
    "A/B Test",
    "x-15",
    "No. 5",
    "St. Louis, MO",
    "Dr. No",
    "Who Framed Roger Rabbit?",
    "Victor/Victoria",
    "tick, tick... Boom!",
    "The Net",
    "The",
    "A",
    "earlier model",
    "The Greater Good",
    "Larger Than Life",
    "(500) Days of Summer",
    "E.T. the Extra-Terrestrial",
    "S1m0ne",
    "Ocean's Eleven",
    "Ocean's 12",
    "Mission: Impossible – Fallout",
    "Star Wars: Episode IV – A New Hope",
    "10,000 BC",
    "12.5",
    "2024-05-17",
    "Neither Here nor There",
)
ATTRIBUTES = ("running time", "first release", "more info", "price", "PHP", "net weight", "director", "version", "seen at")


def value(attribute: str, draw: Random) -> str:
    day = f"{draw.randrange(1950, 2026)}-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"
    return {
        "running time": f"{draw.randrange(60, 240)} min",
        "first release": draw.choice((day, f"{day} 09:30:00", f"{day}T09:30:00+02:00", f"{day} 17:55:24 UTC")),
        "more info": draw.choice(NAMES),
        "price": draw.choice(("$", "")) + f"{draw.randrange(1, 90_000):,}" + draw.choice(("", ".50")),
        "PHP": draw.choice(("8.1 - 8.4", ">=7.4", "7.4+", "5.6 – 7.2", "^8.0 || ^9.0")),
        "net weight": f"{draw.randrange(1, 1500)} {draw.choice(('g', 'kg', 'mg'))}",
        "director": draw.choice(NAMES),
        "version": f"{draw.randrange(9)}.{draw.randrange(20)}.{draw.randrange(30)}",
        "seen at": f"{draw.randrange(1, 29)}/{draw.randrange(1, 13)}/2024 {draw.randrange(24)}:{draw.randrange(10, 60)}",
    }[attribute]


def table(seed: int) -> list[dict[str, str]]:
    draw = Random(seed)
    chosen = draw.sample(ATTRIBUTES, 4)
    rows = []
    for name in NAMES:
        for _ in range(draw.choice((1, 1, 2))):
            row = {"title": name, "date": f"20{draw.randrange(10, 26)}-0{draw.randrange(1, 10)}-11 10:20:30"}
            rows.append(row | {attribute: value(attribute, draw) for attribute in chosen})
    return rows


def suite_of(rows: list[dict[str, str]], folder, seed: int) -> FusionSuite:
    write_jsonl(folder / "rows.jsonl", rows)
    kb = KnowledgeBase.from_paths([folder / "rows.jsonl"], Columns(("title",)))
    return FusionSuite.build(split_facts(kb, seed=seed), SuiteSettings(per_scenario=60, distractors=(0, 2)))


def all_items(suite: FusionSuite) -> list[FusionItem]:
    return [*suite.items, *suite.retention]


@pytest.mark.parametrize("seed", range(20))
def test_the_answers_of_a_suite_are_judged_right(tmp_path, seed):
    suite = suite_of(table(seed), tmp_path, seed)
    assert len({item.scenario for item in suite.items}) >= 4
    assert {item.form for item in suite.items} >= {"single", "two-part"}
    scorer = Scorer(suite.facts)
    wrong = [(item.id, item.form, item.question, item.answer) for item in all_items(suite) if not scorer.judge(item, item.answer).right]
    assert wrong == []


@pytest.mark.parametrize("seed", range(5))
def test_the_answers_of_another_question_are_not(tmp_path, seed):
    suite = suite_of(table(seed), tmp_path, seed)
    scorer = Scorer(suite.facts)
    items = [item for item in suite.items if item.form == "single" and item.scenario in ("S1", "S3")]
    others = [(one, two) for one, two in itertools.pairwise(items) if one.needed[0].attribute != two.needed[0].attribute]
    assert sum(scorer.judge(one, two.answer).right for one, two in others) <= 0.1 * len(others)
