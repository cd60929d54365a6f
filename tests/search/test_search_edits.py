"""Answers as edits: docstrings and decorators stay, methods are found inside classes, and what is no edit says why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from luthier.search.edits import Edit, Refused, edited, function_at, functions_in
from luthier.search.worktree import Worktree

LONG = "\n".join(f"        Line {number} of what it does." for number in range(12))
SOURCE = f'''import functools


class Pair:
    @property
    def total(self):
        """The sum.

{LONG}
        """
        return self.one - self.other

    def get(self, at):
        return [self.one, self.other][at + 1]


class Box:
    def get(self, name):
        return self.content[name]


def twice(x):
    return 3 * x
'''


@pytest.fixture
def tree(tmp_path: Path) -> Worktree:
    (tmp_path / "pair.py").write_text(SOURCE)
    return Worktree(tmp_path)


def edit(tree: Worktree, program: str) -> str | Refused:
    lines = [number for number, line in enumerate(SOURCE.splitlines(), 1) if line.lstrip().startswith("def ")]
    functions = [one for line in lines if (one := function_at(tree, "pair.py", line)) is not None]
    assert [one.name for one in functions] == ["total", "get", "get", "twice"]
    made = edited(tree, functions, program)
    return made.files["pair.py"] if isinstance(made, Edit) else made


def test_a_long_docstring_is_shown_by_its_first_lines_and_kept(tree: Worktree) -> None:
    one = function_at(tree, "pair.py", 6)
    assert one is not None
    assert one.shown == '@property\ndef total(self):\n    """The sum."""\n    return self.one - self.other\n'
    for program in (
        'def total(self):\n    """The sum."""\n    return self.one + self.other\n',
        "def total(self):\n    return self.one + self.other\n",
        "class Pair:\n    @property\n    def total(self):\n        return self.one + self.other\n",
        "  def total(self):\n      return self.one + self.other\n",
    ):
        made = edit(tree, program)
        assert isinstance(made, str)
        assert ast.dump(ast.parse(made)) == ast.dump(ast.parse(SOURCE.replace("self.one - self", "self.one + self")))


def test_of_functions_with_one_name_the_most_alike_is_meant(tree: Worktree) -> None:
    assert edit(tree, "def get(self, at):\n    return [self.one, self.other][at]") == SOURCE.replace("at + 1", "at")
    assert edit(tree, "def get(self, name):\n    return self.content.get(name)") == SOURCE.replace("content[name]", "content.get(name)")


def test_all_functions_of_an_answer_are_changed(tree: Worktree) -> None:
    made = edit(tree, "def total(self):\n    return self.one - self.other\n\ndef twice(x):\n    return 2 * x\n")
    assert made == SOURCE.replace("3 * x", "2 * x")


def test_an_edit_is_as_large_as_what_differs(tree: Worktree) -> None:
    one = function_at(tree, "pair.py", SOURCE[: SOURCE.index("3 * x")].count("\n") + 1)
    assert one is not None
    sizes = []
    for program in ("def twice(x):\n    return 2 * x", "def twice(x):\n    return x + x", "def twice(x):\n    y = x\n    return 2 * y"):
        made = edited(tree, [one], program)
        assert isinstance(made, Edit)
        sizes.append((made.size, made.characters))
    assert sizes[0] == (2, 2)
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("def twice(x:", "no Python"),
        ("from pair import twice", "changes none of the functions"),
        ("def twice(x):\n    return 3 * x", "leaves twice as it was"),
    ],
)
def test_what_is_no_edit_says_why(program: str, why: str, tree: Worktree) -> None:
    made = edit(tree, program)
    assert isinstance(made, Refused)
    assert why in made.why


def test_no_python_has_no_functions() -> None:
    assert functions_in("def (") == []
