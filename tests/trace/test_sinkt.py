"""SINKT's module: what may and may not change its numbers (causality, order, padding, collapsing, attention)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trace_logs import WordVectors, catalogue, learners

from luthier.errors import MissingFileError, SettingsError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.models.opening import open_embedder
from luthier.trace.answers import AnswerCollector, Catalogue, Edge, Item
from luthier.trace.fitting import predict_log
from luthier.trace.graph import build_graph, check_prerequisites, nearest_relations, score_relations, transition_relations
from luthier.trace.learner_model import Dkt, GraphTracer
from luthier.trace.sequences import Answers, pad
from luthier.trace.sinkt import Edges, Nodes, SinktSettings, TypedAttention, answer_input
from luthier.trace.texts import text_vectors


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    return EmbeddingCache(tmp_path_factory.mktemp("embeddings"))


def module(known: Catalogue, cache: EmbeddingCache, *, collapse: bool = True, seed: int = 0, **settings) -> GraphTracer:
    graph = build_graph(known, collapse=collapse)
    torch.manual_seed(seed)
    shapes = {"dim": 16, "items": len(known.items), "item_residual": False} | settings
    return GraphTracer(SinktSettings(48, **shapes), graph, text_vectors(graph, WordVectors(), cache)).eval()


@pytest.mark.parametrize("attention", ["projected", "raw"])
@pytest.mark.parametrize("predictor", ["mlp", "linear"])
def test_an_answer_changes_only_what_comes_after_it(cache: EmbeddingCache, attention: str, predictor: str):
    log = learners(4, 20)
    model = module(log.catalogue, cache, attention=attention, predictor=predictor, item_residual=True)
    torch.nn.init.normal_(model.sinkt.residual.weight)
    before = predict_log(model, log)
    for place in (0, 7, len(log) - 1):
        flipped = log.correct.copy()
        flipped[place] = 1 - flipped[place]
        after = predict_log(model, replace(log, correct=flipped))
        learner = log.of_learner(int(log.learner[place]))
        later = (np.arange(len(log)) > place) & (np.arange(len(log)) < learner.stop)
        assert np.array_equal(before[~later], after[~later])
        assert not later.any() or np.abs(before[later] - after[later]).min() > 0


def test_dkt_does_not_see_the_answer_it_predicts():
    log = learners(3, 20)
    torch.manual_seed(0)
    model = Dkt(log.catalogue.concepts_of, len(log.catalogue.concepts), 8, 16)
    known = torch.tensor([some != (1,) for some in log.catalogue.concepts_of])
    for options in ({}, {"known": known}):
        before = predict_log(model, log, **options)
        flipped = log.correct.copy()
        flipped[5] = 1 - flipped[5]
        after = predict_log(model, replace(log, correct=flipped), **options)
        assert np.array_equal(before[:6], after[:6])
    skipping, plain = predict_log(model, log, known=torch.ones(len(known), dtype=torch.bool)), predict_log(model, log)
    assert np.allclose(skipping, plain, atol=1e-6)


@given(random=st.randoms(use_true_random=False))
def test_order_of_concepts_edges_and_nodes_is_irrelevant(cache: EmbeddingCache, random):
    known = catalogue(3, texts=True)
    items = [Item(i.item, i.text, tuple(random.sample(i.concepts, len(i.concepts)))) for i in known.items]
    random.shuffle(items)
    concepts, edges = list(known.concepts), list(known.edges)
    random.shuffle(concepts)
    random.shuffle(edges)
    other = Catalogue(tuple(items), tuple(concepts), tuple(edges))
    one, two = (module(each, cache) for each in (known, other))
    with torch.no_grad():
        (nodes, means), (others, other_means) = one.vectors(), two.vectors()
    for item in known.items:
        a, b = one.node_of_item[known.item_places[item.item]], two.node_of_item[other.item_places[item.item]]
        assert torch.allclose(nodes.question[a], others.question[b], atol=1e-6)
        assert torch.allclose(means[a], other_means[b], atol=1e-6)


def test_padding_and_the_company_in_a_batch_change_nothing(cache: EmbeddingCache):
    log = learners(6, 30)
    model, answers = module(log.catalogue, cache), Answers(log)
    with torch.no_grad():
        together = model.answer_logits(pad(answers, range(6), None))
        for place in range(6):
            alone = model.answer_logits(pad(answers, [place], None))
            assert torch.allclose(together[place, : alone.shape[1]], alone[0], atol=1e-6)


def test_collapsed_and_full_graphs_agree_and_like_items_share_a_vector(cache: EmbeddingCache):
    known = catalogue(5)
    log = learners(5, 20, known=known)
    collapsed, full = (module(known, cache, collapse=each) for each in (True, False))
    assert len(collapsed.question_texts) == 6 + 4
    assert len(full.question_texts) == len(known.items)
    assert np.allclose(predict_log(collapsed, log), predict_log(full, log), atol=1e-6)
    with torch.no_grad():
        nodes, _ = full.vectors()
    assert torch.allclose(nodes.question[0], nodes.question[1], atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.floats(0.1, 5)), max_size=15), st.booleans())
def test_attention_sums_to_one_and_an_empty_neighbourhood_gives_zero(pairs: list, raw: bool):
    torch.manual_seed(0)
    layer = TypedAttention(6, 5, "raw" if raw else "projected")
    edges = Edges(
        torch.tensor([a for a, _, _ in pairs], dtype=torch.long),
        torch.tensor([b for _, b, _ in pairs], dtype=torch.long),
        torch.tensor([w for _, _, w in pairs]).log(),
    )
    source, target = torch.randn(5, 6), torch.randn(4, 6)
    with torch.no_grad():
        read, weights = (layer(target, source, edges), layer.attention(target, source, edges) if pairs else torch.zeros(0))
    for node in range(4):
        some = [at for at, (_, b, _) in enumerate(pairs) if b == node]
        if some:
            assert weights[some].sum().item() == pytest.approx(1, abs=1e-5)
        else:
            assert not read[node].any()


def test_raw_attention_is_the_formula_written_out():
    torch.manual_seed(1)
    layer, source, target = TypedAttention(4, 3, "raw"), torch.randn(3, 4), torch.randn(1, 4)
    edges = Edges(torch.tensor([0, 2]), torch.tensor([0, 0]), torch.zeros(2))
    scores = [torch.nn.functional.leaky_relu(layer.score_target @ target[0] + layer.score_source @ source[j], 0.2) for j in (0, 2)]
    alpha = torch.softmax(torch.stack(scores), 0)
    expected = alpha[0] * layer.message.weight @ source[0] + alpha[1] * layer.message.weight @ source[2]
    assert torch.allclose(layer(target, source, edges)[0], expected, atol=1e-6)


def test_without_edges_and_with_no_layer_only_texts_are_read(cache: EmbeddingCache):
    known = catalogue(2, texts=True)
    model = module(known, cache)
    bare = Nodes(model.question_texts, model.concept_texts)
    with torch.no_grad():
        found = model.sinkt.encoder(bare, {})[-1]
        x = bare
        for layer in model.sinkt.encoder.layers:
            x = Nodes(*(torch.relu(layer.own[kind](getattr(x, kind))) for kind in ("question", "concept")))
        assert torch.equal(found.question, x.question)
        flat = module(known, cache, layers=0)
        nodes, _ = flat.vectors()
        assert torch.allclose(nodes.concept, flat.sinkt.encoder.adapters["concept"](flat.concept_texts))


@given(st.floats(0, 1))
def test_right_and_wrong_are_the_halves_swapped_and_scores_lie_between(share: float):
    concept = torch.randn(1, 7, generator=torch.Generator().manual_seed(0))
    right, wrong, between = (answer_input(concept, torch.tensor([each])) for each in (1.0, 0.0, share))
    assert torch.equal(right[:, :7], wrong[:, 7:])
    assert not right[:, 7:].any()
    assert torch.allclose(between, share * right + (1 - share) * wrong, atol=1e-6)


def test_the_first_answer_depends_on_the_item_only(cache: EmbeddingCache):
    known = catalogue(2)
    collector = AnswerCollector()
    for learner in range(5):
        collector.add(f"u{learner}", known.items[3].item, float(learner % 2))
        collector.add(f"u{learner}", known.items[learner].item, 1.0)
    log = collector.log(known)
    first = predict_log(module(known, cache), log)[log.starts[:-1]]
    assert np.ptp(first) == 0


def test_the_text_encoder_is_frozen_and_each_text_is_read_once(tmp_path):
    known = catalogue(3, texts=True)
    graph, words = build_graph(known), WordVectors()
    kept = EmbeddingCache(tmp_path)
    first = text_vectors(graph, words, kept)
    again = text_vectors(graph, words, kept)
    assert words.read == len({*graph.texts, *graph.concept_texts} - {""})
    assert np.array_equal(first.question, again.question)
    model = GraphTracer(SinktSettings(48, 8, items=1), graph, first)
    assert not {"question_texts", "concept_texts"} & set(dict(model.named_parameters()))
    with pytest.raises(MissingFileError, match="no such model"):
        open_embedder(str(tmp_path / "nothing"))


def test_circles_of_prerequisites_are_named():
    check_prerequisites([Edge("a", "b"), Edge("b", "c"), Edge("c", "a", "related")])
    with pytest.raises(SettingsError, match="circle"):
        check_prerequisites([Edge("a", "b"), Edge("b", "c"), Edge("c", "a")])


def test_edges_from_texts_and_from_training_answers():
    known = catalogue(2)
    vectors = WordVectors().encode([concept.text for concept in known.concepts])
    near = nearest_relations(known, vectors, 1)
    assert ("adding numbers", "adding fractions") in {(e.source, e.target) for e in near}
    assert {e.provenance for e in near} == {"knn"}
    assert score_relations(near, known.edges).recall == 0.75
    collector = AnswerCollector()
    for learner in range(6):
        for item in ("add-num-0", "mul-num-0"):
            collector.add(f"u{learner}", item, 1.0)
    follows = transition_relations(collector.log(known))
    assert [(e.source, e.target, e.provenance) for e in follows] == [("adding numbers", "multiplying numbers", "train")]
