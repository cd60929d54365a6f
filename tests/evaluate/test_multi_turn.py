"""Multi-turn dialogues with a scripted model: calls run, results come back, turns end as in the benchmark, a stopped run asks nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dialogues import some_dialogues, true_calls

from chat_server import ChatServer, completion
from command import luthier as command
from luthier.evaluate.bfcl_results import write_results
from luthier.evaluate.multi_turn import AT_ONCE, MOST_STEPS, NO_ANSWER, Step, evaluate_multi_turn, hold
from luthier.evaluate.settings import ToolsEvaluationSettings
from luthier.models import Capability, Completion, Prompt, Sampling, Usage
from luthier.models.grammar import GrammarEngine, calls_grammar
from luthier.records import JSON, Tool, read_rows
from luthier.records.bfcl_multi_turn import MORE_TOOLS, MULTI_TURN_CATEGORIES, MultiTurnItem
from luthier.records.calls import render_calls

DONE = "All of that is done."
ASKS = "A value is missing, which one would you like?"


class Reader:
    """A model that knows the true calls by the question, and says them in some form; `stop_after` answers it is killed."""

    supports: frozenset[Capability] = frozenset({"generate", "grammar"})
    name = "reader"

    def __init__(self, items: Sequence[MultiTurnItem], stop_after: int | None = None, lazy: bool = False) -> None:
        self.usage, self.batches, self.stop_after, self.lazy = Usage(), list[int](), stop_after, lazy
        self.said = {
            (tuple(message for turn in item.turns[: number + 1] for message in turn.messages), _names(item.turns[number].tools)): calls
            for item in items
            for number, calls in enumerate(true_calls(item))
        }

    def generate(self, prompts: Sequence[Prompt], sampling: Sequence[Sampling], progress: Any = None) -> list[Completion]:
        if self.stop_after is not None and sum(self.batches) + len(prompts) > self.stop_after:
            raise KeyboardInterrupt
        self.batches.append(len(prompts))
        return [Completion(self._answer(prompt), "stop", 9, 5) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> str:
        calls = self.said[tuple(message for message in prompt.messages if message.role == "user"), _names(prompt.tools)]
        if prompt.messages[-1].role == "tool" or not calls:
            return DONE if calls else ASKS
        return ASKS if self.lazy else render_calls(calls)


def _names(tools: Sequence[Tool]) -> tuple[str, ...]:
    return tuple(tool.name for tool in tools)


def table(items: Sequence[MultiTurnItem], model: Any, folder: Path, **more: Any) -> dict[str, tuple[int, int]]:
    lines = evaluate_multi_turn(model, items, folder / "answers.jsonl", folder / "steps.jsonl", decodings=["free"], **more)
    return {line.category: (line.official.correct, line.strict.correct) for line in lines if line.official}


@pytest.fixture(scope="module")
def items() -> list[MultiTurnItem]:
    """Four of each category."""
    return [item for category in MULTI_TURN_CATEGORIES for item in some_dialogues(category, 5)]


def rows(path: Path) -> list[JSON]:
    return [row for _, row in read_rows(path)]


def test_the_true_calls_score_full_marks_and_the_result_files_are_the_evaluators(items: list[MultiTurnItem], tmp_path: Path):
    model = Reader(items)
    found = table(items, model, tmp_path)
    assert found == dict.fromkeys(MULTI_TURN_CATEGORIES, (5, 5))
    assert max(model.batches) == AT_ONCE
    paths = write_results(rows(tmp_path / "answers.jsonl"), tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in paths} == {
        f"bfcl/free/google_gemma-3-1b-it/multi_turn/BFCL_v4_{category}_result.json" for category in MULTI_TURN_CATEGORIES
    }
    (first, *_) = rows(paths[0])
    item = next(item for item in items if item.id == first["id"])
    assert [len(turn) for turn in first["result"]] == [2 if turn.truth else 1 for turn in item.turns]
    assert first["result"][0][0] == render_calls(true_calls(item)[0])


def test_a_stopped_evaluation_asks_nothing_twice_and_ends_in_the_same_bytes(items: list[MultiTurnItem], tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    table(items, all_at_once := Reader(items), whole)
    stops = 0
    stopped = list[int]()
    while True:
        model = Reader(items, stop_after=40)
        try:
            table(items, model, parts)
        except KeyboardInterrupt:
            stops += 1
        stopped += model.batches
        if sum(model.batches) <= 40 and stops and len(rows(parts / "answers.jsonl")) == len(items):
            break
    assert stops > 1
    assert stopped == all_at_once.batches
    assert (parts / "steps.jsonl").read_bytes() == (whole / "steps.jsonl").read_bytes()
    assert (parts / "answers.jsonl").read_bytes() == (whole / "answers.jsonl").read_bytes()


def test_reasons_are_counted(items: list[MultiTurnItem], tmp_path: Path):
    (line, *_) = evaluate_multi_turn(Reader(items, lazy=True), items[:5], tmp_path / "a.jsonl", tmp_path / "s.jsonl", decodings=["free"])
    assert line.to_row()["failures"] == {"a turn without a call": 5}


def talk(item: MultiTurnItem, answers: Sequence[str], decoding: Any = "free") -> tuple[list[Step], Any]:
    """What one dialogue asks where it is so answered, the last answer again and again, and how it went."""
    holding, steps, given = hold(item, decoding), list[Step](), None
    try:
        while True:
            steps.append(holding.send(given))
            given = Completion(answers[min(len(steps), len(answers)) - 1], "stop", 1, 1)
    except StopIteration as stop:
        return steps, stop.value


def test_results_come_back_as_tool_messages():
    item = next(item for item in some_dialogues("multi_turn_base", 20) if item.classes == ("GorillaFileSystem",))
    steps, _ = talk(item, ["[pwd(), no_such(x=1)]", DONE])
    assistant, first, second = steps[1].prompt.messages[-3:]
    assert [call.name for call in assistant.tool_calls] == ["pwd", "no_such"]
    assert (first.role, first.name, json.loads(first.content or "").keys()) == ("tool", "pwd", {"current_working_directory"})
    assert second.content == "Error during execution: name 'no_such' is not defined"
    assert steps[2].prompt.messages[-2].content == DONE
    assert (steps[2].turn, steps[2].step) == (1, 0)


def test_calls_that_only_the_benchmark_reads_are_run_too():
    item = next(item for item in some_dialogues("multi_turn_base", 20) if item.classes == ("GorillaFileSystem",))
    steps, _ = talk(item, ["[pwd(), ls(a=yes+1) if x]", "[cd(folder=somewhere)]", DONE])
    assert steps[1].turn == 1  # the first cannot be decoded, which ends the turn
    assert steps[2].prompt.messages[-2].tool_calls[0].arguments == {"folder": "somewhere"}


def test_what_no_tokenizer_takes_is_replaced():
    item = next(item for item in some_dialogues("multi_turn_base", 20) if item.classes == ("GorillaFileSystem",))
    steps, _ = talk(item, ['[cd(folder="\\ud800"), ls(a=(1, b"x"))]', DONE])
    for message in steps[1].prompt.messages:
        json.dumps(message.to_row(), ensure_ascii=False).encode()
    assert steps[1].prompt.messages[1].tool_calls[0].arguments == {"folder": "?"}


def test_more_tools_come_when_they_are_said_to():
    item = next(item for item in some_dialogues("multi_turn_miss_func", 20) if not item.turns[0].truth)
    steps, _ = talk(item, [ASKS])
    assert len(steps[1].prompt.tools) > len(steps[0].prompt.tools)
    assert steps[1].prompt.messages[-1].content == MORE_TOOLS


def test_a_turn_has_so_many_steps_and_no_more():
    item = next(item for item in some_dialogues("multi_turn_base", 20) if item.classes == ("GorillaFileSystem",) and len(item.turns) > 1)
    steps, dialogue = talk(item, ["[pwd()]"])
    assert len(steps) == MOST_STEPS + 1
    assert len(dialogue.turns) == 1


def test_the_words_and_the_limit_are_the_benchmarks():
    from luthier.evaluate.bfcl import benchmark_modules

    some_dialogues("multi_turn_base", 1)
    with benchmark_modules():
        from bfcl_eval.constants import default_prompts
    assert default_prompts.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC == MORE_TOOLS
    assert default_prompts.MAXIMUM_STEP_LIMIT == MOST_STEPS


def test_a_constrained_step_is_calls_or_a_sentence(tiny_model_folder: Path):
    from transformers import AutoTokenizer

    item = some_dialogues("multi_turn_base", 1)[0]
    (step, *_), _ = talk(item, [DONE], "constrained")
    assert step.prompt.grammar == calls_grammar(item.tools, calls=(1, 8), sentence=True)
    (guided, *_), _ = talk(item, [DONE], "guided")
    assert guided.prompt.grammar == calls_grammar(item.tools, calls=(1, 8), text=True, whole=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    engine = GrammarEngine(tokenizer, [2, 0])
    for text in (DONE, "[pwd(), ls()]"):
        ids, matcher = tokenizer.encode(text, add_special_tokens=False), engine.matcher(step.prompt.grammar)
        assert matcher.try_consume_tokens(ids) == len(ids)
        assert matcher.is_accepting()


def test_a_prompt_without_room_ends_its_dialogue_alone(tiny_model_folder: Path, tmp_path: Path):
    """The tiny model's context holds no prompt of the benchmark."""
    from luthier.models.local import LocalModel

    items = some_dialogues("multi_turn_base", 2)
    model = LocalModel(tiny_model_folder)
    (line,) = evaluate_multi_turn(model, items, tmp_path / "a.jsonl", tmp_path / "s.jsonl", decodings=["free"], max_tokens=2)
    found = rows(tmp_path / "a.jsonl")
    if model.config.max_position_embeddings < 2000:
        assert line.failures == {NO_ANSWER: 2}
        assert found[0]["result"].startswith("Error during inference")
    assert not found[0]["official"]


def test_the_command_holds_dialogues_with_a_server_and_shows_them(tmp_path: Path):
    some_dialogues("multi_turn_base", 1)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        last = request["messages"][-1]
        called = last["role"] == "user" and len(request.get("tools", ())) > 1
        return completion(None if called else DONE, calls=[("pwd", "{}")] if called else None, usage=False)

    with ChatServer(answer) as server:
        words = ["evaluate", "tools", "--model", "m", "--endpoint", server.url, "--category", "multi_turn_miss_param", "--quiet"]
        words += ["--category", "irrelevance", "--items", "2", "--out", str(tmp_path / "run")]
        out = command(*words, ok=True).stdout
        asked = len(server.requests)
        assert command(*words, ok=True).stdout == out
        assert len(server.requests) == asked
    assert "multi_turn_miss_param free            2 items   official 0 %" in out
    assert "calls read as hermes" in out or "calls read as" in out
    assert "wrong by" in out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "current_working_directory" in page or "Error during execution" in page
    assert "Multi turn miss param" in page or "multi turn miss param" in page


def test_the_settings_know_the_categories():
    settings = ToolsEvaluationSettings(categories=("multi_turn_base", "multiple"), items=("multi_turn_base=3",))
    assert settings.limits() == {"multi_turn_base": 3, "multiple": None}
