"""Result files for the leaderboard's own evaluator: its layout, its order, calls that it can decode."""

from __future__ import annotations

import json
from pathlib import Path

from luthier.evaluate.bfcl_decoding import decode
from luthier.evaluate.bfcl_results import write_results
from luthier.evaluate.tool_verdicts import judge
from luthier.models import Completion
from luthier.records import JSON
from luthier.records.bfcl import Item


def judged(item: Item, text: str, decoding: str = "free") -> JSON:
    return judge(item, Completion(text, "stop", 1, 1), decoding).to_row()


def test_files_lie_where_the_evaluator_looks_and_hold_what_it_reads(bfcl: dict[str, list[Item]], tmp_path: Path):
    simple, live = bfcl["simple_python"], bfcl["live_simple"]
    name = simple[2].tools[0].name
    rows = [
        judged(simple[10], "nothing"),
        judged(simple[2], f'<tool_call>{{"name": "{name}", "arguments": {{"x": 1}}}}</tool_call>'),
        judged(simple[2], f"[{name}(x=2)", "constrained"),
        judged(live[0], "[f(x=1)]"),
        {"id": "own", "category": "single", "decoding": "free", "right": True, "answer": "x", "form": ""},
    ]
    model = "google_gemma-3-1b-it"
    paths = [str(path.relative_to(tmp_path)) for path in write_results(rows, tmp_path)]
    assert paths == [
        f"bfcl/free/{model}/non_live/BFCL_v4_simple_python_result.json",
        f"bfcl/constrained/{model}/non_live/BFCL_v4_simple_python_result.json",
        f"bfcl/free/{model}/live/BFCL_v4_live_simple_result.json",
    ]
    written = [json.loads(line) for line in (tmp_path / paths[0]).read_text().splitlines()]
    assert [row["id"] for row in written] == ["simple_python_2", "simple_python_10"]
    assert decode(written[0]["result"]) == [{name: {"x": 1}}]
    assert json.loads((tmp_path / paths[1]).read_text())["result"] == f"[{name}(x=2)"  # as it was said: the evaluator mends it
