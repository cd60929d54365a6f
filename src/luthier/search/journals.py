"""Answers of the model and verdicts of the sandbox, kept as they come: the same search asks and runs nothing twice.

An answer is found by the hash of model, prompt and sampling, a verdict by that of program, tests and limits; with each stand the seconds it
took, so that a replay spends what the first time spent. `strict`: nothing is asked or run that is not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from luthier.errors import EngineError, SandboxError, SandboxUnavailable
from luthier.models.budget import most_tokens
from luthier.models.protocol import Completion, LanguageModel, Prompt
from luthier.models.replay import AnswersOneByOne
from luthier.records import JSON
from luthier.records.journal import Journal
from luthier.sandbox import InputOutput, Task
from luthier.search.problem import Posed
from luthier.search.wants import Behave, Behaviour, Look, Say, Timed, Trial, Trials, Tried, Try, Watched

if TYPE_CHECKING:
    from luthier.sandbox import Sandbox

BATCH = 64


@runtime_checkable
class CountsTokens(Protocol):
    """An engine with a tokenizer of its own (`LocalModel`, `LlamaCppModel`)."""

    @property
    def tokenizer(self) -> Any: ...

    def render(self, prompt: Prompt) -> str: ...


class Kept:
    """Rows by key, in a file where one is given. Use as a context manager."""

    def __init__(self, path: Path | None, *, strict: bool = False) -> None:
        self.path, self.strict = path, strict
        self._journal = Journal(path, ("key",)) if path is not None else None
        self.rows: dict[str, JSON] = {str(row["key"]): row for row in self._journal or ()}

    def keep(self, key: str, row: JSON) -> None:
        row = {"key": key, **row}
        if self._journal is not None:
            self._journal.append(row)
        self.rows[key] = row

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Answers(Kept):
    """What a model says. asked: how many prompts went to it, so that a test can see that none went twice."""

    def __init__(self, model: LanguageModel, path: Path | None = None, *, strict: bool = False) -> None:
        super().__init__(path, strict=strict)
        self.model, self.asked = model, 0

    def answer(self, says: Sequence[Say]) -> list[Timed]:
        """An answer to each, in order. Raises EngineError where the model cannot answer; what it has answered by then is kept."""
        keys = [self._key(say) for say in says]
        missing = {key: say for key, say in zip(keys, says, strict=True) if key not in self.rows}
        if missing and self.strict:
            say = next(iter(missing.values()))
            words = " ".join((say.prompt.messages[-1].content or "").split())[:80]
            raise EngineError(f"{self.path}: holds no answer to {say.kind} {words!r}; run without --replay to ask the model")
        todo = list(missing.items())
        for start in range(0, len(todo), BATCH):
            self._ask(todo[start : start + BATCH])
        return [_timed(self.rows[key]) for key in keys]

    def _ask(self, todo: Sequence[tuple[str, Say]]) -> None:
        prompts, samplings = [say.prompt for _, say in todo], [say.sampling for _, say in todo]
        began = time.monotonic()
        if isinstance(self.model, AnswersOneByOne):
            self.model.generate_each(
                list(enumerate(prompts)), samplings, lambda at, answer: self._keep(todo[at], answer, time.monotonic() - began)
            )
            return
        answers = self.model.generate(prompts, samplings)
        seconds = (time.monotonic() - began) / len(todo)
        for one, answer in zip(todo, answers, strict=True):
            self._keep(one, answer, seconds)

    def _keep(self, one: tuple[str, Say], answer: Completion, seconds: float) -> None:
        key, say = one
        self.asked += 1
        self.keep(key, {"model": self.model.name, "kind": say.kind, "seconds": round(seconds, 6), **asdict(answer)})

    def _key(self, say: Say) -> str:
        messages = [message.to_row() for message in say.prompt.messages]
        return _sha256([self.model.name, messages, say.prompt.json_schema, asdict(say.sampling)])

    def count(self, say: Say) -> int:
        """The most tokens that a prompt can be: exactly, where the model counts."""
        if isinstance(self.model, CountsTokens):
            return len(self.model.tokenizer(self.model.render(say.prompt), add_special_tokens=False).input_ids)
        return most_tokens(say.prompt)


class Verdicts(Kept):
    """What the sandbox says. ran: how many programs were run in it."""

    def __init__(self, sandbox: Sandbox, path: Path | None = None, *, strict: bool = False) -> None:
        super().__init__(path, strict=strict)
        self.sandbox, self.ran = sandbox, 0

    def answer(self, wanted: Sequence[Trials]) -> list[list[Timed]]:
        """A verdict on each, in order. Raises SandboxError where the sandbox itself fails twice."""
        keys = [[_trial_key(each.problem, want, self.sandbox) for want in each.wants] for each in wanted]
        flat = [
            (key, each.problem, want) for each, own in zip(wanted, keys, strict=True) for key, want in zip(own, each.wants, strict=True)
        ]
        missing = {key: (problem, want) for key, problem, want in flat if key not in self.rows}
        if missing and self.strict:
            problem, _ = next(iter(missing.values()))
            raise SandboxError(f"{self.path}: holds no verdict on a program of {problem.task}; run without --replay to judge it")
        self._judge({key: (problem, want) for key, (problem, want) in missing.items() if isinstance(want, Try)})
        for key, (problem, want) in missing.items():
            if not isinstance(want, Try):
                began = time.monotonic()
                value = self._watch(problem, want) if isinstance(want, Look) else self._behave(problem, want)
                self.ran += 1
                self.keep(key, {"task": problem.task, "seconds": round(time.monotonic() - began, 6), **value.to_row()})
        return [
            [_verdict(want, self.rows[key]) for key, want in zip(own, each.wants, strict=True)]
            for each, own in zip(wanted, keys, strict=True)
        ]

    def _judge(self, missing: dict[str, tuple[Posed, Try]]) -> None:
        tasks = [Task(want.program, problem.public, problem.entry_point) for problem, want in missing.values()]
        for (key, (problem, _)), verdict in zip(missing.items(), self.sandbox.judge_many(tasks), strict=True):
            self.ran += 1
            self.keep(key, {"task": problem.task, "seconds": round(verdict.wall, 6), **Tried.of(verdict).to_row()})

    def _watch(self, problem: Posed, want: Look) -> Watched:
        test = problem.public[want.test]
        assert isinstance(test, str)  # noqa: S101  # texts to read have no blocks to look at
        try:
            return Watched.of(self.sandbox.blocks(want.program, test, entry_point=problem.entry_point))
        except SandboxUnavailable:
            raise
        except SandboxError:
            return Watched(())  # a trace is worth no failed run

    def _behave(self, problem: Posed, want: Behave) -> Behaviour:
        if not problem.entry_point:
            outputs = [self.sandbox.run(want.program, given) for given in want.inputs]
            return Behaviour(tuple(output.stdout if output.outcome.passed else "" for output in outputs))
        tests = tuple(f"_ = {given}" for given in want.inputs)
        verdict = self.sandbox.judge(want.program, tests, entry_point=problem.entry_point)
        return Behaviour(tuple(test.shown.partition(" gave ")[2] if test.passed else "" for test in verdict.tests))


def _trial_key(problem: Posed, want: Trial, sandbox: Sandbox) -> str:
    tests = [[test.stdin, test.expected] if isinstance(test, InputOutput) else test for test in problem.public]
    return _sha256([type(want).__name__, asdict(want), tests, problem.entry_point, asdict(sandbox.limits)])


def _timed(row: JSON) -> Timed:
    return Timed(Completion(row["text"], row["finish"], row["prompt_tokens"], row["completion_tokens"]), row["seconds"])


def _verdict(want: Trial, row: JSON) -> Timed:
    if isinstance(want, Try):
        return Timed(Tried.from_row(row), row["seconds"])
    return Timed(Watched.from_row(row) if isinstance(want, Look) else Behaviour.from_row(row), row["seconds"])


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
