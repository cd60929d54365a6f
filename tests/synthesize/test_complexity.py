"""The learner's loss on dialogues: transformers' own loss, value spans, the range by its rules; and dialogues steered towards it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import luthier
from luthier.models import Prompt
from luthier.models.local import LocalModel
from luthier.records import Conversation, Message, Tool, ToolCall, write_jsonl
from luthier.synthesize.tools.checks import check
from luthier.synthesize.tools.complexity import (
    Complexity,
    ComplexityRange,
    _reading,
    _value_spans,
    appropriate_range,
    complexities,
    quantile,
    solved,
)
from luthier.synthesize.tools.dialogues import synthesize_dialogues
from luthier.synthesize.tools.steering import _Operators, fewer_candidates, steer

BOUNDS = ComplexityRange(1.0, 2.0, "", "")


@pytest.fixture(scope="module")
def learner(tiny_model_folder: Path) -> LocalModel:
    return LocalModel(tiny_model_folder)


@pytest.fixture(scope="module")
def dialogues() -> list[Conversation]:
    return list(synthesize_dialogues(40, seed=5))


def test_it_is_the_loss_of_transformers_on_what_the_assistant_says(learner: LocalModel, dialogues: list[Conversation]) -> None:
    import torch

    for dialogue, found in zip(dialogues[:6], complexities(dialogues[:6], learner), strict=True):
        reading = _reading(dialogue, learner)
        labels = [token if said else -100 for token, said in zip(reading.ids, reading.said, strict=True)]
        with torch.inference_mode():
            loss = learner.module(input_ids=torch.tensor([reading.ids]), labels=torch.tensor([labels])).loss.item()
        assert found.mean == pytest.approx(loss, abs=1e-4)
        assert found.total == pytest.approx(found.mean * found.tokens)
        assert (found.arguments is None) == (not dialogue.messages[-1].tool_calls)


def test_a_batch_changes_nothing(learner: LocalModel, dialogues: list[Conversation]) -> None:
    together = complexities(dialogues[:8], learner)
    apart = [complexities([dialogue], learner)[0] for dialogue in dialogues[:8]]
    for one, other in zip(together, apart, strict=True):
        assert one.mean == pytest.approx(other.mean, abs=1e-4)
        assert one.tokens == other.tokens


CALL = ToolCall("book.room", {"city": "New York", "nights": 3, "wishes": ["sea view", True], "who": {"age": 4.5, "name": "O'Neil"}})


@pytest.mark.parametrize(
    "text",
    [
        '3 New York [book.room(city="New York", nights=3, wishes=["sea view", True], who={"age": 4.5, "name": "O\'Neil"})]',
        'x<tool_call>{"name": "book.room", "arguments": {"city": "New York", "nights": 3, "wishes": ["sea view", true], "who": {"age": 4.5, "name": "O\'Neil"}}}</tool_call>',
    ],
)
def test_values_are_found_in_any_form_without_their_quotes(text: str) -> None:
    dialogue = Conversation((Message("user", "?"), Message("assistant", tool_calls=(CALL,))))
    found = [text[left:right] for left, right in _value_spans(text, text.index("book.room") - 1, dialogue)]
    assert [one.lower() for one in found] == ["new york", "3", "sea view", "true", "4.5", "o'neil"]


def test_the_range_follows_its_rules() -> None:
    losses = [at / 10 for at in range(100)]
    few = appropriate_range(losses, [at < 5 for at in range(100)])
    assert (few.low, few.high) == (pytest.approx(0.99), pytest.approx(9.405))
    assert "only 5 are answered right" in few.low_by
    assert "no training was tried" in few.high_by
    many = appropriate_range(losses, [at < 40 for at in range(100)], [min(value, 5.5) for value in losses])
    assert many.low == pytest.approx(quantile(losses[:40], 0.9))
    assert many.high == pytest.approx(quantile([value for value in losses if min(value, 5.5) >= quantile(losses, 0.5)], 0.1))
    assert "training leaves none hard" in appropriate_range(losses, [True] * 10 + [False] * 90, [0.0] * 100).high_by
    crossed = appropriate_range(losses, [True] * 100, losses)
    assert (crossed.low, crossed.high) == (quantile(losses, 0.2), quantile(losses, 0.8))
    assert "the bounds crossed" in crossed.low_by


@given(st.lists(st.floats(0, 20), min_size=2, max_size=60), st.data())
def test_a_range_is_never_upside_down(losses: list[float], data: st.DataObject) -> None:
    right = data.draw(st.lists(st.booleans(), min_size=len(losses), max_size=len(losses)))
    after = data.draw(st.none() | st.lists(st.floats(0, 20), min_size=len(losses), max_size=len(losses)))
    found = appropriate_range(losses, right, after)
    assert min(losses) <= found.low <= found.high <= max(losses)
    assert found.distance(found.low) == found.distance(found.high) == 0
    assert found.distance(found.high + 1) == pytest.approx(1)


def test_what_a_learner_answers_right_is_its_own_greedy_answer(learner: LocalModel, dialogues: list[Conversation]) -> None:
    said = learner.generate([Prompt(dialogues[0].messages[:1], dialogues[0].tools)])[0]
    echo = Conversation((dialogues[0].messages[0], Message("assistant", said.text)), dialogues[0].tools)
    assert len(solved([echo, *dialogues[:3]], learner)) == 4


class Ruler:
    """Measures by the number of tools and calls alone, so that what steering does can be foretold."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, rows: Sequence[Conversation]) -> list[Complexity]:
        self.asked.append(len(rows))
        values = [0.2 * len(row.tools) + 0.3 * sum(len(message.tool_calls) for message in row.messages) for row in rows]
        return [Complexity(value, None, value, 1) for value in values]


def test_easy_dialogues_are_made_harder_and_stay_true(dialogues: list[Conversation]) -> None:
    ruler = Ruler()
    before = [ruler([dialogue])[0].mean for dialogue in dialogues]
    found = steer(dialogues, BOUNDS, ruler, seed=1)
    for old, one in zip(before, found, strict=True):
        assert BOUNDS.distance(one.complexity.mean) <= BOUNDS.distance(old)
        assert one.inside == (BOUNDS.distance(one.complexity.mean) == 0)
        assert len(one.steps) <= 3
        assert check(one.dialogue) == []
    assert sum(one.inside for one in found) > sum(BOUNDS.distance(old) == 0 for old in before)
    assert {name for one in found for name, _ in one.steps} >= {"+candidate", "+call", "+nested"}
    again = steer(dialogues, BOUNDS, Ruler(), seed=1)
    assert [one.to_row(BOUNDS, "m") for one in again] == [one.to_row(BOUNDS, "m") for one in found]


def test_no_step_leaves_everything_as_it_came(dialogues: list[Conversation]) -> None:
    assert [one.dialogue for one in steer(dialogues, BOUNDS, Ruler(), most=0)] == dialogues


def test_each_operator_does_what_its_name_says() -> None:
    dialogues = list(synthesize_dialogues(120, seed=5))
    operators, random = _Operators(dialogues), Random(3)
    done = dict.fromkeys(("candidate", "call", "value", "fewer"), 0)
    for dialogue in dialogues:
        calls = dialogue.messages[-1].tool_calls
        more = operators.more_candidates(dialogue, random)
        if more is not None:
            done["candidate"] += 1
            assert len(more.tools) == len(dialogue.tools) + 1
            assert more.messages == dialogue.messages
            assert calls  # where nothing fits, one more tool might
        second = operators.more_calls(dialogue, random)
        if second is not None:
            done["call"] += 1
            assert len(second.messages[-1].tool_calls) == len(calls) + 1
            assert str(second.messages[0].content).startswith(str(dialogue.messages[0].content).rstrip())
        value = operators.other_value(dialogue, random)
        if value is not None:
            done["value"] += 1
            assert value.messages[-1] == dialogue.messages[-1]
            assert len(str(value.messages[0].content)) > len(str(dialogue.messages[0].content))
        fewer = fewer_candidates(dialogue, random)
        if fewer is not None:
            done["fewer"] += 1
            called = {call.name for call in calls}
            assert called <= {tool.name for tool in fewer.tools}
            assert len(fewer.tools) == len(dialogue.tools) - 1
    assert all(done.values()), done


def test_hard_dialogues_lose_a_tool_that_is_not_called() -> None:
    tools = tuple(Tool(f"t{at}", f"Does the {at}th thing.", {"type": "object", "properties": {}, "required": []}) for at in range(12))
    asked = Conversation(
        (Message("user", "Do the third thing, please."), Message("assistant", tool_calls=(ToolCall("t3"),))), tools, {"type": "single"}
    )
    (found,) = steer([asked], BOUNDS, Ruler(), most=20)
    assert [name for name, _ in found.steps] == ["-candidate"] * len(found.steps)
    assert found.inside
    assert "t3" in {tool.name for tool in found.dialogue.tools}
    assert replace(found.dialogue, tools=tools) == asked


def test_the_command_measures_steers_and_continues(tiny_model_folder: Path, dialogues: list[Conversation], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", [dialogue.to_row() for dialogue in dialogues])
    words = (
        "synthesize",
        "complexity",
        tmp_path / "d.jsonl",
        "--model",
        tiny_model_folder,
        "--prior",
        10,
        "--steer",
        "--quiet",
        "--out",
        tmp_path / "run",
    )
    said = luthier(*words).stdout
    assert "worth training on: a loss of" in said
    rows = [json.loads(line) for line in (tmp_path / "run" / "dialogues.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    assert all(math.isfinite(row["complexity"]["H"]) and len(row["complexity"]["range"]) == 2 for row in rows)
    assert len((tmp_path / "run" / "prior.jsonl").read_text().splitlines()) == 5
    whole = (tmp_path / "run" / "dialogues.jsonl").read_bytes()
    losses = (tmp_path / "run" / "losses.jsonl").read_bytes()
    (tmp_path / "run" / "losses.jsonl").write_bytes(losses[: len(losses) // 2])
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["steps"]["dialogues"]["results"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    luthier(*words)
    assert (tmp_path / "run" / "dialogues.jsonl").read_bytes() == whole
    page = (tmp_path / "run" / "report.html").read_text()
    assert "are worth training on" in page


def test_what_cannot_be_measured_is_one_line(tiny_model_folder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", [{"messages": [{"role": "user", "content": "hi"}]}])
    words = ("synthesize", "complexity", tmp_path / "d.jsonl", "--model", tiny_model_folder, "--out", tmp_path / "run")
    assert "0 dialogues with an answer there" in luthier(*words, ok=False).stderr
    assert "gives no losses" in luthier(*words, "--engine", "llamacpp", ok=False).stderr
    assert not (tmp_path / "run").exists()
