from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import BadRowError
from luthier.records.files import SkippedRows
from luthier.records.problems import read_problems

ROW = {"task_id": "T/1", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n", "test": "assert f(1) == 1"}


def written(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_layout_of_humaneval_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path, ROW, {**ROW, "task_id": 2, "given_tests": ["assert f(0) == 0"], "test": ["assert f(1) == 1", "assert f(2) == 2"]}
    )
    first, second = read_problems(path)
    assert (first.task, first.private, first.public, first.whole_solution) == (
        "T/1",
        ("assert f(1) == 1",),
        (),
        "def f(x):\n    return x\n",
    )
    assert (second.task, len(second.private), second.public, second.place) == ("2", 2, ("assert f(0) == 0",), f"{path}:2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entry_point": "f(x)"}, "entry_point"),
        ({"prompt": None}, "prompt is missing"),
        ({"test": ""}, "has no tests"),
        ({"test": [1]}, "neither a text nor a list"),
        ({"tests": ["assert f(1)"]}, "both in test and in tests"),
        ({"canonical_solution": 3}, "canonical_solution"),
        ({"task_id": True}, "task_id"),
    ],
)
def test_rows_that_are_no_problem_are_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = written(tmp_path, {**ROW, "task_id": "T/0"}, {**ROW, **change})
    with pytest.raises(BadRowError, match=said) as caught:
        list(read_problems(path))
    assert caught.value.line == 2
    skipped = SkippedRows()
    assert [problem.task for problem in read_problems(path, skipped)] == ["T/0"]
    assert skipped.count == 1


def test_a_task_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRowError, match="the one of line 1 again"):
        list(read_problems(written(tmp_path, ROW, ROW)))
