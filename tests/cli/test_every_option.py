"""Every option of every command, made from the table: bad values are one line and exit code 2, and nothing is written."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from command import luthier
from luthier.cli.commands import COMMANDS, Own, Question, RunCommand, load
from luthier.settings import Entry, entries

TABLE = {words: command for words, command in COMMANDS.items() if not isinstance(command, Own)}
UNLIMITED = {"--resamples"}  # number options that may be any finite number, of which there are none today
BAD_NUMBERS = ("nan", "inf", "-inf", "1e999", "abc", "", "9" * 400, "0x1g")


def plain(annotation: Any) -> Any:
    """The type of one value of an option."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return plain(get_args(annotation)[0]) if get_origin(annotation) is tuple else annotation


def options(command: RunCommand | Question) -> list[Entry]:
    return [entry for entry in entries(load(command.settings)) if entry.spoken.kind == "option"]


def every(kinds: tuple[Any, ...]) -> Iterator[Any]:
    for words, command in TABLE.items():
        for entry in options(command):
            if plain(entry.type) in kinds or (Literal in kinds and get_origin(plain(entry.type)) is Literal):
                yield pytest.param(words, entry, id=f"{words} {entry.word}")


def said(words: str, *more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command complains of with these options, beside what it requires; it leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    settings = load(TABLE[words].settings)  # type: ignore[union-attr]
    given: list[str] = []
    for entry in entries(settings):
        if entry.spoken.required and entry.word not in more:
            given += [sample(entry)] if entry.spoken.kind == "argument" else [entry.word, sample(entry)]
    told = luthier(*words.split(), *given, *more, "--quiet", ok=False)
    assert told.code == 2
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert "Traceback" not in told.stderr
    assert list(tmp_path.iterdir()) == []
    return told.stderr


def sample(entry: Entry) -> str:
    kind = plain(entry.type)
    return (
        str(get_args(kind)[0]) if get_origin(kind) is Literal else str(entry.spoken.least or 1) if kind in (int, float) else "missing.jsonl"
    )


def pair(entry: Entry, value: str) -> list[str]:
    """The option with a value, twice where it takes two."""
    if entry.spoken.alone is not None:  # its value may be left out, so one that begins with a dash would be another option
        return [f"{entry.word}={value}"]
    many = get_origin(entry.type) is tuple and get_args(entry.type)[-1] is not Ellipsis
    return [entry.word, *([value] * len(get_args(entry.type)) if many else [value])]


@pytest.mark.parametrize(("words", "entry"), every((int, float)))
def test_a_number_that_is_none_is_refused_by_its_name(words: str, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in BAD_NUMBERS:
        told = said(words, *pair(entry, value), tmp_path=tmp_path, monkeypatch=monkeypatch)
        assert entry.word in told or (entry.spoken.alone is not None and value[:1] == "-"), value  # taken for another option


@pytest.mark.parametrize(("words", "entry"), every((int, float)))
def test_every_number_has_a_lower_limit_and_keeps_to_its_limits(
    words: str, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = entry.spoken
    assert entry.word in UNLIMITED or limits.least is not None or limits.above is not None
    outside = [
        None if limits.least is None else limits.least - 1,
        limits.above,
        limits.below,
        None if limits.most is None else limits.most + 1,
    ]
    for value in outside:
        if value is not None and math.isfinite(value):
            text = str(int(value) if plain(entry.type) is int else value)
            told = said(words, *pair(entry, text), tmp_path=tmp_path, monkeypatch=monkeypatch)
            assert entry.word in told or (entry.spoken.alone is not None and text[:1] == "-"), text


@pytest.mark.parametrize(("words", "entry"), every((Literal,)))
def test_a_choice_that_is_none_is_refused_and_the_choices_are_told(
    words: str, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = said(words, entry.word, "nonsense", tmp_path=tmp_path, monkeypatch=monkeypatch)
    assert entry.word in told
    assert all(f"'{choice}'" in told for choice in map(str, get_args(plain(entry.type))))


@pytest.mark.parametrize(("words", "entry"), every((str, Path)))
def test_a_text_with_a_nul_is_refused_by_its_name(words: str, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry.word in said(words, *pair(entry, "a\0b"), tmp_path=tmp_path, monkeypatch=monkeypatch)


@pytest.mark.parametrize("words", TABLE)
@pytest.mark.parametrize(
    "more",
    [
        ["--config", "nowhere.yaml"],
        ["--set", "nothing"],
        ["--set", "no_such_setting=1"],
        ["--set", "=1"],
        ["--no-such-option"],
        ["--config", "x" * 300],
    ],
)
def test_what_no_command_knows_is_refused(words: str, more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(words, *more, tmp_path=tmp_path, monkeypatch=monkeypatch)


ODD_PATHS = ("x" * 300, "missing.jsonl", "a/b/c/../missing.jsonl", ".")


@pytest.mark.parametrize(
    "words",
    [words for words in TABLE if words != "generate" and any(e.spoken.kind == "argument" for e in entries(load(TABLE[words].settings)))],
)  # type: ignore[union-attr]
@pytest.mark.parametrize("path", ODD_PATHS)
def test_paths_that_cannot_be_read_are_one_line(words: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(TABLE[words].settings)  # type: ignore[union-attr]
    given: list[str] = []
    for entry in entries(settings):
        if entry.spoken.kind == "argument":
            given.append(sample(entry) if get_origin(plain(entry.type)) is Literal else path)
        elif entry.spoken.required:
            given += [entry.word, sample(entry)]
    told = luthier(*words.split(), *given, "--quiet", ok=False)
    assert told.code == 2
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert [path.name for path in tmp_path.iterdir() if (path / "run.json").exists()] == []


@pytest.mark.parametrize("words", TABLE)
def test_help_lists_every_option_with_its_choices(words: str) -> None:
    text = " ".join(luthier(*words.split(), "--help").stdout.split())
    for entry in options(TABLE[words]):  # type: ignore[arg-type]
        assert entry.word in text
        if get_origin(plain(entry.type)) is Literal:
            assert "|".join(map(str, get_args(plain(entry.type)))) in text.replace(" ", "") or entry.spoken.metavar


def test_every_command_that_writes_a_file_of_a_name_can_be_told_to_replace_it() -> None:
    asked = {words: command for words, command in TABLE.items() if isinstance(command, Question)}
    named = {words for words, command in asked.items() if "out" in [each.field.name for each in entries(load(command.settings))]}
    folders = {"export"}  # whose folder is new in any case
    assert (named - folders) | {"trace export"} == {words for words, command in asked.items() if command.writes}
