"""Preference pairs in the layouts in use."""

import json

import pytest

from luthier.errors import BadRowError
from luthier.records import Message, PreferencePair, ToolCall, read_pairs, to_pair, write_jsonl
from luthier.records.account import Account

U, A, B = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}
Q, YES, NO = Message("user", "Q"), Message("assistant", "A"), Message("assistant", "B")
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    "row",
    [
        {
            "conversations": [{"from": "human", "value": "Q"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        {"instruction": "Q", "input": "", "chosen": "A", "rejected": "B"},
        {"instruction": "Q", "chosen": "A", "rejected": "B", "history": []},
        {"chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "\n\nHuman: Q\n\nAssistant: B"},
        {"chosen": "Human: Q\n\nAssistant:A", "rejected": "Human: Q\n\nAssistant:B"},
        {"question": "Q", "chosen": "A", "rejected": "B", "system": ""},
        {"messages": [U], "chosen": [A], "rejected": [B]},
        {"prompt": "Q", "chosen": json.dumps([U, A]), "rejected": json.dumps([U, B])},
        {"chosen": json.dumps([U, A]), "rejected": json.dumps([U, B])},
        {"input": {"messages": [U], "tools": None}, "preferred_output": [A], "non_preferred_output": [B]},
        {"prompt": "Q", "chosen_response": "A", "rejected_response": "B"},
        {"question": "Q", "response_j": "A", "response_k": "B"},
        {"prompt": "Q", "response_0": "B", "response_1": "A", "better_response_id": 1},
        {"prompt": "Q", "response_a": "A", "response_b": "B", "winner": "model_a"},
        {"prompt": "Q", "response_1": "B", "response_2": "A", "preference_strength": 2},
        {"context": [U], "response1": "A", "response2": "B", "overall_preference": -1},
        {"instruction": "Q", "input": "", "output_1": "B", "output_2": "A", "preference": 2},
        {"instruction": "Q", "output_1": "A", "output_2": "B", "preference": "1.0000630276"},
        {"conversation_a": [U, A], "conversation_b": [U, B], "winner": "model_a"},
        {"input": "Q", "chosen": "A", "rejected": "B"},
    ],
)
def test_every_layout_reads_the_same(row):
    assert to_pair(row) == PreferencePair((Q,), (YES,), (NO,))


def test_shps_history_is_a_prompt():
    row = {"prompt": "Q", "human_ref_A": "B", "human_ref_B": "A", "labels": 0}
    assert to_pair(row) == PreferencePair((Q,), (YES,), (NO,))


@pytest.mark.parametrize(
    "prompt",
    [{"prompt": "Q"}, {"prompt": [U]}, {"instruction": "Q"}, {"conversations": [{"from": "human", "value": "Q"}]}, {"question": "Q"}],
)
def test_a_system_text_stands_before_the_prompt(prompt):
    assert to_pair({"system": "Speak French.", **prompt, "chosen": "A", "rejected": "B"}).prompt == (Message("system", "Speak French."), Q)


def test_a_system_text_is_not_put_before_its_like():
    row = {"system": "S", "prompt": [{"role": "system", "content": "S"}, U], "chosen": [A], "rejected": [B]}
    assert to_pair(row).prompt == (Message("system", "S"), Q)
    with pytest.raises(BadRowError, match="a system text in `system` and another in its prompt"):
        to_pair({**row, "system": "T"})


def test_earlier_turns_stand_in_the_prompt():
    row = {"instruction": "Q", "input": "more", "history": [["a", "b"]], "chosen": "A", "rejected": "B"}
    assert [m.content for m in to_pair(row).prompt] == ["a", "b", "Q\n\nmore"]
    texts = ["\n\nHuman: one\n\nAssistant: two\n\nHuman: Q\n\nAssistant: " + side for side in "AB"]
    assert [m.content for m in to_pair({"chosen": texts[0], "rejected": texts[1]}).prompt] == ["one", "two", "Q"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "A"},
        {"chosen": [U, A], "rejected": [U, A]},
        {"chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "\n\nHuman: Q\n\nAssistant: A"},
    ],
)
def test_two_equal_answers_are_a_pair_that_training_counts(row):
    assert to_pair(row) == PreferencePair((Q,), (YES,), (YES,))


@pytest.mark.parametrize("row", [{"prompt": "Q", "chosen": "A", "rejected": []}, {"chosen": [U, A], "rejected": []}])
def test_an_empty_answer_is_a_pair_that_training_counts(row):
    assert to_pair(row) == PreferencePair((Q,), (YES,), ())


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "Q", "completion": "A", "label": True}, "not a preference pair: .*'completion', 'label'"),
        ({"chosen": "one", "rejected": "two"}, "without a prompt: the two answers begin with nothing in common"),
        ({"prompt": "Q", "response_0": "A", "response_1": "B", "better_response_id": None}, "not a preference pair"),
        ({"prompt": "Q", "response_a": "A", "response_b": "B", "winner": "tie"}, "not a preference pair"),
        (
            {"prompt": "Q", "response_1": "A", "response_2": "B", "preference_strength": 0},
            "`preference_strength` is 0, and does not say which",
        ),
        (
            {"instruction": "Q", "output_1": "A", "output_2": "B", "preference": 1.5},
            "`preference` is 1.5, .* a number below 1.5 means the first",
        ),
        ({"instruction": "Q", "output_1": "A", "output_2": "B", "preference": None}, "`preference` is None"),
        ({"instruction": "Q", "output_1": "A", "output_2": "B", "preference": True}, "`preference` is True"),
        ({"conversation_a": [U, A], "conversation_b": [U, B], "winner": "tie (bothbad)"}, "`winner` is 'tie"),
        ({"input": {"messages": [U], "odd": 1}, "preferred_output": [A], "non_preferred_output": [B]}, "`input` has 'odd'"),
        ({"prompt": "Q", "chosen": [{"role": "assistant", "content": [{"type": "image"}]}], "rejected": "B"}, "type 'image'"),
    ],
)
def test_rows_that_are_refused(row, problem):
    with pytest.raises(BadRowError, match=problem):
        to_pair(row)


def test_weights_and_scores_of_pairs_come_along(tmp_path):
    row = {"prompt": [U], "chosen": [A | {"weight": 0.5}], "rejected": [B], "weight": 2.0, "score_chosen": 9}
    write_jsonl(tmp_path / "pairs.jsonl", [row])
    (pair,) = read_pairs(tmp_path / "pairs.jsonl")
    assert pair.to_row() == row
    assert pair.chosen[0].weight == 0.5


def test_calls_and_tools_of_pairs():
    call = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Riga"}'}}
    row = {
        "prompt": "Q",
        "chosen": [{"role": "assistant", "tool_calls": [call]}],
        "rejected": "B",
        "tools": [{"name": "weather", "input_schema": CITY}],
    }
    pair = to_pair(row)
    assert pair.chosen == (Message("assistant", None, (ToolCall("weather", {"city": "Riga"}),)),)
    assert pair.tools[0].parameters == CITY


def test_a_prompt_that_ends_with_the_mark_of_the_answer_is_turns():
    pair = to_pair({"prompt": "\n\nHuman: one\n\nAssistant: two\n\nHuman: Q\n\nAssistant:", "chosen": " A", "rejected": " B"})
    assert [(turn.role, turn.content) for turn in pair.prompt] == [("user", "one"), ("assistant", "two"), ("user", "Q")]
    assert (pair.chosen[0].content, pair.rejected[0].content) == ("A", "B")


@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        ("Q", [{"role": "system", "content": "S"}]),
        ("Q", [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]),
        ([{"role": "user", "content": "Q"}], [{"role": "system", "content": "S"}]),
        ([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}], []),
    ],
)
def test_a_prompt_is_cut_from_whole_dialogues_and_what_they_begin_with_belongs_to_it(prompt, before):
    sides = {
        side: [*before, {"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]
        for side, text in (("chosen", "A"), ("rejected", "B"))
    }
    pair = to_pair({"prompt": prompt, **sides})
    assert [turn.content for turn in pair.chosen] == ["A"]
    assert [turn.content for turn in pair.rejected] == ["B"]
    assert pair.prompt[-1].content == "Q"
    assert len(pair.prompt) == max(len(before) + 1, 1 if isinstance(prompt, str) else len(prompt))


def test_a_prompt_with_marks_of_its_own_is_text_and_its_answers_keep_their_blanks():
    pair = to_pair({"prompt": "User: Q\n\nAssistant:", "chosen": " A", "rejected": " B"})
    assert [(turn.role, turn.content) for turn in pair.prompt] == [("user", "User: Q\n\nAssistant:")]
    assert (pair.chosen[0].content, pair.rejected[0].content) == (" A", " B")


TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}]
OSLO, ROME = (json.dumps({"name": "weather", "arguments": {"city": city}}) for city in ("Oslo", "Rome"))


@pytest.mark.parametrize(
    "form",
    [
        "<tool_call>\n{call}\n</tool_call>",
        "[TOOL_CALLS][{call}]",
        "<functioncall> {call} <|endoftext|>",
        "<|python_tag|>{call}<|eom_id|>",
        "```json\n{call}\n```",
        "{call}",
    ],
)
def test_calls_in_the_text_of_answers_are_calls_where_the_pair_has_tools(form):
    row = {"prompt": "Q", "chosen": form.format(call=OSLO), "rejected": form.format(call=ROME), "tools": TOOLS}
    pair = to_pair(row)
    assert [turn.tool_calls for turn in (*pair.chosen, *pair.rejected)] == [
        (ToolCall("weather", {"city": "Oslo"}),),
        (ToolCall("weather", {"city": "Rome"}),),
    ]
    assert not any(turn.content for turn in (*pair.chosen, *pair.rejected))


def test_answers_that_differ_in_their_writing_alone_or_are_broken_stay_text(tmp_path):
    told = f"<tool_call>\n{OSLO}\n</tool_call>"
    broken = "<tool_call>\n{'name': \n</tool_call>"
    written = to_pair({"prompt": "Q", "chosen": told, "rejected": OSLO, "tools": TOOLS})
    assert (written.chosen, written.rejected) == ((Message("assistant", told),), (Message("assistant", OSLO),))
    worse = to_pair({"prompt": "Q", "chosen": told, "rejected": broken, "tools": TOOLS})
    assert worse.chosen[0].tool_calls == (ToolCall("weather", {"city": "Oslo"}),)
    assert worse.rejected == (Message("assistant", broken),)
    with pytest.raises(BadRowError):
        to_pair({"prompt": "Q", "chosen": broken, "rejected": told, "tools": TOOLS})
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, [{"prompt": "Q", "chosen": told, "rejected": "No."}])
    with Account() as account:
        (bare,) = read_pairs(path)
    assert bare.chosen == (Message("assistant", told),)
    assert "calls that stay text: the row has no tools" in [entry.reason for entry in account.entries]
