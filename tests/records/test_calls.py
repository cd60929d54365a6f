"""Calls as text: what is written is read back, what Python reads is read alike, and nothing is ever run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.models.known import chat_template
from luthier.records import ToolCall
from luthier.records.calls import MAX_DEPTH, CallSyntaxError, is_call_attempt, parse_calls, render_calls, render_literal

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)
KEYWORDS = st.from_regex(r"[$@]?[^\W\d]\w{0,6}(?:[.\-/:]\w{1,4}|\[\w{0,4}\]){0,2}", fullmatch=True)
ARGUMENTS = st.dictionaries(KEYWORDS, VALUES, max_size=4)
PLAIN_NAMES = st.from_regex(r"[^\W\d][\w.\-/]{0,12}", fullmatch=True)
WILD_NAMES = st.text(st.sampled_from("abZ_9 .-/éñ日本():|&+"), min_size=1, max_size=16).map(lambda s: "n" + s.strip() + "x")


def calls_of(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[ToolCall]]:
    return st.lists(st.builds(ToolCall, names, ARGUMENTS), max_size=3)


@given(calls_of(PLAIN_NAMES))
def test_what_is_rendered_is_parsed_back(calls: list[ToolCall]):
    assert exactly(parse_calls(render_calls(calls))) == exactly(calls)


@given(calls_of(WILD_NAMES | PLAIN_NAMES), st.lists(WILD_NAMES, max_size=3))
def test_names_with_spaces_dots_slashes_and_dashes_are_read_when_they_are_on_offer(calls: list[ToolCall], others: list[str]):
    offered = [*others, *(call.name for call in calls)]
    assert exactly(parse_calls(render_calls(calls), offered)) == exactly(calls)


def exactly(calls: Any) -> str:
    """A form in which 1, 1.0 and True differ."""
    return repr([(call.name, call.arguments) for call in calls])


def test_the_longest_offered_name_wins():
    offered = ["Find", "Find Flights", "Find Flights (v2)"]
    text = '[Find Flights (v2)(to="Oslo"), Find Flights (to="Rome"), Find()]'
    assert [call.name for call in parse_calls(text, offered)] == ["Find Flights (v2)", "Find Flights", "Find"]


def test_brackets_and_a_last_comma_may_be_missing_or_extra():
    once = (ToolCall("f", {"x": 1}),)
    assert parse_calls("f(x=1)") == once
    assert parse_calls(" [ f ( x = 1 , ) , ] \n") == once
    assert parse_calls("f(x=1), g()") == (*once, ToolCall("g"))
    assert parse_calls("[]") == ()


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("+5", 5),
        ("-5", -5),
        ("1_000", 1000),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("-0.0", -0.0),
        ("007", 7),
        ("True", True),
        ("false", False),
        ("null", None),
        ("None", None),
        ("()", []),
        ("(1)", 1),
        ("(1,)", [1]),
        ("(1, 2)", [1, 2]),
        ("((1))", 1),
        ("[(1), (2,)]", [1, [2]]),
        ("'it' \"s\"", "its"),
        (r"'\x41\u00e9\U0001F3BB'", "Aé🎻"),
        (r"'\101\0'", "A\0"),
        (r"'\d+\/'", r"\d+\/"),
        ("{'a': {'b': ()}}", {"a": {"b": []}}),
    ],
)
def test_values(literal: str, value: Any):
    read = parse_calls(f"[f(x={literal})]")[0].arguments["x"]
    assert repr(read) == repr(value)


PIECES = st.sampled_from(
    [
        "'",
        '"',
        "\\",
        "\\'",
        "\\n",
        "\\x4",
        "\\101",
        "\\N{DASH}",
        "\\u00e9",
        "\\/",
        "\\\n",
        "\r",
        "0",
        "1",
        "9",
        "_",
        ".",
        "e",
        "E",
        "+",
        "-",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ",
        "True",
        "False",
        "None",
        "a",
        "é",
        "j",
        "x",
        "#",
        "\n",
        "''",
        "*",
        "=",
        "٣",
    ]
)


def lists(value: Any) -> Any:
    """The value with tuples as lists; sets stay sets."""
    if isinstance(value, list | tuple):
        return [lists(item) for item in value]
    return {key: lists(item) for key, item in value.items()} if isinstance(value, dict) else value


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=9).map("".join) | VALUES.map(repr) | VALUES.map(render_literal) | TEXTS.map(ascii))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_where_python_also_reads_a_literal_the_values_are_equal(text: str):
    try:
        ours = parse_calls(f"[f(x={text})]")
    except CallSyntaxError:
        return
    try:
        theirs = ast.literal_eval(f"[{text}\n]")  # in brackets, as in a call: line breaks are only white space
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return
    if len(ours) == 1 and list(ours[0].arguments) == ["x"] and len(theirs) == 1:
        assert repr(ours[0].arguments["x"]) == repr(lists(theirs[0]))


PAYLOADS = [
    "__import__('os').system('touch FILE')",
    "open('FILE', 'w')",
    'f\'{open("FILE", "w")}\'',
    "lambda: open('FILE', 'w')",
    "[open('FILE', 'w') for _ in (1,)]",
    "(y := 5)",
    "*[1, 2]",
    "**{'a': 1}",
    "1 + 1",
    "2 ** 9999999",
    "'a' * 3",
    "not 5",
    "~5",
    "5 if True else 6",
    "a.b",
    "a[0]",
    "b'x'",
    "r'x'",
    "u'x'",
    "1j",
    "0x10",
    "{1, 2}",
    "{1: 2}",
    "...",
    "`ls`",
    "$(ls)",
    "nan",
    "inf",
    "1e999",
    "'''x'''",
    '"""x"""',
    "--5",
    "1 2",
    "yield",
    "await x",
    "x",
    "'\\N{BULLET}'",
    "'open",
    "'a\nb'",
    "[1",
    "{'a' 1}",
    "[,]",
    "(,)",
    "9" * 5000,
    "'\\uD'",
    "'\\U00110000'",
    "'\\",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_anything_but_a_literal_is_refused_with_its_place_and_never_runs(payload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallSyntaxError, match=r"^character \d+: .+ expected, .+ found$"):
        parse_calls(f"[f(a=1, x={payload})]", ["f"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        ("  ", 3),
        ("Sorry, I cannot.", 6),
        ("  [f(1)]", 6),
        ("[f(x:=1)]", 5),
        ("[f(x==1)]", 6),
        ("[f(*a)]", 4),
        ("[f(**k)]", 4),
        ("[f(x=1, x=2)]", 9),
        ("[f(x=1)] and more", 10),
        ("[f(x=1)", 8),
        ("[f(x=1", 7),
        ("f(x=1),", 8),
        ("[,]", 2),
        ("[f(x=1) g()]", 9),
        ("f(x=1)(y=2)", 7),
        ("f.g().h()", 6),
        ("[[f()]]", 2),
        ("x = f()", 3),
        ("print f()", 7),
        ("`f()`", 1),
        ("5f()", 1),
    ],
)
def test_an_error_names_the_first_character_that_does_not_fit(text: str, position: int):
    with pytest.raises(CallSyntaxError) as caught:
        parse_calls(text)
    assert str(caught.value).startswith(f"character {position}: ")
    assert "\n" not in str(caught.value)


@settings(max_examples=300)
@given(st.lists(PIECES | st.sampled_from(["f", "f(", "x=", "[f(x="]), max_size=12).map("".join), TEXTS)
def test_any_text_gives_calls_or_a_placed_error(text: str, name: str):
    calls, problem = (), "character 1: "
    try:
        calls = parse_calls(text, [name])
    except CallSyntaxError as error:
        problem = str(error)
    assert 1 <= int(re.match(r"character (\d+): ", problem).group(1)) <= len(text) + 1
    json.dumps([call.arguments for call in calls], allow_nan=False)


def test_nesting_has_a_limit():
    deep = "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH
    assert render_literal(parse_calls(f"[f(x={deep})]")[0].arguments["x"]) == deep
    for opening in ("[", "(", "{'a': "):
        with pytest.raises(CallSyntaxError, match=f"nested at most {MAX_DEPTH} deep"):
            parse_calls(f"[f(x={opening * 200_000}")


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        "[" + "f(x=(1)), " * (MEGABYTE // 10) + "!",
        "[f(x=" + '"a" ' * (MEGABYTE // 4),
        "f(" + " " * MEGABYTE,
        "f" * MEGABYTE,
        "[f(x='" + "a" * MEGABYTE,
        "[f(x=" + "1" * MEGABYTE,
        "[f(x=[" + "(1), " * (MEGABYTE // 5),
        "[f(x=" + "-" * MEGABYTE,
        "f(" + "a." * (MEGABYTE // 2),
        "f(" + "a[b]" * (MEGABYTE // 4),
        "f" + " " * MEGABYTE + ")",
    ],
    ids=lambda text: text[:9],
)
def test_a_megabyte_is_read_in_one_pass(text: str):
    """A parser that reads anything twice per character would need hours here, not a second."""
    with pytest.raises(CallSyntaxError):
        parse_calls(text, ["f", "f g", "f" * 40])


@pytest.mark.parametrize(
    "text",
    [
        "a" * MEGABYTE,
        " " * MEGABYTE,
        "f(" * (MEGABYTE // 2),
        "f( " * (MEGABYTE // 3),
        "f(" + " " * MEGABYTE,
        "f" + " " * MEGABYTE,
        "f(" + "a" * MEGABYTE,
        "1" * MEGABYTE,
        "1." * (MEGABYTE // 2),
        '"name"' + " " * MEGABYTE,
        "[ " * (MEGABYTE // 2),
        "a " * (MEGABYTE // 2),
    ],
    ids=lambda text: text[:9],
)
def test_attempts_are_looked_for_in_one_pass(text: str):
    assert not is_call_attempt(text)


@pytest.mark.parametrize(
    "text",
    [
        "[get_weather(city='Oslo')]",
        "get_weather()",
        "[get_weather( city = ",
        "I will use [weather.get(city=",
        "Sure: a-b/c(x=1",
        "<tool_call>\n{}",
        '{"name": "f", "arguments": {}}',
        "{'name': 'f'}",
        '{"function" : "f"}',
        "print(f(x=1))",
        "3d_model(size=4)",
        "日本(都市='東京')",
        "[get weather(city='Oslo')]",
    ],
)
def test_these_are_attempts_to_call(text: str):
    assert is_call_attempt(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None of the functions fits.",
        "The name of the city is missing.",
        "Paris (France) is a city.",
        "Please give the date (day).",
        "f(x)",
        "I need the value of x = 5.",
        "See section 3 (page 4).",
        "You said \"name\" and 'function'.",
        "[1, 2, 3]",
        "(a=1)",
        "5(x=1)",
    ],
)
def test_these_are_not(text: str):
    assert not is_call_attempt(text)


@given(calls_of(PLAIN_NAMES).filter(bool))
def test_every_rendered_call_is_an_attempt(calls: list[ToolCall]):
    plain = [ToolCall(call.name, {"x": list(call.arguments.values())}) for call in calls]
    assert is_call_attempt(render_calls(plain))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    made.chat_template = chat_template()
    return made


@given(calls=st.lists(st.builds(ToolCall, PLAIN_NAMES | WILD_NAMES, st.dictionaries(TEXTS, VALUES, max_size=4)), min_size=1, max_size=3))
def test_the_chat_template_writes_calls_as_render_calls_does(calls: list[ToolCall], tokenizer: Any):
    row = {"role": "assistant", "content": "", "tool_calls": [call.to_row() for call in calls]}
    text = tokenizer.apply_chat_template([{"role": "user", "content": "?"}, row], tokenize=False)
    assert text.endswith(f"<|im_start|>assistant\n{render_calls(calls)}<|im_end|>\n")
