"""Rewards for reinforcement learning on code: the share of programs that pass their tests, judged where a program cannot fake it.

`code_reward` is what TRL's GRPOTrainer takes as `reward_funcs`; `rubric_reward` has the signature of `verifiers`' reward functions.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from luthier.errors import SandboxError, SettingsError
from luthier.sandbox.box import Sandbox
from luthier.sandbox.outcome import InputOutput, Task
from luthier.texts.programs import program_of, whole_program

TESTS = ("tests", "test", "test_list")
_MARK = "\ufeff"  # before the text of a file, of some editors


def code_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """1.0 for each completion whose program passes all tests of its row, 0.0 for the others, None where the sandbox failed.

    completions: texts, or lists of messages. columns, one value a completion: `tests` (or `test`, `test_list`) are texts of code or pairs
    (input, expected output); `entry_point` names the function that code tests call; `prompt` may bring imports and helper functions.
    Raises SettingsError for a row without tests: a reward that judges nothing would teach nothing.
    """
    return _rewards(_shared(), completions, columns, share=False)


def make_code_reward(box: Sandbox | None = None, *, share: bool = False) -> Callable[..., list[float | None]]:
    """As `code_reward`, in a sandbox of one's own; share: the share of the tests that passed, in place of all or nothing."""

    def code_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
        return _rewards(box or _shared(), completions, columns, share=share)

    return code_reward


def rubric_reward(completion: Any, info: Mapping[str, Any], **rest: Any) -> float:
    """The reward of one completion for `verifiers`: info holds what the columns of `code_reward` hold. Raises SandboxError."""
    columns = {name: [value] for name, value in info.items()}
    (verdict,) = _shared().judge_many(_tasks([completion], columns))
    return float(verdict.passed)


def _rewards(box: Sandbox, completions: Sequence[Any], columns: Mapping[str, Any], share: bool) -> list[float | None]:
    verdicts = box.judge_each(_tasks(completions, columns))
    return [None if isinstance(verdict, SandboxError) else verdict.share if share else float(verdict.passed) for verdict in verdicts]


def _tasks(completions: Sequence[Any], columns: Mapping[str, Any]) -> list[Task]:
    name = next((name for name in TESTS if columns.get(name) is not None), None)
    if name is None:
        raise SettingsError(f"a reward for code needs a column of tests: {', '.join(TESTS)}; there are {', '.join(columns) or 'none'}")
    entries = columns.get("entry_point") or [""] * len(completions)
    prompts = columns.get("prompt") or [""] * len(completions)
    rows = zip(completions, columns[name], entries, prompts, strict=True)
    return [task_of(completion, tests, entry or "", prompt) for completion, tests, entry, prompt in rows]


def task_of(completion: Any, tests: Any, entry_point: str, prompt: Any) -> Task:
    """The program in a completion, and its tests. Raises SettingsError for tests of no known form."""
    text = program_of(said(completion), entry_point)
    program = whole_program(prompt, text, entry_point) if isinstance(prompt, str) and entry_point else text
    if isinstance(tests, str):
        return Task(program, tests, entry_point)
    return Task(program, tuple(map(make_test, tests or ())), entry_point)


def make_test(test: Any) -> str | InputOutput:
    """A test of a row: code as it is, a pair or an object with `input` and `output` as what a script reads and must print."""
    if isinstance(test, str):
        return test
    if isinstance(test, Mapping) and "input" in test and "output" in test:
        return InputOutput(_lines(test["input"]), _lines(test["output"]))
    if isinstance(test, Sequence) and len(test) == 2:
        return InputOutput(_lines(test[0]), _lines(test[1]))
    raise SettingsError(f"a test is code, a pair (input, expected output), or an object with input and output, not {test!r:.100}")


def _lines(value: Any) -> str:
    """What a script reads or prints, also as a list of its lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def said(completion: Any) -> str:
    """The text of a completion: itself, or what the assistant says in its messages. Raises SettingsError for anything else."""
    if isinstance(completion, str):
        return completion.removeprefix(_MARK)
    messages = [completion] if isinstance(completion, Mapping) else completion
    if not isinstance(messages, Sequence) or not all(isinstance(message, Mapping) for message in messages):
        raise SettingsError(f"a completion is a text or messages, not {completion!r:.60}")
    return "\n".join(_content(message.get("content")) for message in messages if message.get("role", "assistant") == "assistant")


def _content(content: Any) -> str:
    """What a message says, also in parts."""
    parts = content if isinstance(content, list) else [content]
    if any(
        not isinstance(part, str | Mapping | None) or (isinstance(part, Mapping) and not isinstance(part.get("text"), str))
        for part in parts
    ):
        raise SettingsError(f"the content of a message is a text or parts with a `text`, not {content!r:.60}")
    return "".join(part["text"] if isinstance(part, Mapping) else part or "" for part in parts)


@cache
def _shared() -> Sandbox:
    """One sandbox for the rewards of this process."""
    box = Sandbox()
    atexit.register(box.close)
    return box
