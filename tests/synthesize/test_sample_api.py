"""The API that ships with the package: read whole, every operation can be called, and a folder of its name does not hide it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from luthier.errors import ToolSpecError
from luthier.synthesize.tools.apis import SAMPLE, api_reads, import_apis
from luthier.synthesize.tools.callable_tools import callable_tools
from luthier.synthesize.tools.lint import lint
from luthier.synthesize.tools.own_dialogues import own_dialogues


def test_all_ten_operations_are_sound_and_can_be_called() -> None:
    tools = list(import_apis([SAMPLE]))
    assert len(tools) == 10
    assert [finding for tool in tools for finding in lint(tool)] == []
    assert len(callable_tools(tools)[0]) == 10
    assert {tool.license for tool in tools} == {"Apache-2.0"}
    ((name, path),) = api_reads([SAMPLE])
    assert (name, path.name) == ("sample", "library_desk.yaml")


def test_a_folder_of_that_name_does_not_hide_it_and_a_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample").mkdir()
    assert len(list(import_apis([SAMPLE]))) == 10
    (tmp_path / "sample").rmdir()
    (tmp_path / "sample").write_text("openapi: 3.0.0\ninfo: {title: T, version: '1'}\npaths: {}\n")
    with pytest.raises(ToolSpecError, match="sample: no operation"):
        list(import_apis([SAMPLE]))


def test_requests_about_it_are_said_as_people_say_them() -> None:
    rows = list(own_dialogues(400, list(import_apis([SAMPLE])), seed=5))
    told = "\n".join(str(one.content) for row in rows for one in row.messages if one.role == "user")
    assert not re.search(r"(?i)\b(like|want|need|have) to tell\b|\btell when|the people (is|are)|list only overdue", told)
    for said in (
        r"know when (a|the \w+) branch",
        r"[Tt]ell me when the (central|hillside|harbour) branch",
        r", not only overdue",
        r"books by [A-Z]",
    ):
        assert re.search(said, told), said
    assert "the number of people is" in told
