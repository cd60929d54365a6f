"""The Berkeley Function-Calling Leaderboard's own items and its own checker, out of the `bfcl-eval` wheel.

The package pins a dozen foreign versions, so it is not installed: its wheel is unpacked into the cache and the checker module is
imported from there behind a stand-in for its registry of vendor models. Model text never reaches it: `luthier.records.calls`
parses the text first, and only plain values go on.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.packages import BFCL, unpack_wheel
from luthier.records import JSON, Message, Tool, ToolCall
from luthier.records.schema import normalise_schema

CATEGORIES = ("simple_python", "multiple", "irrelevance")
VERSION = f"{BFCL.label} (v4 items)"


@dataclass(frozen=True)
class Item:
    """One evaluation item: the user's messages, the tools on offer, and the accepted calls (none where no tool fits)."""

    id: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    functions: tuple[JSON, ...]
    truth: tuple[JSON, ...]

    @property
    def question(self) -> str:
        return "\n".join(message.content or "" for message in self.messages if message.role == "user")


def load_items(category: str, limit: int | None = None) -> list[Item]:
    """Items of a category; with a limit, that many evenly spaced ones: always the same.

    Raises SettingsError for a category this evaluation does not cover.
    """
    if category not in CATEGORIES:
        raise SettingsError(f"unknown category {category!r}; known: {', '.join(CATEGORIES)}")
    data = unpack_wheel(BFCL) / "bfcl_eval" / "data"
    rows = _read(data / f"BFCL_v4_{category}.json")
    answers = data / "possible_answer" / f"BFCL_v4_{category}.json"
    truth = {row["id"]: tuple(row["ground_truth"]) for row in _read(answers)} if answers.is_file() else {}
    items = [_item(row, category, truth.get(row["id"], ())) for row in rows]
    return items if limit is None or limit >= len(items) else [items[i * len(items) // limit] for i in range(limit)]


def _read(path: Path) -> list[JSON]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _item(row: JSON, category: str, truth: tuple[JSON, ...]) -> Item:
    messages = tuple(Message(turn["role"], turn["content"]) for turn in row["question"][0])
    functions = tuple(row["function"])
    tools = tuple(
        Tool(f["name"], f["description"], normalise_schema(f["parameters"]), source=BFCL.label, license="Apache-2.0") for f in functions
    )
    return Item(row["id"], category, messages, tools, functions, truth)


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
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    return ast_checker


@cache
def _python_language() -> Any:
    _load()
    from bfcl_eval.constants.enums import Language

    return Language.PYTHON


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
