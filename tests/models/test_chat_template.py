"""What a template cannot do is found out once and written where it can be read: calls, system turns, turns that open a row, thoughts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthier.models.chat_template import CallWay, ChatTemplate
from luthier.records.call_forms import read_calls
from stock_templates import MISTRALS, STOCK, stock, tokenizer_with

ARGUMENTS = {"city": "Lisbon", "days": 3, "quoted": 'a "word"'}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def calling(arguments: Any, **more: Any) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}, **more}
    return [
        asked("Weather?"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "weather", "content": "rain"},
    ]


@pytest.mark.parametrize("given", ["mapping", "text"])
@pytest.mark.parametrize("name", MISTRALS)
def test_calls_of_mistral_are_what_its_own_template_writes(name: str, given: str) -> None:
    tokenizer = tokenizer_with(stock(name))
    template = ChatTemplate.of(tokenizer)
    assert template.calls == CallWay("mapping", ids=True)
    rendered = template.render(calling(ARGUMENTS if given == "mapping" else json.dumps(ARGUMENTS), id="call_1"))
    own = calling(ARGUMENTS, id="000000001")
    own[2]["tool_call_id"] = "000000001"
    assert rendered == tokenizer.apply_chat_template(own, tokenize=False)
    written = rendered.partition("[TOOL_CALLS]")[2].partition("</s>")[0]
    (call,) = read_calls(f"[TOOL_CALLS]{written}", ("weather",)).calls
    assert (call.name, call.arguments) == ("weather", ARGUMENTS)
    assert '"city": "Lisbon"' in written


@pytest.mark.parametrize("given", ["mapping", "text"])
@pytest.mark.parametrize("name", [*STOCK, *MISTRALS])
def test_no_template_writes_arguments_twice_encoded(name: str, given: str) -> None:
    template = ChatTemplate.of(tokenizer_with(stock(name)))
    rendered = template.render(calling({"city": "Lisbon"} if given == "mapping" else '{"city": "Lisbon"}'))
    assert "Lisbon" in rendered
    assert '\\"city' not in rendered
    assert "'city':" not in rendered


CALLS = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for c in m.tool_calls or [] %}CALL{% endfor %}\n{% endfor %}"
TEXT = "{{ c.function.name + ' ' + c.function.arguments }}"
WAYS = {
    "only a mapping": ("{{ c.function | tojson }}", CallWay("mapping")),
    "only a text": (TEXT, CallWay("text")),
    "a text rather than Python's words": ("{{ c.function.name }} {{ c.function.arguments }}", CallWay("text")),
    "a mapping with ids": (
        "{% if c.id | length != 9 %}{{ raise_exception('id') }}{% endif %}{{ c.function | tojson }}",
        CallWay("mapping", ids=True),
    ),
    "a text with ids": ("{% if c.id | length != 9 %}{{ raise_exception('id') }}{% endif %}" + TEXT, CallWay("text", ids=True)),
    "text within text": (
        "{% if c.function.arguments is not string %}{{ raise_exception('text') }}{% endif %}{{ c.function | tojson }}",
        CallWay("text", once=False),
    ),
    "nothing": ("", CallWay("")),
}


@pytest.mark.parametrize("kind", WAYS)
def test_the_form_of_arguments_and_ids_are_found_apart(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    form, way = WAYS[kind]
    template = ChatTemplate.of(tokenizer_with(CALLS.replace("CALL", form)))
    assert template.calls == way
    rendered = template.render(calling(ARGUMENTS))
    assert "Lisbon" in rendered
    assert ("text within text" in caplog.text) == (not way.once)


SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [asked("One?"), said("Uno."), asked("Two?"), said("Dos.")]
FOLDED = ["gemma", "mistral_v3", "mistral_nemo"]


@pytest.mark.parametrize("name", [*STOCK, *MISTRALS])
def test_what_a_system_turn_says_stays_where_it_is(name: str) -> None:
    """However many turns follow it, in prompts as in targets."""
    template = ChatTemplate.of(tokenizer_with(stock(name)))
    assert template.takes_system == (name not in FOLDED)
    begins = {template.render([SYSTEM, *TURNS[:count]], generate=count % 2 == 1).partition("Be brief.")[0] for count in (1, 2, 3, 4)}
    assert len(begins) == 1
    for count in (1, 2, 3, 4):
        assert template.render([SYSTEM, *TURNS[:count]]).count("Be brief.") == 1


@pytest.mark.parametrize("name", ["mistral_v3", "mistral_nemo"])
def test_a_system_turn_that_would_move_is_trained_on_and_asked_alike(name: str) -> None:
    tokenizer = tokenizer_with(stock(name))
    template = ChatTemplate.of(tokenizer)
    gap = " " if name == "mistral_v3" else ""
    begin = f"<s>[INST]{gap}Be brief.\n\nOne?[/INST]"
    assert template.render([SYSTEM, TURNS[0]], generate=True) == begin
    assert template.render([SYSTEM, TURNS[0]], generate=True) == tokenizer.apply_chat_template([SYSTEM, TURNS[0]], tokenize=False)
    made = template.masked([SYSTEM, *TURNS])
    assert tokenizer.decode(made.ids).startswith(begin)
    assert tokenizer.decode([token for token, speaks in zip(made.ids, made.mask, strict=True) if speaks]) == f"{gap}Uno.</s>{gap}Dos.</s>"


def test_a_system_turn_without_a_users_is_one() -> None:
    template = ChatTemplate.of(tokenizer_with(stock("gemma")))
    assert "<start_of_turn>user\nBe brief.<end_of_turn>" in template.render([SYSTEM, said("Yes.")])
    assert "Be brief." in template.render([SYSTEM], generate=True)
    assert template.before([SYSTEM, *TURNS], 1) == []


TOOLLESS = (
    "{% for m in messages %}{% if m.role != 'system' or not tools %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor %}{{ tools }}"
)


def test_a_system_turn_that_tools_push_out_stands_elsewhere() -> None:
    template = ChatTemplate.of(tokenizer_with(TOOLLESS))
    assert not template.takes_system
    tool = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {}}}}
    assert "user: Be brief.\n\nOne?" in template.render([SYSTEM, TURNS[0]], [tool])


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
OPENING = {
    "chatml": (CHATML, "{}<|im_end|>"),
    "zephyr": (ZEPHYR, "{}</s>"),
    "llama3_1": (stock("llama3_1"), "{}<|eot_id|>"),
    "llama3_2": (stock("llama3_2"), "{}<|eot_id|>"),
    "mistral_small": (stock("mistral_small"), "{}</s>"),
}


@pytest.mark.parametrize("greeting", ["Hello!", "x", "0"])
@pytest.mark.parametrize("name", OPENING)
def test_rows_that_open_with_the_assistant_are_trained_on(name: str, greeting: str) -> None:
    """As ShareGPT has them: its greeting is learned like every other turn, and what the template writes before it is not."""
    text, form = OPENING[name]
    tokenizer = tokenizer_with(text)
    template = ChatTemplate.of(tokenizer)
    assert template.masks == "prefixes"
    made = template.masked([said(greeting), asked("One?"), said("Uno.")])
    spoken = tokenizer.decode([token for token, speaks in zip(made.ids, made.mask, strict=True) if speaks])
    assert spoken == form.format(greeting) + form.format("Uno.")
    assert tokenizer.decode(made.ids) == tokenizer.apply_chat_template([said(greeting), asked("One?"), said("Uno.")], tokenize=False)


def test_a_call_that_opens_a_row_is_learned_whole() -> None:
    tokenizer = tokenizer_with(stock("llama3_1"))
    made = ChatTemplate.of(tokenizer).masked(calling({"city": "Lisbon"})[1:])
    spoken = tokenizer.decode([token for token, speaks in zip(made.ids, made.mask, strict=True) if speaks])
    assert spoken == '{"name": "weather", "parameters": {"city": "Lisbon"}}<|eot_id|>'


def test_a_template_that_wants_a_user_first_says_so_itself() -> None:
    with pytest.raises(Exception, match="roles must alternate"):
        ChatTemplate.of(tokenizer_with(stock("mistral_v3"))).masked([said("Hello!"), asked("One?"), said("Uno.")])
