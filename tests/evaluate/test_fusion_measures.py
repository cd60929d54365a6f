"""Scores of whole suites: four scripted models get exactly theirs, shuffled contexts change nothing, and figures have intervals that hold them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from fusion_catalogue import write_catalogue
from luthier.errors import EngineError, SettingsError
from luthier.evaluate.fusion import (
    SCRIPTS,
    Answer,
    FusionScores,
    Scorer,
    ScriptedModel,
    agreement,
    answers,
    compare,
    judge,
    known_facts,
    measure,
    with_memory,
)
from luthier.evaluate.fusion.asking import answer_room, prompt
from luthier.evaluate.fusion.scripted import REFUSAL
from luthier.models.protocol import GREEDY, Completion, Prompt, Score, Usage
from luthier.records.fusion import FusionItem
from luthier.records.fusion_suite import computed_label
from luthier.synthesize.fusion import Columns, FusionSuite, KnowledgeBase, SuiteSettings, split_facts

# R_acc and R_cover of S1, S2, S3, S4
EXPECTED = {
    "reader": ((1, 1), (0, 0.5), (0, 0), (1, 1)),
    "memory": ((0, 0), (0, 0.5), (1, 1), (1, 1)),
    "both": ((1, 1), (1, 1), (1, 1), (1, 1)),
    "refuser": ((0, 0), (0, 0), (0, 0), (1, 1)),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> FusionSuite:
    path = write_catalogue(tmp_path_factory.mktemp("documents") / "devices.jsonl", 400)
    split = split_facts(KnowledgeBase.from_paths([path], Columns(("device",))), by="random", holdout=0.25)
    return FusionSuite.build(split, SuiteSettings(per_scenario=40, distractors=(0, 3)))


def scored(suite: FusionSuite, script: str, items: tuple[FusionItem, ...] | None = None) -> FusionScores:
    some = suite.items if items is None else items
    return measure(judge(some, list(answers(ScriptedModel(script, some, suite.memory), some)), Scorer(suite.facts)))


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripted_models_get_exactly_their_scores(suite: FusionSuite, script: str):
    made = scored(suite, script)
    found = tuple((one.right.rate, one.cover.rate) for one in made.scenarios.values())
    assert found == EXPECTED[script]
    assert all(rate.rate == EXPECTED[script][at][0] for at, one in enumerate(made.scenarios.values()) for rate in one.by_noise.values())
    assert all(drop.mean == 0 for one in made.scenarios.values() for drop in one.noise_drop.values())
    assert made.truncated == 0
    assert made.refusing.recall.rate == 1
    assert made.refusing.collapsed == ("always" if script == "refuser" else None)
    assert made.sources["external"].rate == (script in ("reader", "both"))
    assert made.sources["memory"].rate == (script in ("memory", "both"))


def test_shuffled_contexts_leave_the_scores_as_they_are(suite: FusionSuite):
    draw = Random(0)
    turned = tuple(replace(item, context=tuple(draw.sample(item.context, len(item.context)))) for item in suite.items)
    for script in SCRIPTS:
        one, other = scored(suite, script), scored(suite, script, turned)
        assert all(one.scenarios[name].right == other.scenarios[name].right for name in one.scenarios)


def test_a_model_that_never_refuses_is_named_as_such(suite: FusionSuite):
    said = [Answer(item.id, "It is 1999-01-01, 5 g, 0.0.1 or Zeta.", False) for item in suite.items]
    made = measure(judge(suite.items, said, Scorer(suite.facts)))
    assert made.refusing.collapsed == "never"
    assert made.refusing.precision.rate is None
    assert made.refusing.f1.rate == 0


def test_intervals_hold_their_rates_and_arms_differ_by_what_they_differ(suite: FusionSuite):
    draw, scorer = Random(1), Scorer(suite.facts)
    half = [Answer(item.id, item.answer if draw.random() < 0.5 else REFUSAL, False, draw.random()) for item in suite.items]
    judged, whole = (
        judge(suite.items, half, scorer),
        judge(suite.items, [Answer(item.id, item.answer, False) for item in suite.items], scorer),
    )
    made = measure(judged)
    rates = [rate for one in made.scenarios.values() for rate in (one.right, one.cover, one.refused)] + [
        made.refusing.precision,
        made.refusing.recall,
        made.refusing.f1,
    ]
    assert all(one.low <= one.rate <= one.high for one in rates)
    assert 0.3 < made.scenarios["S1"].right.rate < 0.7
    difference = compare(judged, whole)["S1"]
    assert difference.mean == pytest.approx(1 - made.scenarios["S1"].right.rate)
    assert difference.low > 0
    assert difference.p < 0.01
    assert [point.coverage for point in made.abstention.points][-1] == 1.0
    assert made.abstention.points[-1].items == len(judged)


def test_retained_facts_alone_are_scored_apart(suite: FusionSuite):
    scorer = Scorer(suite.facts)
    kept = [Answer(item.id, item.answer if at % 2 else REFUSAL, False) for at, item in enumerate(suite.retention)]
    retention = judge(suite.retention, kept, scorer)
    known = {fact for item, answer in zip(suite.retention, kept, strict=True) for fact in item.needed_ids if answer.text == item.answer}
    said = [
        Answer(item.id, item.answer if item.needed_ids <= known | {n.fact for n in item.needed if n.part != "memory"} else REFUSAL, False)
        for item in suite.items
    ]
    made = measure(judge(suite.items, said, scorer), retention)
    assert made.retention.rate == pytest.approx(0.5, abs=0.02)
    for name in ("S2", "S3"):
        assert 0.2 < made.scenarios[name].right.rate < 0.8
        assert made.retained[name].right.rate == 1


def test_answers_have_room_for_twice_the_longest_and_a_cut_one_is_counted(suite: FusionSuite):
    class Wordy:
        name, supports, usage = "wordy", frozenset({"generate"}), Usage()

        def encode(self, text: str) -> list[int]:
            return [ord(letter) for letter in text]

        def generate(self, prompts, sampling=GREEDY, progress=None):
            wanted = {prompt(item).messages: f"{item.answer} {item.answer}"[: 2 * len(item.answer)] for item in suite.items}
            made = [wanted[one.messages] for one in prompts]
            return [
                Completion(text[: sampling.max_tokens], "stop" if len(text) <= sampling.max_tokens else "length", 0, 0) for text in made
            ]

        def score(self, prompts, continuations):
            raise AssertionError

    model = Wordy()
    assert answer_room(model, suite.items) == 2 * max(len(item.answer) for item in suite.items)
    scorer = Scorer(suite.facts)
    assert measure(judge(suite.items, list(answers(model, suite.items)), scorer)).truncated == 0
    assert measure(judge(suite.items, list(answers(model, suite.items, max_tokens=20)), scorer)).truncated > len(suite.items) / 2


def test_answers_to_other_items_are_refused(suite: FusionSuite):
    with pytest.raises(SettingsError, match="not those to these items"):
        judge(suite.items, [Answer("x", "y", False) for _ in suite.items], Scorer(suite.facts))
    with pytest.raises(EngineError, match="no item of its suite"):
        ScriptedModel("both", suite.items[:1], suite.memory).generate([prompt(suite.items[-1])])
    with pytest.raises(SettingsError, match="choose one of reader"):
        ScriptedModel("guesser", suite.items, suite.memory)
    with pytest.raises(SettingsError, match="cannot score its answers"):
        list(answers(ScriptedModel("both", suite.items, suite.memory), suite.items, confidence=True))


def test_measured_memory_relabels_what_a_model_does_not_know(suite: FusionSuite):
    known = frozenset(sorted(suite.memory)[: len(suite.memory) // 2])
    kept, left_out = with_memory(suite.items, known)
    assert len(kept) + left_out == len(suite.items)
    assert left_out > 0
    assert all(computed_label(item, known) == item.scenario for item in kept)
    assert {item.scenario for item in kept} == {"S1", "S2", "S3", "S4"}
    assert all(item.answer.startswith("I do not know") for item in kept if item.scenario == "S4")


def test_what_a_model_knows_is_found_by_its_samples(suite: FusionSuite):
    half = {item.id for item in suite.retention[::2]}

    class Half(ScriptedModel):
        def _answer(self, asked: Prompt) -> str:
            item = self._items[asked.messages]
            return item.answer if item.id in half else REFUSAL

    model = Half("memory", suite.retention, suite.memory)
    assert known_facts(model, suite.retention, Scorer(suite.facts)) == {
        fact for item in suite.retention if item.id in half for fact in item.needed_ids
    }


def test_a_judge_is_reported_with_its_agreement(suite: FusionSuite):
    class Lenient:
        name, supports, usage = "lenient", frozenset({"generate", "json_schema"}), Usage()

        def generate(self, prompts, sampling=GREEDY, progress=None):
            assert all(one.json_schema is not None for one in prompts)
            return [Completion("maybe" if at % 10 == 0 else '{"right": true}', "stop", 0, 0) for at, _ in enumerate(prompts)]

        def score(self, prompts, continuations) -> list[Score]:
            raise AssertionError

    scorer = Scorer(suite.facts)
    judged = judge(suite.items, [Answer(item.id, item.answer if at % 4 else REFUSAL, False) for at, item in enumerate(suite.items)], scorer)
    made = agreement(Lenient(), judged, sample=100)
    assert (made.sample, made.unreadable, made.right_judge.rate) == (100, 10, 1)
    assert made.agreement == made.right_exact
    assert made.kappa == 0
