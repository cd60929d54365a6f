"""Suites: labels computed from fact ids, no leaks, the same bytes from the same seed, and splits that stay when documents come."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_catalogue import catalogue, write_catalogue
from luthier.errors import SettingsError
from luthier.records import read_rows, write_jsonl
from luthier.records.fusion import FusionItem, scenario_of
from luthier.records.fusion_suite import ITEMS, computed_label, problems, read_suite
from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase, Split, SuiteSettings, split_facts
from luthier.synthesize.fusion.documents import Text
from luthier.synthesize.fusion.extraction import passages
from luthier.synthesize.fusion.questions import Pool, drafts
from luthier.synthesize.fusion.splitting import WAYS
from luthier.texts.grams import normalised_words
from luthier.texts.values import states

IDS = st.frozensets(st.sampled_from("abcdef"))
SUBJECT = re.compile(r"(?:Nova|Orion|Vega|Lyra) [A-H]\d+")
SETTINGS = SuiteSettings(per_scenario=84, distractors=(0, 1, 5))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    path = write_catalogue(tmp_path_factory.mktemp("documents") / "devices.jsonl", 900)
    return split_facts(KnowledgeBase.from_paths([path], Columns(("device",))), by="random", holdout=0.25)


@pytest.fixture(scope="module")
def suite(split: Split) -> FusionSuite:
    return FusionSuite.build(split, SETTINGS)


@given(IDS, IDS, IDS)
def test_a_scenario_is_what_the_sets_make_it(needed: frozenset[str], context: frozenset[str], memory: frozenset[str]):
    label = scenario_of(needed, context, memory)
    conditions = {
        "S1": needed <= context,
        "S2": not needed <= context and not needed <= memory and needed <= context | memory,
        "S3": not needed & context and needed <= memory and not needed <= context,
        "S4": not needed & (context | memory),
    }
    assert [name for name, holds in conditions.items() if holds and needed] == ([label] if label else [])


def test_the_worked_examples_of_the_definition():
    external, memory = frozenset({"e1"}), frozenset({"p1"})
    assert scenario_of(frozenset({"e1"}), external, memory) == "S1"
    assert scenario_of(frozenset({"e1", "p1"}), external, memory) == "S2"
    assert scenario_of(frozenset({"p1"}), frozenset({"e9"}), memory) == "S3"
    assert scenario_of(frozenset({"h1"}), frozenset({"e9"}), memory) == "S4"
    assert scenario_of(frozenset({"p1", "h1"}), frozenset(), memory) is None


def test_a_thousand_items_carry_their_computed_labels_and_leak_nothing(suite: FusionSuite):
    assert len(suite.items) >= 1000
    assert Counter(item.scenario for item in suite.items).keys() == {"S1", "S2", "S3", "S4"}
    assert [item.id for item in suite.items if computed_label(item, suite.memory) != item.scenario] == []
    assert list(problems(suite.items, suite.memory)) == []


def test_the_checks_see_a_wrong_label_a_lost_value_and_a_leak(suite: FusionSuite):
    first = next(item for item in suite.items if item.scenario == "S1" and item.noise == 1)
    third = next(item for item in suite.items if item.scenario == "S3" and item.noise == 1)
    told = replace(third.context[0], text=f"It is {third.needed[0].values[0]}.")
    lost = tuple(replace(one, text="Nothing.") for one in first.context)
    for bad, said in (
        (replace(first, scenario="S3"), "is labelled S3, but its fact ids make it S1"),
        (replace(first, context=lost), "the context lacks"),
        (replace(third, context=(told,)), "gives"),
        (replace(third, context=(told,)), "a distractor states"),
    ):
        assert any(said in problem for problem in problems([bad], suite.memory))


def test_parts_are_disjoint_and_infusion_shows_no_test(split: Split, suite: FusionSuite):
    parts = [{fact.id for fact in half.all} for half in (split.memory, split.external, split.held)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    held = {fact.subject for fact in split.held.all}
    assert held.isdisjoint(fact.subject for fact in (*split.memory.all, *split.external.all))
    tested = {fact.subject for fact in split.external.test}
    questions = {item.question for item in (*suite.items, *suite.retention)}
    for row in suite.conversations:
        asked, said = row["messages"][1]["content"], row["messages"][2]["content"]
        assert asked.splitlines()[-1] not in questions
        if row["kind"] != "closed book":  # a tested subject may have another attribute that is infused
            assert tested.isdisjoint(SUBJECT.findall(f"{asked} {said}"))
    values = {(fact.subject, fact.value) for fact in split.external.test}
    for row in suite.statements:
        (subject,) = SUBJECT.findall(row["text"])
        assert not any(value in row["text"] for name, value in values if name == subject)


def test_no_question_form_of_training_is_one_of_the_tests(split: Split):
    def frames(use: str) -> set[str]:
        made = drafts(Pool.of(split, use), 60, Counter())  # type: ignore[arg-type]
        return {_frame(draft.question, draft.needed) for some in made.values() for draft in some}

    assert frames("train").isdisjoint(frames("test"))


def _frame(question: str, needed: tuple) -> str:
    for one in needed:
        for text, slot in ((one.subject, "S"), (one.attribute, "A"), *((value, "V") for value in one.values)):
            question = question.replace(text, slot)
    return question


def test_distractors_grow_by_the_same_ones_and_the_gold_passage_moves(suite: FusionSuite):
    by: dict[str, dict[int, FusionItem]] = {}
    for item in suite.items:
        by.setdefault(item.base, {})[item.noise] = item
    for levels in by.values():
        assert sorted(levels) == [0, 1, 5]
        texts = [{snippet.text for snippet in levels[noise].context} for noise in (0, 1, 5)]
        assert texts[0] <= texts[1] <= texts[2]
        assert all(sum(one.role == "distractor" for one in item.context) == item.noise == noise for noise, item in levels.items())
    assert {item.gold_place for item in suite.items if item.scenario == "S1" and item.noise == 5} == {0, 1, 2, 3, 4, 5}


def test_every_form_of_combining_is_there_and_states_both_facts(suite: FusionSuite):
    combined = [item for item in suite.items if item.scenario == "S2" and item.noise == 0]
    assert {item.form for item in combined} == {"two-part", "comparison", "bridge"}
    for item in combined:
        assert {one.part for one in item.needed} == {"external", "memory"}
        assert all(states(item.answer, one.values[0], one.kind) is not None for one in item.needed)
    refused = {item.form for item in suite.items if item.scenario == "S4"}
    assert refused == {"held-out subject", "absent attribute"}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(split: Split, suite: FusionSuite, tmp_path: Path):
    suite.save(tmp_path / "a")
    FusionSuite.build(split, SETTINGS).save(tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    read = read_suite(tmp_path / "a")
    assert (read.items, read.retention, read.memory, read.facts) == (suite.items, suite.retention, suite.memory, suite.facts)
    other = FusionSuite.build(replace(split, seed=1), SETTINGS)
    assert other.items != suite.items


def test_a_suite_that_was_tampered_with_is_refused(suite: FusionSuite, tmp_path: Path):
    manifest = suite.save(tmp_path)
    path = tmp_path / ITEMS
    rows = [row for _, row in read_rows(path)]
    rows[0]["scenario"] = "S4"
    write_jsonl(path, rows)
    with pytest.raises(SettingsError, match="is not as it was written"):
        read_suite(tmp_path)
    import hashlib

    manifest["files"][ITEMS]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SettingsError, match="is labelled S4, but its fact ids make it S1"):
        read_suite(tmp_path)


@pytest.mark.parametrize("by", WAYS)
def test_one_document_more_leaves_the_split_of_the_others(tmp_path: Path, by: str):
    rows = catalogue(200)
    write_jsonl(tmp_path / "a" / "one.jsonl", rows)
    write_jsonl(tmp_path / "b" / "one.jsonl", rows)
    write_jsonl(tmp_path / "b" / "two.jsonl", catalogue(60, seed=9, lines=("Cygnus",)))
    few, more = (
        split_facts(KnowledgeBase.from_paths([tmp_path / name], Columns(("device",))), by=by, at="2023-01-01", holdout=0.2)
        for name in ("a", "b")
    )

    def places(split: Split) -> dict[str, tuple[str, bool]]:
        halves = {"memory": split.memory, "external": split.external, "held": split.held}
        return {fact.id: (name, fact in half.train) for name, half in halves.items() for fact in half.all}

    before, after = places(few), places(more)
    assert len(after) > len(before)
    assert {fact: after[fact] for fact in before} == before


def test_a_date_decides_and_what_has_none_is_left_out(tmp_path: Path):
    rows = [{"device": f"D{n}", "date": f"20{n:02}-05-05", "price": f"{n} USD"} for n in range(10, 30)] + [
        {"device": "X", "price": "1 USD"}
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    kb = KnowledgeBase.from_paths([tmp_path], Columns(("device",)))
    split = split_facts(kb, by="date", at="2020-01-01", holdout=0)
    assert {fact.date < "2020-01-01" for fact in split.memory.all} == {True}  # type: ignore[operator]
    assert {fact.date >= "2020-01-01" for fact in split.external.all} == {True}  # type: ignore[operator]
    assert split.dropped == {"fact without a date": 1}
    assert split_facts(kb, by="date").settings["at"] == "2020-05-05"
    with pytest.raises(SettingsError, match="the split is at '2015-02-31'; give a date"):
        split_facts(kb, by="date", at="2015-02-31")


def test_near_duplicate_passages_stay_on_one_side(tmp_path: Path):
    story = "The company said that its new phone weighs less than all of the phones that it had made before this one"
    facts = [
        replace(fact, passage=f"{story}: {number}.", date=f"{2019 + number}-01-01")
        for number, fact in enumerate(
            KnowledgeBase.from_paths([write_catalogue(tmp_path / "a.jsonl", 12)], Columns(("device",), (("weight", "weight"),))).facts
        )
    ]
    split = split_facts(KnowledgeBase(tuple(facts)), by="date", at="2025-01-01", holdout=0)
    assert not split.external.all
    assert len(split.memory.all) == 6
    assert split.dropped == {"near-duplicate of a passage in another part": 6}


def test_a_passage_of_several_facts_is_in_one_part_and_one_half(tmp_path: Path):
    facts = KnowledgeBase.from_paths([write_catalogue(tmp_path / "a.jsonl", 120)], Columns(("device",), (("weight", "weight"),))).facts
    told = tuple(replace(fact, passage=f"Passage {place // 3}.") for place, fact in enumerate(facts))
    split = split_facts(KnowledgeBase(told), by="random", holdout=0.2)
    halves = [some for half in (split.memory, split.external, split.held) for some in (half.train, half.test)]
    seen = [{fact.passage for fact in some} for some in halves]
    assert sum(map(len, seen)) == len(set().union(*seen))
    assert sum(map(len, halves)) + sum(split.dropped.values()) == len(told)
    assert split.dropped.keys() == {"near-duplicate of a passage in another part", "test fact in a passage that training shows"}


def test_a_changed_fact_makes_a_conflict_whose_newer_value_is_wanted(tmp_path: Path):
    old = [{**row, "date": "2020-02-02"} for row in catalogue(60)]
    new = [{**row, "date": "2025-02-02", "weight": f"{2000 + n} g"} for n, row in enumerate(old[:40])]
    write_jsonl(tmp_path / "a.jsonl", [*old, *new])
    kb = KnowledgeBase.from_paths([tmp_path], Columns(("device",), (("weight", "weight"), ("maker", "maker"))))
    split = split_facts(kb, by="random", holdout=0.2)
    suite = FusionSuite.build(split, SuiteSettings(per_scenario=30, distractors=(0, 2)))
    conflicts = [item for item in suite.items if item.scenario == "C"]
    assert {item.form for item in conflicts} == {"newer in context", "newer in memory"}
    for item in conflicts:
        (need,) = item.needed
        assert need.values[0] in item.answer
        gold = next(snippet.text for snippet in item.context if snippet.role == "gold")
        shown = need.values[0] if item.form == "newer in context" else item.stale[0]
        assert shown in gold
        assert gold.startswith("As of 20")
        infused = [row["text"] for row in suite.statements if need.fact in row["facts"]]
        assert infused
        assert all((item.stale[0] if shown == need.values[0] else need.values[0]) in text for text in infused)

    def all_of_them(queries, texts, depth):
        return [list(range(len(texts))) for _ in queries]

    found = FusionSuite.build(split, SuiteSettings(per_scenario=30), search=all_of_them)
    assert any(item.scenario == "C" for item in found.items)
    assert "C: the facts at hand make it no scenario" not in found.report["dropped"]


def test_a_retriever_that_misses_turns_an_answer_into_a_refusal(split: Split):
    def blind(queries, texts, depth):
        return [[-1] * depth if number % 2 else [0, 1, 2] for number, _ in enumerate(queries)]

    def keen(queries, texts, depth):
        words = [set(normalised_words(text)) for text in texts]
        shared = [[len(each & set(normalised_words(query))) for each in words] for query in queries]
        return [sorted(range(len(texts)), key=lambda at, counts=counts: -counts[at])[:depth] for counts in shared]

    few = SuiteSettings(per_scenario=12)
    missed, found = FusionSuite.build(split, few, search=blind), FusionSuite.build(split, few, search=keen)
    for suite in (missed, found):
        assert list(problems(suite.items, suite.memory)) == []
    turned = [item for item in missed.items if item.base.startswith("S1") and item.scenario == "S4"]
    assert turned
    assert all(item.answer.startswith("I do not know") for item in turned)
    assert missed.report["dropped"]["S2: the facts at hand make it no scenario"] > 0
    assert sum(item.scenario == "S1" for item in found.items) > sum(item.scenario == "S1" for item in missed.items)


def test_known_facts_are_asked_by_no_test_and_memory_is_capped(split: Split):
    known = {fact.id for fact in split.external.test[:20]}
    suite = FusionSuite.build(split, SuiteSettings(per_scenario=10, memory=30), known=known)
    assert known.isdisjoint(one.fact for item in suite.items for one in item.needed)
    assert suite.report["dropped"]["the untrained model knows it"] == 20
    few = {fact.id for half in (split.memory, split.external, split.held) for fact in half.test[:8]}
    asked = FusionSuite.build(split, SuiteSettings(per_scenario=10, absent=0.0), tested=few)
    assert {one.fact for item in asked.items for one in item.needed} <= few
    assert asked.memory == {fact.id for fact in split.memory.all}
    assert len(suite.memory) == 30
    assert {row["facts"][0] for row in suite.statements} == suite.memory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_scenario": 0}, "per_scenario is 0"),
        ({"distractors": ()}, "distractors are different numbers"),
        ({"distractors": (1, 1)}, "distractors are different"),
        ({"forms": ("riddle",)}, "riddle is not among them"),
        ({"wordings": 0}, "must be at least 1"),
        ({"memory": 0}, "must be at least 1"),
    ],
)
def test_settings_without_meaning_are_refused(split: Split, change: dict, message: str):
    with pytest.raises(SettingsError, match=message):
        FusionSuite.build(split, replace(SuiteSettings(), **change))


def test_splits_without_meaning_are_refused(tmp_path: Path):
    kb = KnowledgeBase.from_paths([write_catalogue(tmp_path / "a.jsonl", 5)], Columns(("device",)))
    for settings, message in (
        ({"by": "colour"}, "choose one of date"),
        ({"holdout": 1.0}, "holdout must be"),
        ({"train": 0.0}, "between 0 and 1"),
    ):
        with pytest.raises(SettingsError, match=message):
            split_facts(kb, **{"by": "date", **settings})  # type: ignore[arg-type]
    undated = KnowledgeBase(tuple(replace(fact, date=None) for fact in kb.facts))
    with pytest.raises(SettingsError, match="no fact has a date"):
        split_facts(undated, by="date")
    with pytest.raises(SettingsError, match="no scenario gets an item"):
        FusionSuite.build(split_facts(undated, by="random", train=0.999), SuiteSettings(per_scenario=3, absent=0.0))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(5, 30))
def test_passages_keep_every_word_in_order(lengths: list[int], most: int):
    text = "\n\n".join(" ".join(f"w{n}" for n in range(length)) for length in lengths)
    cut = list(passages([Text(text, "t", None, "t.txt")], most))
    assert " ".join(one.text for one in cut).split() == text.split()
    assert all(len(one.text.split()) <= most for one in cut)
