"""Python functions as tools: types from the signature or the docstring, descriptions from the docstring (Google, NumPy, Sphinx).

Modules named by the user are imported; nothing else runs. Annotations are read as syntax, never evaluated. Functions whose
parameters have no types or descriptions come out incomplete, and the pool's lint (A2) turns them away.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.synthesize.tools.importers.annotations import annotation_schema
from luthier.synthesize.tools.importers.docstrings import parse_docstring
from luthier.synthesize.tools.importers.wording import parameter_words, tool_words

_SKIPPED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def import_python(source: str | ModuleType | Iterable[Callable[..., Any]], license: str = "") -> Iterator[Tool]:  # noqa: A002
    """The public functions of a module (given by name or as itself), or the functions handed in.

    license: SPDX id; the standard library's is known. Raises ToolSpecError where the module cannot be imported.
    """
    module = imported(source) if isinstance(source, str) else source
    functions = _public_functions(module) if isinstance(module, ModuleType) else list(module)
    for function in functions:
        tool = _tool(function, license)
        if tool is not None:
            yield tool


def imported(name: str) -> ModuleType:
    """A module by its name. Raises ToolSpecError where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except Exception as problem:  # a module may raise anything while it is imported
        why = problem if isinstance(problem, ImportError) else f"{type(problem).__name__}: {problem}"
        raise ToolSpecError(f"module {name!r} cannot be imported: {why}; install it or correct the name") from problem


def _public_functions(module: ModuleType) -> list[Callable[..., Any]]:
    names = getattr(module, "__all__", None) or [name for name in sorted(vars(module)) if not name.startswith("_")]
    members = [getattr(module, name, None) for name in names]
    return [member for member in members if inspect.isroutine(member) and getattr(member, "__module__", None) in (module.__name__, None)]


def _tool(function: Callable[..., Any], license_id: str) -> Tool | None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None  # a builtin that keeps its signature to itself
    doc = parse_docstring(inspect.getdoc(function) or "")
    module = getattr(function, "__module__", None) or ""
    properties: JSON = {}
    required: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind in _SKIPPED or parameter.name in ("self", "cls"):
            continue
        properties[parameter.name] = _parameter_schema(parameter, doc.types.get(parameter.name, ""), doc.parameters.get(parameter.name, ""))
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    standard = module.split(".")[0] in sys.stdlib_module_names and module != "__main__"
    returns = _annotated(signature.return_annotation) or annotation_schema(doc.returns)
    return Tool(
        name=function.__name__ if module in ("", "__main__") else f"{module}.{function.__name__}",
        description=tool_words(doc.summary),
        parameters={"type": "object", "properties": properties, "required": required, "additionalProperties": False},
        returns=returns or None,
        source=f"python {module}".strip(),
        license=license_id or ("PSF-2.0" if standard else ""),
    )


def _parameter_schema(parameter: inspect.Parameter, stated_type: str, text: str) -> JSON:
    schema = dict(_annotated(parameter.annotation) or annotation_schema(stated_type))
    description = parameter_words(text)
    if description:
        schema["description"] = description
    default = parameter.default
    if isinstance(default, str | int | float | bool) and not isinstance(default, enum.Enum):
        schema["default"] = default
    return schema


def _annotated(annotation: Any) -> JSON:
    if annotation is inspect.Signature.empty:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return annotation_schema(f"Literal{[member.value for member in annotation]!r}")
    return annotation_schema(annotation if isinstance(annotation, str) else inspect.formatannotation(annotation))
