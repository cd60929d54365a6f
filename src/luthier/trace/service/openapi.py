"""The service described for clients that are made from a description: OpenAPI 3.1, read off the table of routes."""

from __future__ import annotations

from luthier.records import JSON
from luthier.trace.answers import RELATIONS
from luthier.trace.service.routes import LISTS, LONGEST_NAME, MOST_AT_ONCE, ROUTES, Route

NAME: JSON = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
TEXTS: JSON = {"type": "array", "items": {"type": "string"}}
SHARE: JSON = {"type": "number", "minimum": 0, "maximum": 1}


def _object(required: tuple[str, ...], **fields: JSON) -> JSON:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _rows(row: JSON) -> JSON:
    return {"type": "array", "items": row, "minItems": 1, "maxItems": MOST_AT_ONCE}


GIVEN: JSON = {
    "learner": NAME,
    "item": NAME,
    "correct": {**SHARE, "description": "how right: 0, 1 or between; also true and false"},
    "id": NAME,
}
FIELDS: JSON = {
    **GIVEN,
    "items": TEXTS,
    "concepts": TEXTS,
    "leave_out": TEXTS,
    "low": SHARE,
    "high": SHARE,
    "n": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE},
    "respect_prerequisites": {"type": "boolean"},
    "answers": _rows(_object(("learner", "item", "correct"), **GIVEN)),
    "edges": {
        "type": "array",
        "items": _object(("source", "target"), source=NAME, target=NAME, relation={"enum": list(RELATIONS)}, weight=SHARE),
    },
}
ROWS: dict[str, JSON] = {  # fields that mean more on a path of their own
    "items": {"items": _rows(_object(("item",), item=NAME, text={"type": "string"}, concepts=TEXTS))},
    "concepts": {"concepts": _rows(_object(("concept",), concept=NAME, text={"type": "string"}))},
}
REQUIRED = {
    "predict": ("learner",),
    "mastery": ("learner",),
    "recommend": ("learner",),
    "explain": ("learner", "item"),
    "items": ("items",),
    "concepts": ("concepts",),
}
SUMMARIES = {
    "health": "Counts, and the version of the graph",
    "answers": "Count an answer, or many under `answers`; with an id each counts once",
    "predict": "The chance that a learner answers items right; all items where none is named",
    "mastery": "How far a learner is with concepts, with intervals; all where none is named",
    "recommend": "What a learner should do next",
    "explain": "The answers that moved a prediction",
    "items": "Add items",
    "concepts": "Add concepts and relations",
    "learners/NAME": "Forget a learner",
    "learners/NAME/state": "A learner's state",
}


def document(*, keyed: bool) -> JSON:
    """keyed: whether clients must send a key."""
    paths = {
        f"/{name.replace('NAME', '{learner}')}": {how.lower(): _operation(name, how, route) for how, route in ways.items()}
        for name, ways in ROUTES.items()
    }
    security: JSON = {"security": [{"key": []}]} if keyed else {}
    schemes: JSON = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}} if keyed else {}
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    info = {"title": "luthier trace serve", "version": "1", "description": "A fitted tracer for a tutoring system."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": {"Error": error}, **schemes}, **security}


def _operation(name: str, how: str, route: Route) -> JSON:
    needed = REQUIRED.get(name, ())
    schemas = {field: ROWS.get(name, {}).get(field, FIELDS[field]) for field in route.fields}
    replies = {
        "200": {"description": "the reply", "content": {"application/json": {"schema": {"type": "object"}}}},
        "default": {"description": "what is wrong", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
    }
    operation: JSON = {"operationId": f"{how.lower()}_{name.replace('/', '_').lower()}", "summary": SUMMARIES[name], "responses": replies}
    if "NAME" in name:
        return operation | {"parameters": [{"name": "learner", "in": "path", "required": True, "schema": NAME}]}
    if how == "GET":
        single = {field: one for one, field in LISTS.items()}
        return operation | {
            "parameters": [
                {"name": single.get(field, field), "in": "query", "required": field in needed, "schema": schema}
                for field, schema in schemas.items()
            ]
        }
    body = {"type": "object", "properties": schemas, "required": list(needed), "additionalProperties": False}
    return operation | {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}
