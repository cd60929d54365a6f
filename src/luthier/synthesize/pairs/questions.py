"""Questions with a right answer, read from rows of any of the usual layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import BadRowError
from luthier.records import JSON, Message, SkippedRows, read_rows, to_conversation, to_pair
from luthier.records.files import set_aside
from luthier.records.lines import to_text
from luthier.synthesize.pairs.answers import final_answer

PROMPTS = ("problem", "question")
SOLUTIONS = ("solution", "rationale", "answer")
ANSWERS = ("answer", "final_answer", "gold")


@dataclass(frozen=True)
class Question:
    """What is asked, a right solution as text, and its final answer where one is known.

    rejected: a worse solution that came with it (a preference pair), else None. place: file and line.
    """

    prompt: tuple[Message, ...]
    solution: str
    answer: str | None
    rejected: str | None = None
    place: str = ""


def read_questions(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[Question]:
    """Stream the questions of a file.

    Rows are preference pairs, `problem` (or `question`) with `solution` (or `rationale`, or `answer`), or any conversation, whose last
    assistant turn is the solution. The final answer is the field `answer` (or `final_answer`, `gold`), else what the solution states last.
    Raises BadRowError with file and line, or leaves the row to `skipped`.
    """
    for number, row in read_rows(path, skipped):
        try:
            yield _question(row, f"{path}:{number}")
        except BadRowError as problem:
            set_aside(problem.at(path, number), to_text(row), skipped)


def _question(row: JSON, place: str) -> Question:
    if row.get("chosen") is not None and row.get("rejected") is not None:
        pair = to_pair(row)
        chosen, rejected = (_only_text(side) for side in (pair.chosen, pair.rejected))
        return Question(pair.prompt, chosen, _answer(row, chosen), rejected, place)
    asked = next((row[name] for name in PROMPTS if isinstance(row.get(name), str)), None)
    if asked is not None:
        solved = next((row[name] for name in SOLUTIONS if isinstance(row.get(name), str)), None)
        if not asked.strip() or solved is None or not solved.strip():
            raise BadRowError(f"a question needs a text in one of {', '.join(SOLUTIONS)}; the row has {', '.join(row)}")
        return Question((Message("user", asked.strip()),), solved.strip(), _answer(row, solved), None, place)
    conversation = to_conversation(row)
    *before, last = conversation.messages
    if last.role != "assistant" or not before:
        raise BadRowError("the last turn is not the assistant's: there is no right answer to start from")
    solution = _only_text((last,))
    return Question(tuple(before), solution, _answer(row, solution), None, place)


def _only_text(messages: tuple[Message, ...]) -> str:
    if len(messages) != 1 or messages[0].tool_calls or not (messages[0].content or "").strip():
        raise BadRowError("an answer must be one turn of text; tool calls and several turns cannot be bridged")
    return str(messages[0].content).strip()


def _answer(row: JSON, solution: str) -> str | None:
    given = next((row[name] for name in ANSWERS if isinstance(row.get(name), str | int | float)), None)
    if given is not None and str(given).strip():
        stated = final_answer(str(given))
        return stated.text if stated else str(given).strip()
    stated = final_answer(solution)
    return stated.text if stated else None
