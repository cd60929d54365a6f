"""`luthier evaluate code`: answers of a served model, verdicts, pass@k, stopped runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, completion
from command import luthier
from luthier.errors import SandboxUnavailable
from luthier.evaluate.code_runs import problem_prompt
from luthier.records import read_rows, write_jsonl
from luthier.records.problems import to_problem
from luthier.sandbox import Sandbox

ADD = {
    "task_id": "add",
    "prompt": 'def add(a, b):\n    """Add.\n    >>> add(1, 2)\n    3\n    """\n',
    "entry_point": "add",
    "given_tests": ["assert add(1, 2) == 3"],
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(5, 5) == 10\n",
}
ROWS = [
    ADD,
    {
        **ADD,
        "task_id": "sub",
        "prompt": "def sub(a, b):\n",
        "entry_point": "sub",
        "given_tests": ["assert sub(2, 1) == 1"],
        "test": "assert sub(3, 1) == 2",
    },
]


@pytest.fixture(autouse=True)
def _starts() -> None:
    try:
        with Sandbox(workers=1) as box:
            box.call("def f(): pass", "f")
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "problems.jsonl", ROWS)
    return tmp_path / "problems.jsonl"


def writes(request: dict[str, Any]) -> dict[str, Any]:
    """Right for `sub`; for `add` right by the public test alone."""
    name = re.search(r"def (\w+)", request["messages"][-1]["content"])
    assert name is not None
    body = {"add": "3", "sub": "a - b"}[name[1]]
    return completion(f"```python\ndef {name[1]}(a, b):\n    return {body}\n\nassert False, 'a demonstration'\n```")


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def test_public_and_private_tests_are_counted_apart(problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with ChatServer(writes) as server:
        words = ("evaluate", "code", problems, "--model", "m", "--endpoint", server.url, "--out", out, "--quiet")
        said = luthier(*words).stdout.splitlines()
        assert luthier(*words).stdout.splitlines() == said
        assert len(server.requests) == 2
    assert said[0] == "pass@1 50.0% (9.5%–90.5%) of 2 problems, private tests"
    assert said[1] == "pass@1 100.0% (34.2%–100.0%) of 2 problems, public tests"
    assert said[2] == "1 wrong answer, 1 passed"
    scores = record(out)["steps"]["scores"]["results"]
    assert (scores["public_only"], scores["private_only"]) == (1, 0)
    rows = [row for _, row in read_rows(out / "verdicts.jsonl")]
    assert [(row["task"], row["public"], row["private"]) for row in rows] == [
        ("add", ["passed"], ["wrong_answer"]),
        ("sub", ["passed"], ["passed"]),
    ]
    assert rows[0]["detail"] == "assert candidate(5, 5) == 10"
    assert "demonstration" not in rows[0]["program"]
    page = (out / "report.html").read_text()
    assert "pass@1" in page
    assert "assert candidate(5, 5) == 10" in page


def test_several_programs_a_problem_have_pass_at_k(problems: Path, tmp_path: Path) -> None:
    turn = iter(range(100))

    def sometimes(request: dict[str, Any]) -> dict[str, Any]:
        assert request["temperature"] == 0.8
        return completion("    return a + b\n" if next(turn) % 5 == 0 else "    return None\n")

    with ChatServer(sometimes) as server:
        words = ("evaluate", "code", problems, "--limit", 1, "-n", 5, "--model", "m", "--endpoint", server.url, "--out", tmp_path / "run")
        said = luthier(*words, "--quiet").stdout
    rates = record(tmp_path / "run")["steps"]["scores"]["results"]["private"]
    assert [(rate["k"], rate["rate"]) for rate in rates] == [(1, pytest.approx(0.2)), (5, 1.0)]
    assert "pass@5 100.0%" in said


def test_a_stopped_evaluation_judges_and_asks_the_rest(problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with ChatServer(writes) as server:
        words = ("evaluate", "code", problems, "--model", "m", "--endpoint", server.url, "--out", out, "--quiet")
        luthier(*words)
        kept, told = (out / "verdicts.jsonl").read_bytes(), record(out)
        for name in ("answers", "verdicts", "scores"):
            del told["steps"][name]["results"]
        (out / "run.json").write_text(json.dumps({**told, "status": "running"}))
        lines = kept.splitlines(keepends=True)
        (out / "verdicts.jsonl").write_bytes(lines[0] + lines[1][:20])
        answers = (out / "answers.jsonl").read_bytes()
        (out / "answers.jsonl").write_bytes(answers[:-30])
        luthier(*words)
        assert len(server.requests) == 3  # the answer that was torn is asked for again
    assert (out / "verdicts.jsonl").read_bytes().startswith(lines[0])
    assert [row["outcome"] for _, row in read_rows(out / "verdicts.jsonl")] == ["wrong_answer", "passed"]
    assert record(out)["status"] == "done"


def test_the_prompt_holds_the_problem_as_it_is() -> None:
    (message,) = problem_prompt(to_problem(ADD)).messages
    assert f"```python\n{ADD['prompt'].rstrip()}\n```" in message.content


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-k", "5"), "pass@5 needs as many"),
        (("-n", "3", "--temperature", "0"), "all the same"),
        (("--limit", "0"), "--limit"),
        (("missing.jsonl",), "missing.jsonl"),
    ],
)
def test_what_makes_no_sense_is_refused(problems: Path, tmp_path: Path, more: tuple[str, ...], said: str) -> None:
    told = luthier("evaluate", "code", problems, *more, "--out", tmp_path / "run", ok=False)
    assert told.code == 2
    assert said in told.stderr
    assert not (tmp_path / "run").exists()


def test_a_task_in_two_files_is_refused(problems: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    write_jsonl(other, ROWS[:1])
    assert "'add' is in two of the files" in luthier("evaluate", "code", problems, other, "--out", tmp_path / "run", ok=False).stderr
