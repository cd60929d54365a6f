"""The simulated APIs of a multi-turn dialogue of BFCL: a file system, a car, tickets and so on, as its own classes, called without evaluating text.

The benchmark writes every call as text, puts the name of an object before each name of a method, inside strings too, and evaluates that. Here
the same text is parsed, and a call runs only where its name is a published method of one of the dialogue's classes and its arguments are
literals or such calls. The classes keep all they know in memory and reach for neither files nor network.
"""

from __future__ import annotations

import ast
import copy
import decimal
import importlib
import inspect
import json
import math
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from luthier.errors import LuthierError
from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.bfcl_decoding import LONGEST, DecodingError
from luthier.records import JSON
from luthier.records.bfcl_multi_turn import MultiTurnItem

_ERROR = "Error during execution: "
_CALLED = re.compile(r"\b([a-zA-Z_]\w*+)\s*+(?=\()")  # what the benchmark takes for the name of something called
_FOREIGN = re.compile(r"[-./:]")
_STATELESS = "MathAPI"
_DIGITS = 10_000  # most that are computed
_POWER, _BITS = 1000, 4096  # most of an exponent, of the base before it, both whole numbers


class CallError(LuthierError):
    """A call that is not run; the message is what the model is told."""


class Simulators:
    """The APIs of one dialogue, in some state. instances: by the name of the class.

    owner: how the benchmark names its objects, where a class name is still to follow; where a string looks like a call that name gets into it. None leaves
    strings as they are.
    """

    def __init__(self, instances: JSON, owner: str | None = None) -> None:
        self.instances = instances
        self._methods: dict[str, Any] = {}
        self._owners: dict[str, str] = {}
        for name, instance in self.instances.items():
            for method, bound in inspect.getmembers(instance, predicate=inspect.ismethod):
                if not method.startswith("_"):
                    self._methods[method] = bound
                    self._owners[method] = _FOREIGN.sub("_", f"{owner}_{name}_instance")
        self._named = owner is not None

    def execute(self, calls: Sequence[str]) -> list[str]:
        """What each call answers, as the text that a model is shown; a call that cannot be run answers with an error."""
        with _own_precision():
            return [self._answer(call) for call in calls]

    def _answer(self, call: str) -> str:
        try:
            return _as_text(self._run(_parsed(self._with_owners(call))))
        except Exception as error:  # whatever the classes raise is an answer, as in the benchmark
            return f"{_ERROR}{error}"

    def _with_owners(self, call: str) -> str:
        if not self._named:
            return call
        return _CALLED.sub(lambda match: f"{self._owners[match[1]]}.{match[1]}" if match[1] in self._owners else match[1], call)

    def _run(self, node: ast.expr) -> Any:
        """The value of a literal, or what a call answers."""
        match node:
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                values = [self._run(part) for part in parts]
                return values if isinstance(node, ast.List) else tuple(values)
            case ast.Dict(keys=keys, values=parts) if None not in keys:
                return {self._run(key): self._run(part) for key, part in zip(keys, parts, strict=True) if key is not None}
        if not isinstance(node, ast.Call):
            return _literal(node)
        method = self._method(node.func)
        positional = [self._run(argument) for argument in node.args]
        if any(keyword.arg is None for keyword in node.keywords):
            raise CallError("arguments are written by name")
        named = {str(keyword.arg): self._run(keyword.value) for keyword in node.keywords}
        _check_size(method, positional, named)
        return method(*positional, **named)

    def _method(self, node: ast.expr) -> Any:
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if self._named and self._owners.get(name) == owner:
                return self._methods[name]
            case ast.Name(id=name) if not self._named and name in self._methods:
                return self._methods[name]
        named = node
        while isinstance(named, ast.Attribute):
            named = named.value
        raise CallError(f"name '{named.id if isinstance(named, ast.Name) else ast.unparse(node)}' is not defined")


def simulators(item: MultiTurnItem, *owners: str | None) -> list[Simulators]:
    """The APIs as the dialogue begins, once for each owner: the names of those whose calls they answer, or None (`Simulators`).

    Filled up for a long context, they share some objects with each other, as in the benchmark, and with nothing that was made before.
    """
    made = copy.deepcopy([{name: _instance(name, item) for name in item.classes} for _ in owners])
    named = [owner if owner is None else f"{owner}_{item.id}" for owner in owners]
    return [Simulators(instances, owner) for instances, owner in zip(made, named, strict=True)]


def execution_texts(decoded: Sequence[dict[str, JSON]]) -> list[str]:
    """Decoded calls (`bfcl_decoding.decode`) as the benchmark writes them before it runs them.

    Raises DecodingError where the benchmark fails to, so that it takes the answer as one without calls.
    """
    try:
        texts = [
            f"{name}({', '.join(f'{key}={_nested(value)}' for key, value in arguments.items())})"
            for call in decoded
            for name, arguments in call.items()
        ]
    except (RecursionError, ValueError) as error:
        raise DecodingError(f"an argument that cannot be written: {error}") from error
    if any(len(text) > LONGEST for text in texts):
        raise DecodingError(f"longer than {LONGEST} characters")
    return texts


def _nested(value: Any) -> str:
    """A value as the benchmark writes it, which takes an object of objects for a call."""
    if not isinstance(value, dict):
        return repr(value)
    if all(isinstance(inside, dict) for inside in value.values()):
        name = next(iter(value), None)
        if name is None:
            raise DecodingError("an object without fields, which the benchmark cannot write")
        return f"{name}({', '.join(f'{key}={_nested(inside)}' for key, inside in value[name].items())})"
    return "{" + ", ".join(f"'{key}': {_nested(inside)}" for key, inside in value.items()) + "}"


def _instance(name: str, item: MultiTurnItem) -> Any:
    with benchmark_modules():
        backend = importlib.import_module("bfcl_eval.constants.executable_backend_config")
        module = importlib.import_module(backend.CLASS_FILE_PATH_MAPPING[name])
    made = getattr(module, name)()
    if name != _STATELESS:
        made._load_scenario(copy.deepcopy(item.initial.get(name, {})), long_context=item.long_context)
    return made


def _parsed(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in what the model wrote
        return ast.parse(text, mode="eval").body


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        raise CallError(f"name '{node.id}' is not defined")
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise CallError("an argument is neither a literal nor a call") from None


def _as_text(result: Any) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except Exception:  # numbers of other libraries, say
            return str(result)
    return str(result)


def _check_size(method: Any, positional: Sequence[Any], named: JSON) -> None:
    """Raises CallError for a computation that would take more time or memory than there is: a million digits of a root, say."""
    try:
        given = inspect.signature(method).bind(*positional, **named).arguments
    except TypeError:
        return  # the call itself says so better
    base, exponent = given.get("base"), given.get("exponent")
    if _number(given.get("precision")) > _DIGITS or _number(given.get("decimal_places")) < -_DIGITS:
        raise CallError(f"more than {_DIGITS} digits are too many to compute")
    if isinstance(base, int) and isinstance(exponent, int) and (exponent > _POWER or base.bit_length() > _BITS):
        raise CallError("a power too large to compute")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@contextmanager
def _own_precision() -> Iterator[None]:
    """The classes set how many digits decimal numbers have, for everybody; after them it is as before."""
    mpmath = sys.modules.get("mpmath")
    digits = mpmath.mp.dps if mpmath is not None else None
    try:
        with decimal.localcontext():
            yield
    finally:
        if mpmath is not None:
            mpmath.mp.dps = digits
