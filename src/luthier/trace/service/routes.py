"""What a service answers: each route takes the fields of a request, checks every one of them, and gives the fields of the reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from luthier.errors import BadRowError, LuthierError, SettingsError
from luthier.records import JSON
from luthier.trace.advice import TARGET, explain, recommend
from luthier.trace.answers import RELATIONS, Concept, Edge, Item
from luthier.trace.service.roster import AnswerIdError, Given, Roster

LONGEST_NAME = 256
MOST_AT_ONCE = 1000  # items, concepts or recommendations in one request


class RequestError(LuthierError):
    """A request that is not served, with its HTTP status."""

    def __init__(self, status: int, problem: str) -> None:
        self.status = status
        super().__init__(problem)


class Route(NamedTuple):
    """A function of roster and fields, the fields that a request may have, and whether it changes anything."""

    work: Callable[[Roster, JSON], JSON]
    fields: tuple[str, ...] = ()
    writes: bool = False


def respond(roster: Roster, method: str, path: Sequence[str], fields: JSON) -> JSON:
    """The reply to a request; path: its parts, decoded. Raises RequestError, DiskError."""
    route = find_route(method, path)
    if path[0] == "learners":
        if fields:
            raise RequestError(400, "this request has no fields; the learner stands in the path")
        fields = {"learner": path[1]}
    unknown = next((name for name in fields if name not in route.fields), None)
    if unknown is not None:
        raise RequestError(400, f"there is no field {unknown!r} here; the fields are {', '.join(route.fields) or 'none'}")
    with roster.lock:
        if roster.closed:
            raise RequestError(503, "the service is stopping; ask again when it is back")
        try:
            return route.work(roster, fields)
        except BadRowError as problem:
            raise RequestError(422, problem.problem) from None
        except SettingsError as problem:
            raise RequestError(409 if isinstance(problem, AnswerIdError) else 422, str(problem)) from None


def query_fields(query: str) -> JSON:
    """The fields of a GET: `item`, `concept` and `leave_out` may stand there more than once, numbers are read. Raises RequestError."""
    fields: JSON = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="strict"):
        if name in LISTS:
            fields.setdefault(LISTS[name], []).append(value)
        elif name in fields:
            raise RequestError(400, f"the field {name!r} is there twice")
        elif name in ("n", "low", "high"):
            try:
                fields[name] = int(value) if name == "n" else float(value)
            except ValueError:
                raise RequestError(400, f"{name} is {value[:40]!r}; it must be a number") from None
        elif name == "respect_prerequisites" and value in ("true", "false"):
            fields[name] = value == "true"
        else:
            fields[name] = value
    return fields


def _health(roster: Roster, _: JSON) -> JSON:
    bank = roster.tracer.bank
    return {
        "status": "ok",
        "learners": len(roster),
        "answers": roster.answers,
        "items": len(bank.items),
        "concepts": len(bank.concepts),
        "attached": bank.attached,
        "version": roster.tracer.version,
    }


def _answer(roster: Roster, fields: JSON) -> JSON:
    """Count an answer, and predict `items` after it where some are named; or count all of `answers`, or none where one is wrong."""
    if "answers" in fields:
        if len(fields) > 1:
            raise RequestError(400, "a request has either the field 'answers' or those of one answer")
        given = [_given(row) for row in _rows(fields, "answers", ("learner", "item", "correct", "id"))]
        return {"answers": [each._asdict() for each in roster.answer_all(given)]}
    one = _given(fields)
    wanted = [roster.tracer.bank.items[roster.tracer.bank.row(name)].item for name in _texts(fields, "items") or []]
    reply: JSON = roster.answer(*one)._asdict()
    return reply | {"predictions": roster.tracer.predict(roster.state(one.learner), wanted)} if wanted else reply


def _given(fields: JSON) -> Given:
    learner, item, correct = _text(fields, "learner"), _text(fields, "item"), _share(fields, "correct")
    return Given(learner, item, correct, _text(fields, "id") if "id" in fields else None)


def _predict(roster: Roster, fields: JSON) -> JSON:
    learner, items = _text(fields, "learner"), _texts(fields, "items")
    found = roster.tracer.predict(roster.state(learner), items)
    return {"answers": roster.answers_of(learner) or 0, "predictions": found}


def _mastery(roster: Roster, fields: JSON) -> JSON:
    learner, concepts = _text(fields, "learner"), _texts(fields, "concepts")
    found = roster.tracer.mastery(roster.state(learner), concepts)
    return {"answers": roster.answers_of(learner) or 0, "mastery": {name: each._asdict() for name, each in found.items()}}


def _recommendations(roster: Roster, fields: JSON) -> JSON:
    learner, leave_out, n = _text(fields, "learner"), _texts(fields, "leave_out") or [], fields.get("n", 10)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST_AT_ONCE:
        raise RequestError(400, f"n is {n!r}; it must be a whole number from 1 to {MOST_AT_ONCE}")
    respect = fields.get("respect_prerequisites", True)
    if not isinstance(respect, bool):
        raise RequestError(400, f"respect_prerequisites is {respect!r}; it must be true or false")
    target = tuple(_share(fields, name) if name in fields else usual for name, usual in zip(("low", "high"), TARGET, strict=True))
    found = recommend(roster.tracer, roster.state(learner), n, (target[0], target[1]), respect_prerequisites=respect, leave_out=leave_out)
    return {"answers": roster.answers_of(learner) or 0, "recommendations": [each._asdict() for each in found]}


def _explain(roster: Roster, fields: JSON) -> JSON:
    learner, item = _text(fields, "learner"), _text(fields, "item")
    chance, influences = explain(roster.tracer, roster.history(learner), item)
    return {"answers": roster.answers_of(learner) or 0, "chance": chance, "influences": [each._asdict() for each in influences]}


def _add_items(roster: Roster, fields: JSON) -> JSON:
    rows = _rows(fields, "items", ("item", "text", "concepts"))
    items = [Item(_text(row, "item"), _free_text(row, "text"), tuple(_texts(row, "concepts") or ())) for row in rows]
    roster.add_items(items)
    return {"added": len(items), "items": len(roster.tracer.bank.items)}


def _add_concepts(roster: Roster, fields: JSON) -> JSON:
    rows = _rows(fields, "concepts", ("concept", "text"))
    concepts = [Concept(_text(row, "concept"), _free_text(row, "text")) for row in rows]
    links = _rows(fields, "edges", ("source", "target", "relation", "weight")) if "edges" in fields else []
    edges = [_edge(row) for row in links]
    roster.add_concepts(concepts, edges)
    return {"added": len(concepts), "concepts": len(roster.tracer.bank.concepts)}


def _state(roster: Roster, fields: JSON) -> JSON:
    many = roster.answers_of(fields["learner"])
    if many is None:
        raise RequestError(404, "nothing is known of this learner")
    return {"answers": many, "state": roster.state(fields["learner"]).to_row()}


def _forget(roster: Roster, fields: JSON) -> JSON:
    gone = roster.forget(fields["learner"])
    if gone is None:
        raise RequestError(404, "nothing is known of this learner")
    return {"forgotten": gone}


ADVICE = ("learner", "n", "low", "high", "respect_prerequisites", "leave_out")
LISTS = {"item": "items", "concept": "concepts", "leave_out": "leave_out"}
ROUTES: dict[str, dict[str, Route]] = {
    "health": {"GET": Route(_health)},
    "answers": {"POST": Route(_answer, ("learner", "item", "correct", "id", "items", "answers"), writes=True)},
    "predict": dict.fromkeys(("GET", "POST"), Route(_predict, ("learner", "items"))),
    "mastery": dict.fromkeys(("GET", "POST"), Route(_mastery, ("learner", "concepts"))),
    "recommend": dict.fromkeys(("GET", "POST"), Route(_recommendations, ADVICE)),
    "explain": {"POST": Route(_explain, ("learner", "item"))},
    "items": {"POST": Route(_add_items, ("items",), writes=True)},
    "concepts": {"POST": Route(_add_concepts, ("concepts", "edges"), writes=True)},
    "learners/NAME": {"DELETE": Route(_forget, ("learner",), writes=True)},
    "learners/NAME/state": {"GET": Route(_state, ("learner",))},
}


def find_route(method: str, path: Sequence[str]) -> Route:
    """Raises RequestError where there is none."""
    name = "/".join(["learners", "NAME", *path[2:]] if path[0] == "learners" and len(path) > 1 and path[1] else path)
    methods = ROUTES.get(name)
    if methods is None:
        raise RequestError(404, f"there is no such path; the paths are {', '.join('/' + each for each in ROUTES)}")
    if method not in methods:
        raise RequestError(405, f"/{name} takes {' and '.join(methods)}, not {method}")
    return methods[method]


def _text(fields: JSON, name: str) -> str:
    found = fields.get(name)
    if found is None:
        raise RequestError(400, f"the field {name!r} is missing")
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_NAME:
        raise RequestError(400, f"{name} must be a text of 1 to {LONGEST_NAME} characters")
    return _whole(found, name)


def _free_text(fields: JSON, name: str) -> str:
    found = fields.get(name, "")
    if not isinstance(found, str):
        raise RequestError(400, f"{name} must be a text")
    return _whole(found, name)


def _whole(text: str, name: str) -> str:
    """JSON may carry half of a character, which nothing on disk can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RequestError(400, f"{name} holds half of a surrogate pair, which is no character") from None
    return text


def _texts(fields: JSON, name: str) -> list[str] | None:
    found = fields.get(name)
    if found is not None and not (isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise RequestError(400, f"{name} must be a list of texts")
    return None if found is None else [_whole(each, name) for each in found]


def _share(fields: JSON, name: str) -> float:
    found = fields.get(name)
    if found is None:
        raise RequestError(400, f"the field {name!r} is missing")
    if not isinstance(found, bool | int | float) or not 0 <= found <= 1:
        raise RequestError(400, f"{name} must be true, false or a number from 0 to 1")
    return float(found)


def _edge(row: JSON) -> Edge:
    relation = row.get("relation", "prerequisite")
    if relation not in RELATIONS:
        raise RequestError(400, f"relation must be {' or '.join(RELATIONS)}")
    weight = _share(row, "weight") if "weight" in row else 1.0
    return Edge(_text(row, "source"), _text(row, "target"), relation, weight)


def _rows(fields: JSON, name: str, allowed: tuple[str, ...]) -> list[dict[str, Any]]:
    found = fields.get(name)
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_AT_ONCE or not all(isinstance(row, dict) for row in found):
        raise RequestError(400, f"{name} must be a list of 1 to {MOST_AT_ONCE} objects")
    unknown = next((key for row in found for key in row if key not in allowed), None)
    if unknown is not None:
        raise RequestError(400, f"there is no field {unknown!r} in {name}; the fields are {', '.join(allowed)}")
    return found
