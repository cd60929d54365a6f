"""Answers as result files that the leaderboard's own evaluator takes, unmodified: `bfcl evaluate --result-dir RUN/bfcl/free --model MODEL`.

It takes the models of its registry only, so the folder bears the name of one whose answers it decodes as plain Python, without any step of
that model's own. Answers in another family's form are written as the calls that were read in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from luthier.evaluate.tool_verdicts import BFCL_FORMS
from luthier.records import JSON, write_jsonl
from luthier.records.bfcl import CATEGORIES, LANGUAGES
from luthier.records.bfcl_multi_turn import MULTI_TURN_CATEGORIES
from luthier.records.call_forms import read_calls
from luthier.records.calls import render_calls

RESULTS = "bfcl"
REGISTERED = "google/gemma-3-1b-it"  # decoded by `default_decode_ast_prompting` alone


def write_results(rows: Iterable[JSON], folder: Path) -> list[Path]:
    """One file for each decoding and category of the judged answers, below `folder/bfcl/DECODING`; own dialogues are not the benchmark's."""
    groups: dict[tuple[str, str], list[JSON]] = {}
    for row in rows:
        if row["category"] in (*CATEGORIES, *MULTI_TURN_CATEGORIES) and "official" in row:
            groups.setdefault((row["decoding"], row["category"]), []).append({"id": row["id"], "result": _result(row)})
    return [_write(folder / RESULTS / decoding, category, some) for (decoding, category), some in groups.items()]


def _result(row: JSON) -> Any:
    if "result" in row:  # of a multi-turn dialogue: the text of each step of each turn
        return row["result"]
    if row["form"] in BFCL_FORMS or row["category"] in LANGUAGES:
        return str(row["answer"])
    calls = read_calls(row["answer"]).calls
    return render_calls(calls) if calls else str(row["answer"])


def _write(folder: Path, category: str, rows: list[JSON]) -> Path:
    group = "multi_turn" if category in MULTI_TURN_CATEGORIES else "live" if category.startswith("live_") else "non_live"
    path = folder / REGISTERED.replace("/", "_") / group / f"BFCL_v4_{category}_result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, sorted(rows, key=lambda row: _number(row["id"])))
    return path


def _number(name: str) -> tuple[int, ...]:
    """`live_simple_30-8-0` as (30, 8, 0): the benchmark's order."""
    return tuple(int(part) for part in name.rsplit("_", 1)[-1].split("-") if part.isdigit())
