from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from luthier.trace.ability import AbilityModel
from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Edge, Item
from luthier.trace.checkpoints import changes, follow, items_to_train, spans
from luthier.trace.item_response import calibrate

SKILLS = ("sums", "slices", "dates")


def checkpoints(chances: list[tuple[float, float, float]], items: int = 60, seed: int = 0, *, same_items: bool = True) -> AnswerLog:
    """One checkpoint a row of `chances`, by skill; an item that is passed once tends to be passed again."""
    draw, collector = np.random.default_rng(seed), AnswerCollector()
    luck = draw.random((3, items))
    for step, row in enumerate(chances):
        for skill, chance in enumerate(row):
            for item in range(items):
                fresh = draw.random() if draw.random() < 0.3 else luck[skill, item]
                name = f"{SKILLS[skill]}-{item if same_items else 1000 * step + item}"
                collector.add(f"step-{step}", name, float(fresh < chance))
    items_seen = [Item(item.item, "", (item.item.split("-")[0],)) for item in collector.log().catalogue.items]
    return collector.log(Catalogue.of(items_seen))


def moved(log: AnswerLog) -> dict[tuple[str, str], str]:
    model = calibrate(log).model(log)
    return {(one.concept, one.after): one.verdict for one in changes(model, log, follow(model, log))}


@pytest.mark.parametrize("same_items", [True, False])
def test_a_lost_skill_is_an_alarm_and_the_others_are_not(same_items: bool) -> None:
    log = checkpoints([(0.5, 0.8, 0.5), (0.9, 0.8, 0.5), (0.9, 0.3, 0.5)], items=80, same_items=same_items)
    model = calibrate(log).model(log)
    found = changes(model, log, follow(model, log))
    verdicts = {(one.concept, one.after): one.verdict for one in found if one.verdict}
    assert {name for name, _ in verdicts} == {"sums", "slices"}
    narrow = {(one.concept, one.before, one.after): one.verdict for one in found if one.narrowest}
    assert narrow == {("sums", "step-0", "step-1"): "gained", ("slices", "step-1", "step-2"): "lost"}
    lost = next(one for one in found if one.verdict == "lost" and one.narrowest)
    assert (lost.by, lost.items) == (("items", 80) if same_items else ("ability", 0))
    assert (lost.evidence_before, lost.evidence_after) == (80, 80)
    assert lost.p <= lost.p_all < 0.05
    assert lost.mastery_after < lost.mastery_before - 0.2
    assert lost.difference < -0.2


def test_what_fades_slowly_is_found_over_a_distance() -> None:
    log = checkpoints([(0.5, 0.9 - 0.1 * step, 0.5) for step in range(9)], items=40)
    model = calibrate(log).model(log)
    found = [one for one in changes(model, log, follow(model, log)) if one.narrowest]
    assert {(one.concept, one.verdict) for one in found} == {("slices", "lost")}
    places = [(log.learners.index(one.before), log.learners.index(one.after)) for one in found]
    assert all(after - before > 1 for before, after in places)
    assert not any(a[0] <= b[0] and b[1] <= a[1] for a in places for b in places if a != b)


def test_fractions_are_tested_too() -> None:
    log = checkpoints([(0.5, 0.9, 0.5), (0.5, 0.3, 0.5)], items=60)
    halves = replace(log, correct=(0.8 * log.correct + 0.1).astype(np.float32))
    for each in (log, halves):
        model = calibrate(each).model(each)
        assert {one.concept: one.verdict for one in changes(model, each, follow(model, each))}["slices"] == "lost"


def test_spans_are_powers_of_two() -> None:
    assert spans(4) == [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)]
    assert spans(1) == []
    assert max(b - a for a, b in spans(20)) == 16


def test_without_a_change_alarms_are_as_rare_as_they_say() -> None:
    false = sum(any(moved(checkpoints([(0.6, 0.5, 0.4)] * 4, items=30, seed=seed)).values()) for seed in range(16))
    assert false <= 3  # 0.8 expected; more than 3 has a chance below one in a hundred


def test_ability_tests_are_as_rare_where_items_differ() -> None:
    false = sum(any(moved(checkpoints([(0.6, 0.5, 0.4)] * 4, items=30, seed=seed, same_items=False)).values()) for seed in range(16))
    assert false <= 3


def test_pairs_can_be_chosen_and_a_skill_without_answers_is_left_out() -> None:
    log = checkpoints([(0.5, 0.8, 0.5), (0.9, 0.8, 0.5), (0.9, 0.3, 0.5)])
    log = log.where((log.learner != 0) | (log.item % 3 != 0))
    kept = log.where(~((log.learner == 0) & np.array([log.catalogue.items[item].concepts == ("dates",) for item in log.item])))
    model = calibrate(kept).model(kept)
    found = changes(model, kept, follow(model, kept), pairs=[(0, 2)])
    assert [(one.concept, one.before, one.after) for one in found] == [("sums", "step-0", "step-2"), ("slices", "step-0", "step-2")]


def training_model(mastered: float = 0.0) -> tuple[AbilityModel, AnswerLog]:
    """30 items of three skills with difficulties around -1.5 to 1.5."""
    collector = AnswerCollector()
    for item in range(30):
        collector.add("a", f"i-{item}", 0.5)
    catalogue = Catalogue.of([Item(f"i-{item}", "", (SKILLS[item % 3],)) for item in range(30)])
    difficulty = np.tile(np.linspace(-1.5, 1.5, 10), 3).reshape(3, 10).T.ravel() - mastered
    log = collector.log(catalogue)
    return AbilityModel(difficulty, catalogue.concepts_of, 3), log


def test_items_to_train_are_within_reach_and_spread_over_skills() -> None:
    model, log = training_model()
    chosen = items_to_train(model, log, model.start(), 9)
    assert [sum(item % 3 == skill for item, _ in chosen) for skill in range(3)] == [3, 3, 3]
    assert all(0.3 <= chance <= 0.7 for _, chance in chosen)
    distances = [abs(chance - 0.5) for item, chance in chosen if item % 3 == 0]
    assert distances == sorted(distances)
    assert len(items_to_train(model, log, model.start(), 1000)) == 6 * 3
    assert items_to_train(training_model(20.0)[0], log, model.start(), 5) == []


def test_a_skill_waits_for_its_prerequisite() -> None:
    model, log = training_model()
    log = replace(log, catalogue=log.catalogue.with_edges([Edge("sums", "dates"), Edge("slices", "sums", "related")]))
    weak, strong = model.start(), model.start()
    for item in range(0, 30, 3):
        weak, strong = model.update(weak, item, 0.0), model.update(strong, item, 1.0)
    assert not any(item % 3 == 2 for item, _ in items_to_train(model, log, weak, 50))
    assert any(item % 3 == 2 for item, _ in items_to_train(model, log, strong, 50))
