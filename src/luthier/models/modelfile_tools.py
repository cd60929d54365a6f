"""Tools and the arguments of calls as Ollama writes them into a prompt, in a template and in Python, and where that is not what a model was trained on.

Ollama reads a client's tools into fields of its own and knows JSON without spaces alone. What its template language can spell out is written with the spaces that
chat templates write. The rest cannot be had: keys in another order than the alphabet's, words of a schema that Ollama drops, < > & in texts.
"""

from __future__ import annotations

import json
from typing import Any

from luthier.records import JSON

SIMPLE = ("string", "integer", "number", "boolean")  # of which all that Ollama keeps can be spelled out
KEPT = ("anyOf", "type", "items", "description", "enum")  # of a property, in Ollama's order
_ENTRY = '{{- $more }}{{- json $name }}{{- ": " }}'
ARGUMENTS = (
    '{{- $more := "" }}{{- "{" }}{{- range $name, $value := .Function.Arguments }}'
    + _ENTRY
    + '{{- json $value }}{{- $more = ", " }}{{- end }}{{- "}" }}'
)
"""A call's arguments, of a call of `.ToolCalls`."""

_LIST = '{{- "[" }}{{- range $at, $value := %s }}{{- if $at }}{{- ", " }}{{- end }}{{- json $value }}{{- end }}{{- "]" }}'
_SIMPLE_PROPERTY = (
    '{{- "{\\"type\\": " }}{{- $type }}{{- if .Description }}{{- ", \\"description\\": " }}{{- json .Description }}{{- end }}'
    '{{- if .Enum }}{{- ", \\"enum\\": " }}' + _LIST % ".Enum" + '{{- end }}{{- "}" }}'
)
_PROPERTIES = (
    '{{- $more := "" }}{{- range $name, $value := .Properties }}' + _ENTRY + "{{- $type := json .Type }}"
    "{{- if eq $type "
    + " ".join(json.dumps(json.dumps(kind)) for kind in SIMPLE)
    + " }}"
    + _SIMPLE_PROPERTY
    + "{{- else }}{{- json . }}{{- end }}"
    '{{- $more = ", " }}{{- end }}'
)
TOOL = (
    '{{- "{\\"type\\": \\"function\\", \\"function\\": {\\"name\\": " }}{{- json .Function.Name }}'
    '{{- if .Function.Description }}{{- ", \\"description\\": " }}{{- json .Function.Description }}{{- end }}'
    '{{- with .Function.Parameters }}{{- ", \\"parameters\\": {\\"type\\": " }}{{- json .Type }}{{- ", \\"properties\\": {" }}'
    + _PROPERTIES
    + '{{- "}" }}{{- if .Required }}{{- ", \\"required\\": " }}'
    + _LIST % ".Required"
    + '{{- end }}{{- "}" }}{{- end }}{{- "}}" }}'
)
"""A tool of `.Tools`."""


def written_tool(tool: JSON) -> str:
    """A tool as `TOOL` writes it in Ollama."""
    function: JSON = tool["function"]
    parameters: JSON = function.get("parameters") or {}
    parts = [f'"name": {_json(function["name"])}']
    parts += [f'"description": {_json(function["description"])}'] if function.get("description") else []
    properties = ", ".join(f"{_json(name)}: {_property(schema)}" for name, schema in sorted((parameters.get("properties") or {}).items()))
    required = f', "required": [{", ".join(map(_json, parameters["required"]))}]' if parameters.get("required") else ""
    parts.append(f'"parameters": {{"type": {_json(parameters.get("type", ""))}, "properties": {{{properties}}}{required}}}')
    return f'{{"type": "function", "function": {{{", ".join(parts)}}}}}'


def written_arguments(arguments: JSON) -> str:
    """A call's arguments as `ARGUMENTS` writes them in Ollama."""
    return "{" + ", ".join(f"{_json(name)}: {_json(value)}" for name, value in sorted(arguments.items())) + "}"


def apart(tool: JSON) -> str:
    """Why Ollama does not write a tool as chat templates do, byte for byte; "" where it does."""
    if written_tool(tool) == json.dumps(tool, ensure_ascii=False):
        return ""
    parameters: JSON = tool["function"].get("parameters") or {}
    schemas = [schema for schema in (parameters.get("properties") or {}).values() if isinstance(schema, dict)]
    left = {word for word in parameters if word not in ("type", "properties", "required")} | {
        w for each in schemas for w in each if w not in KEPT
    }
    if left:
        return f"Ollama leaves out {', '.join(sorted(left))}"
    function: JSON = tool["function"]
    if any(
        holder.get(word, True) in ("", []) for holder in (function, parameters, *schemas) for word in ("description", "required", "enum")
    ):
        return "Ollama leaves out what is empty"
    if any(sign in json.dumps(tool, ensure_ascii=False) for sign in "<>&"):
        return "Ollama writes < > & as \\u003c \\u003e \\u0026"
    if any(schema.get("type") not in SIMPLE for schema in schemas):
        return "Ollama writes schemas of lists and objects without spaces"
    return "Ollama writes keys in another order"


def _property(schema: Any) -> str:
    if not isinstance(schema, dict) or schema.get("type") not in SIMPLE:
        return _json({key: schema[key] for key in KEPT if key in schema} if isinstance(schema, dict) else {})
    parts = [f'"type": {_json(schema["type"])}']
    parts += [f'"description": {_json(schema["description"])}'] if schema.get("description") else []
    parts += [f'"enum": [{", ".join(map(_json, schema["enum"]))}]'] if schema.get("enum") else []
    return "{" + ", ".join(parts) + "}"


def _json(value: Any) -> str:
    """As Go marshals it: without spaces, < > & escaped, whole numbers without a point, the keys of objects sorted by callers alone where they are maps."""
    text = json.dumps(_whole(value), ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {key: _whole(each) for key, each in value.items()} if isinstance(value, dict) else value
