"""Java and JavaScript as the leaderboard's own parsers read them, where tree-sitter is installed; told where it is not."""

from __future__ import annotations

import pytest

from luthier.errors import LuthierError
from luthier.evaluate import bfcl_source_decoding
from luthier.evaluate.bfcl_decoding import DecodingError
from luthier.evaluate.bfcl_source_decoding import can_parse_source, decode_source, source_reader
from luthier.evaluate.tool_verdicts import judge
from luthier.evaluate.tools_page import OWN_READER
from luthier.models import Completion
from luthier.records.bfcl import Item

needs_parsers = pytest.mark.usefixtures("parsers")


@pytest.fixture
def parsers(bfcl: dict[str, list[Item]]) -> None:
    if not can_parse_source():
        pytest.skip("tree-sitter is not installed: pip install 'luthier[bfcl]'")


@needs_parsers
@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("Java", 'A.b(x="y", n=5, on=true)', [{"A.b": {"x": "y", "n": "5", "on": "true"}}]),
        (
            "Java",
            '[f(list=new ArrayList<String>(Arrays.asList("a", "b")))]',
            [{"f": {"list": 'new ArrayList<String>(Arrays.asList("a", "b"))'}}],
        ),
        ("Java", "f(new A().run(x=1))", [{"f": {}}]),
        (
            "JavaScript",
            "```\n[go(x='y', f=(a) => a + 1, o={a: [1, 2]})]\n```",
            [{"go": {"x": "y", "f": "(a) => a + 1", "o": "{a: [1, 2]}"}}],
        ),
        ("JavaScript", "go(x)", [{"go": {None: "x"}}]),
    ],
)
def test_calls_are_read_as_source(language: str, text: str, expected: list[object]):
    assert decode_source(text, language) == expected


@needs_parsers
@pytest.mark.parametrize("language", ["Java", "JavaScript"])
@pytest.mark.parametrize("text", ["f(x=", "None of the functions fits.", "[]", "", "f(x=1, x=2)", "[" * 50_000, "f(x=" + "(" * 200_000])
def test_what_they_do_not_read_is_no_call(language: str, text: str):
    with pytest.raises(DecodingError):
        decode_source(text, language)


@needs_parsers
def test_official_verdicts_follow_them_and_strict_ones_luthiers_reading(bfcl: dict[str, list[Item]]):
    item = next(item for item in bfcl["simple_java"] if item.id == "simple_java_0")
    ((name, arguments),) = item.truth[0].items()
    said = ", ".join(
        f'{key}="{values[0]}"' if isinstance(values[0], str) else f"{key}={values[0]}".lower() for key, values in arguments.items()
    )
    row = judge(item, Completion(f"{name}({said})", "stop", 1, 1), "free")
    assert row.official
    assert not judge(item, Completion(f"{name}({said}", "stop", 1, 1), "free").official


def test_who_reads_them_is_told(monkeypatch: pytest.MonkeyPatch):
    assert source_reader(["multiple"]) == ""
    monkeypatch.setattr(bfcl_source_decoding, "can_parse_source", lambda: False)
    assert source_reader(["multiple", "simple_java"]) == "luthier"
    assert "luthier[bfcl]" in OWN_READER
    with pytest.raises(LuthierError, match="tree-sitter"):
        decode_source("f()", "Java")
    monkeypatch.setattr(bfcl_source_decoding, "can_parse_source", lambda: True)
    assert source_reader(["simple_javascript"]) == "tree-sitter"
