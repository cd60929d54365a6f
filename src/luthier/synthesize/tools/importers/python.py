"""Python functions as tools: types from the signature or the docstring, descriptions from the docstring (Google, NumPy, Sphinx).

Modules named by the user are imported; nothing else runs. Annotations are read as syntax, never evaluated. Functions whose
parameters have no types come out incomplete, and the pool's lint (A2) turns them away.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from luthier.errors import ToolSpecError
from luthier.records import JSON, Tool
from luthier.records.account import note
from luthier.synthesize.tools.importers.annotations import annotation_schema
from luthier.synthesize.tools.importers.constraints import constraints, field_default
from luthier.synthesize.tools.importers.docstrings import parse_docstring
from luthier.synthesize.tools.importers.wording import described, named_words, parameter_words
from luthier.synthesize.tools.lint import untyped

_SKIPPED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def import_python(source: str | ModuleType | Iterable[Callable[..., Any]], license: str = "") -> Iterator[Tool]:  # noqa: A002
    """The public functions of a module (given by name or as itself), or the functions handed in.

    license: SPDX id; the standard library's is known. Raises ToolSpecError where the module cannot be imported.
    """
    module = imported(source) if isinstance(source, str) else source
    functions = list(_public_functions(module) if isinstance(module, ModuleType) else map(_handed_in, module))
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


class _Function(NamedTuple):
    """A function under the name that its module gives it. bound: parameters to which a partial has given values for good."""

    call: Callable[..., Any]
    name: str
    module: str
    doc: str
    bound: tuple[str, ...] = ()


def _public_functions(module: ModuleType) -> Iterator[_Function]:
    listed = getattr(module, "__all__", None)
    for name in listed or [name for name in sorted(vars(module)) if not name.startswith("_")]:
        member = getattr(module, name, None)
        if isinstance(member, functools.partial):
            if (found := _of_partial(member, name, module.__name__)) is not None:
                yield found
        elif inspect.isroutine(member):
            if getattr(member, "__module__", None) in (module.__name__, None):
                yield _handed_in(member)
        elif callable(member) and not inspect.isclass(member) and type(member).__module__ == module.__name__:
            note("left out", f"object {name!r} that can be called, and is neither a function nor a partial of one")


def _handed_in(function: Callable[..., Any]) -> _Function:
    if isinstance(function, functools.partial):
        inner = function.func
        found = _of_partial(function, str(getattr(function, "__name__", None) or _called(inner)), getattr(inner, "__module__", None) or "")
        if found is not None:
            return found
    return _Function(function, _called(function), getattr(function, "__module__", None) or "", inspect.getdoc(function) or "")


def _called(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _of_partial(partial: functools.partial[Any], name: str, module: str) -> _Function | None:
    """What a partial leaves open of its function, whose words it has unless it has its own."""
    if not inspect.isroutine(partial.func):
        note("left out", f"partial {name!r} of what is no function")
        return None
    words = partial.func if partial.__doc__ == functools.partial.__doc__ else partial
    try:
        bound = (*list(inspect.signature(partial.func).parameters)[: len(partial.args)], *partial.keywords)
    except (ValueError, TypeError):
        bound = tuple(partial.keywords)
    return _Function(partial, name, module, inspect.getdoc(words) or "", bound)


def _tool(function: _Function, license_id: str) -> Tool | None:
    try:
        signature = inspect.signature(function.call)
    except (ValueError, TypeError):
        note("left out", "function that keeps its signature to itself")
        return None
    doc, module = parse_docstring(function.doc), function.module
    inner = function.call.func if isinstance(function.call, functools.partial) else function.call
    names = getattr(inspect.unwrap(inner), "__globals__", {})
    properties: JSON = {}
    required: list[str] = []
    for parameter in _open_parameters(signature, function):
        stated, told = doc.types.get(parameter.name, ""), doc.parameters.get(parameter.name, "")
        schema = _parameter_schema(parameter, stated, told, names)
        field = field_default(parameter.default)
        if parameter.default is inspect.Parameter.empty or (field is not None and field.required):
            required.append(parameter.name)
        elif (stated or parameter.annotation is not inspect.Parameter.empty) and untyped(schema):
            note(
                "left out",
                f"parameter {parameter.name!r} of {function.name!r}, of a type that is no value of JSON; it may be left out of calls",
            )
            continue
        properties[parameter.name] = schema
    standard = module.split(".")[0] in sys.stdlib_module_names and module != "__main__"
    returns = _annotated(signature.return_annotation, names) or annotation_schema(doc.returns, names)
    words, made = named_words(doc.summary, function.name)
    if made:
        note("understood", f"function {made}")
    return Tool(
        name=function.name if module in ("", "__main__") else f"{module}.{function.name}",
        description=words,
        parameters=described({"type": "object", "properties": properties, "required": required, "additionalProperties": False}),
        returns=returns or None,
        source=f"python {module}".strip(),
        license=license_id or ("PSF-2.0" if standard else ""),
    )


def _open_parameters(signature: inspect.Signature, function: _Function) -> Iterator[inspect.Parameter]:
    """The parameters that a call gives values to."""
    for parameter in signature.parameters.values():
        if parameter.kind in _SKIPPED:
            note("left out", "parameter that takes any arguments (`*args`, `**kwargs`)")
        elif parameter.name not in ("self", "cls", *function.bound):
            yield parameter
    if function.bound:
        note("left out", f"parameters of {function.name!r} whose values the partial has: {', '.join(function.bound)}")


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
