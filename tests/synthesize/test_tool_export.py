"""Dialogues in other layouts are read back as they were; what a layout cannot say is left out by reason. Pools are imported, linted and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command import luthier
from luthier.errors import BadRowError
from luthier.records import Conversation, Message, Tool, ToolCall, read_rows, to_conversation, write_jsonl
from luthier.records.call_forms import read_calls
from luthier.synthesize.tools.apis import import_apis
from luthier.synthesize.tools.export import FORMATS, Format, exported
from luthier.synthesize.tools.pool import ToolPool
from luthier.synthesize.tools.pool_answers import stats_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "City."}, "nights": {"type": "integer", "description": "Nights."}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = (Tool("hotels.book", "Book a hotel room.", SCHEMA), Tool("find-room", "Find a room, anywhere.", SCHEMA))
CALLS = (ToolCall("hotels.book", {"city": 'São Paulo "centre"', "nights": 3}), ToolCall("find-room", {"city": "it's [here], (yes)"}))
SINGLE = Conversation((Message("user", "Book, please.\nNow!"), Message("assistant", None, CALLS)), TOOLS)
REFUSED = Conversation((Message("user", "Sing!"), Message("assistant", "No function here can sing.")), TOOLS)
LONG = Conversation(
    (
        Message("user", "Book a room in Oslo."),
        Message("assistant", None, CALLS[:1]),
        Message("tool", '{"id": 7, "rooms": ["a", "b"]}', name="hotels.book"),
        Message("assistant", "Done: the id is 7."),
        Message("user", "Thanks!"),
        Message("assistant", "You are welcome."),
    ),
    TOOLS,
)


def plain(conversation: Conversation) -> list[Any]:
    """Messages without the ids that a layout adds."""
    return [(one.role, one.content or "", [(call.name, call.arguments) for call in one.tool_calls]) for one in conversation.messages]


@pytest.mark.parametrize("layout", [name for name in FORMATS if name not in ("xlam", "hammer")])
@pytest.mark.parametrize("dialogue", [SINGLE, REFUSED, LONG])
def test_what_is_written_is_read_back(layout: Format, dialogue: Conversation) -> None:
    row = json.loads(json.dumps(exported(dialogue, layout)))
    again = to_conversation(row)
    messages = [one for one in plain(again) if one[0] != "system"]  # ToolACE's instructions stay a system turn
    assert messages == plain(dialogue)
    assert [(tool.name, tool.description, tool.parameters) for tool in again.tools] == [
        (t.name, t.description, t.parameters) for t in TOOLS
    ]
    names = [one.name for one in again.messages if one.role == "tool"]
    assert names == [one.name for one in dialogue.messages if one.role == "tool"]


def test_xlam_and_hammer_say_one_question_and_its_calls() -> None:
    again = to_conversation(exported(SINGLE, "xlam"))
    assert plain(again) == plain(SINGLE)
    assert again.tools == TOOLS
    row = exported(SINGLE, "hammer")
    assert read_calls(row["output"]).calls == CALLS
    listed = row["instruction"].split("[BEGIN OF AVAILABLE TOOLS]\n")[1].split("\n[END OF AVAILABLE TOOLS]")[0]
    assert [tool["name"] for tool in json.loads(listed)] == [tool.name for tool in TOOLS]
    assert "[BEGIN OF QUERY]\nBook, please.\nNow!\n[END OF QUERY]" in row["instruction"]
    for layout in ("xlam", "hammer"):
        assert json.loads(exported(REFUSED, layout)["answers" if layout == "xlam" else "output"]) == []
        with pytest.raises(BadRowError, match="more than a question"):
            exported(LONG, layout)


def test_the_command_counts_what_it_leaves_out(tmp_path: Path) -> None:
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    write_jsonl(source, [one.to_row() for one in (SINGLE, REFUSED, LONG)])
    said = luthier("tools", "export", source, "--to", "xlam", "--out", out).stdout
    assert "2 dialogues as xlam" in said
    assert "more than a question and its calls: 1" in said
    assert len(list(read_rows(out))) == 2
    assert "is read" in luthier("tools", "export", source, "--out", source, ok=False).stderr


BOTOCORE = {
    "metadata": {"endpointPrefix": "rooms"},
    "operations": {"BookRoom": {"input": {"shape": "In"}, "documentation": "<p>Books a room in a hotel.</p>"}},
    "shapes": {
        "In": {"type": "structure", "required": ["City"], "members": {"City": {"shape": "S", "documentation": "The city."}}},
        "S": {"type": "string"},
    },
}
DISCOVERY = {
    "kind": "discovery#restDescription",
    "name": "rooms",
    "methods": {
        "book": {
            "id": "rooms.book",
            "description": "Books a room in a hotel.",
            "parameters": {"city": {"type": "string", "description": "The city.", "required": True}},
        }
    },
}
BFCL_ROW = {
    "id": "x_0",
    "question": [[{"role": "user", "content": "Book!"}]],
    "function": [
        {
            "name": "book",
            "description": "Book a hotel room.",
            "parameters": {"type": "dict", "properties": {"city": {"type": "string", "description": "City."}}, "required": ["city"]},
        }
    ],
}


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (BOTOCORE, "rooms.book_room"),
        (DISCOVERY, "rooms.book"),
        ([BFCL_ROW], "book"),
        ([exported(SINGLE, "toolace")], "hotels.book"),
        ([SINGLE.to_row()], "hotels.book"),
        ([{"name": "book_room", "description": "Book a hotel room.", "input_schema": SCHEMA}], "book_room"),
        ([{"type": "function", "function": {"name": "book", "description": "Book a hotel room.", "parameters": SCHEMA}}], "book"),
    ],
)
def test_any_description_is_imported_into_a_pool_that_is_an_api_again(document: Any, name: str, tmp_path: Path) -> None:
    source, pool = tmp_path / "source.json", tmp_path / "pool.jsonl"
    source.write_text(json.dumps(document))
    said = luthier("tools", "import", source, "--out", pool).stdout
    tools = list(ToolPool.read(pool))
    assert f"{len(tools)} tools" in said
    assert tools[0].name == name
    assert "city" in {key.lower() for key in tools[0].parameters["properties"]}
    assert tools[0].source
    assert list(import_apis([str(pool)])) == tools


def test_lint_names_the_tool_and_ends_with_one(tmp_path: Path) -> None:
    source = tmp_path / "tools.json"
    odd = {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[a-z]{2}$", "minLength": 9}}, "required": ["code"]}
    source.write_text(json.dumps({"tools": [{"name": "sound", "description": "Book a hotel room.", "inputSchema": SCHEMA}]}))
    assert "0 with findings" in luthier("tools", "lint", source).stdout
    source.write_text(json.dumps({"tools": [{"name": "stuck", "description": "Book a hotel room.", "inputSchema": odd}]}))
    done = luthier("tools", "lint", source, ok=False)
    assert done.code == 1
    assert "stuck: no value is found" in done.stdout


def test_lint_fails_on_what_it_cannot_read_and_quiet_hides_no_loss(tmp_path: Path) -> None:
    source = tmp_path / "tools.json"
    lost = {"type": "object", "properties": {"place": {"$ref": "#/$defs/Place"}}}
    tools = [
        {"name": name, "description": "Book a hotel room.", "inputSchema": schema} for name, schema in (("sound", SCHEMA), ("lost", lost))
    ]
    source.write_text(json.dumps({"tools": tools}))
    done = luthier("tools", "lint", source, "--quiet", ok=False)
    assert "leads nowhere" in done.stdout
    assert "1 tools read, 0 with findings, 1 not read" in done.stdout
    quiet = luthier("tools", "import", source, "--out", tmp_path / "pool.jsonl", "--quiet")
    assert quiet.stderr.startswith("refused: ")


def test_statistics_count_tools_and_parameters(tmp_path: Path) -> None:
    stats = stats_of(list(TOOLS))
    assert (stats.tools, stats.parameters, stats.required, stats.nested) == (2, 4, 2, 0)
    assert stats.sizes["1-2"] == 2
    assert stats.types == {"string": 2, "integer": 2}
    source = tmp_path / "rows.json"
    source.write_text(json.dumps([SINGLE.to_row()]))
    assert "2 tools, 4 parameters, 2 of them required" in luthier("tools", "stats", source).stdout
