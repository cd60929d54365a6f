"""What Python and NumPy print into cells is read as it was, and nothing in it is ever run."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadRowError
from luthier.records import read_conversations
from luthier.records.lines import decoded, python_value
from luthier.records.python_text import literal

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=6), VALUES, max_size=3), min_size=1, max_size=4)

TIDE = {
    "type": "function",
    "function": {
        "name": "tide",
        "description": "Tide height.",
        "parameters": {"type": "object", "properties": {"harbour": {"type": "string"}}},
    },
}
CALL = {"type": "function", "function": {"name": "tide", "arguments": {"harbour": "l'Aber \"Wrac'h\"", "deep": True}}}
CHAT = [{"role": "user", "content": "Is it {deep} {there}?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]


@given(VALUES)
def test_what_python_prints_is_read_as_it_was(value):
    assert literal(repr(value)) == value


@given(OBJECTS)
def test_an_array_of_objects_is_the_list_of_them(objects):
    array = np.empty(len(objects), dtype=object)
    array[:] = objects
    with np.printoptions(threshold=10**9):
        assert literal(str(array)) == objects
        assert literal(repr({"inner": array})) == {"inner": objects}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'n': np.int64(3), 'x': np.float64(-1.5), 's': np.str_('a'), 'b': np.True_}", {"n": 3, "x": -1.5, "s": "a", "b": True}),
        ("[{'a': nan}]", [{"a": None}]),
        ("[{'a': '} {'} {'b': \"it's } {\"}]", [{"a": "} {"}, {"b": "it's } {"}]),
        ("{'a': array([], dtype=object)}", {"a": []}),
        ("{'a': array(['x', 'y'], dtype=object)}", {"a": ["x", "y"]}),
    ],
)
def test_scalars_arrays_and_gaps(text, value):
    assert literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "[open('x')]",
        "array(open('x'))",
        "{'a': array([__import__('os').system('true')])}",
        "{'a': np.load('x')}",
        "{'a': np.int64(open('x'))}",
        "{'a': array([1], dtype=object, copy=f())}",
        "{'a': nan.b}",
        "[{'a': 1}\n ...\n {'b': 2}]",
        "[{'a': 1}, ..., {'b': 2}]",  # an array that NumPy cut
        "[x for x in [1]]",
        "['a",
        "{'a': 1",
        "[" * 5000,
        "",
    ],
)
def test_anything_else_is_no_value_and_is_not_run(text):
    assert python_value(text) is None
    if text:
        with pytest.raises(BadRowError, match="the tools"):
            decoded(text, "the tools")


def test_a_lone_text_in_quotes_is_no_object():
    with pytest.raises(BadRowError, match="the arguments of 'f': not JSON"):
        decoded("'abc'", "the arguments of 'f'")


@pytest.mark.parametrize("arguments", [dict, str])
@pytest.mark.parametrize("through", [lambda frame, path: frame, lambda frame, path: (frame.to_parquet(path), pd.read_parquet(path))[1]])
def test_a_frame_saved_as_csv_is_the_rows_it_was(tmp_path, arguments, through):
    call = {**CALL, "function": {**CALL["function"], "arguments": arguments(CALL["function"]["arguments"])}}
    messages = [CHAT[0], {**CHAT[1], "tool_calls": [call]}]
    frame = through(pd.DataFrame({"messages": [messages] * 2, "tools": [[TIDE]] * 2}), tmp_path / "frame.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    rows = list(read_conversations(tmp_path / "rows.csv"))
    assert len(rows) == 2
    assert [turn.content for turn in rows[0].messages] == [CHAT[0]["content"], None]
    assert rows[0].messages[1].tool_calls[0].arguments == CALL["function"]["arguments"]
    assert [tool.name for tool in rows[0].tools] == ["tide"]


def test_short_turns_of_an_array_stand_on_one_line(tmp_path):
    turns = np.array([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}], dtype=object)
    sheet = io.StringIO()
    csv.writer(sheet).writerows([["messages"], [str(turns)]])
    assert "} {" in sheet.getvalue()
    (tmp_path / "rows.csv").write_text(sheet.getvalue())
    (row,) = read_conversations(tmp_path / "rows.csv")
    assert [turn.content for turn in row.messages] == ["Hi", "Yo"]
