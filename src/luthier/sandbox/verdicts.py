"""Between a task and its verdict: the job that is sent, and what comes back as values of `outcome`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from luthier.errors import SettingsError
from luthier.sandbox.inside import codec
from luthier.sandbox.outcome import BlockTrace, Event, Judgement, Outcome, Output, Task, TestResult, Trust
from luthier.sandbox.session import Job, Raw

SHOWN = 64 << 10  # bytes kept of what a judged program printed


def judge_job(task: Task, trace: bool) -> Job:
    """The job that runs a task's tests on its program."""
    tests = [test for test in task.listed if isinstance(test, str)]
    spec = {"tests": tests, "entry_point": task.entry_point, "inprocess": task.judge == "inprocess"}
    return Job("judge", source(task.program), encoded(spec), b"", len(tests), trace)


def call_job(program: str, function: str, arguments: list[Any], keywords: dict[str, Any]) -> Job:
    """The job that calls one function. Raises SettingsError for arguments that are not plain data."""
    return Job("call", source(program), encoded({"call": function, "arguments": arguments, "keywords": keywords}), b"", 1)


def script_job(program: str, stdin: str, files: Mapping[str, bytes]) -> Job:
    """The job that runs a script. Raises SettingsError for a file outside its folder."""
    listed = [(_inner_path(name), bytes(content)) for name, content in files.items()]
    return Job("run", source(program), stdin.encode(errors="surrogatepass"), encoded(listed), 1)


def source(program: str) -> bytes:
    return program.encode(errors="surrogatepass")  # a lone surrogate is the program's own load error, not ours


def encoded(value: object) -> bytes:
    try:
        return codec.encode(value)
    except codec.CodecError as problem:
        raise SettingsError(f"only plain data can be sent into the sandbox, not {problem}") from None


def judgement(task: Task, raw: Raw, backend: str) -> Judgement:
    """The verdict. Raises SettingsError for a test that is no Python, or that passes without a call of the program."""
    more = _said_by_driver(raw)
    results = tuple(_result(index, {**told, **more.get(index, {})}) for index, told in enumerate(raw.outcomes))
    stdout, stderr = text(raw.stdout[:SHOWN]), text(raw.stderr[:SHOWN])
    return Judgement(first_failure(results), results, stdout, stderr, raw.cpu, raw.wall, raw.peak * 1024, backend, task.judge)


def block_trace(task: Task, raw: Raw, backend: str) -> BlockTrace:
    events = _said_by_driver(raw).get(0, {}).get("events", [])
    return BlockTrace(judgement(task, raw, backend), tuple(Event(**event) for event in events))


def _said_by_driver(raw: Raw) -> dict[int, dict[str, Any]]:
    """What the driver wrote of each test that it finished."""
    return {told["test"]: told for told in map(json.loads, raw.answer.splitlines())}


def script_output(raw: Raw, backend: str) -> Output:
    told = raw.outcomes[0]
    return Output(outcome(told), text(raw.stdout), text(raw.stderr), int(told["status"]), raw.cpu, raw.wall, raw.peak * 1024, backend)


def judged_by_output(task: Task, outputs: list[Output], expected: list[str], trust: Trust) -> Judgement:
    """The verdict on a script: what it printed, compared here, where the expected text has stayed."""
    results = [TestResult(_compared(out, text), 1, out.stdout[:200]) for out, text in zip(outputs, expected, strict=True)]
    cpu, wall, last = sum(out.cpu for out in outputs), sum(out.wall for out in outputs), outputs[-1]
    memory = max(out.memory for out in outputs)
    return Judgement(
        first_failure(results), tuple(results), last.stdout[:SHOWN], last.stderr[:SHOWN], cpu, wall, memory, last.backend, trust
    )


def first_failure(results: tuple[TestResult, ...] | list[TestResult]) -> Outcome:
    return next((result.outcome for result in results if not result.passed), Outcome("passed"))


def outcome(told: Mapping[str, Any]) -> Outcome:
    return Outcome(told["kind"], harmless(str(told.get("detail", ""))))


def harmless(words: str) -> str:
    """Text of a program for a terminal: without control characters, which could move the cursor or worse."""
    return "".join(letter if (letter >= " " and not "\x7f" <= letter < "\xa0") or letter == "\t" else "\ufffd" for letter in words)


def text(printed: bytes) -> str:
    return printed.decode(errors="replace")


def _result(index: int, told: Mapping[str, Any]) -> TestResult:
    if told["kind"] == "bad_test":
        raise SettingsError(f"test {index + 1} is not Python: {told['detail']}")
    if told["kind"] == "passed" and not told["calls"]:
        raise SettingsError(f"test {index + 1} never calls the program, so it cannot judge it")
    return TestResult(outcome(told), int(told["calls"]), harmless(str(told.get("shown", ""))))


def _compared(output: Output, expected: str) -> Outcome:
    if not output.outcome.passed:
        return output.outcome
    printed, wanted = _lines(output.stdout), _lines(expected)
    if printed == wanted:
        return Outcome("passed")
    line = next((at for at, pair in enumerate(zip(printed, wanted, strict=False)) if pair[0] != pair[1]), min(len(printed), len(wanted)))
    seen, hoped = (lines[line][:100] if line < len(lines) else "nothing" for lines in (printed, wanted))
    return Outcome("wrong_answer", f"line {line + 1} is {seen!r}, expected {hoped!r}")


def _lines(printed: str) -> list[str]:
    return [line.rstrip() for line in printed.rstrip().splitlines()]


def _inner_path(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise SettingsError(f"{name!r} is not a file below the program's folder")
    return str(path)
