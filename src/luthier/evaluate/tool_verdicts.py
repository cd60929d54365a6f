"""The verdicts on one answer: the leaderboard's own and a strict one for its items, the same two sides for a person's own dialogues.

Official is BFCL's checker on BFCL's decoding of the text; calls in another family's form are read by Luthier first, as the benchmark's
handlers of those families do. Strict closes its holes: the calls must be read here, their values fit the tool's schema and equal an
accepted value letter by letter (case and white space apart), and "no tool fits" must be said in a finished sentence.
Right, of own dialogues, is the same calls as the row has; strict also wants the schema and the letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.evaluate.abstention import silence
from luthier.evaluate.bfcl import Decoded, official_verdict, source_text
from luthier.evaluate.bfcl_decoding import DecodingError, decode
from luthier.evaluate.bfcl_source_decoding import can_parse_source, decode_source
from luthier.evaluate.own_items import OwnItem
from luthier.models import Completion
from luthier.records import JSON, Tool, ToolCall
from luthier.records.bfcl import LANGUAGES, Item
from luthier.records.call_forms import Reading, read_calls
from luthier.records.call_matching import ABSENT, calls_differ, same_value
from luthier.records.calls import render_calls
from luthier.records.patterns import validator_class

BFCL_FORMS = ("", "brackets", "python")  # what the benchmark decodes itself; "" is text in which no call was read


@dataclass(frozen=True)
class JudgedAnswer:
    """One answer with its verdicts and the reason for a failure; truth: what was asked for, as text. form: of its calls, and attempted, as in
    `records.call_forms.Reading`; called: whether calls were read. official: of a benchmark item, right: of an own one; the other is None.
    """

    id: str
    category: str
    decoding: str
    question: str
    answer: str
    finish: str
    official: bool | None
    right: bool | None
    strict: bool
    reason: str
    truth: str
    form: str
    attempted: bool
    called: bool
    abstain: bool
    dialogue: str | None = None

    def to_row(self) -> JSON:
        return {name: value for name, value in vars(self).items() if value is not None}


def judge(item: Item | OwnItem, completion: Completion, decoding: str) -> JudgedAnswer:
    """Both verdicts on one answer."""
    read = read_calls(completion.text, [tool.name for tool in item.tools])
    own = isinstance(item, OwnItem)
    loose, reason = _right(item, completion.text, read) if isinstance(item, OwnItem) else _official(item, completion.text, read)
    strict, strict_reason = False, ""
    if loose:
        strict_reason = _strict_own(item, read, completion) if isinstance(item, OwnItem) else _strict(item, read, completion)
        strict = not strict_reason
    return JudgedAnswer(
        id=item.id,
        category=item.category,
        decoding=decoding,
        question=item.question,
        answer=completion.text,
        finish=completion.finish,
        official=None if own else loose,
        right=loose if own else None,
        strict=strict,
        reason=reason or strict_reason,
        truth=_own_truth(item) if isinstance(item, OwnItem) else _truth_text(item),
        form=read.form,
        attempted=read.attempted,
        called=bool(read.calls),
        abstain=item.abstain,
        dialogue=item.dialogue if isinstance(item, OwnItem) else None,
    )


def _official(item: Item, text: str, read: Reading) -> tuple[bool, str]:
    made = decoded(item, text, read)
    official, reason = official_verdict(item, made)
    if made is None and not official:
        reason = "tried to call a tool in no known form, or broke off" if read.attempted else "called no tool"
    return official, reason


def decoded(item: Item, text: str, read: Reading) -> Decoded | None:
    """The calls that the benchmark's checker is given, None where it would be given none."""
    if item.category in LANGUAGES:
        if read.form in BFCL_FORMS and can_parse_source():
            try:
                return decode_source(text, LANGUAGES[item.category])
            except DecodingError:
                return None
        calls = read.calls
        return (
            None if calls is None else [{call.name: {key: source_text(value) for key, value in call.arguments.items()}} for call in calls]
        )
    if read.form in BFCL_FORMS:
        try:
            return decode(text)
        except DecodingError:
            return None
    return [{call.name: call.arguments} for call in read.calls or ()]


def _strict(item: Item, read: Reading, completion: Completion) -> str:
    """Why an answer that is officially right is not so strictly, or ""."""
    if item.abstain:
        return not_spoken(read, completion, item.tools)
    if read.calls is None:
        return "not written as a call: only the benchmark's decoding reads it"
    calls, free = read.calls, list(item.truth)
    if item.category in LANGUAGES:  # every value is source text there, and may be accepted as what it stands for
        calls = tuple(ToolCall(call.name, {key: source_text(value) for key, value in call.arguments.items()}) for call in calls)
        free = [{name: _as_source(accepted) for name, accepted in answer.items()} for answer in free]
    for call in calls:
        if found := misfit(call, item.tools):
            return found
        if not item.truth:
            continue
        accepted = [answer for answer in free if call.name in answer]
        wrong = [(_unequal(call, answer[call.name]), answer) for answer in accepted]
        match = next((answer for name, answer in wrong if not name), None)
        if match is None:
            return f"{wrong[0][0]} equals no accepted value letter by letter" if wrong else f"{call.name} is not asked for"
        free.remove(match)
    return ""


def _as_source(accepted: JSON) -> JSON:
    return {name: [source_text(value) for value in values] for name, values in accepted.items()}


def not_spoken(read: Reading, completion: Completion, tools: Sequence[Tool]) -> str:
    """Why an answer does not say in a finished sentence that nothing can be called, or "" where it does."""
    if _tried(completion.text, read, tools):
        return "tried to call a tool although none fits"
    quiet = silence(completion.text, completion.finish)
    return f"did not say that no tool fits: {quiet}" if quiet else ""


def _tried(text: str, read: Reading, tools: Sequence[Tool]) -> bool:
    """Whether a call was tried, in a form that only the benchmark reads too, by position say, or broken off behind a tool's name."""
    if read.attempted or any(f"{tool.name}(" in text for tool in tools):
        return True
    try:
        return bool(decode(text))
    except DecodingError:
        return False


def misfit(call: ToolCall, tools: Sequence[Tool]) -> str:
    """In what a call fits no tool on offer, or ""."""
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        return f"{call.name} is no tool on offer"
    required = tool.parameters.get("required", ())
    for name, value in call.arguments.items():
        schema = tool.parameters.get("properties", {}).get(name, {})
        left_out = (value is None and name not in required) or value == schema.get("default", ABSENT)
        if not left_out and not _fits(value, schema):
            return f"{name} does not fit the tool's schema"
    return ""


def _unequal(call: ToolCall, accepted: JSON) -> str:
    """The first argument that equals no accepted value, or ""."""
    return next((name for name, value in call.arguments.items() if not any(_same(value, option) for option in accepted.get(name, ()))), "")


def _right(item: OwnItem, text: str, read: Reading) -> tuple[bool, str]:
    """Whether the calls are those of the dialogue, in any order; a default and its absence are the same."""
    if item.abstain:
        tried = _tried(text, read, item.tools)
        return (not tried, "tried to call a tool although none is asked for" if tried else "")
    if read.calls is None:
        return False, "tried to call a tool in no known form, or broke off" if read.attempted else "called no tool"
    reason = calls_differ(read.calls, item.calls, item.tools)
    return not reason, reason


def _strict_own(item: OwnItem, read: Reading, completion: Completion) -> str:
    if item.abstain:
        said = completion.text.casefold()
        unasked = next((name for name in item.missing if not any(word in said for word in _words(name))), None)
        told = (
            item.messages[-1].role == "tool" and completion.finish == "stop" and said.strip().endswith((".", "!"))
        )  # "Done." will do there
        return ("" if told else not_spoken(read, completion, item.tools)) or (f"does not ask for {unasked}" if unasked else "")
    for call in read.calls or ():
        if found := misfit(call, item.tools):
            return found
    exact = sorted(map(repr, (_exact(call) for call in read.calls or ())))
    return "" if exact == sorted(map(repr, (_exact(call) for call in item.calls))) else "a value is written otherwise than asked for"


def _words(name: str) -> list[str]:
    """The words of a parameter's name: `firstName` and `first_name` as first and name."""
    return [word.casefold() for word in re.findall(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+", name)] or [name.casefold()]


def _exact(call: ToolCall) -> tuple[str, list[tuple[str, str]]]:
    return call.name, sorted((name, _plain(value)) for name, value in call.arguments.items())


def _plain(value: Any) -> str:
    """A value so that 5 and 5.0 are the same, and objects with the same keys in another order."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_plain(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else repr(value)


def _fits(value: Any, schema: JSON) -> bool:
    return bool(validator_class()(schema).is_valid(value))


def _same(value: Any, accepted: Any) -> bool:
    """The same as `same_value`, with BFCL's lists of alternatives in objects, whose keys may be left out."""
    if isinstance(value, dict) and isinstance(accepted, dict):
        return all(key in accepted and any(_same(item, option) for option in _alternatives(accepted[key])) for key, item in value.items())
    if isinstance(value, list) and isinstance(accepted, list):
        return len(value) == len(accepted) and all(_same(a, b) for a, b in zip(value, accepted, strict=True))
    return same_value(value, accepted)


def _alternatives(accepted: Any) -> list[Any]:
    return accepted if isinstance(accepted, list) else [accepted]


def _own_truth(item: OwnItem) -> str:
    return render_calls(item.calls) if item.calls else f"no call: {item.said}"


def _truth_text(item: Item) -> str:
    """The accepted calls, readable: the first accepted value of each argument, others after a slash."""
    calls = []
    for answer in item.truth:
        for name, arguments in answer.items():
            parts = [
                f"{key}={' / '.join(repr(value) for value in values if value != '') or 'left out'}" for key, values in arguments.items()
            ]
            calls.append(f"{name}({', '.join(parts)})")
    return "; ".join(calls) or ("no call" if item.abstain else "a call of a tool on offer")
