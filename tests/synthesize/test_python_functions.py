"""Which functions of a Python module become tools, and which of their parameters: foreign types, partials, objects that can be called."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from luthier.records import Tool
from luthier.records.account import Account
from luthier.synthesize.tools.importers import import_python
from luthier.synthesize.tools.lint import lint
from luthier.synthesize.tools.pool import own_pool

CODE = '''
import functools
from dataclasses import dataclass
from typing import Optional


class Session:
    """A connection."""


@dataclass
class Place:
    city: str
    cache: Optional[Session] = None


def book(city: str, nights: int = 1, session: Optional[Session] = None, hook: "Session" = None, pool: dict[str, Session] | None = None):
    """Book a room in a hotel.

    Args:
        city: Name of the city.
        nights: How many nights.
        pool: Connections by name.
    """


def visit(place: Place, other: Optional[Place] = None):
    """Visit a place and come back."""


def send(session: Session, text: str):
    """Send a text to somebody else."""


def untyped(text, session=None):
    """Say a text to somebody else."""


def _price(city: str, nights: int, board: str = "half", *, currency: str = "EUR"):
    """Say what a room costs.

    Args:
        city: Name of the city.
        nights: How many nights.
        board: Which meals.
        currency: Code of a currency.
    """


price_in_lyon = functools.partial(_price, "Lyon", currency="CHF")
weekend_price = functools.partial(functools.partial(_price, nights=2), board="full")
weekend_price.__doc__ = "Say what a weekend costs."
a_session = functools.partial(Session)


class Caller:
    def __call__(self, city: str):
        """Call a hotel."""


call = Caller()
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "hotel_functions.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "hotel_functions", raising=False)
    return "hotel_functions"


def read(module: str) -> tuple[dict[str, Tool], list[str]]:
    """Tools by their own names, and what was left out."""
    with Account() as account:
        tools = {tool.name.rpartition(".")[2]: tool for tool in import_python(module)}
    return tools, [str(entry) for entry in account.of("left out")]


def test_an_optional_parameter_of_a_foreign_type_is_left_out_and_the_tool_stays(module: str) -> None:
    tools, left = read(module)
    assert list(tools["book"].parameters["properties"]) == ["city", "nights", "pool"]
    assert lint(tools["book"]) == []
    for name in ("session", "hook"):
        assert any(f"parameter '{name}' of 'book', of a type that is no value of JSON" in told for told in left)


def test_a_required_one_leaves_the_tool_out_with_its_reason(module: str) -> None:
    tools, _ = read(module)
    _, left = own_pool(tools.values())
    assert left["hotel_functions.send"] == "A2: a parameter has no type (parameters.session)"
    assert "hotel_functions.untyped" in left  # nobody says what kind of values it takes


def test_a_field_of_a_foreign_type_goes_where_its_object_can_do_without(module: str) -> None:
    tools, left = read(module)
    assert tools["visit"].parameters["properties"]["place"]["properties"] == {"city": {"type": "string"}}
    assert lint(tools["visit"]) == []
    assert any("field 'cache' of 'Place'" in told for told in left)


def test_partials_are_tools_of_what_they_leave_open(module: str) -> None:
    tools, left = read(module)
    lyon, weekend = tools["price_in_lyon"], tools["weekend_price"]
    assert (lyon.name, lyon.description) == ("hotel_functions.price_in_lyon", "Say what a room costs.")
    assert (list(lyon.parameters["properties"]), lyon.parameters["required"]) == (["nights", "board"], ["nights"])
    assert lyon.parameters["properties"]["nights"] == {"type": "integer", "description": "How many nights."}
    assert weekend.description == "Say what a weekend costs."
    assert (list(weekend.parameters["properties"]), weekend.parameters["required"]) == (["city", "currency"], ["city"])
    assert lint(lyon) == lint(weekend) == []
    assert any("parameters of 'price_in_lyon' whose values the partial has: city, currency" in told for told in left)


def test_what_can_be_called_and_is_no_function_is_said(module: str) -> None:
    tools, left = read(module)
    assert not {"a_session", "call"} & tools.keys()
    assert any("partial 'a_session' of what is no function" in told for told in left)
    assert any("object 'call' that can be called" in told for told in left)


def test_partials_are_taken_in_a_list_too() -> None:
    def greet(name: str, times: int = 1) -> None:
        """Greet somebody by name."""

    (tool,) = import_python([functools.partial(greet, times=2)])
    assert tool.name.endswith("greet")
    assert list(tool.parameters["properties"]) == ["name"]
