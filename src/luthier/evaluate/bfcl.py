"""The Berkeley Function-Calling Leaderboard's own checker, out of the `bfcl-eval` wheel.

The package pins a dozen foreign versions, so it is not installed: its wheel is unpacked into the cache and the checker module is
imported from there behind a stand-in for its registry of vendor models. Model text never reaches it, since it evaluates some:
`bfcl_decoding` or `luthier.records.call_forms` reads the text first, and only plain values go on.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from luthier.packages import BFCL, unpack_wheel
from luthier.records import JSON
from luthier.records.bfcl import LANGUAGES, Item

Decoded = list[dict[str, JSON]]


def official_verdict(item: Item, made: Decoded | None) -> tuple[bool, str]:
    """Whether BFCL's own rules accept the answer, and the checker's first complaint where they do not.

    made: the calls, each a dictionary of one name and its arguments; None where the text cannot be read. An irrelevance item is right when
    there are none, a relevance item when there are any.
    """
    if item.abstain:
        return (not made, "called a tool although none fits" if made else "")
    if "relevance" in item.category:
        return (bool(made), "" if made else "called no tool although one fits")
    if made is None:
        return False, "no call could be read"
    try:
        verdict = _checker()(list(item.functions), made, list(item.truth), _language(item.category), item.category, "any")
    except Exception as error:  # the checker takes some values for granted, and breaks on others
        return False, f"the checker fails on it: {type(error).__name__}: {error}".splitlines()[0]
    if verdict["valid"]:
        return True, ""
    return False, _complaint(verdict["error"])


def source_text(value: Any) -> str:
    """A value as a Java or JavaScript program writes it: what the checker wants of those categories."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _complaint(error: Any) -> str:
    """The checker's message; its nested lists end in a string or a mapping with `sub_error`."""
    while isinstance(error, list | dict) and error:
        error = (error.get("sub_error") or next(iter(error.values()))) if isinstance(error, dict) else error[0]
    return str(error)


@cache
def _checker() -> Any:
    with benchmark_modules():
        from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return ast_checker


@cache
def _language(category: str) -> Any:
    with benchmark_modules():
        from bfcl_eval.constants.enums import Language

    return Language[LANGUAGES.get(category, "Python").upper()]


@contextmanager
def benchmark_modules() -> Iterator[None]:
    """Within, the unpacked modules can be imported. The files are checked by their hashes; compiled ones beside them would be read first, and
    are not."""
    _load()
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
