"""The services' operations are read from their packages once, and what the cache gives is what the packages gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.records import Tool
from luthier.synthesize.tools import shipped_pool as shipped
from luthier.synthesize.tools.importers import import_botocore
from luthier.synthesize.tools.shipped_pool import shipped_pool


def tool(name: str, about: str, source: str) -> Tool:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "Name of the city."}}, "required": ["city"]}
    return Tool(name, about, schema, source=source, license="Apache-2.0", lineage={"from": "a test"})


TOOLS = (
    tool("getRain", "Gets the rain of the last days in a city.", "one: sky"),
    tool("getRain", "Gets the rain of the last days in a city.", "one: sky"),
    tool("bookRoom", "Books a room in a hotel for some nights.", "two: stays"),
    tool("", "Has no name.", "two: stays"),
)


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time the packages are read."""
    times: list[int] = []

    def packages(specs: tuple[str, ...], builtin: bool) -> Iterator[Tool]:
        assert (specs, builtin) == ((), True)
        times.append(1)
        yield from TOOLS

    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "import_apis", packages)
    return times


def test_the_second_time_nothing_is_read_and_all_is_the_same(read: list[int], tmp_path: Path) -> None:
    first = shipped_pool()
    assert [one.name for one in first.pool] == ["getRain", "bookRoom"]
    assert (first.pool.duplicates, first.sources) == (1, {"one": 2, "two": 2})
    assert sum(first.pool.rejected.values()) == 1
    assert shipped_pool() == first
    assert len(read) == 1
    assert [path.suffixes for path in (tmp_path / "cache" / "tools").iterdir()] == [[".jsonl", ".gz"]]


def test_other_code_or_packages_read_it_again(read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    shipped_pool()
    monkeypatch.setattr(shipped, "_key", lambda: "another")
    shipped_pool()
    assert len(read) == 2


@pytest.mark.parametrize("kept", [b"", b"{}\n", b"no gzip", "cut"])
def test_a_broken_file_is_made_anew(read: list[int], tmp_path: Path, kept: bytes | str) -> None:
    first = shipped_pool()
    (path,) = (tmp_path / "cache" / "tools").iterdir()
    path.write_bytes(kept if isinstance(kept, bytes) else path.read_bytes()[:-20])
    assert shipped_pool() == first == shipped_pool()
    assert len(read) == 2


def test_a_cache_that_cannot_be_written_costs_time_only(read: list[int], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert shipped_pool() == shipped_pool()
    assert len(read) == 2


def test_every_importer_is_part_of_the_key() -> None:
    assert Path(import_botocore.__code__.co_filename).parent == Path(shipped.__file__).parent / "importers"
    assert len(shipped._key()) == 32
