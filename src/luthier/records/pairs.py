"""Preference pairs in the layouts in use: TRL's, with and without a prompt of its own, LLaMA-Factory's two, OpenAI's, texts of HH-RLHF.

The prompt may stand in many fields; the two answers are named by what they are called, or by a field that says which is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadRowError
from luthier.records.account import note, note_row
from luthier.records.conversations import JSON, Message, PreferencePair, Tool
from luthier.records.files import SkippedRows, read_rows
from luthier.records.filled_nulls import FILLED_NULLS, with_meant_nulls, without_filled_nulls
from luthier.records.formats import (
    PART_CALLS,
    TEXT_CALLS,
    carried_fields,
    converted,
    history_turns,
    one_list,
    refuse_media,
    seen,
    system_of,
    text_field,
    without_written,
)
from luthier.records.numbers import finite_number, shown, written_number
from luthier.records.text_calls import tagged_turns
from luthier.records.tool_rows import tools_from
from luthier.records.turn_calls import seems_to_call, with_calls
from luthier.records.turns import messages_from, turns_from

SIDES = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_messages", "rejected_messages"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("answer_chosen", "answer_rejected"),
    ("response_j", "response_k"),  # stack-exchange-paired: j has more votes
)
# Two answers, and the field that says which is better; its values that mean the first and the second.
VERDICTS = (
    (("response_0", "response_1"), "better_response_id", (0,), (1,)),
    (("response_a", "response_b"), "winner", ("a", "A", "response_a", "model_a"), ("b", "B", "response_b", "model_b")),
    (("conversation_a", "conversation_b"), "winner", ("a", "A", "model_a"), ("b", "B", "model_b")),  # Chatbot Arena
    (("human_ref_A", "human_ref_B"), "labels", (1,), (0,)),  # SHP
)
# The same with a number, which means the first below a middle and the second above it.
GRADES = (
    (("output_1", "output_2"), "preference", 1.5),  # AlpacaFarm, AlpacaEval
    (("response_1", "response_2"), "preference_strength", 0),  # HelpSteer2
    (("response1", "response2"), "overall_preference", 0),  # HelpSteer3
)
PROMPTS = ("prompt", "conversations", "messages", "instruction", "question", "query", "input", "problem")
SPEAKING = tuple(dict.fromkeys([*(name for names in SIDES for name in names), *PROMPTS]))  # the fields of pairs that hold what is said
_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


class ReadPair(NamedTuple):
    """A pair, the fields it was read from, and whether null arguments were left out."""

    pair: PreferencePair
    layout: str
    filled: bool
    carried: tuple[str, ...]


def to_pair(row: JSON) -> PreferencePair:
    """The preference pair in a row. Two answers that are the same, or an empty one, are a pair: training counts and leaves them out.

    A prompt that the answers repeat is cut from them, and where they begin with more than it, that is the prompt; without a prompt, what both answers begin with is the prompt (as in TRL), at least all
    before the last answer. Raises BadRowError without a place.
    """
    return understand_pair(row).pair


def is_pair(row: JSON) -> bool:
    """Whether a row has two answers of which one is better."""
    return _sides(row) is not None


def understand_pair(row: JSON) -> ReadPair:
    """The preference pair in a row, and how it was read."""
    sides = _sides(row)
    if sides is None:
        raise BadRowError(f"not a preference pair: {_undecided(row) or f'prompt, chosen and rejected are expected; {seen(row)}'}")
    (better, worse), used = sides
    cleaned, filled = without_filled_nulls(row, (*used, *PROMPTS))
    prompt, tools, prompt_used = _prompt(cleaned)
    if not prompt and isinstance(row[better], str) and isinstance(row[worse], str):
        prompt, chosen, rejected = _human_texts(row[better], row[worse])
    else:
        chosen, rejected = (_answers(cleaned[side]) for side in (better, worse))
        asked = cleaned.get(prompt_used[0])
        if isinstance(asked, str) and asked.rstrip().endswith(_ASSISTANT) and _marked_turns(asked):  # a blank follows the mark
            chosen, rejected = _stripped(chosen), _stripped(rejected)
    prompt = _whole_prompt(prompt, _shared(chosen, rejected))
    chosen, rejected = _without(prompt, chosen), _without(prompt, rejected)
    if not prompt:
        raise BadRowError(f"a preference pair without a prompt: the two answers begin with nothing in common; {seen(row)}")
    prompt = _with_system(system_of(row), prompt)
    tools = one_list(tools, tools_from(row.get("tools")))
    names = [tool.name for tool in tools]
    parts = _with_calls([prompt, chosen, rejected], names)
    if cleaned is not row:
        parts = [with_meant_nulls(part, tools) for part in parts]
    used = (*used, *prompt_used, "system", "system_prompt", "tools")
    extra = {key: value for key, value in row.items() if key not in used}
    turns = [turn for part in parts for turn in part]
    refuse_media(extra, turns)
    unread = any(seems_to_call(turn, names) for turn in turns)
    carried = (*carried_fields(extra, turns, tools), *([PART_CALLS if names else TEXT_CALLS] if unread else []))
    written = without_written(extra, ("prompt", "chosen", "rejected"), "of preference pairs")
    return ReadPair(PreferencePair(parts[0], parts[1], parts[2], tools, written), f"{better} and {worse}", filled, carried)


def read_pairs(path: str | Path, skipped: SkippedRows | None = None, columns: Mapping[str, str] | None = None) -> Iterator[PreferencePair]:
    """Stream the preference pairs of whatever `read_rows` reads. columns: names of fields, and the columns that hold them."""
    for number, row in read_rows(path, skipped, columns):
        for read in converted(path, number, row, understand_pair, skipped):
            note_row(f"pairs of {read.layout}", read.carried, path, number)
            if read.filled:
                note("left out", FILLED_NULLS, path, number)
            yield read.pair


def _sides(row: JSON) -> tuple[tuple[str, str], tuple[str, ...]] | None:
    """The fields of the better and the worse answer, and all that were used to find them."""
    for names in SIDES:
        if row.get(names[0]) is not None and row.get(names[1]) is not None:
            return names, names
    for (one, two), verdict, first, second in VERDICTS:
        if row.get(one) is not None and row.get(two) is not None:
            told = row.get(verdict)
            told = int(told) if isinstance(told, str) and told in ("0", "1") else told  # tables hold text
            if told in first and not isinstance(told, bool):
                return (one, two), (one, two, verdict)
            if told in second and not isinstance(told, bool):
                return (two, one), (one, two, verdict)
    for (one, two), grade, middle in GRADES:
        graded = finite_number(written_number(row.get(grade)))
        if row.get(one) is not None and row.get(two) is not None and graded is not None and graded != middle:
            return ((one, two) if graded < middle else (two, one)), (one, two, grade)
    return None


def _undecided(row: JSON) -> str:
    """What is wrong with the field that should say which of two answers is better; empty where there is none."""
    for (one, two), verdict, first, second in VERDICTS:
        if row.get(one) is not None and row.get(two) is not None:
            known = ", ".join(map(repr, (*first, *second)))
            return f"`{verdict}` is {shown(row.get(verdict))}, and does not say which answer is better; {known} do"
    for (one, two), grade, middle in GRADES:
        if row.get(one) is not None and row.get(two) is not None:
            said = f"`{grade}` is {shown(row.get(grade))}, and does not say which answer is better"
            return f"{said}; a number below {middle} means the first, one above it the second"
    return ""


def _prompt(row: JSON) -> tuple[tuple[Message, ...], tuple[Tool, ...], tuple[str, ...]]:
    """The messages before the answers, the tools that stand with them, and the fields they were read from; nothing where there is none."""
    name = next((name for name in PROMPTS if row.get(name) not in (None, "", [])), None)
    if name is None:
        turns, asked = row.get("context"), row.get("history")  # of HelpSteer3, and of SHP
        if isinstance(turns, list) and turns:
            return messages_from(turns), (), ("context",)
        return (turns_from(asked, "user"), (), ("history",)) if isinstance(asked, str) and asked else ((), (), PROMPTS[:1])
    value = row[name]
    if name == "input" and isinstance(value, dict) and "messages" in value:  # OpenAI's preference rows
        others = sorted(key for key, part in value.items() if key not in ("messages", "tools", "parallel_tool_calls") and part is not None)
        if others:
            raise BadRowError(f"`input` has {', '.join(map(repr, others))}, which is not understood")
        return messages_from(value["messages"]), tools_from(value.get("tools")), (name,)
    if name == "instruction":
        asked = "\n\n".join(text_field(row, key) for key in ("instruction", "input") if row.get(key))
        return (*history_turns(row.get("history")), Message("user", asked)), (), ("instruction", "input", "history")
    if name in ("conversations", "messages"):
        return messages_from(value), (), (name,)
    if _is_listed(row.get("history")) and isinstance(value, str):
        return (*history_turns(row["history"]), Message("user", value)), (), (name, "history")
    marked = _marked_turns(value) if isinstance(value, str) else None
    if marked is not None:  # full-hh-rlhf: "\n\nHuman: … \n\nAssistant:", with the answers apart
        return marked[:-1] if marked[-1] == Message("assistant", "") else marked, (), (name,)
    return turns_from(value, "user"), (), (name,)


def _is_listed(value: Any) -> bool:
    """Whether a history is a list, or the JSON text of one; any other text is a field like others."""
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith("["))


def _answers(value: Any) -> tuple[Message, ...]:
    if isinstance(value, str) or not value:
        return turns_from(value or [], "assistant")
    return messages_from(value)


def _with_calls(parts: list[tuple[Message, ...]], names: Sequence[str]) -> list[tuple[Message, ...]]:
    """Prompt, better and worse answer, with the calls that stand in their text as calls.

    Answers that differ only in how they write one stay text, and so does a worse answer whose calls are broken. Raises BadRowError for the others.
    """

    def read(part: tuple[Message, ...]) -> tuple[Message, ...]:
        return tuple(with_calls(turn, names) for number, message in enumerate(part, 1) for turn in tagged_turns(message, number))

    if not names:
        return parts
    prompt, chosen, rejected = parts
    try:
        worse = read(rejected)
    except BadRowError:
        worse = rejected
    better = read(chosen)
    return [read(prompt), chosen, rejected] if better == worse and chosen != rejected else [read(prompt), better, worse]


def _with_system(system: tuple[Message, ...], prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    if not system or prompt[:1] == system:
        return prompt
    if prompt[0].role == "system":
        raise BadRowError("the row has a system text in `system` and another in its prompt; keep one")
    return system + prompt


def _human_texts(one: str, two: str) -> tuple[tuple[Message, ...], tuple[Message, ...], tuple[Message, ...]]:
    """Two dialogues as HH-RLHF writes them, with marks of who speaks: prompt and answers; an empty prompt where there are no marks."""
    answers = turns_from(one, "assistant"), turns_from(two, "assistant")
    if any(len(each) != 1 or each[0].content is None for each in answers):  # lists of messages as JSON text
        return (), *answers
    turns = [_marked_turns(text) for text in (one, two)]
    if any(each is None or each[-1].role != "assistant" for each in turns):
        return (), *answers
    chosen, rejected = turns
    prompt = _shared(chosen or (), rejected or ())
    return prompt, _without(prompt, chosen or ()), _without(prompt, rejected or ())


def _marked_turns(text: str) -> tuple[Message, ...] | None:
    if not text.lstrip().startswith("Human:") or _ASSISTANT not in text:
        return None
    pieces = f"\n\n{text.lstrip()}".replace(_HUMAN, "\0H").replace(_ASSISTANT, "\0A").split("\0")[1:]
    if any(piece[:1] not in ("H", "A") for piece in pieces):
        return None
    return tuple(Message("user" if piece[0] == "H" else "assistant", piece[1:].strip()) for piece in pieces)


def _shared(one: Sequence[Message], two: Sequence[Message]) -> tuple[Message, ...]:
    """The messages both begin with; of two that are the same, all before the last answer."""
    shorter, longer = sorted((one, two), key=len)
    count = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(shorter))
    if not shorter:
        count = len(longer) - 1
    elif count == len(shorter):
        count -= 1
    return tuple(longer[:count])


def _stripped(answer: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(replace(turn, content=turn.content and turn.content.strip()) for turn in answer)


def _whole_prompt(prompt: tuple[Message, ...], shared: tuple[Message, ...]) -> tuple[Message, ...]:
    """All that both answers begin with, where there is no prompt or it is a part of that: the last question of a dialogue, or one without its system
    turn."""
    places = range(1, len(shared) - len(prompt) + 1)
    return shared if not prompt or any(shared[at : at + len(prompt)] == prompt for at in places) else prompt


def _without(prompt: tuple[Message, ...], answer: tuple[Message, ...]) -> tuple[Message, ...]:
    """The answer without the prompt that it repeats, be it without the system turn."""
    asked = prompt[1:] if prompt[:1] and prompt[0].role == "system" and answer[:1] != prompt[:1] else prompt
    return answer[len(asked) :] if asked and answer[: len(asked)] == asked else answer
