"""Settings refuse what has no meaning, whoever builds them, and are filled from files and words alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SettingsError
from luthier.settings import REQUIRED, argument, check, configured, entries, group, option, section


@dataclass(frozen=True)
class Inner:
    """A group."""

    depth: int = option(3, "Depth.", least=1, most=9)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Outer:
    """A command."""

    data: tuple[str, ...] = argument("Files.", required=True)
    share: float = option(0.5, "Share.", above=0, most=1)
    rate: float | None = option(None, "Rate.", "--learning-rate", least=0)
    way: Literal["near", "far"] = option("near", "Way.")
    pair: tuple[float, float] = option((0.0, 1.0), "Two numbers.")
    whole: bool = option(True, "Whole.")
    inner: Inner = group(Inner)
    sft: dict[str, Any] = section("Fields of a library.")

    def __post_init__(self) -> None:
        check(self)


BAD = {
    "share": [0, -1, 1.5, math.nan, math.inf, "much", True],
    "rate": [-0.1, math.nan, math.inf],
    "way": ["middle", 3, None],
    "pair": [(math.nan, 1.0), 3.0],
    "whole": ["yes", 1],
    "data": [(), "a.jsonl", ("a\0b",)],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_without_meaning_is_refused_by_name(name: str, value: Any) -> None:
    given = {"data": ("a",), name: value}
    word = {"data": "DATA", "rate": "--learning-rate"}.get(name, f"--{name}")
    with pytest.raises(SettingsError, match=word):
        Outer(**given)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_is_taken_within_its_limits_alone(value: float) -> None:
    if 0 < value <= 1:
        assert Outer(("a",), share=value).share == value
    else:
        with pytest.raises(SettingsError):
            Outer(("a",), share=value)


def test_whole_numbers_fit_what_the_libraries_hold() -> None:
    with pytest.raises(SettingsError, match="--depth is 10; give a whole number from 1 to 9"):
        Inner(depth=10)
    with pytest.raises(SettingsError):
        Inner(depth=2.0)  # type: ignore[arg-type]


def test_files_then_words_then_changes(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("data: [a.jsonl]\nshare: 0.25\nlearning-rate: 1e-3\ndepth: 5\nsft:\n  packing: true\n  lr: 1e-4\n")
    made = configured(Outer, config, ["sft.seed=3", "way=far", "depth=7"], {"share": 0.75})
    assert made == Outer(("a.jsonl",), share=0.75, rate=1e-3, way="far", inner=Inner(depth=7), sft={"packing": True, "lr": 1e-4, "seed": 3})


@pytest.mark.parametrize(
    ("config", "changes", "told"),
    [
        ("shares: 1", (), "did you mean share"),
        ("[1, 2]", (), "give settings by name"),
        ("a: [", (), "not YAML"),
        ("sft: 3", (), "sft is a section"),
        ("", ("share",), "write it as NAME=VALUE"),
        ("", ("share.x=1",), "share has no parts"),
        ("", ("share=[",), "not YAML"),
        ("", ("depth=ten",), "--depth is ten"),
        ("way: 3", (), "--way is 3"),
    ],
)
def test_files_and_changes_that_say_nothing_known_are_refused(config: str, changes: tuple[str, ...], told: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(config)
    with pytest.raises(SettingsError, match=told):
        configured(Outer, path, changes, {"data": ("a",)})


def test_what_is_required_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="DATA is missing"):
        configured(Outer)

    @dataclass(frozen=True)
    class Needs:
        """Needs a file."""

        out: str = option(REQUIRED, "Where to.")

    with pytest.raises(SettingsError, match="--out is missing: Where to"):
        configured(Needs)


def test_words_of_a_field() -> None:
    words = {entry.field.name: entry.words for entry in entries(Outer)}
    assert words["rate"] == ("--learning-rate",)
    assert words["depth"] == ("--depth",)
