"""What monty lacks: told from what is wrong with a program, so that no program fails in silence for want of a better interpreter.

Only errors that CPython could not have raised count as gaps: a construct that monty cannot parse, a module, builtin or method of
Python's that it has not got. Where monty merely behaves in another way, nothing tells; docs/sandbox.md gives how often that is so.
"""

from __future__ import annotations

import builtins
import re
import sys
import types

_MODULE = re.compile(r"No module named '([\w.]+)'")
_IMPORTED = re.compile(r"cannot import name '\w+' from '([\w.]+)'")
_OF_MODULE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_OF_TYPE = re.compile(r"'([\w.]+)' object has no attribute '(\w+)'")
_OF_CLASS = re.compile(r"type object '([\w.]+)' has no attribute '(\w+)'")
_NAME = re.compile(r"name '(\w+)' is not defined")
_LONE = re.compile(r"\\u[dD][89a-fA-F]")
_SITE = frozenset(
    ("exit", "quit", "copyright", "credits", "license", "__import__", "globals", "locals", "__builtins__", "__loader__", "__spec__")
)
_TYPES: dict[str, type] = {
    "function": types.FunctionType,
    "builtin_function_or_method": types.BuiltinFunctionType,
    "method": types.MethodType,
    "NoneType": type(None),
}


def gap_in_text(program: str) -> str:
    """What monty would read otherwise than CPython without a word: "" where there is nothing of the kind."""
    return "half of a surrogate pair in a text" if _LONE.search(program) else ""


def gap(error: BaseException, program: str) -> str:
    """What monty lacks, in words, by the error it raised; "" where the fault is the program's. program: the text it came from."""
    said = str(error)
    told = {
        NotImplementedError: _construct,
        ModuleNotFoundError: _module,
        ImportError: _import,
        AttributeError: _attribute,
        NameError: _name,
        RuntimeError: _runtime,
        TypeError: _type,
    }.get(type(error))
    return told(said, program) if told else ""


def _construct(said: str, program: str) -> str:
    marks = ("monty", "not supported", "not yet support", "not implemented", "cannot suspend")
    return said if any(mark in said for mark in marks) and said not in program else ""


def _module(said: str, program: str) -> str:
    found = _MODULE.search(said)
    return f"the module {found[1]}" if found and found[1].split(".")[0] in sys.stdlib_module_names else ""


def _import(said: str, program: str) -> str:
    found = _IMPORTED.search(said)
    return said.split(" (", maxsplit=1)[0] if found and found[1].split(".")[0] in sys.stdlib_module_names else ""


def _attribute(said: str, program: str) -> str:
    if (found := _OF_MODULE.search(said)) and found[1].split(".")[0] in sys.stdlib_module_names:
        return f"{found[1]}.{found[2]}"
    if found := _OF_TYPE.search(said) or _OF_CLASS.search(said):
        return _method(found[1], found[2], program)
    return ""


def _method(kind: str, name: str, program: str) -> str:
    """A method that CPython's type of this name has, or one of a type that is neither a builtin nor a class of the program."""
    known = _TYPES.get(kind) or vars(builtins).get(kind)
    if isinstance(known, type):
        return f"{kind}.{name}" if hasattr(known, name) else ""
    own = re.search(rf"\bclass\s+{re.escape(kind)}\b", program)
    return "" if own and not name.startswith("__") else f"{kind}.{name}"


def _name(said: str, program: str) -> str:
    found = _NAME.search(said)
    return f"the builtin {found[1]}" if found and (found[1] in vars(builtins) or found[1] in _SITE) else ""


def _runtime(said: str, program: str) -> str:
    return said if "Internal error in monty" in said or "is not supported in this environment" in said else ""


def _type(said: str, program: str) -> str:
    return said if "typing." in said or said.startswith("cannot create '") else ""
