"""Grammars of calls: whatever tokens are drawn under the mask, the answer parses, fits the schema and ends in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from luthier.errors import EngineError
from luthier.models.grammar import GrammarEngine, GrammarMask, calls_grammar
from luthier.records import Tool
from luthier.records.call_forms import read_calls
from luthier.records.calls import parse_calls, render_calls

ROOMY = 1500  # tokens: more than any answer of the schemas below needs

SCALAR = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"type": "string", "enum": ["C", 'it\'s "F"', "日本\\"]},
        {"enum": [1, 2.5, None, True]},
        {"const": "fixed"},
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    ]
)
PROPERTY_NAMES = st.sampled_from(["city", "days", "unit_of_time", "a", "b", "x2", "größe", "filter[name]", "page-size"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(PROPERTY_NAMES, inner, max_size=4).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or ["none"])).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & set(properties)),
                "additionalProperties": False,
            }
        )
    )


def lists_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )


NESTED = st.recursive(SCALAR, lambda inner: lists_of(inner) | objects(inner), max_leaves=5)
TOOL_NAMES = st.lists(st.sampled_from(["get_weather", "Find Flights (v2)", "a.b/c-d", "f", "日本"]), min_size=1, unique=True)


def tools_of(value: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Tool]]:
    return TOOL_NAMES.flatmap(
        lambda names: st.tuples(*(objects(value) for _ in names)).map(
            lambda schemas: [Tool(name, "", schema) for name, schema in zip(names, schemas, strict=True)]
        )
    )


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_folder)


@pytest.fixture(scope="module")
def engine(tokenizer: Any) -> GrammarEngine:
    return GrammarEngine(tokenizer, [2, 0])


def walk(engine: GrammarEngine, matcher: Any, tokenizer: Any, seed: int, max_tokens: int) -> tuple[str, bool]:
    """The text of tokens drawn at random under the mask, and whether it ended by itself within `max_tokens`."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    mask = GrammarMask(engine, [matcher], 1, max_tokens)
    ids = torch.tensor([[1]])
    for _ in range(max_tokens):
        scores = torch.rand((1, len(tokenizer) + 24), generator=chance)
        masked = mask(ids, scores)
        assert int((masked > float("-inf")).sum()) == 1
        ids = torch.cat([ids, masked.argmax(-1, keepdim=True)], dim=1)
        if int(ids[0, -1]) in engine.stop_ids:
            return tokenizer.decode(ids[0, 1:-1]), True
    return tokenizer.decode(ids[0, 1:]), False


def assert_fits(text: str, tools: list[Tool], calls: tuple[int, int] = (1, 1)) -> None:
    made = parse_calls(text, [tool.name for tool in tools])
    assert calls[0] <= len(made) <= calls[1]
    for call in made:
        schema = next(tool.parameters for tool in tools if tool.name == call.name)
        assert list(Draft202012Validator(schema).iter_errors(call.arguments)) == []
        assert list(call.arguments) == [name for name in schema["properties"] if name in call.arguments]


DRAWN = settings(
    max_examples=80,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking a random walk takes minutes and shows little
)


@DRAWN
@given(tools=tools_of(NESTED), seed=st.integers(0, 10**6))
def test_random_tokens_give_calls_that_fit_the_schema(tools: list[Tool], seed: int, engine: Any, tokenizer: Any):
    text, ended = walk(engine, engine.matcher(calls_grammar(tools)), tokenizer, seed, ROOMY)
    assert ended
    assert_fits(text, tools)


@DRAWN
@given(tools=tools_of(SCALAR), seed=st.integers(0, 10**6), spare=st.integers(0, 40))
def test_calls_of_scalars_end_within_the_limit(tools: list[Tool], seed: int, spare: int, engine: Any, tokenizer: Any):
    """The limit is what the longest of the tools needs at least, and a little more."""
    need = max(len(tokenizer.encode(shortest_call(tool), add_special_tokens=False)) for tool in tools)
    text, ended = walk(engine, engine.matcher(calls_grammar(tools)), tokenizer, seed, need + 8 + spare)
    assert ended
    assert_fits(text, tools)


def shortest_call(tool: Tool) -> str:
    values = dict.fromkeys(tool.parameters["required"], 'it\'s \\"F\\"..')
    return f"[{tool.name}({', '.join(f'{name}={value}' for name, value in values.items())})]"


@DRAWN
@given(tools=tools_of(NESTED), seed=st.integers(0, 10**6))
def test_nested_calls_end_within_a_limit_that_an_ending_fits(tools: list[Tool], seed: int, engine: Any, tokenizer: Any):
    text, ended = walk(engine, engine.matcher(calls_grammar(tools, calls=(1, 3))), tokenizer, seed, 300)
    assert ended
    assert_fits(text, tools, (1, 3))


@pytest.mark.parametrize("form", ["hermes", "llama", "json"])
@DRAWN
@given(tools=tools_of(NESTED), seed=st.integers(0, 10**6))
def test_calls_in_the_form_of_a_family_fit_the_schema_too(form: str, tools: list[Tool], seed: int, engine: Any, tokenizer: Any):
    text, ended = walk(engine, engine.matcher(calls_grammar(tools, calls=(1, 2), form=form)), tokenizer, seed, ROOMY)
    assert ended
    read = read_calls(text, [tool.name for tool in tools])
    assert read.form == form
    assert read.calls is not None
    assert_fits(render_calls(read.calls), tools, (1, 2))


def test_tags_that_are_tokens_of_their_own_are_written_as_these(tokenizer: Any):
    from copy import deepcopy

    own = deepcopy(tokenizer)
    own.add_tokens(["<tool_call>", "</tool_call>"])
    engine = GrammarEngine(own, [2, 0])
    text, ended = walk(engine, engine.matcher(calls_grammar(one_tool({"a": INTEGER}, ["a"]), form="hermes")), own, 1, 80)
    assert ended
    assert own.encode(text, add_special_tokens=False)[0] == own.convert_tokens_to_ids("<tool_call>")
    assert read_calls(text).form == "hermes"


def test_a_form_without_a_grammar_is_named():
    with pytest.raises(EngineError, match=r"no grammar of calls in the form 'xml'; known: brackets, hermes, llama, json"):
        calls_grammar(one_tool({}, []), form="xml")


def accepts(engine: GrammarEngine, tokenizer: Any, grammar: str, text: str) -> bool:
    matcher = engine.matcher(grammar)
    ids = tokenizer.encode(text, add_special_tokens=False)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def one_tool(properties: dict[str, Any], required: list[str]) -> list[Tool]:
    return [Tool("f", "", {"type": "object", "properties": properties, "required": required})]


INTEGER, STRING = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("required", "good", "bad"),
    [
        (
            [],
            ["[f()]", "[f(a=1)]", "[f(b=2)]", "[f(a=1, b=2)]", "[f(a=1, b=2, c=3)]", "[f(a=1, c=3)]"],
            ["[f(b=2, a=1)]", "[f(, b=2)]", "[f(a=1,)]"],
        ),
        (["b"], ["[f(b=2)]", "[f(a=1, b=2)]", "[f(b=2, c=3)]"], ["[f()]", "[f(a=1)]", "[f(a=1, c=3)]", "[f(c=3)]"]),
        (["a", "c"], ["[f(a=1, c=3)]", "[f(a=1, b=2, c=3)]"], ["[f(a=1)]", "[f(c=3)]", "[f(a=1, a=1, c=3)]"]),
    ],
)
def test_optional_arguments_may_be_skipped_and_required_ones_not(
    required: list[str], good: list[str], bad: list[str], engine: Any, tokenizer: Any
):
    grammar = calls_grammar(one_tool({"a": INTEGER, "b": INTEGER, "c": INTEGER}, required))
    assert [text for text in good if not accepts(engine, tokenizer, grammar, text)] == []
    assert [text for text in bad if accepts(engine, tokenizer, grammar, text)] == []


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (INTEGER, ["0", "-12", "100"], ["007", "1.5", '"1"', "", "-", "True"]),
        ({"type": "number"}, ["0", "0.5", "-3.25", "12", "8.85e-12", "1E6"], [".5", "1.", "00.5", "True", "1e", "1e999"]),
        ({"type": "boolean"}, ["True", "False"], ["true", "1", '"True"']),
        ({"type": "null"}, ["None"], ["null", '""']),
        (STRING, ['""', '"it\'s"', '"日本 🎻"', '"' + "a" * 80 + '"'], ["a", "'a'", '"a\nb"', '"\\"', '"' + "a" * 81 + '"']),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "None"], ['"b"', "2", '"1"', '""']),
        (
            {"type": "array", "items": {"type": "array", "items": INTEGER}},
            ["[]", "[[]]", "[[1, 2], [3]]"],
            ["[1]", "[[1,2]]", '[["1"]]', "[[[]]]"],
        ),
        ({"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 3}, ["[1, 2]", "[1, 2, 3]"], ["[]", "[1]", "[1, 2, 3, 4]"]),
        ({"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 1}, ["[1]"], ["[]", "[1, 2]"]),
        ({"type": "array", "items": INTEGER, "maxItems": 0}, ["[]"], ["[1]"]),
        (
            {"type": "object", "properties": {"a": INTEGER, "b": STRING}, "required": ["b"]},
            ['{"b": ""}', '{"a": 1, "b": "x"}'],
            ["{}", '{"a": 1}', '{"b": 1}'],
        ),
        ({"type": "object"}, ["{}", '{"a": 1, "b": "c"}'], ['{"a": True}', "{1: 2}"]),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, ["{}", '{"a": True}'], ['{"a": 1}', '{"a": "b"}']),
        ({"anyOf": [INTEGER, {"type": "array", "items": STRING}]}, ["1", '["a"]'], ['"a"', "[1]"]),
        ({"type": ["integer", "null"]}, ["1", "None"], ['"a"']),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        ({}, ['"anything"'], ["1"]),
    ],
    ids=lambda part: json.dumps(part)[:40] if isinstance(part, dict) else "",
)
def test_values_follow_their_schema(schema: Any, good: list[str], bad: list[str], engine: Any, tokenizer: Any):
    grammar = calls_grammar(one_tool({"x": schema}, ["x"]))
    assert [text for text in good if not accepts(engine, tokenizer, grammar, f"[f(x={text})]")] == []
    assert [text for text in bad if accepts(engine, tokenizer, grammar, f"[f(x={text})]")] == []


def test_the_rules_of_one_property_do_not_replace_those_of_another(engine: Any, tokenizer: Any):
    """Option 1 of property 1 and property 11 both need a rule for their list."""
    options = {"anyOf": [{"type": "array", "items": STRING}, {"type": "array", "items": INTEGER}]}
    properties = {f"p{number}": options if number == 1 else {"type": "array", "items": {"type": "boolean"}} for number in range(12)}
    grammar = calls_grammar(one_tool(properties, []))
    assert accepts(engine, tokenizer, grammar, '[f(p0=[True], p1=["a"], p10=[True], p11=[True])]')
    assert accepts(engine, tokenizer, grammar, "[f(p1=[1], p11=[False])]")
    assert not accepts(engine, tokenizer, grammar, "[f(p11=[1])]")


def test_a_sentence_is_an_answer_where_it_is_allowed(engine: Any, tokenizer: Any):
    tools = one_tool({"x": INTEGER}, ["x"])
    sentence = "None of the functions fits."
    with_sentence, without = calls_grammar(tools, sentence=True), calls_grammar(tools)
    assert accepts(engine, tokenizer, with_sentence, sentence)
    assert accepts(engine, tokenizer, with_sentence, "[f(x=1)]")
    assert not accepts(engine, tokenizer, with_sentence, "lower case")
    assert not accepts(engine, tokenizer, with_sentence, "Two\nlines")
    assert not accepts(engine, tokenizer, without, sentence)


@pytest.mark.parametrize(
    ("form", "call", "broken"),
    [
        ("brackets", "[f(x=1)]", "[f(x=one)]"),
        ("llama", '{"name": "f", "parameters": {"x": 1}}', '{"name": "g", "parameters": {"x": 1}}'),
        ("json", '[{"name": "f", "arguments": {"x": 1}}]', '[{"name": "f", "arguments": {"x": 1}]'),
        (
            "hermes",
            '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>',
            '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
        ),
    ],
)
def test_where_the_choice_is_the_models_any_text_is_let_through_but_no_broken_call(
    engine: Any, tokenizer: Any, form: str, call: str, broken: str
):
    grammar = calls_grammar(one_tool({"x": INTEGER}, ["x"]), text=True, whole=True, form=form)
    for text in (
        "lower case\nand a second line",
        "3 + 4 = 7 [sic]",
        "If a < b, <b>then</b>.",
        "<think>\nHm.\n</think>\n\nHi.",
        "Hm.\n</think>\n\nHi.",
        call,
    ):
        assert accepts(engine, tokenizer, grammar, text), text
    assert not accepts(engine, tokenizer, grammar, broken)
    assert accepts(engine, tokenizer, grammar, f"<think>\nHm.\n</think>\n\n{call}")
    assert accepts(engine, tokenizer, grammar, f"I look it up. {broken}") is (form != "hermes")  # only a tag tells that a call begins


@pytest.mark.parametrize("form", ["hermes", "json"])
def test_whole_values_have_any_length_and_every_letter(engine: Any, tokenizer: Any, form: str):
    tools = one_tool({"x": {"type": "string"}, "many": {"type": "array", "items": INTEGER}}, ["x"])
    value = json.dumps({"x": 'say "hi"\n\t' + "ü" * 120, "many": list(range(30))}, ensure_ascii=False)
    call = f'{{"name": "f", "arguments": {value}}}'
    text = f"[{call}]" if form == "json" else f"<tool_call>\n{call}\n</tool_call>"
    assert accepts(engine, tokenizer, calls_grammar(tools, whole=True, form=form), text)
    assert not accepts(engine, tokenizer, calls_grammar(tools, form=form), text)


def test_the_number_of_calls_is_kept(engine: Any, tokenizer: Any):
    grammar = calls_grammar(one_tool({}, []), calls=(2, 3))
    counts = [n for n in range(6) if accepts(engine, tokenizer, grammar, "[" + ", ".join(["f()"] * n) + "]")]
    assert counts == [2, 3]


@pytest.mark.parametrize("calls", [(0, 1), (2, 1), (-1, -1)])
def test_a_number_of_calls_without_meaning_is_refused(calls: tuple[int, int]):
    with pytest.raises(EngineError, match="least <= most"):
        calls_grammar(one_tool({}, []), calls=calls)


def test_no_tools_make_no_grammar():
    with pytest.raises(EngineError, match="at least one tool"):
        calls_grammar([])


@pytest.mark.parametrize("grammar", ["start: (", "start: missing", "", "start: /[/", 'start: "a"{0,0} "b"{2,1}'])
def test_a_broken_grammar_is_refused_in_one_line(grammar: str, engine: GrammarEngine):
    with pytest.raises(EngineError, match="the grammar cannot be used: ") as caught:
        engine.matcher(grammar)
    assert "\n" not in str(caught.value)


def test_a_schema_that_is_not_supported_is_refused_in_one_line(engine: GrammarEngine):
    with pytest.raises(EngineError, match="the JSON schema cannot be used: ") as caught:
        engine.schema_matcher({"type": "object", "properties": {"a": {"type": "no such type"}}})
    assert "\n" not in str(caught.value)


@DRAWN
@given(schema=objects(SCALAR), seed=st.integers(0, 10**6))
def test_json_answers_satisfy_their_schema_and_end_in_time(schema: Any, seed: int, engine: Any, tokenizer: Any):
    text, ended = walk(engine, engine.schema_matcher(schema), tokenizer, seed, 160)
    assert ended
    assert list(Draft202012Validator(schema).iter_errors(json.loads(text))) == []


def test_a_long_answer_among_short_ones_ends_in_time_too(engine: GrammarEngine, tokenizer: Any):
    """What an answer still needs depends on the tool it has begun to call and on the optional objects it has opened."""
    names = [f"{word}_of_the_place" for word in ("name", "street", "town", "country")]
    place = {"type": "object", "properties": dict.fromkeys(names, STRING), "required": names, "additionalProperties": False}
    long = {"type": "object", "properties": {**dict.fromkeys(names, STRING), "else": place}, "required": names}
    tools = [*one_tool({}, []), Tool("g", "", long)]
    results = [walk(engine, engine.matcher(calls_grammar(tools)), tokenizer, seed, 110) for seed in range(30)]
    assert [text for text, ended in results if not ended] == []
    assert sum(text.startswith("[g(") for text, _ in results) > 5
    for text, _ in results:
        assert_fits(text, tools)


def test_a_limit_that_no_ending_fits_still_follows_the_grammar(engine: GrammarEngine, tokenizer: Any):
    grammar = calls_grammar(one_tool({"a_rather_long_name": STRING}, ["a_rather_long_name"]))
    text, ended = walk(engine, engine.matcher(grammar), tokenizer, 0, 4)
    assert not ended
    assert "[f(a_rather_long_name=".startswith(text)


def test_from_the_first_limit_that_is_enough_every_limit_is(engine: GrammarEngine, tokenizer: Any):
    grammar = calls_grammar(one_tool({"x": STRING, "y": INTEGER, "z": {"type": "array", "items": STRING}}, ["x"]))
    for seed in range(6):
        ended = [walk(engine, engine.matcher(grammar), tokenizer, seed, limit)[1] for limit in range(1, 26)]
        assert ended == sorted(ended)
        assert ended[12]


def test_each_row_of_a_batch_has_its_own_grammar(engine: GrammarEngine, tokenizer: Any):
    import torch

    grammars = [calls_grammar(one_tool({}, [])), None, calls_grammar([Tool("g", "", {})])]
    mask = GrammarMask(engine, [None if g is None else engine.matcher(g) for g in grammars], 1, 30)
    ids, width = torch.ones((3, 1), dtype=torch.long), len(tokenizer) + 24
    free = torch.zeros((3, width))
    free[1, 77] = 1.0
    for _ in range(30):
        ids = torch.cat([ids, mask(ids, free.clone()).argmax(-1, keepdim=True)], dim=1)
    texts = [tokenizer.decode(row[1:]).split("<|")[0] for row in ids]
    assert texts[0] == "[f()]"
    assert set(ids[1, 1:].tolist()) == {77}
    assert texts[2] == "[g()]"


@pytest.mark.weights
def test_calls_end_within_the_limit_with_the_bundled_vocabulary(bundled_model: Any):
    engine, tokenizer = bundled_model.grammar_engine, bundled_model.tokenizer
    properties = {"city": STRING, "days": INTEGER, "tags": {"type": "array", "items": STRING}, "unit": {"enum": ["C", "F"]}}
    tools = [Tool("weather.get", "", {"type": "object", "properties": properties, "required": ["city", "days", "unit"]})]
    for seed in range(20):
        text, ended = walk(engine, engine.matcher(calls_grammar(tools)), tokenizer, seed, 24 + seed)
        assert ended
        assert_fits(text, tools)
