"""Splits, baselines, scores and calibration beside independent ones, and the audit of a whole evaluation."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trace_logs import WordVectors, catalogue, learners

from luthier.errors import BadRowError, SettingsError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.trace import bkt
from luthier.trace.answers import AnswerCollector, Catalogue, Edge, Item
from luthier.trace.audit import write_audit
from luthier.trace.baselines import global_mean, identities, item_response, running_accuracy, running_accuracy_with_difficulty
from luthier.trace.bkt import Bkt, _expectations, _sequences, fit_bkt, predict_bkt
from luthier.trace.calibration import EVIDENCE, fit_platt, fit_spreads, spread_at
from luthier.trace.evaluation import evaluate_tracer, tracer_chances
from luthier.trace.evidence import concept_counts, evidence_of
from luthier.trace.item_rates import fold_rates, item_rates
from luthier.trace.scoring import auc_difference, calibration_error, first_attempts, position_of, reliability, score, within_learners
from luthier.trace.settings import FitSettings, TracerSettings
from luthier.trace.splits import read_split, split_learners
from luthier.trace.tracer import Tracer


def test_a_split_is_by_learner_and_a_new_learner_moves_nobody(tmp_path: Path):
    log, more = learners(200), learners(230)
    one, two = split_learners(log), split_learners(more)
    assert all(two.part_of[learner] == part for learner, part in one.part_of.items())
    sizes = [len(one.part(log, name).learners) for name in ("train", "valid", "test")]
    assert sum(sizes) == 200
    assert sizes == pytest.approx([140, 20, 40], abs=18)
    sha = one.save(tmp_path / "split.json")
    assert read_split(tmp_path / "split.json") == one
    assert read_split(tmp_path / "split.json").sha256 == sha == one.sha256
    with pytest.raises(SettingsError, match="not in the split"):
        one.part(more, "train")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(BadRowError, match="not a split"):
        read_split(tmp_path / "bad.json")


@pytest.mark.parametrize("hold", ["concepts", "items"])
def test_what_is_held_out_stays_in_test_histories_only(hold):
    log = learners(80)
    split = split_learners(log, hold=hold)
    unseen = split.unseen(log)
    assert unseen.any()
    assert not any(unseen[split.part(log, name).item].any() for name in ("train", "valid"))
    whole = split_learners(log)
    assert len(split.part(log, "test")) == len(whole.part(log, "test"))


def test_baselines_by_hand():
    collector = AnswerCollector()
    for item, right in (("a", 1), ("b", 0), ("a", 1)):
        collector.add("u", item, float(right), concept=item)
    log = collector.log()
    mean = 2 / 3
    assert global_mean(log, log) == pytest.approx([mean] * 3)
    running = [(0 + 5 * mean) / 5, (1 + 5 * mean) / 6, (1 + 5 * mean) / 7]
    assert running_accuracy(log, log) == pytest.approx(running)
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    hard = (0 + 5 * mean) / 6
    expected = 1 / (1 + np.exp(-(logit(running[1]) + logit(hard) - logit(mean))))
    assert running_accuracy_with_difficulty(log, log)[1] == pytest.approx(expected)


def test_item_response_theory_reads_only_what_came_before():
    from luthier.trace.item_response import calibrate

    train, log = learners(80), learners(6, seed=3)
    found = item_response(train, log)
    model = calibrate(train).model(train)
    for learner in range(6):
        some, state = log.of_learner(learner), model.start()
        for place in range(some.start, some.stop):
            assert found[place] == pytest.approx(model.predict(state, [int(log.item[place])])[0], abs=1e-9)
            state = model.update(state, int(log.item[place]), float(log.correct[place]))


def test_rates_of_items_by_hand_and_no_answer_tells_itself():
    log = learners(40)
    whole, folds = item_rates(log), fold_rates(log)
    place = int(log.item[0])
    same = [at for at, some in enumerate(log.catalogue.concepts_of) if some == log.catalogue.concepts_of[place]]
    mine, group = log.item == place, np.isin(log.item, same)
    of_group = (log.correct[group].sum() + 5 * log.correct.mean()) / (group.sum() + 5)
    rate = (log.correct[mine].sum() + 5 * of_group) / (mine.sum() + 5)
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    assert whole[place] == pytest.approx([logit(rate) - logit(of_group), np.log1p(mine.sum()) / 5], abs=1e-5)
    flipped = log.correct.copy()
    flipped[0] = 1 - flipped[0]  # of learner 0, who is in fold 0
    other = fold_rates(replace(log, correct=flipped))
    assert np.array_equal(folds[0], other[0])
    assert not np.array_equal(folds[1], other[1])
    assert not item_rates(log.take_learners([])).any()


@pytest.fixture
def no_margin():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bkt, "_MARGIN", 1e-12)
        yield


@pytest.mark.usefixtures("no_margin")
@given(st.lists(st.integers(0, 1), min_size=1, max_size=7), st.tuples(*[st.floats(0.05, 0.45)] * 4))
@example([1, 1, 1, 1, 1, 0, 1], (0.45, 0.45, 0.05, 0.0625))
@example([1, 1, 1, 1, 1, 1, 1], (0.45, 0.45, 0.05, 0.05))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the margin is the same for all examples
def test_bkt_is_that_of_all_paths_written_out(labels: list[int], parameters: tuple[float, float, float, float]):
    known, learns, guess, slip = parameters
    collector = AnswerCollector()
    for label in labels:
        collector.add("u", "q", float(label), concept="c")
    log = collector.log()
    model = Bkt(*(np.array([each]) for each in parameters))

    def paths(length: int):
        for path in itertools.product((0, 1), repeat=length):
            chance = known if path[0] else 1 - known
            for before, now in itertools.pairwise(path):
                chance *= (1.0 if now else 0.0) if before else (learns if now else 1 - learns)
            for state, label in zip(path, labels, strict=False):
                right = 1 - slip if state else guess
                chance *= right if label else 1 - right
            yield path, chance

    predicted = predict_bkt(model, log)
    for place in range(len(labels)):
        total = sum(chance for _, chance in paths(place)) if place else 1.0
        with_right = 0.0
        for path in itertools.product((0, 1), repeat=place + 1):
            chance = known if path[0] else 1 - known
            for before, now in itertools.pairwise(path):
                chance *= (1.0 if now else 0.0) if before else (learns if now else 1 - learns)
            for state, label in zip(path[:-1], labels, strict=False):
                right = 1 - slip if state else guess
                chance *= right if label else 1 - right
            with_right += chance * (1 - slip if path[-1] else guess)
        assert predicted[place] == pytest.approx(with_right / total, rel=1e-6)
    counts = _expectations(model, _sequences(log), log.correct.astype(float), 1)
    whole = sum(chance for _, chance in paths(len(labels)))
    share = lambda event: sum(chance * event(path) for path, chance in paths(len(labels))) / whole  # noqa: E731
    expected = [
        (share(lambda p: p[0]), 1.0),
        (
            share(lambda p: sum(b == 0 and n == 1 for b, n in itertools.pairwise(p))),
            share(lambda p: sum(b == 0 for b, _ in itertools.pairwise(p))),
        ),
        (share(lambda p: sum(s == 0 and y for s, y in zip(p, labels, strict=True))), share(lambda p: sum(s == 0 for s in p))),
        (share(lambda p: sum(s == 1 and not y for s, y in zip(p, labels, strict=True))), share(sum)),
    ]
    for (top, below), (e_top, e_below) in zip(counts, expected, strict=True):
        assert top[0] == pytest.approx(e_top, abs=1e-6)
        assert below[0] == pytest.approx(e_below, abs=1e-6)


def test_what_bkt_holds_for_known_can_be_taken_back():
    collector = AnswerCollector()
    for label in [1] * 300 + [0] * 12:
        collector.add("u", "q", float(label), concept="c")
    model = Bkt(*(np.array([each]) for each in (0.9, 0.01, 0.05, 0.05)))
    predicted = predict_bkt(model, collector.log())
    assert predicted[299] == pytest.approx(0.95, abs=1e-3)
    assert predicted[-1] < 0.1


def test_bkt_gives_items_without_concepts_the_share_of_right_answers():
    random, collector = np.random.default_rng(0), AnswerCollector()
    for learner in range(80):
        for step in range(20):
            item = int(random.integers(20))
            collector.add(f"u{learner}", f"q{item}", float(random.random() < 0.7), float(step), None if item % 2 else "s")
    log = collector.log()
    chance = predict_bkt(fit_bkt(log), log)
    bare = np.array([not some for some in log.catalogue.concepts_of])[log.item]
    assert chance[bare] == pytest.approx(float(log.correct.mean()))
    assert abs(chance[~bare].mean() - log.correct[~bare].mean()) < 0.05


def test_items_without_concepts_have_identities_of_their_own():
    known = Catalogue.of([Item("a", "", ("x",)), Item("b"), Item("c", "", ("x", "y")), Item("d")])
    assert identities(known) == ([(0,), (2,), (0, 1), (3,)], 4)


def test_bkt_finds_planted_parameters():
    random = np.random.default_rng(0)
    collector = AnswerCollector()
    for learner in range(1500):
        state = random.random() < 0.3
        for _ in range(10):
            collector.add(f"u{learner}", "q", float(random.random() < (0.9 if state else 0.2)), concept="c")
            state |= random.random() < 0.15
    found = fit_bkt(collector.log(), rounds=60)
    assert [float(each[0]) for each in found[:4]] == pytest.approx([0.3, 0.15, 0.2, 0.1], abs=0.05)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.integers(0, 1), st.integers(0, 3)), min_size=4, max_size=40))
def test_scores_are_those_of_scikit_learn(rows: list[tuple[float, int, int]]):
    from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

    chance = np.array([round(row[0], 1) for row in rows]).clip(0.05, 0.95)
    correct = np.array([row[1] for row in rows], dtype=np.float32)
    found = score(chance, correct, np.array([row[2] for row in rows], dtype=np.int32), draws=20).to_row()
    if len(set(correct)) == 1:
        assert found["auc"] == {"value": None, "low": None, "high": None}
    else:
        assert found["auc"]["value"] == pytest.approx(roc_auc_score(correct, chance))
        assert found["auc"]["low"] <= found["auc"]["high"]
    assert found["accuracy"]["value"] == pytest.approx(accuracy_score(correct, chance >= 0.5))
    assert found["log_loss"]["value"] == pytest.approx(log_loss(correct, chance, labels=[0, 1]), rel=1e-5)
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(correct, chance), rel=1e-5)
    assert found["ece"]["value"] == pytest.approx(calibration_error(chance, correct))


def test_calibration_error_and_reliability_by_hand():
    chance, correct = np.array([0.05, 0.05, 0.95, 0.95]), np.array([0, 1, 1, 1], dtype=np.float32)
    assert calibration_error(chance, correct) == pytest.approx((0.45 * 2 + 0.05 * 2) / 4)
    assert [(one.answers, one.right) for one in reliability(chance, correct)] == [(2, 0.5), (2, 1.0)]
    assert auc_difference(chance, chance[::-1].copy(), correct, np.arange(4, dtype=np.int32), draws=20).value == pytest.approx(2 / 3)


def test_positions_first_attempts_and_learners_alone():
    collector = AnswerCollector()
    for learner, item, right in (("a", "p", 0), ("a", "q", 1), ("a", "p", 1), ("b", "p", 1)):
        collector.add(learner, item, float(right))
    log = collector.log()
    assert position_of(log).tolist() == [1, 2, 3, 1]
    assert first_attempts(log).tolist() == [True, True, False, True]
    assert within_learners(np.array([0.1, 0.5, 0.5, 0.0]), log) == 1.0
    assert within_learners(np.array([0.0]), log.take_learners([1])) is None


@given(st.integers(0, 1000))
def test_evidence_counts_only_what_came_before(seed: int):
    log = learners(4, 12, seed=seed, known=catalogue(2))
    seen, right = concept_counts(log)
    for place in range(len(log)):
        begin = log.of_learner(int(log.learner[place])).start
        mine = log.catalogue.concepts_of[log.item[place]]
        past = [(log.catalogue.concepts_of[log.item[at]], log.correct[at]) for at in range(begin, place)]
        assert seen[place] == pytest.approx(sum(one in some for one in mine for some, _ in past) / len(mine))
        assert right[place] == pytest.approx(sum(c for one in mine for some, c in past if one in some) / len(mine))
    assert not evidence_of(log)[log.starts[:-1]].any()


def test_platt_undoes_a_distortion_and_spreads_a_planted_one():
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, 20_000)
    correct = (random.random(20_000) < 1 / (1 + np.exp(-(0.6 * logits - 0.4)))).astype(np.float32)
    found = fit_platt(logits, correct)
    assert found == pytest.approx((0.6, -0.4), abs=0.06)
    assert fit_platt(logits[:5], correct[:5]) == (1.0, 0.0)
    collector, estimates = AnswerCollector(), []
    for learner in range(1500):
        truth = random.normal(0, 1.0)
        for _ in range(20):
            collector.add(f"u{learner}", "q", float(random.random() < 1 / (1 + np.exp(-truth))), concept="c")
            estimates.append(0.0)
    spreads = fit_spreads(np.array(estimates), collector.log())
    assert spreads == pytest.approx([1.0] * len(EVIDENCE), abs=0.16)
    assert spread_at([1, 2, 3, 4, 5], np.array([0, 2, 3, 10, 99])).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("hold", [None, "concepts"])
def test_a_whole_evaluation_passes_an_independent_audit(tmp_path: Path, hold):
    kt_audit = pytest.importorskip("kt_audit.audit")
    log = learners(260, 30)
    split = split_learners(log, hold=hold, seed=1)
    tracer = Tracer(
        TracerSettings(dim=16, fit=FitSettings(epochs=10, learning_rate=4e-3, batch=16)),
        embedder=WordVectors(),
        cache=EmbeddingCache(tmp_path),
    )
    found = evaluate_tracer(log, split, tracer, draws=20)
    scores = found.results["scores"]
    assert ("unseen" in scores["sinkt"]) is (hold is not None)
    assert ("dkt-known" in scores) is (hold is not None)
    assert scores["sinkt"]["all"]["auc"]["value"] > scores["running"]["all"]["auc"]["value"]
    assert scores["mean"]["all"]["auc"]["value"] == 0.5
    assert found.results["differences"]["running"]["all"]["low"] > 0
    answers = found.results["split"]["answers"]
    assert answers["test"] == scores["sinkt"]["all"]["answers"]
    chances = {name: found.chances["sinkt"] if name == "test" else tracer_chances(tracer, part) for name, part in found.parts.items()}
    rows = write_audit(tmp_path / "audit.csv", found.parts, chances)
    assert rows == sum(answers.values())
    report = kt_audit.audit_path(tmp_path / "audit.csv")
    assert report.verdict == "pass", report.findings
    assert report.baselines["0"]["model_auc"] == pytest.approx(scores["sinkt"]["all"]["auc"]["value"], abs=1e-4)


def test_edges_from_training_answers_are_refused_where_concepts_are_held_out(tmp_path: Path):
    log = learners(20)
    known = log.catalogue.with_edges([Edge("adding numbers", "reading graphs", "related", 1.0, "train")])
    tracer = Tracer(TracerSettings(), embedder=WordVectors(), cache=EmbeddingCache(tmp_path))
    with pytest.raises(SettingsError, match="training answers"):
        evaluate_tracer(replace(log, catalogue=known), split_learners(log, hold="concepts"), tracer)
    with pytest.raises(SettingsError, match="both are needed"):
        evaluate_tracer(log, split_learners(log, shares=(1.0, 0.0, 0.0)), tracer)
