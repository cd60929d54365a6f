"""Who answers the calls of a made dialogue: `mocked` (from the stated answer), `told` (a model), `sandboxed` (real Python functions, confined).

All have one shape: a generator that is given the calls of a turn and returns their answers. Only `told` wants anything on the way, of the model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.models.protocol import Sampling
from luthier.records import JSON, Message, Tool, ToolCall
from luthier.records.lines import parse_value
from luthier.records.patterns import validator_class
from luthier.synthesize.tools import agent_prompts as prompts
from luthier.synthesize.tools.asks import DroppedError, asked_once, drawn_by
from luthier.synthesize.tools.mocks import Mock
from luthier.synthesize.tools.operations import examples_of, operation

if TYPE_CHECKING:
    from luthier.sandbox import Sandbox

Executor = Callable[[Sequence[ToolCall]], Generator[Any, Any, list[JSON]]]
_TOLD_TOKENS = 512
_MOST_ANSWER = 4000  # letters


def mocked(tools: Sequence[Tool], seed: int = 0) -> Executor:
    """Answers from the tools' stated answers; what was created in a dialogue is found again in it. One executor a dialogue."""
    mock = Mock({tool.name: operation(tool) for tool in tools}, examples_of(tools), seed)

    def execute(calls: Sequence[ToolCall]) -> Generator[Any, Any, list[JSON]]:
        return [mock(call) for call in calls]
        yield

    return execute


def told(tools: Sequence[Tool], seed: int = 0) -> Executor:
    """A model answers as the tool. An answer that is no JSON, or not as the tool states it, may be mended once; then the dialogue is dropped."""
    by_name = {tool.name: tool for tool in tools}
    asked = 0

    def execute(calls: Sequence[ToolCall]) -> Generator[Any, Any, list[JSON]]:
        nonlocal asked
        answers = []
        for call in calls:
            tool = by_name[call.name]
            prompt = prompts.told(tool, json.dumps(call.arguments, ensure_ascii=False))
            for heat in (0.7, 0.0):
                asked += 1
                said = yield from asked_once(prompt, Sampling(_TOLD_TOKENS, heat, seed=drawn_by(seed, "tool", asked)), "tool")
                answer, problem = _read(said.text, tool)
                if not problem:
                    break
                prompt = type(prompt)((*prompt.messages, Message("assistant", said.text), Message("user", prompts.repair(problem))))
            if problem:
                raise DroppedError(f"a told answer cannot be used: {problem}")
            answers.append(answer)
        return answers

    return execute


def sandboxed(box: Sandbox, program: str, tools: Sequence[Tool]) -> Executor:
    """The functions of a Python module answer, run in the sandbox from its source; a tool's name is the function's, with or without its module.

    A function that fails, or whose value is not as the tool states it, drops the dialogue (rule X1). What a function gives should depend on its
    arguments alone: a stopped run calls it again.
    """
    by_name = {tool.name: tool for tool in tools}

    def execute(calls: Sequence[ToolCall]) -> Generator[Any, Any, list[JSON]]:
        from luthier.sandbox import CallError

        answers = []
        for call in calls:
            try:
                value = box.call(program, call.name.rpartition(".")[2], **call.arguments)
            except CallError as failed:
                raise DroppedError(f"X1: a function fails: {failed.outcome.kind}") from None
            answer = value if isinstance(value, dict) else {"result": value}
            if problem := _unlike(value, answer, by_name[call.name]):
                raise DroppedError(f"X1: a function's value is not as stated: {problem}")
            answers.append(answer)
        return answers
        yield

    return execute


def _read(text: str, tool: Tool) -> tuple[JSON, str]:
    """An answer as JSON and what is wrong with it."""
    written = text[text.find("{") : text.rfind("}") + 1]
    try:
        value = parse_value(written.encode("utf-8", "surrogatepass")) if written else None
    except BadRowError:
        value = None
    if not isinstance(value, dict):
        return {}, "it is no JSON object"
    if len(written) > _MOST_ANSWER:
        return {}, "it is too long"
    return value, _unlike(value, value, tool)


def _unlike(value: Any, answer: JSON, tool: Tool) -> str:
    """How a value differs from the answer that the tool states; empty where it does not. A stated list or text may stand alone or in an object."""
    if not tool.returns:
        return ""
    inner = [value, answer, *(answer.values() if len(answer) == 1 else ())]
    errors = [next(iter(validator_class()(tool.returns).iter_errors(one)), None) for one in inner]
    if None in errors or errors[0] is None:
        return ""
    return f"{'.'.join(map(str, errors[0].absolute_path)) or 'the answer'}: {errors[0].message[:160]}"
