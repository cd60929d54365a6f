"""The evaluation of function calling with a scripted model: verdicts, resumption, and the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gold import gold_calls
from luthier.errors import EngineError, SettingsError
from luthier.evaluate.tool_verdicts import judge
from luthier.evaluate.tools import CHUNK, balances, evaluate_tools, prompt_for, scores
from luthier.models import Capability, Completion, LanguageModel, Progress, Prompt, Sampling, Score, Usage
from luthier.models.grammar import own_form
from luthier.models.protocol import GREEDY
from luthier.records import Message, Tool
from luthier.records.bfcl import Item, load_items
from luthier.records.calls import render_calls

Bfcl = dict[str, list[Item]]


class ScriptedModel:
    """Answers from a dictionary of prompts; a missing one gets gibberish. `stop_after` prompts it is killed."""

    supports: frozenset[Capability] = frozenset({"generate", "grammar"})

    def __init__(self, answers: Mapping[str, str], stop_after: int | None = None, name: str = "scripted") -> None:
        self.name, self.answers, self.stop_after, self.usage = name, answers, stop_after, Usage()
        self.batches: list[int] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling = GREEDY, progress: Progress | None = None) -> list[Completion]:
        if self.stop_after is not None and sum(self.batches) + len(prompts) > self.stop_after:
            raise KeyboardInterrupt
        self.batches.append(len(prompts))
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Completion:
        text = self.answers.get(key_of(prompt.messages, prompt.tools))
        return Completion("the the the the", "length", 9, 4) if text is None else Completion(text, "stop", 9, 5)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[Score]:
        raise EngineError("a scripted model has no log-probabilities")


def perfect(items: Sequence[Item]) -> dict[str, str]:
    refusal = "None of the functions can answer that."
    answers = [render_calls(gold_calls(item)) if item.truth else refusal for item in items]
    return {key_of(item.messages, item.tools): text for item, text in zip(items, answers, strict=True)}


def key_of(messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """Some questions are asked of more than one set of tools."""
    return repr((messages, tools))


def test_the_script_is_a_language_model():
    assert isinstance(ScriptedModel({}), LanguageModel)


def test_accepted_answers_score_full_marks(bfcl: Bfcl, tmp_path: Path):
    items = bfcl["simple_python"] + bfcl["multiple"] + bfcl["irrelevance"]
    table = evaluate_tools(ScriptedModel(perfect(items)), items, tmp_path / "j.jsonl", decodings=["free"])
    official = {line.category: (line.official.correct, line.official.items) for line in table}
    strict = {line.category: line.strict.correct for line in table}
    assert official == {"simple_python": (400, 400), "multiple": (200, 200), "irrelevance": (240, 240)}
    assert strict == {"simple_python": 399, "multiple": 200, "irrelevance": 240}  # 307 contradicts its own schema


def test_gibberish_is_officially_irrelevance_and_nothing_else(bfcl: Bfcl, tmp_path: Path):
    items = [item for category in ("simple_python", "multiple", "irrelevance") for item in load_items(category, 20)]
    table = evaluate_tools(ScriptedModel({}), items, tmp_path / "j.jsonl", decodings=["free"])
    assert {line.category: (line.official.correct, line.strict.correct) for line in table} == {
        "simple_python": (0, 0),
        "multiple": (0, 0),
        "irrelevance": (20, 0),
    }


def item_of(kind: str, accepted: object, required: bool = True) -> Item:
    schema = {"x": {"type": kind}}
    names = ["x"] if required else []
    function = {"name": "f_g", "description": "", "parameters": {"type": "dict", "properties": schema, "required": names}}
    own = {"x": {"type": {"float": "number", "dict": "object"}.get(kind, kind)}}
    tool = Tool("f_g", "", {"type": "object", "properties": own, "required": names})
    values = accepted if isinstance(accepted, list) else [accepted]
    return Item("own_0", "simple_python", (Message("user", "?"),), (tool,), (function,), ({"f_g": {"x": values}},))


def verdicts(item: Item, text: str, finish: str = "stop") -> tuple[bool, bool]:
    row = judge(item, Completion(text, finish, 1, 1), "free")
    assert bool(row.reason) != row.strict
    assert "\n" not in row.reason
    return row.official, row.strict


@pytest.mark.parametrize(
    ("kind", "accepted", "text", "expected"),
    [
        ("string", "5", '"5"', (True, True)),
        ("string", "5", '"-5"', (True, False)),
        ("string", "15", '"1.5"', (True, False)),
        ("string", "34", '"3/4"', (True, False)),
        ("string", "New York", '"new  york"', (True, True)),
        ("string", "New York", '"New-York"', (True, False)),
        ("integer", 5, "+5", (False, False)),
        ("integer", -5, "+5", (True, False)),
        ("integer", 5, "-5", (False, False)),
        ("integer", 5, "True", (False, False)),
        ("integer", 5, '"5"', (False, False)),
        ("float", 5.0, "5", (True, True)),
        ("float", 0.5, ".5", (True, True)),
        ("boolean", True, "True", (True, True)),
        ("boolean", True, "1", (False, False)),
        ("array", [["a", "b"]], '["a", "b"]', (True, True)),
        ("array", [["a", "b"]], '["A.", "b"]', (True, False)),
        ("array", [["a", "b"]], '["b", "a"]', (False, False)),
        ("dict", [{"k": ["v", "w"]}], '{"k": "W"}', (True, True)),
        ("dict", [{"k": ["v"]}], '{"k": "-v"}', (True, False)),
        ("integer", 5, "__import__('os').getpid() * 1", (False, False)),
        ("integer", 5, "2 + 3", (True, False)),
        ("integer", 5, "0x5", (True, False)),
        ("string", "five", "five", (True, False)),
        ("integer", ["five"], '"five"', (True, False)),
    ],
)
def test_strict_closes_the_holes_of_the_official_rules(bfcl: Bfcl, kind: str, accepted: object, text: str, expected: tuple[bool, bool]):
    if kind == "array" and text.startswith("["):
        item = item_of(kind, accepted)
        item.functions[0]["parameters"]["properties"]["x"]["items"] = {"type": "string"}
    else:
        item = item_of(kind, accepted)
    assert verdicts(item, f"[f_g(x={text})]") == expected


def test_an_optional_argument_may_be_left_out(bfcl: Bfcl):
    item = item_of("integer", [5, ""], required=False)
    assert verdicts(item, "[f_g()]") == (True, True)
    assert verdicts(item_of("integer", 5), "[f_g()]") == (False, False)
    assert verdicts(item, "I would call f_g(x=5).") == (False, False)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        ("None of the functions fits.", "stop", (True, True)),
        ("None of the functions", "length", (True, False)),
        ("the the the the", "length", (True, False)),
        ("", "stop", (True, False)),
        ("  \n", "stop", (True, False)),
        ("[f_g(x=", "length", (True, False)),
        ("[f(x=1", "stop", (True, False)),
        ("Sure: f(x=1)", "stop", (True, False)),
        ("```python\nprint(1)\n```", "stop", (True, False)),
        ("<tool_call>{}", "stop", (True, False)),
        ("[]", "stop", (True, False)),
        ("asdf", "stop", (True, False)),
        ("asdf qwer zxcv.", "stop", (True, False)),
        ("no no no no no no no no no.", "stop", (True, False)),
        ("None of these", "stop", (True, False)),
        ("I’m afraid that I cannot do that!", "stop", (True, True)),
        ("**No tool fits.**", "stop", (True, True)),
        ("没有合适的工具。", "stop", (True, True)),
        ("print('x')", "stop", (False, False)),
        ("f_g(10, 5)", "stop", (False, False)),
        ("[f_g(x=1)]", "stop", (False, False)),
        ("f(x=1)", "stop", (False, False)),
    ],
)
def test_that_no_tool_fits_must_be_said_in_a_finished_sentence(text: str, finish: str, expected: tuple[bool, bool]):
    own = item_of("integer", 5)
    item = Item("own_1", "irrelevance", own.messages, own.tools, own.functions, ())
    assert verdicts(item, text, finish) == expected


@pytest.fixture
def items(bfcl: Bfcl) -> list[Item]:
    return load_items("simple_python", 50) + load_items("irrelevance", 20) + load_items("multiple", 10)


def test_a_stopped_evaluation_continues_to_the_same_rows(items: list[Item], tmp_path: Path):
    answers = perfect(items[::2])
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    table = evaluate_tools(ScriptedModel(answers), items, whole)
    written = whole.read_bytes()
    assert len(written.splitlines()) == 2 * len(items)
    for end in (0, 1, len(written) // 3, len(written) // 2, len(written) - 1, len(written)):
        cut.write_bytes(written[:end])
        model = ScriptedModel(answers)
        assert evaluate_tools(model, items, cut) == table
        assert cut.read_bytes() == written
        missing = 2 * len(items) - written[:end].count(b"\n")
        assert missing <= sum(model.batches) < missing + CHUNK


def test_a_killed_evaluation_keeps_what_was_answered(items: list[Item], tmp_path: Path):
    journal, seen = tmp_path / "j.jsonl", []
    answers = perfect(items)
    with pytest.raises(KeyboardInterrupt):
        evaluate_tools(ScriptedModel(answers, stop_after=2 * CHUNK), items, journal)
    assert len(journal.read_bytes().splitlines()) == 2 * CHUNK
    model = ScriptedModel(answers)
    evaluate_tools(model, items, journal, progress=seen.append)
    assert sum(model.batches) == 2 * len(items) - 2 * CHUNK
    assert sum(seen) == 2 * len(items)


def test_a_finished_evaluation_asks_nothing(items: list[Item], tmp_path: Path):
    table = evaluate_tools(ScriptedModel({}), items, tmp_path / "j.jsonl")
    model = ScriptedModel({}, stop_after=0)
    assert evaluate_tools(model, items, tmp_path / "j.jsonl") == table
    assert model.batches == []


def test_the_order_of_the_items_changes_no_batch(items: list[Item], tmp_path: Path):
    forward, backward = tmp_path / "f.jsonl", tmp_path / "b.jsonl"
    evaluate_tools(ScriptedModel({}), items, forward, decodings=["free"])
    evaluate_tools(ScriptedModel({}), items[::-1], backward, decodings=["free"])
    assert forward.read_bytes() == backward.read_bytes()


def test_the_answers_of_another_model_are_not_taken(items: list[Item], tmp_path: Path):
    evaluate_tools(ScriptedModel({}), items[:3], tmp_path / "j.jsonl", decodings=["free"])
    with pytest.raises(SettingsError, match=r"j\.jsonl: holds answers of scripted, not of other"):
        evaluate_tools(ScriptedModel({}, name="other"), items[:3], tmp_path / "j.jsonl", decodings=["free"])


def test_items_of_one_name_are_refused(items: list[Item], tmp_path: Path):
    with pytest.raises(SettingsError, match=f"two items are called {items[0].id}"):
        evaluate_tools(ScriptedModel({}), [*items[:2], items[0]], tmp_path / "j.jsonl")
    assert not (tmp_path / "j.jsonl").exists()


def test_rows_say_what_was_asked_answered_and_expected(items: list[Item], tmp_path: Path):
    evaluate_tools(ScriptedModel(perfect(items)), items, tmp_path / "j.jsonl", decodings=["free"])
    rows = [json.loads(line) for line in (tmp_path / "j.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["id"] == "simple_python_0")
    assert row["question"] == items[0].question
    assert row["answer"] == render_calls(gold_calls(items[0]))
    assert (row["decoding"], row["official"], row["strict"], row["reason"]) == ("free", True, True, "")
    assert row["truth"].startswith(gold_calls(items[0])[0].name + "(")
    assert next(row for row in rows if row["category"] == "irrelevance")["truth"] == "no call"


def test_the_table_counts_by_category_and_decoding():
    rows = [
        {"category": category, "decoding": decoding, "official": official, "strict": strict, "abstain": category == "b", "called": True}
        for category, decoding, official, strict in [
            ("a", "free", True, True),
            ("a", "free", True, False),
            ("b", "free", False, False),
            ("a", "constrained", True, True),
        ]
    ]
    table = [(s.category, s.decoding, s.official.correct, s.strict.correct, s.official.items) for s in scores(rows)]
    assert table == [("a", "free", 2, 1, 2), ("b", "free", 0, 0, 1), ("a", "constrained", 1, 1, 1)]
    assert scores(rows)[0].to_row()["items"] == 2
    assert [(b.decoding, b.called.correct, b.abstained.correct, b.to_row()["mean"]) for b in balances(rows)] == [("free", 2, 0, 0.5)]
    assert scores([]) == []


def test_constrained_prompts_carry_a_grammar_with_a_way_out_where_no_tool_fits(bfcl: Bfcl):
    simple, irrelevant = bfcl["simple_python"][0], bfcl["irrelevance"][0]
    assert prompt_for(simple, "free").grammar is None
    assert "SENTENCE" not in prompt_for(simple, "constrained").grammar.splitlines()[0]
    assert "SENTENCE" in prompt_for(irrelevant, "constrained").grammar.splitlines()[0]


def test_calls_are_right_in_whatever_form_they_come_and_the_form_is_told(bfcl: Bfcl, tmp_path: Path):
    items = bfcl["simple_python"][:4]
    calls = [gold_calls(item)[0] for item in items]
    body = [json.dumps({"name": call.name, "arguments": call.arguments}) for call in calls]
    said = [f"<tool_call>{body[0]}</tool_call>", f"```json\n{body[1]}\n```", render_calls([calls[2]]), "<invoke name=x>"]
    answers = {key_of(item.messages, item.tools): text for item, text in zip(items, said, strict=True)}
    (line,) = evaluate_tools(ScriptedModel(answers), items, tmp_path / "j.jsonl", decodings=["free"])
    assert line.official.correct == 3
    assert (line.forms, line.unread) == ({"hermes": 1, "json": 1, "brackets": 1}, 1)
    rows = [json.loads(row) for row in (tmp_path / "j.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in rows if not row["official"]] == ["tried to call a tool in no known form, or broke off"]


def test_what_the_prompt_does_not_name_is_not_scored(bfcl: Bfcl, tmp_path: Path):
    class Silent(ScriptedModel):
        def render(self, prompt: Prompt) -> str:
            return prompt.messages[0].content or ""

    item = bfcl["simple_python"][0]
    with pytest.raises(EngineError, match=rf"scripted: the prompt of item {item.id} does not name the tool {item.tools[0].name}"):
        evaluate_tools(Silent({}), [item], tmp_path / "j.jsonl")
    assert not (tmp_path / "j.jsonl").exists()


def test_constrained_calls_are_in_the_form_of_the_template(bfcl: Bfcl):
    from luthier.models.local import LocalModel
    from stock_templates import stock, tokenizer_with

    for name, form in (("qwen2_5", "hermes"), ("llama3_1", "llama"), ("gemma", "hermes"), ("gptoss", "brackets")):
        model = LocalModel.__new__(LocalModel)
        model._tokenizer = tokenizer_with(stock(name))
        assert own_form(model) == form
    assert own_form(ScriptedModel({})) == "brackets"
    assert "<tool_call>" in (prompt_for(bfcl["simple_python"][0], "constrained", "hermes").grammar or "")
