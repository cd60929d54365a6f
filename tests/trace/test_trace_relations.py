"""Relations chosen by a language model: what it is shown, which replies count, what is kept over a kill, and how circles are broken."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from graphlib import TopologicalSorter
from itertools import pairwise
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_server import ChatServer, Reply, completion
from luthier.errors import BadRowError, EngineError, SettingsError
from luthier.models.endpoint import EndpointModel
from luthier.models.local import LocalModel
from luthier.models.protocol import Prompt
from luthier.models.replay import RecordingModel, ReplayModel
from luthier.records import Journal, Message
from luthier.trace.answers import Catalogue, Concept, Edge
from luthier.trace.graph import check_prerequisites, nearest_relations, score_relations
from luthier.trace.relations import (
    AGAIN,
    NAMELESS,
    QUESTIONS,
    RelationSettings,
    break_circles,
    candidate_lists,
    merge_relations,
    read_numbers,
    select_relations,
)
from trace_service_tracer import WordEmbedder

# Each step of arithmetic needs the one before it; that is also the expert's opinion.
STEPS = [
    f"{word} with numbers"
    for word in ("counting", "adding", "subtracting", "multiplying", "dividing", "fractions", "percentages", "ratios")
]
CATALOGUE = Catalogue(concepts=tuple(Concept(f"c{at}", text) for at, text in enumerate(STEPS)))
EXPERT = [Edge(f"c{at}", f"c{at + 1}") for at in range(len(STEPS) - 1)]
VECTORS = WordEmbedder().encode(STEPS)


def listed(request: Reply) -> tuple[int, dict[int, int]]:
    """The target of a request and the concept behind each number."""
    text = next(message["content"] for message in request["messages"] if message["role"] == "user")
    target = re.search(r"Target skill: c(\d+)", text)
    assert target is not None
    return int(target[1]), {int(number): int(at) for number, at in re.findall(r"^(\d+)\. c(\d+):", text, re.MULTILINE)}


def teacher(request: Reply) -> Reply:
    """Knows that the step before comes first, and that the one after is related."""
    target, numbers = listed(request)
    before, related = ([number for number, at in numbers.items() if at == target + step] for step in (-1, 1))
    return completion(json.dumps({"before": before, "related": related}))


def test_a_teacher_over_http_finds_the_experts_edges(tmp_path: Path) -> None:
    with ChatServer(teacher) as server:
        found = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"), journal=tmp_path / "relations.jsonl")
        assert len(server.requests) == len(STEPS)
        schema = server.requests[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["before"]["items"] == {"type": "integer", "minimum": 1, "maximum": len(STEPS) - 1}
        again = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"), journal=tmp_path / "relations.jsonl")
        assert len(server.requests) == len(STEPS)
    assert again == found._replace(asked=0)
    assert (found.asked, found.unread, found.dropped) == (len(STEPS), [], [])
    first = [edge for edge in found.edges if edge.relation == "prerequisite"]
    assert {edge[:2] for edge in first} == {edge[:2] for edge in EXPERT}
    assert all(edge.provenance == "llm" and re.fullmatch(r"m: \d of 7", edge.evidence) for edge in found.edges)
    assert score_relations(first, EXPERT) == (7, 7, 7, 1.0, 1.0)
    merged, dropped = merge_relations(CATALOGUE.with_edges(EXPERT[:3]), found.edges)
    assert dropped == []
    assert [edge.provenance for edge in merged.edges[:3]] == ["expert"] * 3
    assert len({edge[:2] for edge in merged.edges}) == len(merged.edges)


def test_an_unreadable_reply_is_asked_for_once_more_and_then_the_nearest_stand(tmp_path: Path) -> None:
    def mumbles(request: Reply) -> Reply:
        target, _ = listed(request)
        asked_again = request["messages"][-1]["content"] == AGAIN
        if target == 3 or (target == 4 and not asked_again):
            return completion('The numbers are {"before": [1], "related": []}, I think.')
        return teacher(request)

    with ChatServer(mumbles) as server:
        settings = RelationSettings(schema=False)
        found = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"), settings=settings, journal=tmp_path / "r.jsonl")
        assert len(server.requests) == len(STEPS) + 2
        assert "response_format" not in server.requests[0]
        kept = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"), settings=settings, journal=tmp_path / "r.jsonl")
        assert len(server.requests) == len(STEPS) + 2
    assert found.unread == kept.unread == ["c3"]
    into = [edge for edge in found.edges if edge.target == "c3"]
    assert into == [edge for edge in nearest_relations(CATALOGUE, VECTORS) if edge.target == "c3"]
    assert ("c3", "c4") in {edge[:2] for edge in found.edges if edge.provenance == "llm"}


def test_a_circle_loses_its_last_edge_and_says_so() -> None:
    def round_and_round(request: Reply) -> Reply:
        target, numbers = listed(request)
        before = [number for number, at in numbers.items() if at == (target - 1) % len(STEPS)]
        return completion(json.dumps({"before": before, "related": []}))

    with ChatServer(round_and_round) as server:
        found = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"))
    check_prerequisites(found.edges)
    assert [edge[:2] for edge in found.dropped] == [("c6", "c7")]
    assert len(found.edges) == 7


def test_two_that_each_come_first_are_related() -> None:
    def all_first(request: Reply) -> Reply:
        _, numbers = listed(request)
        return completion(json.dumps({"before": list(numbers), "related": []}))

    with ChatServer(all_first) as server:
        found = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"))
    assert (len(found.edges), found.dropped) == (8 * 7, [])
    assert all(edge.relation == "related" and edge.evidence.endswith("both ways") for edge in found.edges)


def test_who_names_a_whole_long_list_has_selected_nothing() -> None:
    def everyone(request: Reply) -> Reply:
        _, numbers = listed(request)
        half = len(numbers) // 2
        return completion(json.dumps({"before": list(numbers)[:half], "related": list(numbers)[half:]}))

    names = [f"{step} again" for step in STEPS[:4]]
    many = Catalogue(concepts=(*CATALOGUE.concepts, *(Concept(f"c{at}", name) for at, name in enumerate(names, 8))))
    vectors = WordEmbedder().encode([*STEPS, *names])
    with ChatServer(everyone) as server:
        found = select_relations(many, vectors, EndpointModel(server.url, "m"))
        assert len(server.requests) == 24
    assert found.unread == [f"c{at}" for at in range(12)]
    assert found.edges == nearest_relations(many, vectors)


WORKER = """
import sys
from pathlib import Path
from test_trace_relations import CATALOGUE, VECTORS, EndpointModel, RelationSettings, select_relations
select_relations(CATALOGUE, VECTORS, EndpointModel(sys.argv[1], "m"), settings=RelationSettings(batch=2), journal=Path(sys.argv[2]))
"""


def test_a_killed_run_asks_only_what_is_missing(tmp_path: Path) -> None:
    journal = tmp_path / "relations.jsonl"
    process: list[subprocess.Popen[bytes]] = []

    def deadly(request: Reply) -> Reply:
        if listed(request)[0] == 5:
            os.kill(process[0].pid, signal.SIGKILL)
        return teacher(request)

    with ChatServer(deadly) as server:
        paths = os.pathsep.join(str(Path(__file__).parents[up]) for up in range(2))
        env = os.environ | {"PYTHONPATH": os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")])}
        process.append(subprocess.Popen([sys.executable, "-c", WORKER, server.url, str(journal)], env=env))
        assert process[0].wait(timeout=120) == -signal.SIGKILL
    with Journal(journal) as rows:
        assert [row["target"] for row in rows] == ["c0", "c1", "c2", "c3"]
    with ChatServer(teacher) as server:
        found = select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m"), journal=journal)
        assert sorted(listed(request)[0] for request in server.requests) == [4, 5, 6, 7]
        assert found.edges == select_relations(CATALOGUE, VECTORS, EndpointModel(server.url, "m")).edges


def test_another_model_wording_or_list_is_asked_anew(tmp_path: Path) -> None:
    journal = tmp_path / "relations.jsonl"
    with ChatServer(teacher) as server:

        def asked(name: str = "m", catalogue: Catalogue = CATALOGUE, **settings: Any) -> int:
            model = EndpointModel(server.url, name)
            return select_relations(catalogue, VECTORS, model, settings=RelationSettings(**settings), journal=journal).asked

        assert [asked(), asked(), asked("other"), asked(candidates=3)] == [8, 0, 8, 8]
        changed = Catalogue(concepts=(Concept("c0", "counting backwards"), *CATALOGUE.concepts[1:]))
        assert asked(catalogue=changed) == 8


def test_the_tiny_model_chooses_numbers_and_a_replay_says_the_same(tiny_model_folder: Path, tmp_path: Path) -> None:
    some = Catalogue(concepts=CATALOGUE.concepts[:4])
    model = LocalModel(tiny_model_folder)
    with RecordingModel(model, tmp_path / "said.jsonl") as recording:
        found = select_relations(some, VECTORS[:4], recording, settings=RelationSettings(max_tokens=48))
    again = select_relations(some, VECTORS[:4], ReplayModel(tmp_path / "said.jsonl"), settings=RelationSettings(max_tokens=48))
    assert again == found
    assert found.asked == 4
    assert {edge.target for edge in found.edges if edge.provenance == "knn"} == set(found.unread)


def test_yes_and_no_are_weighed_as_the_model_scores_them(tiny_model_folder: Path, tmp_path: Path) -> None:
    model = LocalModel(tiny_model_folder)
    some = Catalogue(concepts=CATALOGUE.concepts[:4])
    settings = RelationSettings(ask="yes_no", most=2, batch=3)
    found = select_relations(some, VECTORS[:4], model, settings=settings, journal=tmp_path / "r.jsonl")
    assert select_relations(some, VECTORS[:4], model, settings=settings, journal=tmp_path / "r.jsonl") == found._replace(asked=0)

    def odds(relation: str, source: str, target: str) -> float:
        prompt = Prompt((Message("user", QUESTIONS[relation].format(source=source, target=target)),))
        yes, no = model.score([prompt, prompt], ["Yes", "No"])
        return yes.total - no.total

    expected = {}
    for target in range(4):
        best = []
        for source in range(4):
            if source != target:
                each = {relation: odds(relation, STEPS[source], STEPS[target]) - odds(relation, *NAMELESS) for relation in QUESTIONS}
                relation = max(each, key=each.__getitem__)
                best.append((each[relation], relation, f"c{source}"))
        for weight, relation, source in sorted(best, reverse=True)[:2]:
            if weight > 0:
                expected[source, f"c{target}", relation] = 1 / (1 + exp(-weight))
    assert expected
    assert {edge[:3]: edge.weight for edge in [*found.edges, *found.dropped]} == pytest.approx(expected, abs=1e-4)
    assert all(edge.evidence.startswith(f"{model.name}: log-odds") for edge in found.edges)


def test_models_and_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with ChatServer(teacher) as server:
        model = EndpointModel(server.url, "m")
        with pytest.raises(EngineError, match="gives no log-probabilities"):
            select_relations(CATALOGUE, VECTORS, model, settings=RelationSettings(ask="yes_no"))
        with pytest.raises(SettingsError, match="31 candidates; give 1 to 30"):
            select_relations(CATALOGUE, VECTORS, model, settings=RelationSettings(candidates=31))
        with pytest.raises(SettingsError, match="7 vectors for 8 concepts"):
            select_relations(CATALOGUE, VECTORS[:7], model)
        (tmp_path / "r.jsonl").write_text('{"key": "x", "before": 1}\n')
        with pytest.raises(BadRowError, match=r"r\.jsonl:1: not a row of relations"):
            select_relations(CATALOGUE, VECTORS, model, journal=tmp_path / "r.jsonl")
        assert server.requests == []
        alone = select_relations(Catalogue(concepts=CATALOGUE.concepts[:1]), VECTORS[:1], model)
        assert alone == ([], [], [], 0)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"before": [2, 9, 2, 0, -1], "related": [1, 2]}', ((1,), (0,))),
        (' {"related": [], "before": []}\n', ((), ())),
        ('{"before": ["2"], "related": []}', None),
        ('{"before": [2.0], "related": []}', None),
        ('{"before": [true], "related": []}', None),
        ('{"before": [2]}', None),
        ('{"before": 2, "related": []}', None),
        ('{"before": [], "related": [], "why": "so"}', None),
        ("[1, 2]", None),
        ("2", None),
        ("", None),
        ('```json\n{"before": [2], "related": []}\n```', None),
        ('{"before": [2], "related": [', None),
        ('{"before": ["counting"], "related": []}', None),
        ("\ud800", None),
    ],
)
def test_only_numbers_of_the_list_count(reply: str, expected: tuple[tuple[int, ...], tuple[int, ...]] | None) -> None:
    found = read_numbers(reply, 3)
    assert (found if found is None else found[:2]) == expected


@given(reply=st.text(), count=st.integers(0, 30))
def test_no_reply_is_too_odd(reply: str, count: int) -> None:
    found = read_numbers(reply, count)
    assert found is None or all(0 <= at < count for at in found.before + found.related)


@given(data=st.data(), many=st.integers(1, 12), limit=st.integers(1, 30))
def test_candidates_are_others_near_or_of_the_same_topic(data: st.DataObject, many: int, limit: int) -> None:
    vectors = np.random.default_rng(many).normal(size=(many, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalogue = Catalogue(concepts=tuple(Concept(f"c{at}") for at in range(many)))
    topics = {f"c{at}": topic for at in range(many) if (topic := data.draw(st.sampled_from(["x", "y", None])))}
    lists = candidate_lists(catalogue, vectors, topics, limit)
    for target, some in enumerate(lists):
        likeness = vectors @ vectors[target]
        others = [at for at in range(many) if at != target]
        assert len(some) == len(set(some)) == min(limit, many - 1)
        assert target not in some
        assert all(likeness[a] >= likeness[b] - 1e-6 for a, b in pairwise(some))
        same = [at for at in others if topics.get(f"c{at}") is not None and topics.get(f"c{at}") == topics.get(f"c{target}")]
        assert sum(at in same for at in some) >= min(len(same), limit // 2)
        missed = [at for at in others if at not in some and at not in same]
        strangers = [at for at in some if at not in same]
        assert not missed or not strangers or max(likeness[missed]) <= min(likeness[strangers]) + 1e-6


EDGES = st.lists(
    st.builds(
        Edge,
        st.sampled_from("abcde"),
        st.sampled_from("abcde"),
        st.sampled_from(("prerequisite", "related")),
        st.sampled_from((0.2, 0.5, 1.0)),
        st.just("llm"),
    ),
    max_size=14,
)


def leads(edges: list[Edge], start: str, goal: str) -> bool:
    reached = {start}
    for _ in range(6):
        reached |= {edge.target for edge in edges if edge.source in reached}
    return goal in reached


@given(edges=EDGES)
def test_of_every_circle_the_weakest_edge_goes(edges: list[Edge]) -> None:
    kept, dropped = break_circles(edges)
    before: dict[str, set[str]] = {}
    for edge in kept:
        if edge.relation == "prerequisite":
            before.setdefault(edge.target, set()).add(edge.source)
    TopologicalSorter(before).prepare()
    assert sorted([*kept, *dropped]) == sorted(edges)
    for edge in dropped:
        as_strong = [each for each in kept if each.relation == "prerequisite" and each.weight >= edge.weight]
        assert edge.relation == "prerequisite"
        assert leads(as_strong, edge.target, edge.source)


def test_an_experts_edge_outlasts_a_models() -> None:
    weak = Edge("a", "b", weight=0.1)
    strong = Edge("b", "a", weight=1.0, provenance="llm")
    assert break_circles([strong, weak]) == ([weak], [strong])
    with pytest.raises(SettingsError, match="an expert's prerequisites go round"):
        break_circles([weak, Edge("b", "a")])
