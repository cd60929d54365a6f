"""Blueprints: a tool together with what is needed to talk about it, how to ask for it and how to draw and mention each value.

`everyday` makes them from the ideas that ship with the package, `real_tools` from API definitions; `requests` writes with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luthier.records import JSON, Tool
from luthier.synthesize.tools.values import Source

PLACE = re.compile(r"\{(\w+)\}")  # a parameter in a question


@dataclass(frozen=True)
class Slot:
    """One parameter: its schema, how a value is drawn, and how requests mention it (`{v}` value, `{p}` percent).

    said does not use the parameter's name, named does; ahead: the value can stand before the noun.
    """

    name: str
    schema: JSON
    required: bool
    draw: Callable[[Source], Any]
    said: tuple[str, ...]
    named: tuple[str, ...]
    ahead: bool = False

    @property
    def words(self) -> str:
        return spoken(self.name)


@dataclass(frozen=True)
class Blueprint:
    """A tool and how to ask for it. ask: imperatives ("book a hotel room"); noun: what one asks to be told, or empty; questions: what people ask
    without saying what to do, with parameters in braces ("Who ruled {country} in {year}?")."""

    tool: Tool
    slots: tuple[Slot, ...]
    ask: str
    noun: str
    domain: str
    questions: tuple[str, ...] = ()


def spoken(name: str) -> str:
    """`max_price` and `maxPrice` as "max price"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.rsplit(".", maxsplit=1)[-1]).replace("_", " ").replace("-", " ").strip().lower()
