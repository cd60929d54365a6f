"""The rule of every reader in the house: a field added anywhere in a valid row is in what comes out, in the account, or the row is refused by name.

Readers of chats, pairs and choices are held to it in `tests/records/test_account.py`; here are all others, by what they read.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import LuthierError
from luthier.records import Account, SkippedRows, write_jsonl

SENTINELS = ["sentinel", 7, True, ["sentinel"], {"deep": "sentinel"}]
CITY = {"type": "object", "properties": {"city": {"type": "string", "description": "Its name."}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "Weather of a city.", "inputSchema": CITY}
OPENAPI = {
    "openapi": "3.0.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/city/{city}": {
            "get": {
                "operationId": "weather",
                "summary": "Weather of a city.",
                "parameters": [{"name": "city", "in": "path", "required": True, "description": "Its name.", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "It."}},
            },
            "post": {
                "operationId": "report",
                "summary": "Report the weather.",
                "parameters": [{"name": "city", "in": "path", "required": True, "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {"sky": {"type": "string"}}}}}},
            },
        }
    },
}
SAMPLE = {
    "doc": {"question": "Which is red?", "choices": ["Mars", "Venus"], "answer": 0},
    "doc_id": 0,
    "target": "0",
    "arguments": {"gen_args_0": {"arg_0": "Which is red?"}},
    "resps": [["Mars"]],
    "filtered_resps": ["Mars"],
    "acc": 1.0,
    "metrics": ["acc"],
}
INSPECT = {
    "version": 2,
    "status": "success",
    "eval": {"task": "t", "model": "m"},
    "samples": [
        {
            "id": 1,
            "epoch": 1,
            "input": "Which is red?",
            "choices": ["Mars", "Venus"],
            "target": "A",
            "messages": [{"role": "user", "content": "Which is red?"}, {"role": "assistant", "content": "ANSWER: A"}],
            "scores": {"choice": {"value": "C", "answer": "A"}},
            "output": {"model": "m", "choices": [{"message": {"role": "assistant", "content": "ANSWER: A"}}]},
        }
    ],
}
PROBLEM = {"task_id": "t/0", "prompt": "def f(x):\n", "entry_point": "f", "test": "def check(f):\n    assert f(1) == 1\n"}
ITEM = {
    "id": "i",
    "base": "b",
    "scenario": "S1",
    "form": "f",
    "question": "Q?",
    "answer": "A",
    "needed": [{"fact": "x", "subject": "s", "attribute": "a", "values": ["v"], "part": "context", "kind": "name"}],
    "context": [{"text": "t", "role": "gold", "facts": ["x"]}],
    "noise": 0,
    "conclusion": [],
    "stale": [],
}


def _lines(rows: list[Any], folder: Path, name: str = "rows.jsonl") -> Path:
    write_jsonl(folder / name, rows)
    return folder / name


def _document(value: Any, folder: Path) -> Path:
    (folder / "file.json").write_text(json.dumps(value))
    return folder / "file.json"


def answers(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.trace.readers import read_answers

    log = read_answers([_lines(value, folder)], skipped=skipped)
    return [log.catalogue, log.notes]


def statements(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    return answers(value, folder, skipped)


def catalogue(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.trace.readers import read_answers

    events = [{"learner": "a", "item": "x", "correct": 1}, {"learner": "a", "item": "y", "correct": 0}]
    paths = {name: _lines(value[name], folder, f"{name}.jsonl") for name in value}
    return read_answers([_lines(events, folder)], **paths, skipped=skipped).catalogue


def results(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.trace.results import read_results

    return list(read_results([_lines(value, folder, "samples_arc_2026-01-01T00-00-00.0.jsonl")], skipped=skipped).rows())


def model_rows(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.trace.results import read_results

    return list(read_results([_lines(value, folder)], skipped=skipped).rows())


def inspect_results(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.trace.results import read_results

    return list(read_results([_document(value, folder)], skipped=skipped).rows())


def task(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.evaluate.retrieval import load_task

    (folder / "qrels").mkdir(exist_ok=True)
    for name, rows in value.items():
        _lines(rows, folder, f"{name}.jsonl")
    found = load_task(folder)
    return [found.documents.texts, found.queries.texts, found.account]


def tools(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.synthesize.tools.importers.mcp import import_mcp

    return [tool.to_row() for tool in import_mcp(_document(value, folder))]


def openapi(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.synthesize.tools.importers.openapi import import_openapi

    return [tool.to_row() for tool in import_openapi(_document(value, folder))]


def problems(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.records.problems import read_problems

    return list(read_problems(_lines(value, folder), skipped))


def contexts(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.decode.contexts import read_contexts

    return read_contexts(_lines(value, folder))


def items(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.records.fusion import read_items

    return list(read_items(_lines(value, folder)))


def documents(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.synthesize.fusion.documents import read_documents

    return list(read_documents([_lines(value, folder)], skipped=skipped))


def questions(value: Any, folder: Path, skipped: SkippedRows) -> Any:
    from luthier.synthesize.pairs.questions import read_questions

    return list(read_questions(_lines(value, folder), skipped))


SEVERAL = (catalogue, task)
Reader = Callable[[Any, Path, SkippedRows], Any]
XAPI = {
    "actor": {"account": {"name": "a", "homePage": "https://e.org"}},
    "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},
    "object": {"id": "https://e.org/x", "definition": {"description": {"en": "What?"}}},
    "result": {"success": True},
    "timestamp": "2026-01-01T00:00:00Z",
}
READ: dict[str, tuple[Reader, Any]] = {
    "answers of learners": (answers, [{"learner": "a", "item": "x", "correct": 1, "timestamp": 3.5, "concepts": ["s"]}]),
    "statements of xAPI": (statements, [XAPI]),
    "items, concepts and edges": (
        catalogue,
        {
            "items": [{"item": "x", "text": "t", "concepts": ["s"]}, {"item": "y", "text": "u", "concepts": ["r"]}],
            "concepts": [{"concept": "s", "text": "S"}, {"concept": "r", "text": "R"}],
            "edges": [{"source": "s", "target": "r", "relation": "prerequisite"}],
        },
    ),
    "samples of lm-evaluation-harness": (results, [SAMPLE]),
    "results as rows": (model_rows, [{"learner": "m", "item": "x", "correct": 1, "text": "t", "concepts": ["s"]}]),
    "logs of Inspect": (inspect_results, INSPECT),
    "retrieval folders": (
        task,
        {
            "corpus": [{"_id": "d", "title": "T", "text": "D"}],
            "queries": [{"_id": "q", "text": "Q"}],
            "qrels/test": [{"query-id": "q", "corpus-id": "d", "score": 1}],
        },
    ),
    "lists of tools": (tools, {"tools": [TOOL]}),
    "answers of JSON-RPC": (tools, {"jsonrpc": "2.0", "id": 1, "result": {"tools": [TOOL]}}),
    "functions as OpenAI has them": (
        tools,
        [{"type": "function", "function": {"name": "weather", "description": "Weather of a city.", "parameters": CITY}}],
    ),
    "tools as Anthropic has them": (tools, [{"name": "weather", "description": "Weather of a city.", "input_schema": CITY}]),
    "OpenAPI": (openapi, OPENAPI),
    "programming problems": (problems, [PROBLEM]),
    "contexts": (contexts, [{"messages": [{"role": "user", "content": "Q"}], "kind": "fact", "group": "g", "answers": ["A"]}]),
    "questions with a solution": (questions, [{"problem": "1 + 1?", "solution": "The answer is 2", "answer": "2"}]),
    "items of a fusion suite": (items, [ITEM]),
    "documents": (documents, [{"name": "Riga", "sights": {"church": "Dome"}, "rivers": ["Daugava"]}]),
}


def places_in(value: Any) -> list[dict[str, Any]]:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for each in inside for found in places_in(each)]


def way_to(value: Any, part: Any) -> list[str] | None:
    """The names of the fields on the way to a part; None where it is not in the value."""
    if value is part:
        return []
    inside = value.items() if isinstance(value, dict) else (("", each) for each in value) if isinstance(value, list) else ()
    for name, each in inside:
        if (below := way_to(each, part)) is not None:
            return [name, *below] if name else below
    return None


@pytest.mark.parametrize("kind", READ)
def test_the_rows_are_read_as_they_stand(kind: str, tmp_path: Path) -> None:
    read, value = READ[kind]
    skipped = SkippedRows()
    with Account() as account:
        assert read(value, tmp_path, skipped)
    assert not skipped.count
    assert account.of("understood"), account.entries
    assert not account.of("refused")


@pytest.mark.parametrize("kind", READ)
@given(data=st.data(), sentinel=st.sampled_from(SENTINELS))
@settings(max_examples=60, deadline=None)
def test_a_field_added_anywhere_is_found_again(kind: str, data: st.DataObject, sentinel: Any, tmp_path_factory: Any) -> None:
    read, valid = READ[kind]
    value, skipped = copy.deepcopy(valid), SkippedRows()
    inside = list(value.values()) if read in SEVERAL else value  # of several files: a further table is a file that nobody names
    changed = data.draw(st.sampled_from(places_in(inside)))
    changed["zzfield"] = sentinel
    try:
        with Account() as account:
            out = repr(read(value, tmp_path_factory.mktemp("rule"), skipped))
    except LuthierError as refused:
        assert "zzfield" in str(refused)
        return
    told = [entry.reason for entry in account.entries] + list(skipped.problems)
    # A part that is left out whole is named itself, not what stands in it.
    names = ["zzfield", *(repr(name) for name in way_to(value, changed) or ())]
    assert "zzfield" in out or any(name in each for each in told for name in names)
