"""The multi-turn items of the Berkeley Function-Calling Leaderboard, out of the `bfcl-eval` wheel: turns, the tools on offer in each, the true calls.

What the simulated APIs answer and how a dialogue is judged is the business of `luthier.evaluate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from luthier.errors import SettingsError
from luthier.packages import BFCL, unpack_wheel
from luthier.records.bfcl import as_tool, data_rows
from luthier.records.conversations import JSON, Message, Tool
from luthier.records.files import evenly

MultiTurnCategory = Literal["multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context"]
MULTI_TURN_CATEGORIES = get_args(MultiTurnCategory)
MORE_TOOLS = "I have updated some more functions you can choose from. What about now?"  # what the benchmark says when it adds some
_DESCRIPTIONS = {  # which file describes the methods of which simulated API
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}


@dataclass(frozen=True)
class Turn:
    """One turn of the user.

    tools: on offer in it. truth: the calls that it takes, as the benchmark writes them; none where nothing can be called yet, since a tool or a
    value is missing.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    truth: tuple[str, ...]


@dataclass(frozen=True)
class MultiTurnItem:
    """One dialogue of the benchmark. classes: the simulated APIs behind its tools; initial: what each of them begins with."""

    id: str
    category: str
    turns: tuple[Turn, ...]
    classes: tuple[str, ...]
    initial: JSON

    @property
    def messages(self) -> tuple[Message, ...]:
        """Those of the first turn."""
        return self.turns[0].messages

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All that are ever on offer."""
        return self.turns[-1].tools

    @property
    def question(self) -> str:
        return "\n".join(message.content or "" for turn in self.turns for message in turn.messages)

    @property
    def long_context(self) -> bool:
        """Whether the APIs are filled up, so that they answer at length."""
        return "long_context" in self.category


def load_multi_turn(category: str, limit: int | None = None) -> list[MultiTurnItem]:
    """Dialogues of a category; with a limit, that many evenly spaced ones: always the same.

    Raises SettingsError for a category that is not multi-turn.
    """
    if category not in MULTI_TURN_CATEGORIES:
        raise SettingsError(f"unknown category {category!r}; known: {', '.join(MULTI_TURN_CATEGORIES)}")
    data = unpack_wheel(BFCL) / "bfcl_eval" / "data"
    described = {name: data_rows(data / "multi_turn_func_doc" / f"{file}.json") for name, file in _DESCRIPTIONS.items()}
    truth = {row["id"]: row["ground_truth"] for row in data_rows(data / "possible_answer" / f"BFCL_v4_{category}.json")}
    rows = evenly(data_rows(data / f"BFCL_v4_{category}.json"), limit)
    return [_item(row, category, described, truth[row["id"]]) for row in rows]


def _item(row: JSON, category: str, described: dict[str, list[JSON]], truth: list[list[str]]) -> MultiTurnItem:
    offered = {str(function["name"]): as_tool(function) for name in row["involved_classes"] for function in described[name]}
    held_back = {int(turn): list(names) for turn, names in row.get("missed_function", {}).items()}
    tools = {name: tool for name, tool in offered.items() if not any(name in names for names in held_back.values())}
    turns = []
    for number, (messages, calls) in enumerate(zip(row["question"], truth, strict=True)):
        said = tuple(Message(message["role"], message["content"]) for message in messages)
        if number in held_back:
            tools = {**tools, **{name: offered[name] for name in held_back[number]}}
            said = (Message("user", MORE_TOOLS),)
        turns.append(Turn(said, tuple(tools.values()), tuple(calls)))
    return MultiTurnItem(row["id"], category, tuple(turns), tuple(row["involved_classes"]), row.get("initial_config", {}))
