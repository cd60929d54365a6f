"""The items of the Berkeley Function-Calling Leaderboard, out of the `bfcl-eval` wheel: questions, the tools on offer, the accepted calls.

How answers are judged is `luthier.evaluate.bfcl`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from luthier.errors import SettingsError
from luthier.packages import BFCL, unpack_wheel
from luthier.records.conversations import JSON, Message, Tool
from luthier.records.files import evenly
from luthier.records.schema import normalise_schema

Category = Literal[
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
]
CATEGORIES = get_args(Category)
LANGUAGES = {"simple_java": "Java", "simple_javascript": "JavaScript"}  # whose values are written as source text; Python elsewhere
VERSION = f"{BFCL.label} (v4 items)"


@dataclass(frozen=True)
class Item:
    """One evaluation item: the user's messages, the tools on offer, and the accepted calls.

    truth: none where no tool fits (irrelevance), or where any call will do (relevance). functions: as the checker wants them.
    """

    id: str
    category: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    functions: tuple[JSON, ...]
    truth: tuple[JSON, ...]

    @property
    def question(self) -> str:
        return _question(self.messages)

    @property
    def abstain(self) -> bool:
        """Whether the right answer is to call nothing."""
        return "irrelevance" in self.category

    @property
    def several(self) -> bool:
        """Whether more than one call may be asked for."""
        return "parallel" in self.category or self.category == "live_relevance"


def load_items(category: str, limit: int | None = None) -> list[Item]:
    """Items of a category; with a limit, that many evenly spaced ones: always the same.

    Raises SettingsError for a category this evaluation does not cover.
    """
    rows = evenly(_rows(category), limit)
    answers = _data() / "possible_answer" / f"BFCL_v4_{category}.json"
    truth = {row["id"]: tuple(row["ground_truth"]) for row in data_rows(answers)} if answers.is_file() else {}
    return [_item(row, category, truth.get(row["id"], ())) for row in rows]


def load_questions(category: str) -> Iterator[tuple[str, tuple[Tool, ...]]]:
    """What each item of a category asks, and its tools with no more than their names and those of their parameters: quicker than the items.

    Raises SettingsError for a category this evaluation does not cover.
    """
    for row in _rows(category):
        tools = (Tool(function["name"], "", {"properties": function["parameters"].get("properties") or {}}) for function in row["function"])
        yield _question(_messages(row)), tuple(tools)


def _data() -> Path:
    return unpack_wheel(BFCL) / "bfcl_eval" / "data"


def _rows(category: str) -> list[JSON]:
    if category not in CATEGORIES:
        raise SettingsError(f"unknown category {category!r}; known: {', '.join(CATEGORIES)}")
    return data_rows(_data() / f"BFCL_v4_{category}.json")


def _messages(row: JSON) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], turn["content"]) for turn in row["question"][0])


def _question(messages: Sequence[Message]) -> str:
    return "\n".join(message.content or "" for message in messages if message.role == "user")


def data_rows(path: Path) -> list[JSON]:
    """The rows of one of the benchmark's files, a JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _item(row: JSON, category: str, truth: tuple[JSON, ...]) -> Item:
    messages = _messages(row)
    functions = tuple(row["function"])
    language = LANGUAGES.get(category)
    tools = tuple(as_tool(_as_text(function, language) if language else function) for function in functions)
    return Item(row["id"], category, messages, tools, functions, truth)


def as_tool(function: JSON) -> Tool:
    """A function as the benchmark describes it, with its parameters as JSON Schema."""
    parameters = normalise_schema(function["parameters"])
    return Tool(function["name"], function["description"], parameters, source=BFCL.label, license="Apache-2.0")


def _as_text(function: JSON, language: str) -> JSON:
    """A Java or JavaScript function as the benchmark shows it to models that call by JSON: every value is a string of source text."""
    properties = {}
    for name, schema in function["parameters"]["properties"].items():
        kind = schema["type"]
        inside = schema.get("items", {}).get("type") if isinstance(schema.get("items"), dict) else None
        told = f"{schema.get('description', '')} {'Any' if kind == 'any' else kind} value in {language}, as source text".strip()
        properties[name] = {"type": "string", "description": told + (f"; elements: {inside}." if inside else ".")}
    parameters = {**function["parameters"], "properties": properties}
    return {**function, "description": f"{function['description']} The function is written in {language}.", "parameters": parameters}
