"""Questions with a right answer, read from rows of any of the usual layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import BadRowError
from luthier.records import JSON, Message, SkippedRows, Tool, read_rows, to_conversation, to_pair
from luthier.records.account import note_row
from luthier.records.files import set_aside
from luthier.texts.answers import final_answer

PROMPTS = ("problem", "question")
SOLUTIONS = ("solution", "rationale", "answer")
ANSWERS = ("answer", "final_answer", "gold")
ORIGINAL = "original_chosen"
MADE = (ORIGINAL, "bridged", "bridger", "rejected_answer")  # columns of pairs that are made anew


@dataclass(frozen=True)
class Question:
    """What is asked, a right solution as text, and its final answer where one is known.

    rejected: a worse solution that came with it (a preference pair), else None. tools: on offer; extra: the row's other fields; place: file
    and line.
    """

    prompt: tuple[Message, ...]
    solution: str
    answer: str | None
    rejected: str | None = None
    tools: tuple[Tool, ...] = ()
    extra: JSON = field(default_factory=dict)
    place: str = ""


def read_questions(path: str | Path, skipped: SkippedRows | None = None) -> Iterator[Question]:
    """Stream the questions of a file.

    Rows are preference pairs, `problem` (or `question`) with `solution` (or `rationale`, or `answer`), or any conversation, whose last
    assistant turn is the solution. The final answer is the field `answer` (or `final_answer`, `gold`), else what the solution states last.
    Raises BadRowError with file and line, or leaves the row to `skipped`.
    """
    for number, row in read_rows(path, skipped):
        try:
            question = _question(row, f"{path}:{number}")
        except BadRowError as problem:
            set_aside(problem.at(path, number), row, skipped)
            continue
        note_row("questions with a solution", (f"field {name!r}" for name in question.extra), path, number)
        yield question


def _question(row: JSON, place: str) -> Question:
    if row.get("chosen") is not None and row.get("rejected") is not None:
        ours = isinstance(row.get("bridged"), bool)  # in pairs that were bridged before, the reference stands there
        original = (row.get(ORIGINAL) if ours else None) or row["chosen"]
        pair = to_pair({**row, "chosen": original})
        chosen, rejected = (_only_text(side) for side in (pair.chosen, pair.rejected))
        return Question(pair.prompt, chosen, _answer(row, chosen), rejected, pair.tools, _others(pair.extra), place)
    asked = next((row[name] for name in PROMPTS if isinstance(row.get(name), str)), None)
    listed = next((name for name in ("options", "choices", "endings", "mc1_targets") if row.get(name) is not None), None)
    if asked is not None and listed is not None:
        raise BadRowError(
            f"a question with {listed!r}: its answer says nothing without them; write them into the question, and the answer out"
        )
    if asked is not None:
        solved = next((row[name] for name in SOLUTIONS if isinstance(row.get(name), str)), None)
        if not asked.strip() or solved is None or not solved.strip():
            raise BadRowError(f"a question needs a text in one of {', '.join(SOLUTIONS)}; the row has {', '.join(row)}")
        used = (*PROMPTS, *SOLUTIONS)
        extra = {name: value for name, value in row.items() if name not in used}
        question = (Message("user", asked.strip()),)
        return Question(question, solved.strip(), _answer(row, solved), None, (), _others(extra), place)
    conversation = to_conversation(row)
    *before, last = conversation.messages
    if last.role != "assistant" or not before:
        raise BadRowError("the last turn is not the assistant's: there is no right answer to start from")
    solution = _only_text((last,))
    others = _others(conversation.extra)
    return Question(tuple(before), solution, _answer(row, solution), None, conversation.tools, others, place)


def _others(extra: JSON) -> JSON:
    """What a pair carries along unchanged."""
    return {name: value for name, value in extra.items() if name not in MADE and name not in ANSWERS}


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
