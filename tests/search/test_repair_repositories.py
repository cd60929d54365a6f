"""Repositories as people have them: tests by any name, files that cannot be imported, other encodings, links, settings of pytest."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from scripted_models import Says

from luthier.errors import MissingFileError
from luthier.progress import Progress, quiet
from luthier.run import RunRecord
from luthier.sandbox import Sandbox
from luthier.search import repair_page, repairing, worktree
from luthier.search.edits import Edit, Refused, edited, function_at
from luthier.search.repairing import RepairSettings, patch
from luthier.search.worktree import Ran, Worktree
from luthier.texts.sources import Source

WRONG = "def total(items):\n    return sum(items) + 1\n"
RIGHT = "def total(items):\n    return sum(items)\n"
TEST = "from cart import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
EMPTY = "\n\ndef test_empty():\n    assert total([]) == 0\n"


@pytest.fixture
def root(tmp_path: Path, box: Sandbox, without_plugins: None) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "cart.py").write_text(WRONG)
    (root / "test_cart.py").write_text(TEST)
    return root


class Said(Progress):
    """Keeps what is said."""

    command, replace = "", False

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def repaired(root: Path, *answers: str, test: str = "test_cart.py::test_total", **more: object) -> tuple[str, RunRecord, Says]:
    """What the command says, its record and its model."""
    model, out = Says(*answers), root.parent / "run"
    progress = more.pop("progress", quiet)
    how = {"lines": "never", "strategy": "best-of-n", "budget": f"{len(answers)} calls", "suite_seconds": 60.0} | more
    made = repairing.run(RepairSettings(test, root=str(root), **how), out, progress, model=model)  # type: ignore[arg-type]
    return repair_page.lines(made)[0], RunRecord.read(out), model


def applied(root: Path) -> None:
    subprocess.run(["git", "apply", str(root.parent / "run" / "fix.patch")], cwd=root, check=True)


def test_a_test_is_never_what_is_edited(root: Path) -> None:
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\npython_files = ['tests.py', 'checks_*.py', 'test_*.py']\n")
    (root / "checks_cart.py").write_text(TEST)
    told, record, model = repaired(root, "def test_total():\n    assert True", test="checks_cart.py::test_total", functions=3, apart=False)
    assert "no fix found" in told
    assert record.results("search")["functions"] == ["cart.py:1 total"]
    assert "assert total([1, 2]) == 3" in model.asked[0]


def test_code_with_examples_of_its_own_is_edited(root: Path) -> None:
    (root / "pytest.ini").write_text("[pytest]\naddopts = --doctest-modules\n")
    (root / "cart.py").write_text(
        'def total(items):\n    """All.\n\n    >>> total([])\n    0\n    """\n    return sum(items) + bool(items)\n'
    )
    (root / "linked").symlink_to(root / "cart.py")
    told, _, _ = repaired(root, 'def total(items):\n    """All.\n\n    >>> total([])\n    0\n    """\n    return sum(items)')
    assert "fixed in cart.py" in told


def test_a_folder_of_code_that_a_link_names_is_patched_where_it_lies(root: Path) -> None:
    (root / "src" / "shop").mkdir(parents=True)
    (root / "cart.py").rename(root / "src" / "shop" / "cart.py")
    (root / "shop").symlink_to("src/shop")
    (root / "test_cart.py").write_text(TEST.replace("from cart", "from shop.cart"))
    told, _, _ = repaired(root, RIGHT)
    assert "fixed in src/shop/cart.py" in told
    applied(root)


def test_a_module_that_cannot_be_imported_hides_no_other(root: Path) -> None:
    (root / "test_cart.py").write_text(TEST + EMPTY)
    (root / "test_a.py").write_text("import a_package_that_is_not_here\n")
    (root / "cart.py").write_text("def total(items):\n    return sum(items) + bool(items)\n")
    told, record, _ = repaired(root, "def total(items):\n    return 3")
    assert "no fix found" in told
    assert record.results("search")["suite"]["not_imported"] == ["test_a.py"]


def test_tests_that_failed_before_do_not_end_the_suite(root: Path) -> None:
    broken = "import os, pytest\n\n\n@pytest.mark.parametrize('n', range(60))\ndef test_live(n):\n    assert os.environ['DATABASE_URL']\n"
    (root / "test_a_live.py").write_text(broken)
    (root / "test_cart.py").write_text(TEST + EMPTY.replace("0", "1"))
    told, record, _ = repaired(root, RIGHT.replace("sum(items)", "sum(items) if items else 1"))
    assert "fixed in cart.py" in told
    assert record.results("search")["suite"] == {"passed": 1, "failed": 61, "not_imported": []}


@pytest.mark.parametrize(
    "content",
    [
        WRONG.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + WRONG.encode(),
        ("# -*- coding: latin-1 -*-\nNAME = 'Zoë'\n" + WRONG).encode("latin-1"),
        ("A = 1\n\x0c\nB = '\x1c'\n" + WRONG).encode(),
        ("A = 1\r\nB = 2\n" + WRONG).encode(),
        WRONG.rstrip("\n").encode(),
    ],
)
def test_whatever_form_a_file_has_it_keeps(content: bytes, tmp_path: Path) -> None:
    before, wanted = Source.of(content), content.replace(b" + 1", b"")
    after = before.written(before.text.replace(" + 1", ""))
    assert after == wanted
    (tmp_path / "cart.py").write_bytes(content)
    (tmp_path / "fix.patch").write_bytes(patch("cart.py", content, after))
    subprocess.run(["git", "apply", "fix.patch"], cwd=tmp_path, check=True)
    assert (tmp_path / "cart.py").read_bytes() == wanted


def test_a_file_with_carriage_returns_and_marks_is_repaired(root: Path) -> None:
    (root / "cart.py").write_bytes(b"\xef\xbb\xbfA = 1\r\n\x0c\r\n" + WRONG.replace("\n", "\r\n").encode())
    told, _, _ = repaired(root, RIGHT)
    assert "fixed in cart.py" in told
    applied(root)
    assert (root / "cart.py").read_bytes() == b"\xef\xbb\xbfA = 1\r\n\x0c\r\n" + RIGHT.replace("\n", "\r\n").encode()


def edit_of(root: Path, answer: str) -> Edit | Refused:
    """What an answer makes of the function in cart.py."""
    with Worktree(root) as tree:
        line = next(number for number, text in enumerate(tree.read("cart.py").split("\n"), 1) if text.startswith("def total"))
        one = function_at(tree, "cart.py", line)
        assert one is not None
        return edited(tree, [one], answer)


def test_a_character_that_the_file_cannot_hold_is_no_edit(root: Path) -> None:
    (root / "cart.py").write_bytes(("# coding: latin-1\n" + WRONG).encode("latin-1"))
    edit = edit_of(root, "def total(items):\n    return sum(items)  # →")
    assert isinstance(edit, Refused)
    assert "characters that cart.py cannot hold" in edit.why


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        ('"""Carts."""\n\nfrom __future__ import annotations\n\nimport os\n\n\n', "import os\nimport math as m\n"),
        ('"""Carts."""\n\n\n', '"""Carts."""\nimport math as m\n'),
        ("#!/usr/bin/env python\n# coding: utf-8\n\n", "# coding: utf-8\nimport math as m\n"),
        ("", "import math as m\ndef total"),
    ],
)
def test_imports_of_an_answer_come_along_where_they_are_used(head: str, wanted: str, root: Path) -> None:
    (root / "cart.py").write_text(head + WRONG)
    answer = f"import json\nimport math as m\nfrom your_module import other\n\n{RIGHT.replace('sum(', 'm.fsum(')}"
    edit = edit_of(root, answer)
    assert isinstance(edit, Edit)
    assert wanted in edit.files["cart.py"]
    assert "json" not in edit.files["cart.py"]
    assert "your_module" not in edit.files["cart.py"]


def test_what_the_file_knows_is_not_imported_again(root: Path) -> None:
    (root / "cart.py").write_text("def m():\n    return 1\n\n\n" + WRONG)
    edit = edit_of(root, f"import math as m\n\n{RIGHT.replace('sum(', 'm.fsum(')}")
    assert isinstance(edit, Edit)
    assert "import" not in edit.files["cart.py"]


def test_links_inside_are_there_and_others_are_named(root: Path) -> None:
    (root / "real").mkdir()
    (root / "real" / "n.txt").write_text("3")
    (root / "data").symlink_to("real")
    (root / "absolute").symlink_to(root / "real")
    (root / "outside").symlink_to("/etc")
    told_by = "assert total([1, 2]) == int(open('data/n.txt').read()) == int(open('absolute/n.txt').read())"
    (root / "test_cart.py").write_text(TEST.replace("assert total([1, 2]) == 3", told_by))
    told, record, _ = repaired(root, RIGHT)
    assert "fixed in cart.py" in told
    assert record.results("search")["left_out"] == ["outside"]
    with Worktree(root) as tree:
        assert (tree.path / "data").is_symlink()
        assert not (tree.path / "outside").exists()


def test_temporary_files_inside_the_repository_are_no_part_of_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "build" / "tmp"
    deep.mkdir(parents=True)
    (deep / "notes.txt").write_text("mine")
    (tmp_path / "cart.py").write_text(WRONG)
    for place in (deep, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(place))
        with Worktree(tmp_path) as tree:
            assert sorted(str(path.relative_to(tree.path)) for path in tree.path.rglob("*") if path.is_file()) == [
                "build/tmp/notes.txt",
                "cart.py",
            ]
            assert tree.left_out == ()


def test_a_test_file_that_is_not_there_is_named_before_anything_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cart.py").write_text(WRONG)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))  # no copy could be made
    with pytest.raises(MissingFileError, match=r"test_m\.py: no such file; name the test as PATH::TEST, its path from --root"):
        repairing.run(RepairSettings("test_m.py::test_f", model="nothing", root=str(tmp_path)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_one_edit_does_to_the_tree_is_undone_before_the_next(root: Path) -> None:
    (root / "n.txt").write_text("3")
    (root / "kept").mkdir()
    (root / "test_cart.py").write_text(TEST.replace("== 3", "== int(open('n.txt').read())"))
    spoils = "    import os, shutil\n    open('n.txt', 'w').write('10')\n    os.makedirs('new/deep'); open('new/deep/x', 'w').close(); os.rmdir('kept')\n"
    told, _, _ = repaired(root, f"def total(items):\n{spoils}    return -1", RIGHT)
    assert "fixed in cart.py" in told
    with Worktree(root) as tree:
        before = sorted(str(path) for path in tree.path.rglob("*"))
        tree.test(["test_cart.py"], changes={"cart.py": f"def total(items):\n{spoils}    return 10\n"}, seconds=60)
        assert sorted(str(path) for path in tree.path.rglob("*")) == before
        assert (tree.path / "n.txt").read_text() == "3"


def test_a_test_that_hangs_is_one_that_fails(root: Path) -> None:
    (root / "cart.py").write_text("def total(items):\n    while True:\n        pass\n")
    told, _, model = repaired(root, RIGHT, suite_seconds=6.0)
    assert "fixed in cart.py" in told
    assert "no end within" in model.asked[0]


SLOW = "import sys, time\nfrom cart import total\n\n\ndef test_total():\n    if sys.gettrace():\n        time.sleep(99)\n    assert total([1, 2]) == 3\n"


def test_a_test_that_comes_to_no_end_when_it_is_followed_is_told_and_its_traceback_goes(root: Path) -> None:
    (root / "cart.py").write_text(
        "def total(items):\n    return sum(items) + one(items)\n\n\ndef one(items):\n    raise ValueError(items)\n"
    )
    (root / "test_cart.py").write_text(SLOW)
    told = Said()
    fix = "def total(items):\n    return sum(items)\n"
    line, record, _ = repaired(root, fix, suite_seconds=6.0, apart=False, progress=told)
    assert "fixed in cart.py" in line
    assert record.results("search")["functions"] == ["cart.py:5 one", "cart.py:1 total"]
    assert any("when it was followed, the failing test came to no end within 3 s" in one for one in told.said)


class Mute(Worktree):
    """One whose followed runs are ended from outside."""

    def test(self, *args: Any, follow: bool = False, **more: Any) -> Ran:
        return Ran({}, {}, {}, {}, said="no end within 8 s") if follow else super().test(*args, **more)


@pytest.mark.parametrize("lines", ["never", "only"])
def test_a_test_that_tells_nothing_when_it_is_followed_is_repaired_by_its_traceback(
    root: Path, lines: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "Worktree", Mute)
    (root / "cart.py").write_text("def total(items):\n    return sum(items) + one\n")
    told = Said()
    assert "fixed in cart.py" in repaired(root, RIGHT, lines=lines, progress=told)[0]
    assert any("the failing test told nothing (no end within 8 s), so that its traceback alone is known" in one for one in told.said)
    assert any("the tests of its file told nothing" in one for one in told.said)


def test_where_neither_following_nor_the_traceback_knows_a_function_it_is_said_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairing, "Worktree", Mute)
    with pytest.raises(repairing.SettingsError, match=r"no function that could be edited: .*no end within 8 s.*--suite-seconds"):
        repaired(root, RIGHT)


@pytest.mark.parametrize("options", ["--ff -n 2"])
def test_settings_of_pytest_do_not_hide_the_test(options: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(worktree.ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # `-n` is one's of xdist
    (root / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\n")
    assert "fixed in cart.py" in repaired(root, RIGHT)[0]


def test_an_option_of_a_plugin_that_is_not_there_is_told_as_that(root: Path) -> None:
    (root / "pytest.ini").write_text("[pytest]\naddopts = --a-plugin-of-theirs=3\n")
    with pytest.raises(repairing.SettingsError, match=r"pytest did not start .*--python names an interpreter"):
        repaired(root, RIGHT)


def test_a_whole_function_is_taken_where_a_line_was_asked_for(root: Path) -> None:
    assert "fixed in cart.py" in repaired(root, RIGHT, lines="only")[0]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# coding: nonsense\n"])
def test_bytes_that_are_no_text_are_told(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Source.of(content)
