"""The site tells what is there: the drawing of the house, every page in the navigation, every front door, and code that runs as it stands."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import luthier
from test_docs import blocks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]


def rooms(line: str, between: str) -> list[str]:
    return [name.strip().removeprefix("luthier.") for name in line.replace("(", "").replace(")", "").split(between)]


def test_the_drawing_is_the_order_that_imports_are_held_to() -> None:
    drawn = re.findall(r"^│ (.*?) *│$", (DOCS / "architecture.md").read_text(), re.MULTILINE)
    assert [rooms(line, "│") for line in drawn] == [rooms(line, "|") for line in CONTRACT["layers"]]


def test_the_line_in_contributing_is_that_order_too() -> None:
    (block,) = re.findall(r"```\n(errors .*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    floors = [sorted(rooms(floor, "│")) for floor in block.split("─►")]
    assert floors == [sorted(rooms(line, "|")) for line in reversed(CONTRACT["layers"])]


def test_the_house_has_no_other_rooms() -> None:
    named = {name for line in CONTRACT["layers"] for name in rooms(line, "|")}
    found = {path.stem for path in Path(luthier.__file__).parent.iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"}
    assert found - named == {"__init__", "__main__", "doors"}


def pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in pages(each)]


def test_every_page_stands_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(pages(nav)) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_reference_names_what_is_there_and_every_front_door() -> None:
    named = re.findall(r"^::: (\S+)$", "\n".join(path.read_text() for path in (DOCS / "reference").glob("*.md")), re.MULTILINE)
    assert {name.rpartition(".")[2] for name in named} >= set(luthier.__all__)
    for name in named:
        package, _, last = name.rpartition(".")
        assert importlib.util.find_spec(package) is not None
        assert last in luthier.__all__ or importlib.util.find_spec(name) is not None, name


def made(page: str, block: int) -> dict[str, Any]:
    """What a Python block of a page defines."""
    names: dict[str, Any] = {}
    exec(blocks(DOCS / page, "python")[block], names)  # noqa: S102  (our own docs)
    return names


def test_a_selection_method_works_as_told() -> None:
    assert [row["text"] for row in made("add-selection-method.md", 0)["picked"].rows()] == ["one two three", "four five six seven"]
    picks = made("add-selection-method.md", 1)["shortest_picks"]([b"long one", b"", b"short", b"a"])
    assert [pick.index for pick in picks] == [3, 2, 0]


def test_a_reader_works_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.errors import BadRowError
    from luthier.records import formats

    monkeypatch.setattr(formats, "LAYOUTS", dict(formats.LAYOUTS))
    made("add-reader.md", 0)
    read = formats.to_conversation({"customer": "It hums.", "agent": "Turn it off.", "product": "fan", "day": 3})
    assert [(turn.role, turn.content) for turn in read.messages] == [("user", "It hums."), ("assistant", "Turn it off.")]
    assert read.extra["day"] == 3
    with pytest.raises(BadRowError, match="agent"):
        formats.to_conversation({"customer": "It hums.", "agent": 5})


def test_a_search_strategy_works_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.search.settings import SearchSettings
    from luthier.search.simulated import World
    from luthier.search.solving import search_all
    from luthier.search.strategies import STRATEGIES

    monkeypatch.setitem(STRATEGIES, "single", made("add-search-strategy.md", 0)["doubling"])
    world = World()
    for solved in search_all(
        [world.problem(n) for n in range(6)], SearchSettings(strategy="single", budget="12 calls"), world.ask, world.run
    ):
        assert solved.spent.calls <= 12
        assert solved.passes or solved.spent.calls >= 7
