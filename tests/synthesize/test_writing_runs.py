"""`luthier synthesize tools` with a model: a scripted server words, plays and judges; what was dropped is told; a stopped run ends in the same bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chat_server import ChatServer, Reply, completion
from command import luthier
from interruption import kill_after
from luthier.errors import SettingsError
from luthier.records.files import read_rows
from luthier.run import RunRecord
from luthier.synthesize.tools.settings import DialogueSettings

API = {
    "openapi": "3.0.3",
    "info": {"title": "Hotel", "version": "1"},
    "paths": {
        "/rooms": {
            "post": {
                "operationId": "bookRoom",
                "summary": "Book a hotel room.",
                "parameters": [
                    {"name": "city", "in": "query", "required": True, "description": "Name of the city.", "schema": {"type": "string"}},
                    {"name": "nights", "in": "query", "required": True, "description": "Number of nights.", "schema": {"type": "integer"}},
                ],
            }
        },
        "/weather": {
            "get": {
                "operationId": "getWeather",
                "summary": "Get the weather in a city.",
                "parameters": [
                    {"name": "city", "in": "query", "required": True, "description": "Name of the city.", "schema": {"type": "string"}}
                ],
            }
        },
    },
}


@pytest.fixture
def api(tmp_path: Path) -> Path:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(API))
    return path


def other_words(request: Reply) -> Reply:
    """Says every second request in other words, and loses what the others say."""
    text = str(request["messages"][-1]["content"]).rpartition("\n\n")[2]
    return completion(f"{text.rstrip('.?!')}, if that can be done?" if len(text) % 2 else "I want nothing at all, please.")


def hotel(request: Reply) -> Reply:
    """User and assistant agents, by what they are told."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    number = request.get("seed", 0) % 89 + 2
    if "You play a person" in text:
        if "You want two" in text:
            return completion(f"Book rooms in Porto for {number} nights and in Faro for {number + 1} nights.")
        if "except the" in text:
            return completion("I want to book a room in Lisbon." if "except the nights" in text else "I want to have what is on offer.")
        return completion(
            f"Book a room in Lisbon for {number} nights." if "Book a hotel room" in text else f"Hello number {number}, what else is there?"
        )
    asked = text.rpartition("user: ")[2]
    row: dict[str, Any] = {
        "goal": "?",
        "known": {},
        "missing": [],
        "fitting_tools": [],
        "depends_on_result": False,
        "calls": [],
        "text": "All is done.",
    }
    numbers = re.findall(r"in (\w+) for (\d+)", asked)
    if "result of" in asked:
        return completion(json.dumps({**row, "action": "summarise"}))
    if numbers:
        calls = [{"name": "bookRoom", "arguments": {"city": city, "nights": int(nights)}} for city, nights in numbers]
        return completion(json.dumps({**row, "action": "call", "calls": calls}))
    return completion(json.dumps({**row, "action": "chat", "text": "Good day!"}))


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def test_requests_are_said_in_other_words_and_the_account_adds_up(api: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with ChatServer(other_words) as server:
        said = luthier("synthesize", "tools", "--api", api, "--count", 30, "--writer", "m", "--endpoint", server.url, "--out", out)
        asked = len(server.requests)
    found = RunRecord.read(out).results("words")
    checked, worded = rows(out / "checked.jsonl"), rows(out / "worded.jsonl")
    assert found["dialogues"] == len(worded) == found["model"] + found["template"]
    assert found["model"] == sum(row["worded"] == "model" for row in worded) > 0
    assert found["reasons"]["not taken: a value is lost"] > 0
    assert found["writer"] | {"model": "m", "calls": asked, "asked": {"words": asked}} == found["writer"]
    assert any(row["messages"][0]["content"].endswith("if that can be done?") for row in checked)
    drawn = {row["id"]: row for row in rows(out / "dialogues.jsonl")}
    for row in worded:
        assert row["messages"][1:] == drawn[row["id"]]["messages"][1:]
        assert row.get("template", row["messages"][0]["content"]) == drawn[row["id"]]["messages"][0]["content"]
    assert f"requests in other words: {found['model']} of {found['dialogues']}" in said.stdout
    page = (out / "report.html").read_text()
    assert "not taken: a value is lost" in page
    with ChatServer(lambda _: completion("not asked")) as server:
        again = tmp_path / "again"
        luthier("synthesize", "tools", "--api", api, "--count", 30, "--replay", out / "answers.jsonl", "--out", again)
        assert server.requests == []
    assert (again / "checked.jsonl").read_bytes() == (out / "checked.jsonl").read_bytes()


def test_agents_write_dialogues_and_what_is_dropped_is_told(api: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["synthesize", "tools", "--api", api, "--count", 48, "--writer", "m", "--agents", "full"]
    with ChatServer(hotel) as server:
        said = luthier(*words, "--endpoint", server.url, "--out", out)
    found = RunRecord.read(out).results("dialogues")
    assert found["made"] > 5
    assert found["wanted"] == 48 == found["made"] + sum(found["dropped"].values())
    assert found["types"]["parallel"] > 0
    for reason, count in found["dropped"].items():
        assert f"dropped, {reason}: {count}" in said.stdout
        assert reason.split(":")[0] in (out / "report.html").read_text()
    checked = rows(out / "checked.jsonl")
    assert {row["worded"] for row in checked} == {"agents"}
    assert all(row["thought"][0]["votes"] for row in checked)
    assert sum(found["writer"]["asked"].values()) == found["writer"]["calls"]


def test_a_run_that_fails_half_way_goes_on_to_the_same_bytes(api: Path, tmp_path: Path) -> None:
    words = ["synthesize", "tools", "--api", api, "--count", 16, "--writer", "m", "--agents", "full"]
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    with ChatServer(hotel) as server:
        luthier(*words, "--endpoint", server.url, "--out", whole)
        assert server.requests
        total, done = len(server.requests), list[int]()

        def dying(request: Reply) -> Any:
            done.append(1)
            return hotel(request) if len(done) < total // 2 else {"nonsense": True}

        server.answer = dying
        luthier(*words, "--endpoint", server.url, "--out", torn, ok=False)
        server.answer, kept = hotel, len((torn / "answers.jsonl").read_bytes().splitlines())
        server.requests.clear()
        luthier(*words, "--endpoint", server.url, "--out", torn)
        assert 0 < kept < total
        assert len(server.requests) == total - kept
    for name in ("dialogues.jsonl", "checked.jsonl", "rejected.jsonl"):
        assert (torn / name).read_bytes() == (whole / name).read_bytes()


def test_a_budget_holds_and_is_told(api: Path, tmp_path: Path) -> None:
    with ChatServer(hotel) as server:
        words = ["synthesize", "tools", "--api", api, "--count", 16, "--writer", "m", "--agents", "full", "--budget", "40 calls"]
        said = luthier(*words, "--endpoint", server.url, "--out", tmp_path / "run")
        assert len(server.requests) <= 40
    assert "the budget of calls is spent" in said.stdout
    assert RunRecord.read(tmp_path / "run").results("dialogues")["dropped"]["no budget was left"] > 0


def test_experts_sort_what_agents_made(api: Path, tmp_path: Path) -> None:
    def judging(request: Reply) -> Reply:
        text = str(request["messages"][-1]["content"])
        if "You check one thing" not in str(request["messages"][0]["content"]):
            return hotel(request)
        kind = ("pass", "fail", "unsure")[len(text.rpartition("user: ")[2]) % 3]
        return completion(json.dumps({"verdict": kind, "evidence": "assistant:", "argument": ""}))

    out = tmp_path / "run"
    with ChatServer(judging) as server:
        words = ["synthesize", "tools", "--api", api, "--count", 40, "--writer", "m", "--agents", "full", "--endpoint", server.url]
        said = luthier(*words, "--judge", "j", "--judge-endpoint", server.url, "--out", out)
    found = RunRecord.read(out).results("experts")
    assert found["passed"] + found["failed"] + found["unsure"] == found["dialogues"] == found["asked_about"]
    assert len(rows(out / "checked.jsonl")) == found["passed"]
    assert len(rows(out / "review.jsonl")) == found["unsure"]
    assert f"{found['unsure']} for a person" in said.stdout
    assert "luthier tools review" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"endpoint": "http://x/v1"}, "--writer"),
        ({"judge_endpoint": "http://x/v1"}, "--judge"),
        ({"agents": "full"}, "--writer"),
        ({"writer": "m", "turns": 2}, "--agents full"),
        ({"writer": "m", "replay": "a.jsonl"}, "leave one out"),
        ({"writer": "m", "budget": "10 min"}, "calls and tokens"),
        ({"writer": "m", "agents": "full", "executor": "sandboxed"}, "--functions"),
        ({"writer": "m", "given": "rows.jsonl"}, "--dialogues"),
        ({"writer": "m", "agents": "full", "apis": (), "builtin_apis": True}, "--api"),
        ({"quantize": "4bit"}, "--writer or --judge"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        DialogueSettings(**{"apis": ("api.json",), **settings})


def test_a_local_model_answers_under_the_schema_and_its_recording_gives_the_same(
    api: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """A random model says nothing of use: all is dropped, and why is told."""
    words = ["synthesize", "tools", "--api", api, "--count", 1, "--agents", "full", "--budget", "6 calls"]
    luthier(*words, "--writer", tiny_model_folder, "--out", tmp_path / "run")
    found = RunRecord.read(tmp_path / "run").results("dialogues")
    assert found["wanted"] == 1 == found["made"] + sum(found["dropped"].values())
    luthier(*words, "--replay", tmp_path / "run" / "answers.jsonl", "--out", tmp_path / "again")
    again = RunRecord.read(tmp_path / "again").results("dialogues")
    assert {**again, "writer": 0} == {**found, "writer": 0}
    assert again["writer"]["calls"] == found["writer"]["calls"]


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(api: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    words = ["synthesize", "tools", "--api", str(api), "--count", "9", "--writer", str(tiny_model_folder)]
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    luthier(*words, "--out", whole)
    kill_after([*words, "--out", str(torn)], torn / "answers.jsonl", 4)
    assert not (torn / "checked.jsonl").exists()
    luthier(*words, "--out", torn)
    for name in ("worded.jsonl", "checked.jsonl"):
        assert (torn / name).read_bytes() == (whole / name).read_bytes()
