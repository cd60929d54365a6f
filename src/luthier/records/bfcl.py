"""The items of the Berkeley Function-Calling Leaderboard, out of the `bfcl-eval` wheel: questions, the tools on offer, the accepted calls.

How answers are judged is `luthier.evaluate.bfcl`'s business.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from luthier.errors import SettingsError
from luthier.packages import BFCL, unpack_wheel
from luthier.records.conversations import JSON, Message, Tool
from luthier.records.files import evenly
from luthier.records.schema import normalise_schema

Category = Literal["simple_python", "multiple", "irrelevance"]
CATEGORIES = get_args(Category)
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
    return evenly(items, limit)


def _read(path: Path) -> list[JSON]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _item(row: JSON, category: str, truth: tuple[JSON, ...]) -> Item:
    messages = tuple(Message(turn["role"], turn["content"]) for turn in row["question"][0])
    functions = tuple(row["function"])
    tools = tuple(
        Tool(f["name"], f["description"], normalise_schema(f["parameters"]), source=BFCL.label, license="Apache-2.0") for f in functions
    )
    return Item(row["id"], category, messages, tools, functions, truth)
