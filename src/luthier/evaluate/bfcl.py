"""The Berkeley Function-Calling Leaderboard's own checker, out of the `bfcl-eval` wheel.

The package pins a dozen foreign versions, so it is not installed: its wheel is unpacked into the cache and the checker module is
imported from there behind a stand-in for its registry of vendor models. Model text never reaches it: `luthier.records.calls`
parses the text first, and only plain values go on.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from luthier.packages import BFCL, unpack_wheel
from luthier.records import ToolCall
from luthier.records.bfcl import Item


def official_verdict(item: Item, calls: Sequence[ToolCall] | None) -> tuple[bool, str]:
    """Whether BFCL's own rules accept the answer, and the checker's first complaint where they do not.

    calls: the parsed calls, None where the text does not parse. An irrelevance item is right when there are none.
    """
    if item.category == "irrelevance":
        return (not calls, "called a tool although none fits" if calls else "")
    if calls is None:
        return False, "no call could be read"
    made = [{call.name: call.arguments} for call in calls]
    verdict = _checker()(list(item.functions), made, list(item.truth), _python_language(), item.category, "any")
    if verdict["valid"]:
        return True, ""
    return False, _complaint(verdict["error"])


def _complaint(error: Any) -> str:
    """The checker's message; its nested lists end in a string or a mapping with `sub_error`."""
    while isinstance(error, list | dict) and error:
        error = (error.get("sub_error") or next(iter(error.values()))) if isinstance(error, dict) else error[0]
    return str(error)


@cache
def _checker() -> Any:
    _load()
    with _without_bytecode():
        from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return ast_checker


@cache
def _python_language() -> Any:
    _load()
    with _without_bytecode():
        from bfcl_eval.constants.enums import Language

    return Language.PYTHON


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """The unpacked files are checked by their hashes; compiled ones beside them would be read first, and are not."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@cache
def _load() -> None:
    """Make the unpacked checker importable; the stand-in answers any model name without dots-to-underscores."""
    stand_in: Any = types.ModuleType("bfcl_eval.constants.model_config")
    stand_in.MODEL_CONFIG_MAPPING = _AnyModel()
    sys.modules.setdefault("bfcl_eval.constants.model_config", stand_in)
    sys.path.append(str(unpack_wheel(BFCL)))


class _AnyModel(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return types.SimpleNamespace(underscore_to_dot=False)
