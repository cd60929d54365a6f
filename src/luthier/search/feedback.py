"""Verbal feedback (RethinkMCTS, arXiv 2409.09584, sec. 3.4): the state, the program, the tests it fails, and for one of them the blocks
that were executed, with the model's verdict on each."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.sandbox import InputOutput
from luthier.search import prompts
from luthier.search.problem import Posed, Test
from luthier.search.replies import BlockVerdict
from luthier.search.wants import Seen, Tested, Tried, Watched

MOST_TESTS = 6
CHARACTERS = 4  # of a token, about
LONGEST_TEST, LONGEST_BLOCK, LONGEST_VARIABLES = 2048 * CHARACTERS, 5000 * CHARACTERS, 100


def feedback(
    problem: Posed, thoughts: Sequence[str], program: str, failed: str, verdicts: Sequence[BlockVerdict] = (), *, most_tokens: int = 12_000
) -> str:
    """All of it as one text; one longer than `most_tokens` is cut to two thirds of them."""
    parts = [prompts.state(problem, thoughts), f"This program was written:\n\n{prompts.fenced(program)}", failed]
    if verdicts:
        told = "\n".join(f"- {one.name}: {'correct' if one.correct else 'wrong'}. {one.explanation}" for one in verdicts)
        parts.append(f"Block by block:\n{told}")
    text = "\n\n".join(part for part in parts if part)
    most = most_tokens * CHARACTERS
    return text if len(text) <= most else text[: most * 2 // 3]


def failures(problem: Posed, tried: Tried) -> str:
    """The tests that failed, at most six, with what came instead."""
    failed = [(test, result) for test, result in zip(problem.public, tried.tests, strict=True) if not result.passed]
    lines = [_failure(test, result)[:LONGEST_TEST] for test, result in failed[:MOST_TESTS]]
    more = f"\n... and {len(failed) - MOST_TESTS} more" if len(failed) > MOST_TESTS else ""
    return f"It fails {len(failed)} of {len(tried.tests)} visible tests:\n" + "\n".join(lines) + more


def _failure(test: Test, result: Tested) -> str:
    came = {"wrong_answer": "", "timeout": "it did not end in time", "load_error": "the program does not run"}.get(result.kind, result.kind)
    if isinstance(test, InputOutput):
        told = f"- for the input\n{test.stdin.strip()}\nit must print\n{test.expected.strip()}\n"
        return told + (f"but prints\n{result.shown.strip()}" if not came else f"but: {came} {result.detail}".rstrip())
    said = result.shown if result.shown and result.kind == "wrong_answer" else f"{came} {result.detail}".strip() or "it is false"
    return f"- {test.strip()}   # {said}"


def traceable(problem: Posed, tried: Tried) -> list[int]:
    """Which failing tests can be followed block by block, in order: code, not texts to read, and a program that loads."""
    return [
        place
        for place, (test, result) in enumerate(zip(problem.public, tried.tests, strict=True))
        if not result.passed and isinstance(test, str) and result.kind != "load_error"
    ]


def blocks(program: str, watched: Watched) -> str:
    """The executed blocks in the order of time, numbered, with the variables before and after each."""
    lines = program.splitlines()
    return "\n".join(_block(number, seen, lines) for number, seen in enumerate(watched.blocks, 1))


def _block(number: int, seen: Seen, lines: Sequence[str]) -> str:
    text = "\n".join(lines[seen.first - 1 : seen.last])[:LONGEST_BLOCK]
    error = f"\n# error: {seen.error}" if seen.error else ""
    return f"[BLOCK-{number}]\n# before: {_variables(seen.before)}\n{text}\n# after: {_variables(seen.after)}{error}"


def _variables(values: dict[str, str]) -> str:
    told = ", ".join(f"{name} = {value}" for name, value in values.items())
    half = LONGEST_VARIABLES // 2
    return told if len(told) <= LONGEST_VARIABLES else f"{told[:half]} … {told[-half:]}"
