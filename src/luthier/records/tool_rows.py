"""Tool definitions as other projects write them: OpenAI, Anthropic, MCP, Gemini, xLAM, ToolBench, Swagger's lists of parameters.

A field that is not understood is carried along in `Tool.extra`. Everything raises BadRowError without a place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from luthier.errors import BadRowError
from luthier.records.account import note
from luthier.records.conversations import JSON, Tool
from luthier.records.dialects import type_keywords
from luthier.records.lines import decoded, plain

SCHEMAS = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parametersJsonSchema",
    "parameters_json_schema",
    "args_schema",
    "arguments",
    "args",
)
# Cohere, smolagents and others; where one of SCHEMAS is there, such a field says something else.
_OTHER_SCHEMAS = ("parameter_definitions", "inputs", "params", "input_parameters")
_SCHEMA_WRAPPERS = ("json", "jsonSchema", "json_schema", "schema")  # Bedrock, the AI SDK
_HOLDING = re.compile(r"param|argument|input", re.IGNORECASE)
_WRAPPERS = ("function", "functionDeclaration", "function_declaration", "toolSpec")
LISTS = ("functionDeclarations", "function_declarations", "functions", "tools")
_NAMES, _DESCRIPTIONS = ("name", "api_name", "tool_name"), ("description", "api_description", "desc")
_EMPTY: JSON = {"type": "object", "properties": {}}
_KINDS = (None, "function", "tool", "custom")  # Anthropic calls its tools `custom`
# Words that tell a schema from a map of parameters; a parameter may be called `title` or `items`, and then has an object behind it.
_SCHEMA_WORDS = ("$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "additionalProperties", "$schema", "patternProperties")


def tools_from(value: Any) -> tuple[Tool, ...]:
    """The tools in a `tools` field: a list, a single one, Gemini's lists of declarations, or tools by name, as objects or JSON text."""
    listed = decoded(value or [], "the tools") or []  # also the text "null"
    return tuple(tool_from_row(tool) for tool in _listed(listed))


def tool_from_row(row: Any) -> Tool:
    """A tool in any of the layouts, or as JSON text of one."""
    row = decoded(row, "a tool")
    try:
        outer = plain(row) if isinstance(row, dict) else {}
    except BadRowError as error:
        raise BadRowError(f"a tool {error.problem}") from None
    wrapper = next((key for key in _WRAPPERS if isinstance(outer.get(key), dict)), None)
    function = outer[wrapper] if wrapper else outer
    name_key = next((key for key in _NAMES if isinstance(function.get(key), str)), None)
    if name_key is None:
        raise BadRowError(f"a tool without a name{_having(function)}")
    name = function[name_key]
    kind = outer.get("type")
    if kind not in _KINDS or (kind == "custom" and not any(function.get(key) is not None for key in SCHEMAS)):
        raise BadRowError(f"tool {name!r} is of the type {kind!r}; only functions can be called with arguments")
    described = next((key for key in _DESCRIPTIONS if isinstance(function.get(key), str)), "description")
    used, parameters = _parameters(function, name)
    extra = {key: value for key, value in function.items() if key not in (name_key, described, *used) and value is not None}
    if described == "description" and not isinstance(function.get("description"), str | None):
        raise BadRowError(f"tool {name!r}: the description is not text")
    if wrapper:
        extra |= {key: value for key, value in outer.items() if key not in (wrapper, "type") and value is not None}
    elif extra.get("type") == kind:
        extra.pop("type", None)
    if _names_fields(extra.get("required"), parameters):  # beside the parameters in place of inside them
        parameters = {**parameters, "required": extra.pop("required")}
    returns = function.get("returns") or function.get("return")
    known = returns if isinstance(returns, dict) else None
    return Tool(name, function.get(described) or "", json_schema_types(parameters), known, extra=extra)


def _names_fields(stated: Any, parameters: Any) -> bool:
    """Whether a list names fields of parameters that do not say which of them are required."""
    fields = parameters.get("properties") if isinstance(parameters, dict) and "required" not in parameters else None
    return (
        isinstance(stated, list)
        and bool(stated)
        and isinstance(fields, dict)
        and all(isinstance(one, str) and one in fields for one in stated)
    )


def json_schema_types(schema: Any) -> Any:
    """The schema with Python's type names (dict, int, float, list, tuple, any, ...) replaced by JSON Schema's, without null keywords; a copy."""
    if not isinstance(schema, dict):
        return schema
    fixed: JSON = {}
    for key, value in schema.items():
        if value is None and not (key in ("const", "default") and _takes_null(schema)):
            continue  # no keyword of a schema is null; columns put it where a row has none
        if key == "type" and isinstance(value, str):
            name = value if value in _JSON_NAMES else _JSON_NAME.get(value.lower(), value)
            if _WRITTEN_TYPE.search(name):
                fixed |= _named_type(name)
            elif name:
                fixed[key] = name
        elif key in ("properties", "$defs", "patternProperties") and isinstance(value, dict):
            fixed[key] = {name: json_schema_types(part) for name, part in value.items() if part is not None}
        elif key in ("items", "additionalProperties", "not"):
            fixed[key] = json_schema_types(value)
        elif key in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            fixed[key] = [json_schema_types(part) for part in value if part is not None]
        else:
            fixed[key] = value
    return fixed


def takes_null(schema: Any) -> bool:
    """Whether null is said to be a value of a schema that names its types."""
    return isinstance(schema, Mapping) and "type" in schema and _takes_null(schema)


_WRITTEN_TYPE = re.compile(r"[\[<|.]")  # `Union[int, float]`, `np.ndarray`
_OWN_WORDS = ("properties", "required", "additionalProperties", "$defs", "definitions")
_JSON_NAMES = ("object", "array", "string", "integer", "number", "boolean", "null")
_OTHER_NAMES = {
    "object": "object dict map",
    "array": "array list tuple set",
    "string": "string str",
    "integer": "integer int long",
    "number": "number float double",
    "boolean": "boolean bool",
    "null": "null none",
    "": "any",  # a schema without a type takes anything
}
_JSON_NAME = {word: name for name, words in _OTHER_NAMES.items() for word in words.split()}


def _listed(value: Any) -> list[Any]:
    """Tools one by one, out of a list, a single one, lists within, or a map from names."""
    if isinstance(value, list):
        return [tool for each in value for tool in _listed(decoded(each, "a tool"))]
    if isinstance(value, dict):
        inside = next((key for key in LISTS if isinstance(value.get(key), list)), None)
        if inside is not None and not any(isinstance(value.get(key), str) for key in _NAMES):
            others = sorted(set(value) - {inside})
            if any(value[key] is not None for key in others):
                raise BadRowError(f"a list of tools beside {', '.join(map(repr, others))}")
            return _listed(value[inside])
        plain = not any(key in value for key in (*_NAMES, *_WRAPPERS, *SCHEMAS, "type"))
        if value and plain and all(isinstance(each, dict) for each in value.values()):
            return [{"name": name, **each} for name, each in value.items()]
    return [value]


def _parameters(function: JSON, name: str) -> tuple[list[str], JSON]:
    """The fields that hold the parameters, and their schema."""
    given = [key for key in SCHEMAS if function.get(key) is not None]
    if "required_parameters" in function or "optional_parameters" in function:
        listed = [(function.get(f"{way}_parameters") or [], way == "required") for way in ("required", "optional")]
        rows = [{**each, "required": must} for part, must in listed for each in part if isinstance(each, dict)]
        return [*given, "required_parameters", "optional_parameters"], _schema_of_list(rows, name)
    given = given or [key for key in _OTHER_SCHEMAS if isinstance(function.get(key), dict | list | str)][:1]
    if not given and isinstance(function.get("properties"), dict):
        words = [word for word in _OWN_WORDS if word in function]
        return words, {"type": "object"} | {word: function[word] for word in words}
    if not given:
        holder = next((key for key, value in function.items() if _HOLDING.search(key) and isinstance(value, dict | list) and value), None)
        if holder is not None:
            raise BadRowError(f"tool {name!r} has no parameters; it has {', '.join(map(repr, function))}; call {holder!r} 'parameters'")
        return [key for key in SCHEMAS if key in function], dict(_EMPTY)
    value = decoded(function[given[0]], f"tool {name!r}: the parameters")
    if len(given) > 1 and any(decoded(function[key], f"tool {name!r}: the {key}") != value for key in given[1:]):
        raise BadRowError(f"tool {name!r} has {' and '.join(given)}, which differ; keep one of them")
    if isinstance(value, dict) and len(value) == 1 and (key := next(iter(value))) in _SCHEMA_WRAPPERS and _is_schema(value[key]):
        value = value[key]
    if isinstance(value, list):
        return given, _schema_of_list(value, name)
    if not isinstance(value, dict):
        raise BadRowError(f"tool {name!r}: parameters are not an object")
    return given, _schema(value, name, given[0])


def _is_schema(value: Any) -> bool:
    """Whether an object is a JSON Schema, and no map whose parameters may be called `type`, `required` or `properties`."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("type"), str | list) or isinstance(value.get("required"), list | bool):
        return True
    if isinstance(value.get("properties"), dict) and not _is_parameter(value["properties"]):
        return True
    return any(
        word in value and (word[0] == "$" or word == "additionalProperties" or not _is_parameter(value[word])) for word in _SCHEMA_WORDS
    )


def _is_parameter(part: Any) -> bool:
    """Whether an object says what one parameter is; in a map of parameters such words have objects behind them."""
    return isinstance(part, dict) and any(isinstance(part.get(word), str | list) for word in ("type", "description"))


def _schema(value: JSON, name: str, holder: str) -> JSON:
    if not value:
        return dict(_EMPTY)
    if _is_schema(value):
        return value
    if all(isinstance(each, dict) for each in value.values()):
        return _schema_of_map(value, holder)
    raise BadRowError(f"tool {name!r}: the parameters are no JSON Schema; they have {', '.join(map(repr, value))}")


def _schema_of_map(value: JSON, holder: str) -> JSON:
    """xLAM's form: from each parameter to its `type` ("int, optional"), `description` and `default`. Cohere's say what is required,
    smolagents' what may be null."""
    properties: JSON = {}
    required = []
    for name, part in value.items():
        words = (
            [word.strip() for word in part["type"].split(",")] if isinstance(part.get("type"), str) and "optional" in part["type"] else []
        )
        optional = words[-1:] == ["optional"] or part.get("required") is False
        optional = optional or (holder == "parameter_definitions" and part.get("required") is not True)
        optional = optional or (holder == "inputs" and part.get("nullable") is True)
        properties[name] = _typed({**part, "type": ",".join(words[:-1])} if words[-1:] == ["optional"] else part)
        if not optional:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _schema_of_list(rows: list[Any], tool: str) -> JSON:
    """A list of parameters, each with its `name` and, where it must be given, `required`."""
    if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
        raise BadRowError(f"tool {tool!r}: a parameter without a name")
    properties = {}
    for row in rows:
        schema = row["schema"] if isinstance(row.get("schema"), dict) else {}
        own = {key: value for key, value in row.items() if key not in ("name", "required", "schema") and value is not None}
        properties[row["name"]] = _typed({**schema, **own})
    return {"type": "object", "properties": properties, "required": [row["name"] for row in rows if row.get("required") is True]}


def _typed(part: JSON) -> JSON:
    """A parameter with its type as JSON Schema says it; `list[str]` becomes an array of strings."""
    part = {key: value for key, value in part.items() if key != "required" or not isinstance(value, bool)}
    stated = part.get("type")
    if not isinstance(stated, str) or stated.lower() in _JSON_NAME:
        return part
    rest = {key: value for key, value in part.items() if key != "type"}
    return {**rest, **_named_type(stated)}


def _named_type(stated: str) -> JSON:
    """What the name of a type says; nothing, and it is noted, where it is none of JSON."""
    keywords = type_keywords(stated)
    if not keywords:
        note("left out", f"type {stated[:60]!r} of a parameter, which is none of JSON")
    return keywords


def _takes_null(schema: Mapping[str, Any]) -> bool:
    types = schema.get("type")
    listed = types if isinstance(types, list) else [types]
    return types is None or any(str(each).lower() in ("null", "none", "any") for each in listed) or schema.get("nullable") is True


def _having(row: JSON) -> str:
    return f"; it has {', '.join(map(repr, row))}" if row else ""
