"""Files of items, concepts and edges beside answers, and the long table that any log can be written as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.trace.answers import AnswerCollector, AnswerLog, Catalogue, Concept, Edge, Item
from luthier.trace.readers import read_answers, write_long_table


def rows_of(log: AnswerLog) -> list[tuple[str, str, float]]:
    return [(row["learner"], row["item"], float(row["correct"])) for row in log.rows()]


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1, max_size=5).map(
    lambda text: f"q{text}q"
)  # no white space at the ends, no "nan"


@st.composite
def logs(draw: st.DrawFn) -> AnswerLog:
    concepts = draw(st.lists(CELLS, max_size=4, unique=True))
    names = draw(st.lists(CELLS, min_size=1, max_size=5, unique=True))
    some = st.lists(st.sampled_from(concepts), max_size=3, unique=True) if concepts else st.just([])
    items = tuple(Item(name, draw(st.text(max_size=5)), tuple(draw(some))) for name in names)
    edges = tuple(
        Edge(draw(st.sampled_from(concepts)), draw(st.sampled_from(concepts)), relation, draw(st.floats(0, 2)), provenance, "why")
        for relation, provenance in draw(
            st.lists(
                st.tuples(st.sampled_from(("prerequisite", "related")), st.sampled_from(("expert", "llm"))), max_size=3 if concepts else 0
            )
        )
    )
    catalogue = Catalogue(items, tuple(Concept(name, draw(st.text(max_size=5))) for name in concepts), edges)
    collector, timed = AnswerCollector(), draw(st.booleans())
    for learner, item, right, time in draw(
        st.lists(st.tuples(CELLS, st.sampled_from(names), st.floats(0, 1, width=32), st.floats(-1e9, 1e9)), min_size=1, max_size=20)
    ):
        collector.add(learner, item, right, time if timed else None)
    return collector.log(catalogue)


@given(log=logs())
def test_a_log_comes_back_from_its_long_table(tmp_path_factory: pytest.TempPathFactory, log: AnswerLog) -> None:
    again = read_answers([write_long_table(log, tmp_path_factory.mktemp("table"))])
    assert again.catalogue == log.catalogue
    # learners are numbered as they come, and come one after the other
    assert list(again.rows()) == list(log.rows())
    assert (again.merged, again.moved) == (0, 0)


@pytest.mark.parametrize("name", ["NA", "Na", "None", "nan", "-1"])
def test_a_concept_may_be_called_as_tables_write_nothing(name: str, tmp_path: Path) -> None:
    collector = AnswerCollector()
    collector.add("1", "q", 1.0, None)
    log = collector.log(Catalogue((Item("q", "", (name,)),), (Concept(name, ""),), ()))
    assert read_answers([write_long_table(log, tmp_path)]).catalogue == log.catalogue


def test_sodium_is_a_concept_of_a_table_and_a_missing_value_is_none(tmp_path: Path) -> None:
    log = read_answers([written(tmp_path, "t.csv", "learner,item,correct,concept\n1,q1,1,Na\n1,q2,0,NA\n1,q3,0,nan\n")])
    assert [item.concepts for item in log.catalogue.items] == [("Na",), (), ()]


def with_files(folder: Path, **files: str) -> Callable[[], AnswerLog]:
    answers = written(folder, "t.csv", "learner,item,correct\n1,q2,1\n1,q1,0\n")
    paths: Any = {name: written(folder, f"{name}.csv", text) for name, text in files.items()}
    return lambda: read_answers([answers], **paths)


def test_items_concepts_and_edges_come_from_files(tmp_path: Path) -> None:
    read = with_files(
        tmp_path,
        items='item,text,concepts\nq0,never asked,a\nq1,"2, and 3",a|b\nq2,,b;c\n',
        concepts="concept,name,description\na,Adding,two numbers\n",
        edges="src,dst,relation,weight\na,b,prerequisite,0\nb,c,related,\n",
    )
    log = read()
    assert log.catalogue.items == (Item("q0", "never asked", ("a",)), Item("q1", "2, and 3", ("a", "b")), Item("q2", "", ("b", "c")))
    assert log.catalogue.concepts == (Concept("a", "Adding two numbers"), Concept("b", "b"), Concept("c", "c"))
    assert log.catalogue.edges == (Edge("a", "b", "prerequisite", 0.0), Edge("b", "c", "related", 1.0))
    assert rows_of(log) == [("1", "q2", 1), ("1", "q1", 0)]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"items": "item,text\nq1,x\nq1,y\n"}, r"items\.csv:3: 'q1' stands here for the second time"),
        ({"items": "title,text\nq1,x\n"}, r"items\.csv:2: the field 'item' is missing"),
        ({"concepts": "concept\na\na\n"}, r"concepts\.csv:3: 'a' stands here"),
        ({"edges": "source,target,weight\na,b,heavy\n"}, r"edges\.csv:2: weight 'heavy' is not a number"),
        ({"edges": "source,target,relation\na,b,before\n"}, r"edges\.csv:2: 'before' is none of prerequisite, related"),
    ],
)
def test_bad_files_of_items_concepts_and_edges(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(BadRowError, match=words):
        with_files(tmp_path, **files)()


def test_an_item_that_is_not_listed_keeps_its_answers(tmp_path: Path) -> None:
    log = with_files(tmp_path, items="item,text\nq1,one\n")()
    assert [item.item for item in log.catalogue.items] == ["q1", "q2"]
    collector = AnswerCollector()
    collector.add("1", "q9", 1.0)
    with pytest.raises(BadRowError, match="'q9' was answered but is not among the items"):
        collector.log(log.catalogue)
