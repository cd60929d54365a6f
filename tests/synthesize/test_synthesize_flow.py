"""`luthier synthesize tools` and `luthier synthesize pairs`: what they write, stopped runs, other data, misuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, completion
from command import luthier as command
from luthier.errors import FetchError
from luthier.packages import BFCL, fetch_wheel
from luthier.records import read_rows, write_jsonl

COLOURS = ("red", "green", "blue", "grey")
ROOM = {
    "city": {"type": "string", "description": "City of the hotel."},
    "nights": {"type": "integer", "description": "How many nights.", "minimum": 1, "maximum": 9},
}


def luthier(*words: object, ok: bool = True) -> str:
    """What the command prints, or with ok=False what it complains of."""
    said = command(*words, ok=ok)
    return said.stdout if ok else said.stderr


@pytest.fixture(scope="module")
def benchmark() -> None:
    """Dialogues are held against the benchmark's items."""
    try:
        fetch_wheel(BFCL)
    except FetchError as problem:
        pytest.skip(str(problem))


@pytest.fixture
def api(tmp_path: Path) -> Path:
    schema = {"type": "object", "properties": ROOM, "required": ["city"]}
    tools = [
        {"name": f"{verb}_room", "description": f"{verb.capitalize()} a room in a hotel.", "inputSchema": schema}
        for verb in ("book", "find", "cancel", "reserve")
    ]
    path = tmp_path / "tools.json"
    path.write_text(json.dumps({"tools": [*tools, {"name": "odd\nname", "description": "Does odd things.", "inputSchema": schema}]}))
    return path


def test_dialogues_are_made_checked_and_kept(benchmark: None, api: Path, tmp_path: Path):
    out = tmp_path / "run"
    words = ("synthesize", "tools", "--api", api, "--count", 40, "--out", out, "--quiet")
    said = luthier(*words)
    rows = [row for _, row in read_rows(out / "checked.jsonl")]
    results = json.loads((out / "run.json").read_text())["steps"]
    assert f"{len(rows)} dialogues; {40 - len(rows)} did not pass the checks" in said
    assert results["pool"]["results"]["read"] == 5
    assert sum(results["pool"]["results"]["rejected"].values()) >= 1
    about = [row for _, row in read_rows(out / "dialogues.jsonl") if row["source"] != "luthier everyday ideas"]
    assert results["dialogues"]["results"]["real"] == len(about) > 0
    assert f"{len(about)} of them about these tools" in said
    page = (out / "report.html").read_bytes()
    assert b"arguments obey types" in page
    luthier("report", out)
    assert (out / "report.html").read_bytes() == page
    written = (out / "dialogues.jsonl").stat().st_mtime_ns
    assert luthier(*words) == said
    assert (out / "dialogues.jsonl").stat().st_mtime_ns == written
    api.write_text(api.read_text().replace("a room", "one room"))
    assert "tools.json has changed" in luthier(*words, ok=False)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    answers = [COLOURS[at % 4] for at in range(8)]
    rows = [
        {"problem": f"Which colour, {at}?", "solution": f"It is {one}.\nThe answer is {one}", "answer": one}
        for at, one in enumerate(answers)
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """Says that everything is red."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return completion("I think it is red.\nThe answer is red")

    with ChatServer(answer) as running:
        yield running


def test_wrong_answers_of_a_served_model_are_bridged_and_asked_once(questions: Path, server: ChatServer, tmp_path: Path):
    out = tmp_path / "run"
    words = ("synthesize", "pairs", questions, "--model", "m", "--endpoint", server.url, "--samples", 1, "--out", out, "--quiet")
    said = luthier(*words)
    assert said.startswith("6 pairs of 8 questions (8 answers: 6 wrong, 2 right")
    rows = [row for _, row in read_rows(out / "pairs.jsonl")]
    assert {row["rejected_answer"] for row in rows} == {"red"}
    assert all(row["bridged"] and row["chosen"][0]["content"].endswith(row["answer"]) for row in rows)
    page = (out / "report.html").read_bytes()
    luthier("report", out)
    assert (out / "report.html").read_bytes() == page
    (out / "pairs.jsonl").unlink()
    assert luthier(*words) == said
    luthier(*words, "--bridge", "none", "--replace")  # other bridges stand on the same answers
    assert not any(row["bridged"] for _, row in read_rows(out / "pairs.jsonl"))
    assert len(server.requests) == 8
    questions.write_text(questions.read_text().replace("Which colour, 0", "What colour, 0"))
    assert "rows.jsonl has changed" in luthier(*words, "--bridge", "none", ok=False)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tools",), "no APIs: give some with --api"),
        (("tools", "--api", "{folder}/none.json"), "none.json: no such file"),
        (("tools", "--api", "module:nowhere"), "module 'nowhere' cannot be imported"),
        (("tools", "--api", "{api}", "--count", "0"), "--count is 0"),
        (("tools", "--api", "{api}", "--real-share", "nan"), "--real-share is nan"),
        (("tools", "--api", "{api}", "--seed", "-1"), "--seed is -1"),
        (("pairs",), "DATA is missing"),
        (("pairs", "{folder}/none.jsonl"), "none.jsonl"),
        (("pairs", "{questions}", "--farthest", "1.5"), "--farthest is 1.5; give a number from 0 to 1"),
        (("pairs", "{questions}", "--temperature", "inf"), "--temperature is inf"),
        (("pairs", "{questions}", "--temperature", "0"), "at temperature 0 are all the same"),
        (("pairs", "{questions}", "--editor", "bundled"), "--editor is for --bridge model"),
        (("pairs", "{questions}", "--bridge", "model"), "name it with --editor"),
    ],
)
def test_misuse_gets_one_line(words: tuple[str, ...], complaint: str, api: Path, questions: Path, tmp_path: Path):
    told = [word.format(api=api, questions=questions, folder=tmp_path) for word in words]
    said = luthier("synthesize", *told, "--out", tmp_path / "out", "--quiet", ok=False)
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
