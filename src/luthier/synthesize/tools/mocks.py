"""What tools answer when nothing real stands behind them: from the stated answer, with what was said repeated and what was created found again.

An answer depends on the tool, its arguments, the seed and what was called before, and on nothing else. Where an API does not state its answers, one is made:
the arguments that a caller would look for, and the ids that its other operations ask for. Errors are typed: `not_found`, `rate_limited`, `invalid_argument`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

from luthier.records import JSON, ToolCall
from luthier.synthesize.tools.drafts import NOTHING, Draft, parameters_of
from luthier.synthesize.tools.meaning_values import Scene
from luthier.synthesize.tools.meanings import words_of
from luthier.synthesize.tools.operations import Operation
from luthier.synthesize.tools.own_values import draw

Fault = Literal["not_found", "rate_limited", "invalid_argument"]
FAULTS: Mapping[Fault, str] = {
    "not_found": "There is no {noun} {value}.",
    "rate_limited": "Too many requests, please try again.",
    "invalid_argument": "The {noun} {value} is not valid.",
}
MAKING = re.compile(
    r"\b(create|add|book|register|post|open|submit|place|issue|start|schedule|make|request|order|pay|send|upload|enrol|enroll|rent|reserve|new|insert|quote)\b"
)
LISTING = re.compile(r"\b(list|find|search|query|browse|all)\b")
_FINDING = re.compile(r"\b(find|search|look ?up)\b")
_ID = re.compile(r"^(.+) (id|ids|uuid|number|code|no|ref|reference)$")
_LISTED = 2  # entries of an answer that is a list
_REPEATED = 6  # arguments that a made answer repeats


class Mock:
    """The tools of one dialogue. Pure but for what was created: a later call that names it gets it back."""

    def __init__(self, operations: Mapping[str, Operation], examples: Mapping[str, str], seed: int = 0) -> None:
        self._operations, self._examples, self._seed = operations, examples, seed
        self._kept: dict[tuple[str, str], JSON] = {}

    def __call__(self, call: ToolCall, fault: Fault | None = None) -> JSON:
        """The answer to a call, or an error of the given kind."""
        operation = self._operations[call.name]
        if fault is not None:
            return _error(fault, call)
        found = self._found(call)
        if found is not None and not MAKING.search(words_of(call.name)):
            answer = {**found, **_scalars(call.arguments)}
        else:
            answer = self._answer(operation, call)
        self._keep(answer)
        return answer

    def _answer(self, operation: Operation, call: ToolCall) -> JSON:
        random = Random(f"{self._seed} {call.name} {json.dumps(call.arguments, sort_keys=True, default=str)}")
        draft = Draft(Scene(random), frozenset(), self._examples, _scalars(call.arguments))
        returns = operation.tool.returns
        if returns and (returns.get("properties") or returns.get("items")):
            value = draw(returns, "result", "", Draft(draft.scene, frozenset(parameters_of(returns)), self._examples, draft.known))
            if value is not NOTHING:
                return value if isinstance(value, dict) else {"results": value}
        return _made_answer(operation, list(self._operations.values()), call.arguments, draft)

    def _found(self, call: ToolCall) -> JSON | None:
        """What was created before and is named now."""
        keys = ((words_of(name), str(value)) for name, value in call.arguments.items())
        return next((self._kept[key] for key in keys if key in self._kept), None)

    def _keep(self, answer: JSON) -> None:
        for record in [answer, *(one for value in answer.values() if isinstance(value, list) for one in value if isinstance(one, dict))]:
            for name, value in record.items():
                if _ID.match(words_of(name)) and isinstance(value, str | int):
                    self._kept[words_of(name), str(value)] = record


def _error(fault: Fault, call: ToolCall) -> JSON:
    """A typed error that names the argument it is about."""
    name = next((one for one in call.arguments if _ID.match(words_of(one))), next(iter(call.arguments), "request"))
    noun = match[1] if (match := _ID.match(words_of(name))) else words_of(name)
    return {"error": {"type": fault, "message": FAULTS[fault].format(noun=noun, value=call.arguments.get(name, "")).replace("  ", " ")}}


def _made_answer(operation: Operation, operations: Sequence[Operation], arguments: JSON, draft: Draft) -> JSON:
    """An answer where the API states none: a list of entries with ids, a new id with what was given, or the state of what was asked for."""
    ids = _made_ids(operation, operations)
    fresh = {name: value for name, schema in ids.items() if (value := draw(schema, name, name, draft)) is not NOTHING}
    repeated = dict(list(_scalars(arguments).items())[:_REPEATED])
    if LISTING.search(words_of(operation.name)):
        entries = []
        for number in range(1 if ids and _FINDING.search(words_of(operation.name)) else _LISTED):
            scene = draft.scene.anew()
            inner = Draft(scene, draft.wanted, draft.examples)
            named = {name: draw(schema, name, name, inner) for name, schema in ids.items()} or {
                "id": scene.random.randint(1000, 9999) + number
            }
            entries.append(named | _about(arguments))
        return {"results": entries, "total": len(entries)}
    return {**fresh, **repeated, "status": "ok"}


def _made_ids(operation: Operation, operations: Sequence[Operation]) -> JSON:
    """The ids that other operations of the API ask for and this one gives: it makes or lists what they name. Name -> schema."""
    words = f"{words_of(operation.name.rsplit('.', 1)[-1])} {operation.ask}"
    if not (MAKING.search(words_of(operation.name)) or LISTING.search(words_of(operation.name))):
        return {}
    own = set(map(words_of, operation.tool.parameters.get("properties") or {}))  # one server's tools have `pull_number` and `pullNumber`
    found: JSON = {}
    for other in operations:
        for name, schema in (other.tool.parameters.get("properties") or {}).items():
            match = _ID.match(words_of(name))
            if match and other.domain == operation.domain and words_of(name) not in own and _made(match[1].rsplit(" ", 1)[-1], words):
                found.setdefault(name, schema)
    return found


def answers_of(operation: Operation, operations: Sequence[Operation]) -> JSON:
    """The scalar fields of an operation's answer, stated or made, by name: of a list, those of its entries."""
    returns = operation.tool.returns
    if returns and (returns.get("properties") or returns.get("items")):
        return _fields(returns)
    return _made_ids(operation, operations)


def _fields(schema: JSON) -> JSON:
    found: JSON = {}
    for name, part in (schema.get("properties") or {}).items():
        if isinstance(part, dict):
            found |= _fields(part) if part.get("properties") or part.get("items") else {name: part}
    return found | (_fields(schema["items"]) if isinstance(schema.get("items"), dict) else {})


def _made(noun: str, words: str) -> bool:
    """Whether an operation makes or lists what a noun names: the first thing that its words speak of."""
    things = re.sub(
        r"\b(of|for|to|in|on|at|from|by|with|without|between|before|after|about|whether|if)\b.*",
        "",
        words.partition(" ")[2].split(" ", 0)[0],
    )
    return re.search(rf"\b{re.escape(noun)}(s|es)?\b", things) is not None


def _scalars(arguments: JSON) -> JSON:
    return {name: value for name, value in arguments.items() if isinstance(value, str | int | float | bool)}


def _about(arguments: JSON) -> JSON:
    """What every entry of a list shares with the question."""
    return {
        name: value
        for name, value in _scalars(arguments).items()
        if words_of(name) not in ("limit", "cursor", "page", "page size", "top", "offset")
    }


def tool_text(answer: JSON) -> str:
    """An answer as a tool turn holds it."""
    return json.dumps(answer, ensure_ascii=False)
