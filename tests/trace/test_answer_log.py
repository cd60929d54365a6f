"""Answers as columns: order, merging of rows that are one answer, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.trace.answers import AnswerCollector, Catalogue, Concept, Edge, Item

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=40)


@given(ROWS)
def test_answers_stand_by_learner_and_time_and_none_is_lost(rows: list[tuple[int, int, int, int]]):
    collector = AnswerCollector()
    for learner, item, right, time in rows:
        collector.add(f"u{learner}", f"q{item}", float(right), float(time))
    log = collector.log()
    assert len(log) == len(rows)
    expected: dict[str, list[tuple[int, str, int]]] = {}
    for learner, item, right, time in rows:
        expected.setdefault(f"u{learner}", []).append((time, f"q{item}", right))
    for place, name in enumerate(log.learners):
        some = log.of_learner(place)
        found = [
            (int(t), log.catalogue.items[i].item, int(c)) for t, i, c in zip(log.time[some], log.item[some], log.correct[some], strict=True)
        ]
        assert found == sorted(expected[name], key=lambda each: each[0])
    late = sum(
        sum(row[3] > after[3] for row, after in itertools.pairwise(mine)) for mine in ([r for r in rows if r[0] == who] for who in range(4))
    )
    assert log.moved == late


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sets(st.integers(0, 3), min_size=1)), min_size=1, max_size=20))
def test_rows_of_one_answer_are_merged_and_counted(answers: list[tuple[int, int, set[int]]]):
    collector, rows = AnswerCollector(), 0
    for number, (learner, item, concepts) in enumerate(answers):
        for concept in sorted(concepts):
            collector.add(f"u{learner}", f"q{item}", float(number % 2), float(number), f"c{concept}")
            rows += 1
    log = collector.log()
    assert (len(log), log.merged) == (len(answers), rows - len(answers))
    for item in {item for _, item, _ in answers}:
        union = {f"c{one}" for _, other, some in answers if other == item for one in some}
        assert set(log.catalogue.items[log.catalogue.item_places[f"q{item}"]].concepts) == union


def test_without_times_the_same_concept_again_is_another_attempt():
    collector = AnswerCollector()
    for concept, right in (("a", 1), ("b", 1), ("a", 0), ("b", 0), ("b", 1)):
        collector.add("u", "q", float(right), concept=concept)
    log = collector.log()
    assert log.correct.tolist() == [1.0, 0.0, 1.0]
    assert log.merged == 2


def test_one_answer_with_two_labels_is_refused_with_its_line():
    collector = AnswerCollector()
    collector.add("u", "q", 1.0, 5.0, "a", 2)
    collector.add("u", "q", 0.0, 5.0, "b", 3)
    with pytest.raises(BadRowError, match="two labels") as refused:
        collector.log()
    assert refused.value.line == 3


def test_scores_outside_and_empty_logs_and_wild_times_are_refused():
    collector = AnswerCollector()
    with pytest.raises(BadRowError, match="between 0 and 1"):
        collector.add("u", "q", 1.5)
    with pytest.raises(BadRowError, match="no answer"):
        collector.log()
    collector.add("u", "q", 1.0, float("nan"))
    with pytest.raises(BadRowError, match="timestamp"):
        collector.log()


def test_parts_of_a_log_keep_their_learners():
    collector = AnswerCollector()
    for learner in range(4):
        for item in range(learner + 1):
            collector.add(f"u{learner}", f"q{item}", 0.5)
    log = collector.log()
    some = log.take_learners([3, 1])
    assert some.learners == ("u3", "u1")
    assert np.diff(some.starts).tolist() == [4, 2]
    assert np.diff(log.where(log.item == 0).starts).tolist() == [1, 1, 1, 1]
    assert [row["correct"] for row in some.rows()] == [0.5] * 6


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (((Item("q"), Item("q")), (), ()), "item 'q' is there twice"),
        (((Item("q", "", ("c",)),), (), ()), "not among the concepts"),
        (((), (Concept("c"),), (Edge("c", "d"),)), "names the concept 'd'"),
        (((), (Concept("c"), Concept("d")), (Edge("c", "d", "causes"),)), "relations are"),
    ],
)
def test_catalogues_that_do_not_hold_together_are_refused(parts: tuple, told: str):
    with pytest.raises(BadRowError, match=told):
        Catalogue(*parts)


def test_answers_to_items_that_a_catalogue_lacks_are_refused():
    collector = AnswerCollector()
    collector.add("u", "q2", 1.0)
    with pytest.raises(BadRowError, match="'q2' was answered"):
        collector.log(Catalogue((Item("q1"),)))
