"""The documentation keeps its word: links lead somewhere, Python blocks parse and import, commands and options exist."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from luthier.cli.main import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    lines = [line.split("#")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("luthier ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_parse_and_their_names_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("luthier"):
                module = importlib.import_module(node.module or "")
                for name in node.names:
                    is_module = (Path(module.__file__ or "").parent / f"{name.name}.py").is_file()
                    assert hasattr(module, name.name) or is_module, f"{page.name}: {node.module}.{name.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page):
        command, rest = resolve(words)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("--")} <= known | {"--help"}, f"{page.name}: {words}"


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words call, and what is left of them; `a|b` stands for either, bare `run` for its first flow."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest.pop(0).split("|")[0])
        assert found is not None, words
        command = found
    if isinstance(command, click.Group):
        command = command.commands.get("tools", command)
    return command, rest


def test_every_benchmark_that_is_named_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"benchmarks/(\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / "benchmarks" / name).is_file() or name == "NAME.py", f"{page.name}: {name}"


def test_the_readme_has_the_two_commands_and_no_open_place() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make run" in text
    assert "make test" in text
    assert not [page.name for page in PAGES if "@@" in page.read_text(encoding="utf-8")]
