from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadRowError, MissingFileError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.trace.answers import Concept, Item
from luthier.trace.order_free import OrderFreeTracer
from model_answers import planted

LOG = planted(60, 60, concepts=3, spread=0.6).log


@pytest.fixture(scope="module")
def tracer(tmp_path_factory: pytest.TempPathFactory) -> OrderFreeTracer:
    made = OrderFreeTracer("static", cache=EmbeddingCache(tmp_path_factory.mktemp("cache")))
    made.fit(LOG)
    return made


@given(st.lists(st.tuples(st.integers(0, 59), st.sampled_from([0.0, 0.25, 1.0])), max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_replayed_and_updated_states_are_the_same_in_any_order(tracer: OrderFreeTracer, rows, random) -> None:
    answers = [(f"item-{at}", score) for at, score in rows]
    whole = tracer.replay(answers)
    random.shuffle(answers)
    state = tracer.start()
    for item, correct in answers:
        state = tracer.update(state, item, correct)
    assert np.array_equal(whole, state)
    assert tracer.predict(whole) == tracer.predict(state)


def test_an_unseen_item_is_ordered_by_its_text_and_old_predictions_stay(tmp_path: Path) -> None:
    tracer = OrderFreeTracer("static", cache=EmbeddingCache(tmp_path))
    tracer.fit(LOG)
    state = tracer.replay([(f"item-{at}", float(at % 2)) for at in range(20)])
    old = [f"item-{at}" for at in range(60)]
    before, mastered = tracer.predict(state, old), tracer.mastery(state)
    tracer.add_items([Item("short", "x" * 20, ("skill-0",)), Item("long", "x" * 70, ("skill-0",)), Item("bare", "", ("skill-1",))])
    assert tracer.predict(state, old) == before
    assert tracer.mastery(state) == mastered
    told = tracer.predict(state)
    assert told["short"] > told["long"] + 0.1  # length was planted
    assert 0 < told["bare"] < 1
    grown = tracer.update(state, "long", 1.0)
    assert tracer.predict(grown)["short"] > told["short"]


def test_a_concept_that_comes_later_is_predicted_from_the_others(tmp_path: Path) -> None:
    tracer = OrderFreeTracer("static", cache=EmbeddingCache(tmp_path))
    tracer.fit(LOG)
    weak, strong = (tracer.replay([(f"item-{at}", score) for at in range(30)]) for score in (0.0, 1.0))
    before = tracer.predict(weak)
    tracer.add_concepts([Concept("new", "a new skill")])
    tracer.add_items([Item("first", "x" * 40, ("new",))])
    assert tracer.predict(weak, list(before)) == pytest.approx(before, abs=1e-9)
    assert tracer.predict(weak)["first"] < tracer.predict(strong)["first"]
    assert tracer.mastery(weak)["new"].answers == 0
    known = tracer.mastery(tracer.update(strong, "first", 1.0))["new"]
    assert known.answers == 1
    assert known.low < known.chance < known.high


def test_a_saved_tracer_says_the_same(tracer: OrderFreeTracer, tmp_path: Path) -> None:
    again = OrderFreeTracer.load(tracer.save(tmp_path / "tracer"))
    state = tracer.replay([("item-3", 1.0), ("item-4", 0.0)])
    assert again.predict(state) == tracer.predict(state)
    assert again.mastery(state, ["skill-1"]) == tracer.mastery(state, ["skill-1"])
    again._cache = EmbeddingCache(tmp_path / "cache")
    again.add_items([Item("late", "x" * 50, ("skill-2",))])
    assert 0 < again.predict(state, ["late"])["late"] < 1


def test_what_is_not_known_is_said(tracer: OrderFreeTracer, tmp_path: Path) -> None:
    with pytest.raises(BadRowError, match="the item 'none' is not known"):
        tracer.update(tracer.start(), "none", 1.0)
    with pytest.raises(BadRowError, match="the concept 'none' is not known"):
        tracer.mastery(tracer.start(), ["none"])
    with pytest.raises(BadRowError, match="is there twice"):
        tracer.add_items([Item("item-1", "", ("skill-0",))])
    with pytest.raises(BadRowError, match="not among the concepts"):
        tracer.add_items([Item("odd", "", ("nothing",))])
    tracer.save(tmp_path)
    (tmp_path / "text.safetensors").write_bytes(b"no")
    with pytest.raises(BadRowError, match="not a saved tracer"):
        OrderFreeTracer.load(tmp_path)
    (tmp_path / "text.safetensors").unlink()
    with pytest.raises(MissingFileError, match="does not exist"):
        OrderFreeTracer.load(tmp_path)
