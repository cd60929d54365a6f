"""`luthier evaluate tools` and `luthier evaluate choice`: scores, pages, stopped runs, other data, misuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, completion
from command import luthier as command
from luthier.records import read_rows, write_jsonl
from luthier.records.bfcl import Item
from stock_templates import stock

COLOURS = ("red", "green", "blue", "grey")


def luthier(*words: object, ok: bool = True) -> str:
    """What the command prints, or with ok=False what it complains of."""
    said = command(*words, ok=ok)
    return said.stdout if ok else said.stderr


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("questions") / "colours.jsonl"
    rows = [{"question": f"Which colour has number {at}?", "options": list(COLOURS), "answer": at % 4} for at in range(24)]
    write_jsonl(path, rows)
    return path


def test_choices_are_scored_and_a_stopped_evaluation_continues(questions: Path, tiny_model_folder: Path, tmp_path: Path):
    out = tmp_path / "run"
    words = ("evaluate", "choice", questions, "--model", tiny_model_folder, "--out", out, "--quiet")
    said = luthier(*words)
    assert "colours: 24 questions, chance 25%" in said
    scores = out / "scores.jsonl"
    whole = scores.read_bytes()
    scores.write_bytes(whole[: len(whole) // 2])
    record = json.loads((out / "run.json").read_text())
    del record["steps"]["scores"]["results"]
    (out / "run.json").write_text(json.dumps(record))
    luthier(*words)
    assert scores.read_bytes() == whole
    page = (out / "report.html").read_bytes()
    assert "Which colour has number" in page.decode()
    luthier("report", out)
    assert (out / "report.html").read_bytes() == page


def test_other_data_are_refused_and_replaced(questions: Path, tiny_model_folder: Path, tmp_path: Path):
    data, out = tmp_path / "colours.jsonl", tmp_path / "run"
    data.write_bytes(questions.read_bytes())
    words = ("evaluate", "choice", data, "--model", tiny_model_folder, "--limit", 4, "--out", out, "--quiet")
    luthier(*words)
    before = (out / "scores.jsonl").read_bytes()
    data.write_text(data.read_text().replace("number 0", "number zero"))
    assert "colours.jsonl has changed" in luthier(*words, ok=False)
    assert (out / "scores.jsonl").read_bytes() == before
    luthier(*words, "--replace")
    assert (tmp_path / "run.1" / "scores.jsonl").read_bytes() == before
    assert "number zero" in (out / "scores.jsonl").read_text()


def test_a_served_model_is_scored_on_tools_and_asked_once(bfcl: dict[str, list[Item]], tmp_path: Path):
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return completion("None of the functions can do that.", usage=False)

    with ChatServer(answer) as server:
        words = ["evaluate", "tools", "--model", "m", "--endpoint", server.url, "--category", "simple_python", "--category", "irrelevance"]
        words += ["--items", "3", "--items", "irrelevance=2", "--quiet", "--out", str(tmp_path / "run")]
        said = luthier(*words)
        assert "irrelevance    free            2 items   official 100 %" in said
        assert "constrained" not in said
        assert luthier(*words) == said
        assert len(server.requests) == 5 + 2  # once with tools and once without: does it show them?
        for decoding in ("constrained", "guided"):
            assert "cannot follow a grammar" in luthier(*words[:-1], tmp_path / "other", "--decoding", decoding, ok=False)
    assert not (tmp_path / "other").exists()
    rows = [row for _, row in read_rows(tmp_path / "run" / "answers.jsonl")]
    assert {row["category"] for row in rows} == {"simple_python", "irrelevance"}
    page = (tmp_path / "run" / "report.html").read_bytes()
    assert rows[-1]["question"].split()[0] in page.decode()
    luthier("report", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").read_bytes() == page


def test_own_dialogues_are_scored_without_the_benchmark(tmp_path: Path):
    tool = {
        "type": "function",
        "function": {"name": "listBoats", "description": "Lists boats.", "parameters": {"type": "object", "properties": {}}},
    }
    call = {"type": "function", "function": {"name": "listBoats", "arguments": {}}}
    rows = [
        {"id": f"d{number}", "type": kind, "tools": [tool], "messages": [{"role": "user", "content": f"{kind} {number}"}, said]}
        for number in range(4)
        for kind, said in (
            ("single", {"role": "assistant", "content": "", "tool_calls": [call]}),
            ("irrelevant", {"role": "assistant", "content": "No tool fits."}),
        )
    ]
    write_jsonl(tmp_path / "own.jsonl", rows)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        asked = request["messages"][-1]["content"]
        return completion("[listBoats()]" if asked.startswith("single") else "I cannot do that.", usage=False)

    with ChatServer(answer) as server:
        words = ["evaluate", "tools", "--model", "m", "--endpoint", server.url, "--items", tmp_path / "own.jsonl", "--quiet"]
        said = luthier(*words, "--items", "6", "--out", tmp_path / "run")
    assert "own dialogues  free            6 items   right 100 %" in said
    assert "own dialogues, free: called where asked 100 % " in said
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [Path(name).name for name in record["inputs"]] == ["own.jsonl"]
    assert not (tmp_path / "run" / "bfcl").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Every turn of the assistant in your dialogues is one item" in page
    assert "Items of bfcl" not in page
    luthier("trace", "models", tmp_path / "run" / "answers.jsonl", "--out", tmp_path / "traced", "--quiet")
    assert "own/" in (tmp_path / "traced" / "items.csv").read_text()


def test_a_server_that_does_not_show_tools_is_not_scored(bfcl: dict[str, list[Item]], tmp_path: Path):
    with ChatServer(lambda request: completion("No.")) as server:  # as many tokens whatever it is asked
        words = ["evaluate", "tools", "--model", "m", "--endpoint", server.url, "--items", "3", "--quiet", "--out", str(tmp_path / "run")]
        said = luthier(*words, ok=False)
    assert "m: the server does not show the tools to the model (its prompt has 7 tokens with tools and 7 without)" in said


def test_files_of_others_are_left_as_they_are(questions: Path, tiny_model_folder: Path, tmp_path: Path):
    words = ("evaluate", "choice", questions, "--model", tiny_model_folder, "--limit", 1, "--quiet", "--out")
    mine, folder = tmp_path / "mine.txt", tmp_path / "folder"
    mine.write_text("line one\nthe last line has no newline")
    folder.mkdir()
    (folder / "scores.jsonl").write_text('{"question": 1')
    assert "mine.txt: cannot be a run folder" in luthier(*words, mine, ok=False)
    assert "scores.jsonl: is there already and is not of this run" in luthier(*words, folder, ok=False)
    assert mine.read_text() == "line one\nthe last line has no newline"
    assert (folder / "scores.jsonl").read_text() == '{"question": 1'


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tools", "--items", "0"), "--items is '0'"),
        (("tools", "--items", "many"), "many does not exist"),
        (("tools", "--items", "-1"), "--items is '-1'; give a file of dialogues, a number from 1, or CATEGORY=NUMBER"),
        (("tools", "--items", "multiple=3"), "of a category that is scored (simple_python)"),
        (("tools", "--category", "poetry"), "poetry"),
        (("choice", "{questions}", "--adapter", "nowhere"), "nowhere"),
        (("choice",), "DATA is missing"),
        (("choice", "{folder}/none.jsonl"), "none.jsonl"),
        (("choice", "{questions}", "--limit", "0"), "--limit is 0; give a whole number from 1"),
        (("choice", "{questions}", "--by", "words"), "--by"),
        (("choice", "{questions}", "--set", "style=odd"), "choose one of chat, plain"),
    ],
)
def test_misuse_gets_one_line(words: tuple[str, ...], complaint: str, questions: Path, tiny_model_folder: Path, tmp_path: Path):
    told = [word.format(questions=questions, folder=tmp_path) for word in words]
    said = luthier("evaluate", *told, "--model", tiny_model_folder, "--out", tmp_path / "out", "--quiet", ok=False)
    assert complaint in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_is_guided_in_its_own_form_alone(tiny_model_folder: Path, tmp_path: Path):
    folder, rows = tmp_path / "model", tmp_path / "rows.jsonl"
    shutil.copytree(tiny_model_folder, folder)
    (folder / "chat_template.jinja").write_text(stock("glm4moe"))
    function = {"name": "find", "description": "Find a place.", "parameters": {"type": "object", "properties": {}}}
    talk = [{"role": "user", "content": "Find a place."}, {"role": "assistant", "content": "Which place?"}]
    write_jsonl(rows, [{"messages": talk, "tools": [{"type": "function", "function": function}]}])
    words = ["evaluate", "tools", "--model", folder, "--items", rows, "--decoding", "guided", "--quiet", "--out", tmp_path / "run"]
    assert "no grammar is made of its own calls (xml)" in luthier(*words, ok=False)
    assert not (tmp_path / "run").exists()
    luthier(*words, "--form", "brackets")
    (row,) = (row for _, row in read_rows(tmp_path / "run" / "answers.jsonl"))
    assert row["decoding"] == "guided"
