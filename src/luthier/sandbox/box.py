"""`Sandbox`: judge programs, call their functions, run them as scripts and look at their blocks, as many at a time as the cores allow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Any, Literal, get_args

from luthier.errors import SandboxError, SandboxUnavailable, SettingsError
from luthier.sandbox import bubblewrap, doctor, nsjail
from luthier.sandbox.fleet import Fleet
from luthier.sandbox.inside import codec
from luthier.sandbox.monty.backend import MontyBackend
from luthier.sandbox.outcome import BlockTrace, InputOutput, Judge, Judgement, Limits, Outcome, Output, Report, Task
from luthier.sandbox.session import Job, Raw
from luthier.sandbox.verdicts import block_trace, call_job, judge_job, judged_by_output, judgement, outcome, script_job, script_output

Backend = Literal["auto", "bwrap-zygote", "bwrap-exec", "nsjail", "monty"]


class CallError(Exception):
    """A called function gave no value; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(str(outcome))


class Sandbox:
    """Runs model-written Python. A context manager; it starts with the first job.

    backend: "bwrap-zygote" forks each job from one warm interpreter ("auto" is this one), "bwrap-exec" starts a sandbox for each job,
    "nsjail" does that without bubblewrap, "monty" judges in another interpreter, without the kernel's walls (docs/sandbox.md).
    workers: jobs at a time; None for as many as there are cores. modules: third-party modules that programs may import, loaded once.
    Raises SandboxUnavailable, with the first job, where the machine cannot confine programs: they are not run in another way then.
    """

    def __init__(
        self, backend: Backend = "auto", *, workers: int | None = None, limits: Limits | None = None, modules: Sequence[str] = ()
    ) -> None:
        if backend not in get_args(Backend):
            raise SettingsError(f"there is no sandbox backend {backend!r}; there are {', '.join(get_args(Backend))}")
        if workers is not None and workers < 1:
            raise SettingsError(f"workers is {workers}; it must be at least 1")
        self.backend: str = "bwrap-zygote" if backend == "auto" else backend
        self.workers = workers or _cores()
        self.limits = limits or Limits()
        self._monty = MontyBackend(self.workers, self.limits) if backend == "monty" else None
        if modules and self._monty:
            raise SettingsError(f"the backend monty imports no module of this environment; leave out {', '.join(modules)}")
        self._fleet = Fleet(tuple(modules), single=self.backend != "bwrap-zygote", jail=nsjail if backend == "nsjail" else bubblewrap)
        self._pool = ThreadPoolExecutor(self.workers, "sandbox")

    def judge(self, program: str, tests: str | Sequence[str | InputOutput], *, entry_point: str = "", judge: Judge = "split") -> Judgement:
        """Run the tests on the program.

        tests: code that calls `entry_point` (assertions, or HumanEval's `check(candidate)`), one text a test; or pairs of input and output.
        judge: "inprocess" lets the program share the tests' interpreter, for callbacks and classes; a program can fake its result then.
        Raises SandboxError where the sandbox fails twice, SettingsError for tests that cannot judge.
        """
        return self._judged(Task(program, tests if isinstance(tests, str) else tuple(tests), entry_point, judge))

    def judge_many(self, tasks: Iterable[Task]) -> Iterator[Judgement]:
        """The verdicts of many programs, in order, `workers` at a time. Raises as `judge` does, at the task it concerns."""
        for verdict in self.judge_each(tasks):
            if isinstance(verdict, SandboxError):
                raise verdict
            yield verdict

    def judge_each(self, tasks: Iterable[Task]) -> Iterator[Judgement | SandboxError]:
        """As `judge_many`, with the failure of the sandbox in the place of a verdict, so that the others are not lost."""
        waiting: list[Future[Judgement]] = []
        left = iter(tasks)
        while True:
            waiting += [self._pool.submit(self._judged, task) for task in islice(left, 2 * self.workers + 1 - len(waiting))]
            if not waiting:
                return
            yield _settled(waiting.pop(0))

    def call(self, program: str, function: str, *arguments: Any, **keywords: Any) -> Any:
        """The value of a function of the program for plain-data arguments, as exact builtin types. Raises CallError."""
        if self._monty:
            found, value = self._monty.call(program, function, list(arguments), keywords)
            if not found.passed:
                raise CallError(found)
            return value
        raw = self._do(call_job(program, function, list(arguments), keywords))
        found = outcome(raw.outcomes[0])
        if not found.passed:
            raise CallError(found)
        return codec.decode(raw.answer)

    def run(self, program: str, stdin: str = "", files: Mapping[str, bytes] | None = None) -> Output:
        """Run the program as a script. files: what lies in its folder, by relative path."""
        if self._monty:
            return self._monty.run(program, stdin, files or {})
        return script_output(self._do(script_job(program, stdin, files or {})), self.backend)

    def blocks(self, program: str, test: str, *, entry_point: str) -> BlockTrace:
        """The blocks that a test made the program run, with the variables before and after each, and what the test came to."""
        if self._monty:
            raise SettingsError("the backend monty cannot look at blocks: it has no trace of lines; use bubblewrap or nsjail")
        task = Task(program, (test,), entry_point)
        return block_trace(task, self._do(judge_job(task, trace=True)), self.backend)

    def doctor(self) -> Report:
        """Whether the sandbox starts here and each of its walls holds, in about a second; nothing is raised."""

        def tried(program: str) -> Outcome:
            task = Task(program, doctor.TEST, "f")
            if hasty:
                return hasty.judge(task).outcome
            return judgement(task, self._fleet.do(judge_job(task, trace=False), doctor.LIMITS), self.backend).outcome

        hasty = MontyBackend(1, doctor.LIMITS) if self._monty else None

        try:
            return doctor.examine(tried, self.backend)
        finally:
            if hasty:
                hasty.close()

    def close(self) -> None:
        """End everything that runs inside; jobs that are not done fail with SandboxError."""
        self._fleet.close()
        if self._monty:
            self._monty.close()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _do(self, job: Job) -> Raw:
        return self._fleet.do(job, self.limits)

    def _judged(self, task: Task) -> Judgement:
        pairs = [test for test in task.listed if isinstance(test, InputOutput)]
        if pairs:
            outputs = [self.run(task.program, pair.stdin) for pair in pairs]
            return judged_by_output(task, outputs, [pair.expected for pair in pairs], "interpreter" if self._monty else task.judge)
        if self._monty:
            return self._monty.judge(task)
        return judgement(task, self._do(judge_job(task, trace=False)), self.backend)


def _cores() -> int:
    """Cores that this process may use; elsewhere than on Linux, those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _settled(verdict: Future[Judgement]) -> Judgement | SandboxError:
    try:
        return verdict.result()
    except SandboxUnavailable:
        raise
    except SandboxError as problem:
        return problem
