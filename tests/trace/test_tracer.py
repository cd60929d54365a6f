"""The tracer: one answer at a time as in a batch, new items without training, advice, and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from trace_logs import PREREQUISITES, SKILLS, WordVectors, catalogue, learners

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.trace.advice import explain, recommend
from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.attention import relation_attention
from luthier.trace.fitting import predict_log
from luthier.trace.onnx_export import export_onnx
from luthier.trace.settings import FitSettings, TracerSettings
from luthier.trace.stepping import LearnerState
from luthier.trace.tracer import Tracer

FIT = FitSettings(epochs=4, batch=16, least=5)


def fitted(folder: Path, log: AnswerLog, **settings) -> Tracer:
    tracer = Tracer(TracerSettings(dim=16, fit=FIT, **settings), embedder=WordVectors(), cache=EmbeddingCache(folder))
    tracer.fit(log)
    return tracer


@pytest.fixture(scope="module")
def log() -> AnswerLog:
    return learners(150, known=catalogue(texts=True))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, log: AnswerLog) -> Path:
    folder = tmp_path_factory.mktemp("tracer")
    return fitted(folder / "cache", log).save(folder / "tracer")


@pytest.fixture
def tracer(saved: Path) -> Tracer:
    found = Tracer.load(saved)
    found._embedder = WordVectors()
    return found


def history(log: AnswerLog, place: int) -> list[tuple[str, float]]:
    some = log.of_learner(place)
    return [(log.catalogue.items[i].item, float(c)) for i, c in zip(log.item[some], log.correct[some], strict=True)]


def test_one_answer_at_a_time_is_the_batch(tracer: Tracer, log: AnswerLog):
    chances = tracer.calibrated(predict_log(tracer.module, log), tracer.bank.trained[log.item])
    for learner in (0, 3):
        state, some = tracer.start(), log.of_learner(learner)
        for place, (item, correct) in zip(range(some.start, some.stop), history(log, learner), strict=True):
            assert tracer.predict(state, [item])[item] == pytest.approx(chances[place], abs=1e-5)
            state = tracer.update(state, item, correct)
        assert tracer.predict(state) == pytest.approx(
            dict(zip(tracer.bank.item_rows, tracer.chances(state, np.arange(len(tracer.bank.items))), strict=True))
        )


def test_a_state_survives_json_and_refuses_another_graph(tracer: Tracer, log: AnswerLog):
    state = tracer.replay(history(log, 1))
    kept = LearnerState.of_row(json.loads(json.dumps(state.to_row())))
    assert tracer.predict(kept) == tracer.predict(state)
    assert tracer.mastery(kept) == tracer.mastery(state)
    with pytest.raises(BadRowError, match="not the state"):
        LearnerState.of_row({"hidden": [1.0]})
    tracer.refresh()
    tracer.add_items([Item("later", "", (SKILLS[0],))])
    assert tracer.predict(state)  # nothing had been added, so the graph is the same
    tracer.refresh()
    with pytest.raises(SettingsError, match="replay"):
        tracer.update(state, "later", 1)


def test_new_items_and_concepts_leave_every_old_prediction_as_it_was(tracer: Tracer, log: AnswerLog):
    state = tracer.replay(history(log, 2))
    chances, mastery = tracer.predict(state), tracer.mastery(state)
    tracer.add_concepts([Concept("dividing", "dividing numbers")], [Edge("multiplying numbers", "dividing")])
    tracer.add_items([Item("div-0", "dividing numbers number 1", ("dividing",)), Item("bare", "", (SKILLS[0], "dividing")), Item("alone")])
    after = tracer.predict(state)
    assert {name: after[name] for name in chances} == chances
    assert {name: tracer.mastery(state)[name] for name in mastery} == mastery
    assert 0 < after["div-0"] < 1
    moved = tracer.update(state, "div-0", 1.0)
    assert tracer.mastery(moved)["dividing"].answers == 1
    assert tracer.bank.attached == 4


def test_an_added_item_like_an_old_one_gets_its_vector(tracer: Tracer):
    known = next(each for each in tracer.bank.items if not each.text)
    tracer.add_items([Item("twin", "", known.concepts), Item("nobody", "", known.concepts)])
    rows = [tracer.bank.row(name) for name in ("twin", "nobody")]
    node = tracer.module.node_of_item[tracer.bank.row(known.item)]
    assert np.allclose(tracer.bank.table.question[rows], tracer.bank.layers[-1].question[node].numpy(), atol=1e-6)
    state = tracer.start()
    assert tracer.predict(state, ["twin"])["twin"] == tracer.predict(state, ["nobody"])["nobody"]


def test_refresh_is_a_fresh_encoding_of_the_larger_graph(tracer: Tracer, tmp_path: Path):
    before = tracer.version
    tracer.add_concepts([Concept("dividing", "dividing numbers")], [Edge("dividing", SKILLS[0], "related")])
    tracer.add_items([Item("div-0", "dividing numbers", ("dividing",))])
    tracer.refresh()
    assert tracer.version != before
    assert tracer.bank.attached == 0
    other = Tracer(tracer.settings, embedder=WordVectors(), cache=EmbeddingCache(tmp_path))
    fresh = other._new_module(tracer.catalogue, tracer.module.sinkt.settings.items)
    fresh.load_state_dict(tracer.module.state_dict())
    with torch.inference_mode():
        nodes, _ = fresh.eval().vectors()
    assert torch.equal(nodes.concept, tracer.bank.layers[-1].concept)


def test_a_saved_tracer_says_the_same_and_so_does_its_onnx_step(tracer: Tracer, log: AnswerLog, tmp_path: Path):
    ort = pytest.importorskip("onnxruntime")
    tracer.add_items([Item("new", "adding numbers again", (SKILLS[0],))])
    state = tracer.replay(history(log, 4))
    other = Tracer.load(tracer.save(tmp_path / "again"))
    assert other.predict(state) == tracer.predict(state)
    assert other.mastery(state) == tracer.mastery(state)
    session = ort.InferenceSession(export_onnx(tracer, tmp_path / "step.onnx"))
    item, asked = log.catalogue.items[3].item, np.arange(7)
    hidden, logits = session.run(
        None,
        {
            "hidden": state.hidden[None],
            "item": np.array([tracer.bank.row(item)]),
            "correct": np.array([1.0], dtype=np.float32),
            "asked": asked,
            "evidence": np.zeros((7, 4), dtype=np.float32),
        },
    )
    after = tracer.update(state, item, 1.0)
    assert np.allclose(hidden[0], after.hidden, atol=1e-4)
    table = tracer.bank.table
    with torch.inference_mode():
        expected = tracer.module.sinkt.logits(
            torch.from_numpy(after.hidden).expand(7, -1),
            torch.from_numpy(table.question[asked]),
            torch.from_numpy(table.concept[asked]),
            torch.cat([torch.zeros(7, 4), torch.from_numpy(table.rates[asked])], dim=1),
        )
    assert np.allclose(logits, expected.numpy(), atol=1e-4)


def test_damaged_and_missing_files_are_refused(saved: Path, tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"tracer\.json"):
        Tracer.load(tmp_path)
    (tmp_path / "tracer.json").write_text('{"format": 99}')
    with pytest.raises(BadRowError, match="format 99"):
        Tracer.load(tmp_path)
    for name in ("tracer.json", "items.jsonl", "concepts.jsonl", "edges.jsonl"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    (tmp_path / "tracer.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadRowError, match="not a tracer"):
        Tracer.load(tmp_path)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda t: t.update(t.start(), "nothing", 1), "'nothing' is not known"),
        (lambda t: t.update(t.start(), "both-0", 2), "between 0 and 1"),
        (lambda t: t.mastery(t.start(), ["nothing"]), "concept 'nothing'"),
        (lambda t: t.add_items([Item("both-0")]), "there already"),
        (lambda t: t.add_items([Item("x", "", ("nothing",))]), "concept 'nothing'"),
        (lambda t: t.add_concepts([Concept(SKILLS[0])]), "there already"),
        (lambda t: t.add_concepts([Concept("x")], [Edge("y", "x")]), "names the concept 'y'"),
        (lambda t: t.add_concepts([Concept("x")], [Edge("x", SKILLS[0]), Edge(SKILLS[0], "x")]), "circle"),
        (lambda t: recommend(t, t.start(), target=(0.7, 0.4)), "not a range"),
        (lambda t: Tracer(TracerSettings(graph=("guess",))), "--graph is 'guess'; choose one of qmatrix, expert, knn"),
    ],
)
def test_what_cannot_be_done_is_said(tracer: Tracer, call, told: str):
    with pytest.raises((BadRowError, SettingsError), match=told):
        call(tracer)


def test_mastery_rises_with_right_answers_and_shows_its_evidence(tracer: Tracer):
    items = [each.item for each in tracer.bank.items if each.concepts == (SKILLS[0],)]
    good, bad = (tracer.replay([(item, correct) for item in items]) for correct in (1.0, 0.0))
    high, low = tracer.mastery(good)[SKILLS[0]], tracer.mastery(bad)[SKILLS[0]]
    assert high.chance > low.chance + 0.2
    for one in (high, low):
        assert 0 <= one.low <= one.chance <= one.high <= 1
        assert one.answers == len(items)
    assert tracer.mastery(good)[SKILLS[4]].answers == 0


def test_recommendations_lie_in_the_target_and_wait_for_prerequisites(tracer: Tracer):
    state = tracer.replay([(item.item, 0.0) for item in tracer.bank.items if item.concepts == (SKILLS[0],)])
    free = recommend(tracer, state, 20, (0.05, 0.95), respect_prerequisites=False)
    held = recommend(tracer, state, 20, (0.05, 0.95))
    assert all(0.05 <= each.chance <= 0.95 for each in (*free, *held))
    assert tracer.mastery(state)[SKILLS[0]].chance < 0.6
    needy = {target for source, target in PREREQUISITES if source == SKILLS[0]}
    assert any(needy & set(each.concepts) and each.waits_for for each in free)
    assert not any(needy & set(each.concepts) for each in held)
    first = [each.concepts for each in free[: len({each.concepts for each in free})]]
    assert len(set(first)) == len(first)  # each set of concepts before any comes again
    assert len(recommend(tracer, state, 3)) <= 3
    assert free[0].item not in [
        each.item for each in recommend(tracer, state, 20, (0.05, 0.95), respect_prerequisites=False, leave_out=[free[0].item])
    ]


def test_an_explanation_is_what_leaving_an_answer_out_does(tracer: Tracer, log: AnswerLog):
    past = history(log, 5)
    item = past[0][0]
    chance, moved = explain(tracer, past, item)
    assert chance == pytest.approx(tracer.predict(tracer.replay(past), [item])[item], abs=1e-6)
    for each in moved[:3]:
        without = past[: each.place] + past[each.place + 1 :]
        assert chance - each.change == pytest.approx(tracer.predict(tracer.replay(without), [item])[item], abs=1e-6)
    assert [abs(each.change) for each in moved] == sorted((abs(each.change) for each in moved), reverse=True)
    assert explain(tracer, [], item) == (tracer.predict(tracer.start(), [item])[item], [])
    assert len(explain(tracer, past[:1], item)[1]) == 1


def test_attention_into_a_concept_sums_to_one(tracer: Tracer):
    totals: dict[int, float] = {}
    for edge in relation_attention(tracer):
        totals[edge.target] = totals.get(edge.target, 0.0) + edge.weight
    assert len(totals) == len({target for _, target in PREREQUISITES})
    assert list(totals.values()) == pytest.approx([1.0] * len(totals))


def test_a_mastered_prerequisite_speaks_for_a_concept_never_seen(tmp_path: Path):
    """Planted: who can a skill can the one that needs it. The pairs that training sees teach the relation, and an unseen pair follows it."""
    random = np.random.default_rng(0)
    pairs = [(f"basis {n}", f"advanced {n}") for n in range(12)]
    items = [Item(f"{kind}-{n}-{k}", "", (pairs[n][at],)) for n in range(12) for at, kind in enumerate("ba") for k in range(3)]
    known = Catalogue(tuple(items), tuple(Concept(name, name) for pair in pairs for name in pair), tuple(Edge(*pair) for pair in pairs))
    collector = AnswerCollector()
    for learner in range(400):
        for n in random.permutation(11)[:5]:  # pair 11 is never trained
            able = random.random() < 0.5
            for kind in "bba":
                collector.add(f"u{learner}", f"{kind}-{n}-{random.integers(3)}", float(random.random() < (0.9 if able else 0.1)))
    tracer = Tracer(
        TracerSettings(dim=32, layers=1, item_residual=False, fit=FitSettings(epochs=10, learning_rate=5e-3, batch=16)),
        embedder=WordVectors(96),
        cache=EmbeddingCache(tmp_path),
    )
    tracer.fit(collector.log(known))
    can, cannot = (tracer.replay([("b-11-0", right), ("b-11-1", right), ("b-11-2", right)]) for right in (1.0, 0.0))
    assert tracer.mastery(can)["advanced 11"].chance > tracer.mastery(cannot)["advanced 11"].chance + 0.1
    other = [tracer.mastery(can)[f"advanced {n}"].chance - tracer.mastery(cannot)[f"advanced {n}"].chance for n in range(11)]
    assert tracer.mastery(can)["advanced 11"].chance - tracer.mastery(cannot)["advanced 11"].chance > np.mean(other)


def test_a_tracer_with_numbers_that_are_not_finite_is_neither_written_nor_read(tracer: Tracer, tmp_path):
    from safetensors.numpy import load_file, save_file

    tracer.save(tmp_path / "good")
    file = tmp_path / "good" / "tracer.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.startswith("module."))
    tensors[name].flat[0] = np.nan
    save_file(tensors, file)
    with pytest.raises(BadRowError, match=f"{name} holds numbers that are not finite"):
        Tracer.load(tmp_path / "good")
    spreads = list(tracer.spreads)
    try:
        tracer.spreads[0] = float("inf")
        with pytest.raises(SettingsError, match="spreads of the tracer holds numbers that are not finite"):
            tracer.save(tmp_path / "bad")
    finally:
        tracer.spreads[:] = spreads
    assert not (tmp_path / "bad").exists()
