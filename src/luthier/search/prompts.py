"""What a model is asked (RethinkMCTS, arXiv 2409.09584, app. B): thoughts, programs, an estimate, verdicts on blocks, a better thought.

The state is told in the same words everywhere: the problem, then the thoughts from the first to the last, one a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.models.protocol import Prompt
from luthier.records import Message
from luthier.search.problem import Posed

THOUGHTS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"thought": {"type": "string", "maxLength": 300}, "score": {"type": "number"}},
        "required": ["thought", "score"],
        "additionalProperties": False,
    },
}
ESTIMATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 300}, "score": {"type": "number"}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}


def _asked(text: str, schema: dict[str, Any] | None = None) -> Prompt:
    return Prompt((Message("user", text),), json_schema=schema)


def fenced(program: str) -> str:
    return f"```python\n{program.rstrip()}\n```"


def task(problem: Posed) -> str:
    """The problem in words of its own."""
    if problem.is_code:
        return f"Complete this Python function:\n\n{fenced(problem.text)}"
    shown = "\n".join(str(test) for test in problem.public[:3] if isinstance(test, str))
    if problem.entry_point:
        return f"{problem.text.strip()}\n\nYour function is called `{problem.entry_point}` and must satisfy:\n\n{fenced(shown)}"
    if problem.wanted:
        return problem.text.strip()
    return f"{problem.text.strip()}\n\nWrite a Python script that reads standard input and prints the answer."


def state(problem: Posed, thoughts: Sequence[str]) -> str:
    """The problem, and the thoughts that are to be followed."""
    if not thoughts:
        return task(problem)
    return f"{task(problem)}\n\nThoughts on how to solve it:\n" + "\n".join(f"{n}. {thought}" for n, thought in enumerate(thoughts, 1))


def expand(problem: Posed, thoughts: Sequence[str], count: int, feedback: str = "", *, constrained: bool = False) -> Prompt:
    """Ask for `count` thoughts that may follow, each with a plausibility; with feedback, thoughts that also mend what it says."""
    if feedback:
        lead = f"{feedback}\n\nThe thoughts so far lead to a program that fails. Think of {count} different next thoughts that lead to one that is right for"
        lead += " the tests that failed and for all that you cannot see."
    elif thoughts:
        lead = f"{state(problem, thoughts)}\n\nThink of {count} different next thoughts that refine this plan: an edge case, a data structure, a formula."
    else:
        lead = f"{task(problem)}\n\nThink of {count} different ways to solve this problem."
    asked = (
        f"{lead} Each is one or two sentences, without code, and has a score: how likely it is to lead to a right program, between 0 and 1;"
        ' the scores sum to 1. Answer with a JSON list only: [{"thought": "...", "score": 0.5}, ...]'
    )
    return _asked(asked, THOUGHTS_SCHEMA if constrained else None)


def code(problem: Posed, thoughts: Sequence[str] = ()) -> Prompt:
    """Ask for a whole program."""
    whole = problem.wanted or ("the whole function, with what it imports," if problem.entry_point else "the whole script")
    follow = " that follows these thoughts" if thoughts else ""
    return _asked(f"{state(problem, thoughts)}\n\nAnswer with {whole}{follow} in one block of code.")


def estimate(problem: Posed, thoughts: Sequence[str], program: str, *, constrained: bool = False) -> Prompt:
    """Ask how likely a program that passes the visible tests is to pass the others, from -1 to 1."""
    asked = (
        f"{state(problem, thoughts)}\n\nThis program passes the visible tests:\n\n{fenced(program)}\n\nWill it also pass hidden tests, with edge"
        ' cases? Answer with JSON only: {"reason": "...", "score": s}, where s is a number from -1 (surely fails) to 1 (surely passes).'
    )
    return _asked(asked, ESTIMATE_SCHEMA if constrained else None)


def analyse(problem: Posed, program: str, failed: str, blocks: str) -> Prompt:
    """Ask for a verdict on each block that a failing test ran."""
    return _asked(
        f"{task(problem)}\n\nThis program is wrong:\n\n{fenced(program)}\n\n{failed}\n\nThese blocks were executed, with the variables before and"
        f" after each:\n\n{blocks}\n\nFor each block, say whether it does what it should, and why. Answer with a JSON list only:"
        ' [{"name": "BLOCK-1", "correct": true, "explanation": "..."}, ...]'
    )


def rethink(feedback: str, thought: str) -> Prompt:
    """Ask for a thought in place of the one that led to a wrong program."""
    return _asked(
        f"{feedback}\n\nThe last thought was: {thought}\n\nIt led to this mistake. Write one better thought in its place, of one or two"
        " sentences, without code; keep what was right in it. Answer with the thought only."
    )


def blame(feedback: str, thoughts: Sequence[str]) -> Prompt:
    """Ask which thought the mistake comes from."""
    listed = "\n".join(f"{n}. {thought}" for n, thought in enumerate(thoughts, 1))
    return _asked(f"{feedback}\n\nWhich of these thoughts is to blame?\n{listed}\n\nAnswer with its number only.")


def reflect(feedback: str) -> Prompt:
    """Ask for two sentences on what went wrong (Reflexion, arXiv 2303.11366)."""
    return _asked(f"{feedback}\n\nIn at most two sentences, without code: what is the mistake, and what must be done instead?")


def repair(feedback: str, problem: Posed, lessons: Sequence[str] = ()) -> Prompt:
    """Ask for a mended program."""
    learned = "\n\nLessons from earlier attempts:\n" + "\n".join(f"- {lesson}" for lesson in lessons) if lessons else ""
    named = "the whole corrected function, with what it imports," if problem.entry_point else "the whole corrected script"
    whole = problem.wanted or named
    return _asked(f"{feedback}{learned}\n\nFix the program. Answer with {whole} in one block of code.")


def inputs(problem: Posed, one: str, other: str, count: int) -> Prompt:
    """Ask for inputs on which two programs may differ (S*, arXiv 2502.14382, sec. 3.2)."""
    form = (
        f"calls of `{problem.entry_point}` with literal arguments, one a line, such as {problem.entry_point}(...)"
        if problem.entry_point
        else "inputs, each in a block of its own"
    )
    return _asked(
        f"{task(problem)}\n\nTwo programs pass the visible tests.\n\nFirst:\n\n{fenced(one)}\n\nSecond:\n\n{fenced(other)}\n\nWrite {count} valid"
        f" test inputs on which they may give different results: {form}. Only the inputs, no results."
    )


def referee(problem: Posed, given: str, answers: Sequence[str]) -> Prompt:
    """Ask which of several results is right for an input."""
    listed = "\n".join(f"{chr(65 + n)}. {answer}" for n, answer in enumerate(answers))
    return _asked(f"{task(problem)}\n\nWhat is right for {given} ?\n{listed}\n\nAnswer with the letter only.")
