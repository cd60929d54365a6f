"""Experts: who is asked about what, evidence that must stand in the dialogue, a second look at what is unsure, and a person's word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.models.protocol import Completion
from luthier.records import Conversation, Message, Tool, ToolCall
from luthier.records.files import read_rows, write_jsonl
from luthier.synthesize.tools.asks import Asks
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.experts import SCHEMA, Judged, applicable, judged, question, read_verdict, value_at

STOCK = Tool(
    "stock.price",
    "Gives the price of a share.",
    {
        "type": "object",
        "properties": {"symbol": {"type": "string", "description": "Ticker symbol."}},
        "required": ["symbol"],
        "additionalProperties": False,
    },
)
APPLE = Conversation(
    (
        Message("user", "What is one share of Apple worth?"),
        Message("assistant", None, (ToolCall("stock.price", {"symbol": "AAPL"}),)),
        Message("tool", '{"price": 210.5}', name="stock.price"),
        Message("assistant", "One share costs 210.5."),
    ),
    (STOCK,),
    {"id": "a", "type": "single", "worded": "agents", "answered": "told"},
)
PLAIN = Conversation((*APPLE.messages[:1], Message("assistant", "I cannot.")), (STOCK,), {"type": "irrelevant", "worded": "template"})


def verdict(kind: str, evidence: str = "one share of Apple", argument: str = "") -> str:
    return json.dumps({"verdict": kind, "evidence": evidence, "argument": argument})


def heard(conversation: Conversation, say: Callable[[str, int], str | None]) -> tuple[Judged, list[str]]:
    talk, kinds, answer = judged(conversation, check(conversation)), list[str](), None
    while True:
        try:
            wanted: Asks = talk.send(answer)
        except StopIteration as stop:
            return stop.value, kinds
        kinds.append(wanted.kind)
        text = say(wanted.kind, kinds.count(wanted.kind))
        answer = [None if text is None else Completion(text, "stop", 5, 5)]


def test_only_what_is_open_is_asked() -> None:
    assert applicable(APPLE, check(APPLE)) == ["hallucination", "consistency", "tool_response"]
    assert applicable(APPLE) == ["consistency", "tool_response"]
    assert applicable(PLAIN, check(PLAIN)) == []
    mocked = Conversation(APPLE.messages, APPLE.tools, {**APPLE.extra, "answered": "mocked"})
    assert applicable(mocked) == ["consistency"]
    found, kinds = heard(PLAIN, lambda *_: verdict("fail"))
    assert (found.outcome, kinds) == ("pass", [])


def test_a_dialogue_passes_where_all_pass() -> None:
    found, kinds = heard(APPLE, lambda *_: verdict("pass"))
    assert (found.outcome, kinds) == ("pass", ["hallucination", "consistency", "tool_response"])


def test_the_first_who_fails_it_is_the_last_who_is_asked() -> None:
    found, kinds = heard(APPLE, lambda kind, _: verdict("fail" if kind == "consistency" else "pass"))
    assert (found.outcome, kinds) == ("fail", ["hallucination", "consistency"])


def test_evidence_that_does_not_stand_in_the_dialogue_is_no_verdict() -> None:
    assert read_verdict("hallucination", verdict("pass", "ONE SHARE of apple!"), APPLE).verdict == "pass"
    for text in (verdict("pass", "a share of Banana"), verdict("fail", ""), verdict("pass", "..."), verdict("maybe"), "well", "{"):
        assert read_verdict("hallucination", text, APPLE).verdict == "unsure"


def test_unsure_is_asked_once_more_and_then_left_to_a_person() -> None:
    found, kinds = heard(APPLE, lambda kind, time: verdict("pass") if time == 2 or kind != "consistency" else verdict("unsure"))
    assert (found.outcome, kinds.count("consistency")) == ("pass", 2)
    found, kinds = heard(APPLE, lambda kind, _: verdict("unsure" if kind == "consistency" else "pass"))
    assert (found.outcome, kinds.count("consistency"), kinds[-1]) == ("unsure", 2, "tool_response")
    found, kinds = heard(APPLE, lambda *_: None)
    assert (found.outcome, len(kinds)) == ("unsure", 3)


def test_the_question_names_the_values_that_are_open() -> None:
    (finding,) = check(APPLE)
    assert value_at(APPLE, finding.path) == '"AAPL"'
    prompt = question("hallucination", APPLE, [finding])
    assert 'symbol: "AAPL"' in str(prompt.messages[1].content)
    assert prompt.json_schema == SCHEMA
    assert question("consistency", APPLE, structured=False).json_schema is None


def waiting(folder: Path, *accepted: Any) -> Path:
    row = {**APPLE.to_row(), "verdicts": [{"expert": "consistency", "verdict": "unsure", "evidence": "<b>Apple</b>", "argument": ""}]}
    write_jsonl(folder / "review.jsonl", ({"accepted": one, **row} for one in accepted))
    return folder


def test_a_person_reviews_on_a_page_and_by_editing_the_file(tmp_path: Path) -> None:
    luthier("tools", "review", waiting(tmp_path, None, True, False, None))
    page = (tmp_path / "review.html").read_text()
    assert "<script" not in page
    assert "&lt;b&gt;Apple&lt;/b&gt;" in page
    assert "<strong>2</strong>" in page
    (row,) = [row for _, row in read_rows(tmp_path / "accepted.jsonl")]
    assert "accepted" not in row
    assert "verdicts" not in row
    assert row["id"] == "a"


@pytest.mark.parametrize("word", ["yes", 1, 0])
def test_a_word_that_is_neither_is_refused_by_its_line(tmp_path: Path, word: Any) -> None:
    said = luthier("tools", "review", waiting(tmp_path, True, word), ok=False)
    assert "review.jsonl:2" in said.stderr


def test_a_run_without_a_review_says_so(tmp_path: Path) -> None:
    assert "--judge" in luthier("tools", "review", tmp_path, ok=False).stderr
