"""The pages of tracers: what they say of a class and of an evaluation, at their edges too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier.trace import answers_page, fit_page, learners_page, models_page, relate_page
from luthier.trace import evaluation_page as evaluation_page_module
from luthier.trace.learners_page import concept_graph, over_time, weakest
from run_folders import drawn, run_folder
from trace_pages import DATA, evaluation_page, mastery_page, mastery_rows


def test_a_concept_that_one_learner_met_does_not_speak_for_a_class():
    rows = mastery_rows(8, ["easy", *(f"c{n}" for n in range(1, 8))])
    assert weakest(rows)[0] == {"concept": "easy", "mean": pytest.approx(0.1), "learners": 8}
    assert {one["learners"] for one in weakest(rows)} == {5, 6, 7, 8}
    assert weakest(rows[:1])[0]["concept"] == "easy"
    assert weakest([]) == []


def test_mastery_over_time_counts_those_who_had_met_a_concept():
    rows = mastery_rows(3, ["a", "b", "c"])
    table = {row["concept"]: row["cells"] for row in over_time(rows, ["a", "b", "c"])}
    assert [cell["learners"] for cell in table["a"]] == [3, 3, 3, 3]
    assert [cell["learners"] for cell in table["b"]] == [0, 2, 2, 2]
    assert table["b"][0]["share"] is None
    assert table["c"][3] == {"share": pytest.approx(0.3), "learners": 1, "answers": 4}


def test_the_graph_draws_the_links_between_concepts_that_are_shown():
    links = [
        {"source": "a", "target": "b", "relation": "prerequisite", "weight": 1.0},
        {"source": "a", "target": "z", "relation": "related", "weight": 1.0},
    ]
    drawn = str(concept_graph(links, ["a", "b", "c"]))
    assert drawn.count("<path") == 1
    assert drawn.count("<circle") == 2
    assert 'class="pre"' in drawn
    assert concept_graph(links, ["c"]) is None


@pytest.mark.parametrize("learners", [1, 2, 40])
def test_a_mastery_page_has_all_its_parts(tmp_path: Path, learners: int):
    page = mastery_page(tmp_path / "run", learners)
    for title in ("Concepts over time", "The class", "Where help is needed", "Learners one by one", "How concepts hang together"):
        assert title in page
    assert ("learners with most answers" in page) is (learners > 30)


@pytest.mark.parametrize(("held", "draws", "auc"), [(True, 5, 0.7), (False, 1, 0.7), (False, 1, None)])
def test_an_evaluation_page_says_what_is_there(tmp_path: Path, held: bool, draws: int, auc: float | None):
    page = evaluation_page(tmp_path / "run", held=held, draws=draws, auc=auc)
    assert (f"Over {draws} draws" in page) is (draws > 1)
    assert ("never trained" in page) is held
    assert ("undefined" in page) is (auc is None)
    assert "item response theory" in page
    assert "5 rows merged" in page


def test_names_are_text_and_nothing_else(tmp_path: Path):
    wild = "<script>alert(1)</script>"
    pages = [mastery_page(tmp_path / "m", 2, [wild, "b"]), evaluation_page(tmp_path / "e", concept=wild)]
    for page in pages:
        assert "<script" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize("module", [answers_page, evaluation_page_module, fit_page, learners_page, models_page, relate_page])
def test_a_run_that_has_only_begun_has_a_shell(tmp_path: Path, module: Any):
    for record in ({}, {"data": DATA}):
        page = drawn(run_folder(tmp_path, "trace run", {}, {}, **record), module.draw)
        assert module.TITLE in page
        assert '<section id="record">' in page
