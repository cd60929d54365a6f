"""Calls in the form of every family: what is read, what is an attempt in no known form, what is no call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.models.chat_template import ChatTemplate
from luthier.records import ToolCall
from luthier.records.call_forms import read_calls
from stock_templates import STOCK, stock, tokenizer_with

NAMES = ("get_weather", "find.room", "add-one")
ONE = (ToolCall("get_weather", {"city": "Lisbon", "days": 3}),)
TWO = (*ONE, ToolCall("find.room", {"tags": ["a", "b"], "outside": True}))
SAID = {
    "brackets": ['[get_weather(city="Lisbon", days=3)]', 'get_weather(city="Lisbon", days=3)'],
    "hermes": [
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}\n</tool_call>',
        'I will look.\n<tool_call>{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}',
        "<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Lisbon', 'days': 3}}</tool_call>",
        '<think>\nWhich tool? {"name"?}\n</think>\n\n<tool_call>{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}</tool_call>',
    ],
    "xml": [
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nLisbon\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Lisbon</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    ],
    "llama": [
        '{"name": "get_weather", "parameters": {"city": "Lisbon", "days": 3}}',
        '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Lisbon", "days": 3}}',
        '<|python_tag|>get_weather.call(city="Lisbon", days=3)',
    ],
    "mistral": [
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}]',
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Lisbon", "days": 3}',
        '[TOOL_CALLS]get_weather{"city": "Lisbon", "days": 3}',
    ],
    "json": [
        '[{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}]',
        '{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Lisbon\\", \\"days\\": 3}"}',
        'Here it is:\n```json\n{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}\n```\nThat is all.',
        '{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}}',
    ],
    "python": [
        '```tool_code\nprint(get_weather(city="Lisbon", days=3))\n```',
        '```python\nget_weather(city="Lisbon", days=3)\n```',
        '```tool_code\n[get_weather(city="Lisbon", days=3)]\n```',
    ],
    "gemma": ['<|tool_call>call:get_weather{city:<|"|>Lisbon<|"|>,days:3}<tool_call|>'],
    "deepseek": [
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Lisbon", "days": 3}\n```<｜tool▁call▁end｜>',
        '<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Lisbon", "days": 3}<｜tool▁call▁end｜>',
    ],
    "harmony": ['<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Lisbon", "days": 3}<|call|>'],
    "lfm": ['<|tool_call_start|>[get_weather(city="Lisbon", days=3)]<|tool_call_end|>'],
}
SEVERAL = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}\n</tool_call>\n'
    '<tool_call>\n{"name": "find.room", "arguments": {"tags": ["a", "b"], "outside": true}}\n</tool_call>',
    "llama": '{"name": "get_weather", "parameters": {"city": "Lisbon", "days": 3}}; '
    '{"name": "find.room", "parameters": {"tags": ["a", "b"], "outside": true}}',
    "mistral": '[TOOL_CALLS]get_weather[ARGS]{"city": "Lisbon", "days": 3}[TOOL_CALLS]find.room[ARGS]{"tags": ["a", "b"], "outside": true}',
    "gemma": '<|tool_call>call:get_weather{city:<|"|>Lisbon<|"|>,days:3}<tool_call|>'
    '<|tool_call>call:find.room{tags:[<|"|>a<|"|>,<|"|>b<|"|>],outside:true}<tool_call|>',
    "json": '[{"name": "get_weather", "arguments": {"city": "Lisbon", "days": 3}}, {"name": "find.room", "arguments": '
    '{"tags": ["a", "b"], "outside": true}}]',
}
CASES = [(form, text) for form, texts in SAID.items() for text in texts]


@pytest.mark.parametrize(("form", "text"), CASES)
def test_a_call_is_read_in_the_form_of_its_family(form: str, text: str) -> None:
    found = read_calls(text, NAMES)
    assert (found.calls, found.form, found.attempted) == (ONE, form, True)


@pytest.mark.parametrize(("form", "text"), SEVERAL.items())
def test_several_calls_are_read_in_order(form: str, text: str) -> None:
    found = read_calls(text, NAMES)
    assert (found.calls, found.form) == (TWO, form)


ODD = [
    '<tool_call>{"name": "get_weather", "arguments": </tool_call>',
    "<invoke name=get_weather>",
    "[TOOL_CALLS] soon",
    '{"name": "get_weather", "arguments": {"city": "Lis',
    "to=functions.get_weather <|message|>",
    "get_weather(city=Lisbon)",
]


@pytest.mark.parametrize("text", ODD)
def test_an_attempt_that_cannot_be_read_is_no_silent_no(text: str) -> None:
    found = read_calls(text, NAMES)
    assert (found.calls, found.form, found.attempted) == (None, "", True)


@pytest.mark.parametrize(
    "text",
    ["No tool fits.", "", "```python\nx = 1\nprint(x)\n```", "The weather (in Lisbon) is fine.", '{"city": "Lisbon"}', "```json\n{}\n```"],
)
def test_what_calls_nothing(text: str) -> None:
    found = read_calls(text, NAMES)
    assert (found.calls, found.form, found.attempted) == (None, "", False)


@given(st.text(alphabet="<tool_call>{}[]\"':,()=name12 \n|`/", max_size=60))
def test_any_text_is_judged(text: str) -> None:
    read_calls(text, NAMES)


FORMS = {
    "qwen2_5": "hermes",
    "qwen3": "hermes",
    "qwen3_6": "xml",
    "llama3_1": "llama",
    "llama3_2": "llama",
    "gemma4": "gemma",
    "glm4moe": "xml",
    "gemma": "hermes",  # written out
    "gemma3": "hermes",
    "llama3": "hermes",
    "phi3": "hermes",
    "lfm2": "hermes",
    "gptoss": "harmony",
    "deepseekv3": "deepseek",
}


@pytest.mark.parametrize("name", STOCK)
def test_the_form_of_a_template_is_found_out(name: str) -> None:
    assert ChatTemplate.of(tokenizer_with(stock(name))).call_form == FORMS.get(name, "")


@pytest.mark.parametrize("body", ['{a:"\\u0000zz"}', '{a:"\0" }', '{a:"\\u00007"}', '{"\\u00009":1}'])
def test_a_null_in_arguments_is_no_place_of_a_text(body):
    read = read_calls(f"<|tool_call>call:f{body}<tool_call|>")
    assert (read.calls, read.attempted) == (None, True)
