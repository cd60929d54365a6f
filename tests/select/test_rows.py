from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import BadRowError
from luthier.records import SkippedRows, write_jsonl
from luthier.select.rows import read_pool, row_text

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "id": 7, "source": "x"}
CALL = {
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {"city": "Zürich"}}}]},
    ]
}


@pytest.mark.parametrize(
    ("row", "fields", "text"),
    [
        (CHAT, "all", "user: Hi\nassistant: Hello\n"),
        (CHAT, "prompt", "user: Hi\n"),
        (CHAT, "response", "assistant: Hello\n"),
        (CALL, "all", 'user: Weather?\nassistant: {"name": "look", "arguments": {"city": "Zürich"}}\n'),
        ({"instruction": "Add", "input": "1 2", "output": "3"}, "all", "user: Add\n\n1 2\nassistant: 3\n"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "all", "user: a\nassistant: b\n"),
        ({"prompt": "p", "chosen": "good", "rejected": "bad"}, "all", "user: p\nassistant: good\nassistant: bad\n"),
        ({"text": "plain", "id": 3}, "all", "plain"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "text": ""}, "all", "user: a\nassistant: b\n"),
        ({"instruction": "Add", "output": "3", "text": "en"}, "all", "user: Add\nassistant: 3\n"),
        ({"prompt": "p", "chosen": "good", "rejected": "bad", "text": "x"}, "response", "assistant: good\nassistant: bad\n"),
        ({"text": "plain", "messages": None}, "all", "plain"),
    ],
)
def test_what_the_model_sees_is_measured(row, fields, text) -> None:
    assert row_text(row, fields) == text


def test_rows_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(json.dumps(CHAT) + "\n\n" + json.dumps({"text": "b"}) + "\n")
    assert [(row.number, row.text) for row in read_pool(path)] == [(1, "user: Hi\nassistant: Hello\n"), (3, "b")]
    assert [row.number for row in read_pool([CHAT, CALL])] == [1, 2]


def test_a_row_of_no_known_layout_is_named_or_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    write_jsonl(path, [CHAT, {"question": "?"}, CALL])
    with pytest.raises(BadRowError, match=r"pool\.jsonl:2: no known layout"):
        list(read_pool(path))
    skipped = SkippedRows(tmp_path / "bad.jsonl")
    assert [row.number for row in read_pool(path, skipped=skipped)] == [1, 3]
    assert skipped.count == 1
