"""Python functions as tools: types from the signature or the docstring, descriptions from the docstring (Google, NumPy, Sphinx).

Modules named by the user are imported; nothing else runs. Annotations are read as syntax, never evaluated. Functions whose
parameters have no types come out incomplete, and the pool's lint (A2) turns them away.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.account import note
from luthier.synthesize.tools.importers.annotations import annotation_schema
from luthier.synthesize.tools.importers.constraints import constraints, field_default
from luthier.synthesize.tools.importers.docstrings import parse_docstring
from luthier.synthesize.tools.importers.wording import described, named_words, parameter_words

_SKIPPED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def import_python(source: str | ModuleType | Iterable[Callable[..., Any]], license: str = "") -> Iterator[Tool]:  # noqa: A002
    """The public functions of a module (given by name or as itself), or the functions handed in.

    license: SPDX id; the standard library's is known. Raises ToolSpecError where the module cannot be imported.
    """
    module = imported(source) if isinstance(source, str) else source
    functions = _public_functions(module) if isinstance(module, ModuleType) else list(module)
    tools = [tool for function in functions if (tool := _tool(function, license)) is not None]
    if not tools:
        raise ToolSpecError(f"{source if isinstance(source, str) else 'the functions'}: no public function to make a tool of")
    yield from tools


def imported(name: str) -> ModuleType:
    """The module, that of the folder one stands in before all others of its name. Raises ToolSpecError."""
    place = Path(*name.split("."))
    here = next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)
    path = list(sys.path)
    if here is not None:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as problem:  # a module may do anything while it is imported
        told = " ".join(str(problem).split()) or type(problem).__name__
        raise ToolSpecError(f"module {name!r} cannot be imported: {told}; install it, mend it, or correct the name") from None
    finally:
        sys.path[:] = path
    if here is not None and Path(getattr(module, "__file__", None) or "").resolve() != here.resolve():
        raise ToolSpecError(f"module {name!r}: {here} has the name of a module that is in use already; give it another name")
    return module


def _public_functions(module: ModuleType) -> list[Callable[..., Any]]:
    names = getattr(module, "__all__", None) or [name for name in sorted(vars(module)) if not name.startswith("_")]
    members = [getattr(module, name, None) for name in names]
    return [member for member in members if inspect.isroutine(member) and getattr(member, "__module__", None) in (module.__name__, None)]


def _tool(function: Callable[..., Any], license_id: str) -> Tool | None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        note("left out", "function that keeps its signature to itself")
        return None
    doc = parse_docstring(inspect.getdoc(function) or "")
    module = getattr(function, "__module__", None) or ""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    properties: JSON = {}
    required: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind in _SKIPPED:
            note("left out", "parameter that takes any arguments (`*args`, `**kwargs`)")
            continue
        if parameter.name in ("self", "cls"):
            continue
        stated, told = doc.types.get(parameter.name, ""), doc.parameters.get(parameter.name, "")
        properties[parameter.name] = _parameter_schema(parameter, stated, told, names)
        field = field_default(parameter.default)
        if parameter.default is inspect.Parameter.empty or (field is not None and field.required):
            required.append(parameter.name)
    standard = module.split(".")[0] in sys.stdlib_module_names and module != "__main__"
    returns = _annotated(signature.return_annotation, names) or annotation_schema(doc.returns, names)
    words, made = named_words(doc.summary, function.__name__)
    if made:
        note("understood", "function without a description, told by its name")
    return Tool(
        name=function.__name__ if module in ("", "__main__") else f"{module}.{function.__name__}",
        description=words,
        parameters=described({"type": "object", "properties": properties, "required": required, "additionalProperties": False}),
        returns=returns or None,
        source=f"python {module}".strip(),
        license=license_id or ("PSF-2.0" if standard else ""),
    )


def _parameter_schema(parameter: inspect.Parameter, stated_type: str, text: str, names: Mapping[str, Any]) -> JSON:
    schema = dict(_annotated(parameter.annotation, names) or annotation_schema(stated_type, names))
    default, field = parameter.default, field_default(parameter.default)
    if field is not None:
        schema, default = (
            {**schema, **dict(constraints(schema.get("type"), [default]))},
            inspect.Parameter.empty if field.required else field.value,
        )
    description = parameter_words(text) or parameter_words(str(schema.get("description") or ""))
    if description:
        schema["description"] = description
    if isinstance(default, enum.Enum):
        default = next((value for value in (default.value, default.name) if value in schema.get("enum", ())), None)
    if default is None or default is inspect.Parameter.empty:
        return schema
    if _is_json(default):
        schema["default"] = list(default) if isinstance(default, tuple) else default
    else:
        note("left out", "default that is infinite, no number, or no value of JSON")
    return schema


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _annotated(annotation: Any, names: Mapping[str, Any]) -> JSON:
    return {} if annotation is inspect.Signature.empty else annotation_schema(annotation, names)
