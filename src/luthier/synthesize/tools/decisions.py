"""What the assistant of a made dialogue decides: one structured answer, given several times and adopted where the answers agree
(ToolACE, arXiv 2409.00920, sec. 3.2; what agreement means is ours).

The thinking step stands in the answer before the action: goal, what is known, what is missing, which tools fit. It is kept apart from what is said.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from luthier.errors import BadRowError
from luthier.records import JSON, Conversation, Message, Tool, ToolCall
from luthier.records.lines import parse_value
from luthier.synthesize.tools import rules_calls
from luthier.synthesize.tools.grounding import letters

Action = Literal["call", "ask", "summarise", "refuse", "chat"]
ACTIONS: tuple[Action, ...] = get_args(Action)
AGREED = 2 / 3  # of the votes that are cast at most
MOST_CALLS = 5
FREE_WORDS = 3  # a string of more words is prose, and its punctuation does not count
_THOUGHTS = ("goal", "known", "missing", "fitting_tools", "depends_on_result")
_FENCE = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)


@dataclass(frozen=True)
class Decision:
    """What is done next. text: what is said, empty with calls; thought: how it was come to."""

    action: Action
    calls: tuple[ToolCall, ...] = ()
    text: str = ""
    thought: JSON = field(default_factory=dict, hash=False)


class BadDecisionError(ValueError):
    """An answer that is no decision; its words tell the model what to mend."""


def decision_schema(tools: Sequence[Tool], actions: Sequence[Action]) -> JSON:
    """The JSON Schema of a decision on these tools."""
    names = [tool.name for tool in tools]
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "arguments": tool.parameters},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    words = {"type": "array", "items": {"type": "string", "maxLength": 60}, "maxItems": 8}
    properties: JSON = {
        "goal": {"type": "string", "maxLength": 200},
        "known": {"type": "object"},
        "missing": words,
        "fitting_tools": {"type": "array", "items": {"enum": names}, "maxItems": 8} if names else words,
        "depends_on_result": {"type": "boolean"},
        "action": {"enum": list(actions)},
        "calls": {"type": "array", "items": {"anyOf": calls}, "maxItems": MOST_CALLS} if calls else {"type": "array", "maxItems": 0},
        "text": {"type": "string", "maxLength": 800},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read_decision(text: str, tools: Sequence[Tool], actions: Sequence[Action]) -> Decision:
    """A decision out of an answer's text. Raises BadDecisionError: no JSON, an unknown action, calls that the tools' schemas refuse."""
    row = _object(text)
    action = next((one for one in actions if one == row.get("action")), None)
    if action is None:
        raise BadDecisionError(f'"action" is {row.get("action")!r}; it must be one of {", ".join(actions)}')
    said = row.get("text")
    said = said.strip() if isinstance(said, str) else ""
    calls = _calls(row.get("calls")) if action == "call" else ()
    if action == "call":
        if problem := _call_problem(calls, tools):
            raise BadDecisionError(problem)
        said = ""
    elif not said:
        raise BadDecisionError(f'"text" is empty; with the action {action} it holds what is said to the user')
    return Decision(action, calls, said, {name: row[name] for name in _THOUGHTS if name in row})


def signature(decision: Decision, tools: Sequence[Tool] = ()) -> str:
    """What two decisions must share to count as one: the action, and the calls in any order with canonical arguments."""
    schemas = {tool.name: tool.parameters for tool in tools}
    calls = sorted(_canonical([call.name, _plain(call.arguments, schemas.get(call.name, {}))]) for call in decision.calls)
    return _canonical([decision.action, calls])


@dataclass
class Poll:
    """Votes on a decision. None is an answer that was no decision: a vote for nothing."""

    most: int
    tools: Sequence[Tool] = ()
    votes: list[Decision | None] = field(default_factory=list)

    @property
    def needed(self) -> int:
        return math.ceil(AGREED * self.most - 1e-9)

    @property
    def wanted(self) -> int:
        """How many more votes could settle it; 0 where it is settled, or cannot be any more."""
        left, short = self.most - len(self.votes), self.needed - self._best()
        return short if 0 < short <= left else 0

    @property
    def adopted(self) -> Decision | None:
        """The first decision of those that agree, or None where too few do."""
        counts = self._counts()
        return next((vote for vote in self.votes if vote is not None and counts[signature(vote, self.tools)] >= self.needed), None)

    @property
    def told(self) -> str:
        return f"{self._best()} of {len(self.votes)}"

    def _counts(self) -> Counter[str]:
        return Counter(signature(vote, self.tools) for vote in self.votes if vote is not None)

    def _best(self) -> int:
        return max(self._counts().values(), default=0)


def _object(text: str) -> JSON:
    fenced = _FENCE.search(text)
    written = fenced[1] if fenced else text[text.find("{") : text.rfind("}") + 1]
    try:
        row = parse_value(written.encode("utf-8", "surrogatepass")) if written else None
    except BadRowError:
        row = None
    if not isinstance(row, dict):
        raise BadDecisionError("that is no JSON object")
    return row


def _calls(value: Any) -> tuple[ToolCall, ...]:
    if not isinstance(value, list) or not value:
        raise BadDecisionError('"calls" is empty; with the action call it holds {"name": ..., "arguments": {...}} of each call')
    found = []
    for call in value:
        if not (isinstance(call, dict) and isinstance(call.get("name"), str) and isinstance(call.get("arguments"), dict)):
            raise BadDecisionError('each of "calls" must be {"name": ..., "arguments": {...}}')
        found.append(ToolCall(call["name"], call["arguments"]))
    return tuple(found)


def _call_problem(calls: Sequence[ToolCall], tools: Sequence[Tool]) -> str:
    """What the rules F1 to F3 and R1 find in calls, in words."""
    asked = Conversation((Message("user", "?"), Message("assistant", None, tuple(calls))), tuple(tools))
    rules = (rules_calls.known_tools, rules_calls.required_arguments, rules_calls.valid_arguments, rules_calls.distinct_calls)
    findings = [finding for rule in rules for finding in rule(asked)]
    told = "; ".join(f"{one.message} ({one.path.removeprefix('messages[1].tool_')})" for one in findings[:4])
    return f"{len(calls)} calls, at most {MOST_CALLS}" if len(calls) > MOST_CALLS else told


def _plain(value: Any, schema: Any) -> Any:
    """A value as votes compare it: prose by its letters and digits, 3.0 as 3."""
    known = schema if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        properties = known.get("properties") or {}
        return {name: _plain(item, properties.get(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, known.get("items")) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    free = isinstance(value, str) and "enum" not in known and "pattern" not in known and len(value.split()) > FREE_WORDS
    return letters(value) if free else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
