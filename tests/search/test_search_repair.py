"""A failing test of a small repository: what may be edited, what is a fix, and that the tree is never touched."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from scripted_models import Says

from luthier.errors import SettingsError
from luthier.run import RunRecord
from luthier.sandbox import Sandbox
from luthier.search import repair_page, repairing
from luthier.search.repairing import RepairSettings
from luthier.search.worktree import Worktree

SOURCE = '''"""Sums."""


class Sums:
    def __init__(self, values):
        self.values = values

    @property
    def total(self):
        """All of them."""
        return add(self.values) + 1


def add(values):
    return sum(values)


def unused(values):
    return 0
'''
TESTS = """from sums import Sums, add


def test_total():
    assert Sums([1, 2]).total == 3


def test_add():
    assert add([1, 2]) == 3
"""


class Fixer(Says):
    """Breaks another test first, then writes something that is no function of the repository, then a large fix, then the smallest."""

    def __init__(self) -> None:
        super().__init__(
            "def add(values):\n    return sum(values) - 1",
            "def nothing():\n    pass",
            'def total(self):\n    """All\n    of\n    them."""\n    found = add(self.values)\n    return found',
            'def total(self):\n    """All of them."""\n    return add(self.values)',
        )


@pytest.fixture
def repository(tmp_path: Path, box: Sandbox, without_plugins: None) -> Path:
    root = tmp_path / "repository"
    (root / "tests").mkdir(parents=True)
    (root / "sums.py").write_text(SOURCE)
    (root / "tests" / "test_sums.py").write_text(TESTS)
    return root


def hashes(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def test_the_smallest_edit_that_passes_everything_is_the_patch(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, before = Fixer(), hashes(repository)
    monkeypatch.setattr(RepairSettings, "open", lambda self: model)
    settings = RepairSettings(
        "tests/test_sums.py::test_total",
        root=str(repository),
        apart=False,
        lines="never",
        strategy="best-of-n",
        budget="4 calls",
        stop="never",
    )
    made = repairing.run(settings, tmp_path / "run")
    assert hashes(repository) == before
    assert "page_problem" not in made.record
    told = repair_page.lines(made)
    assert "fixed in sums.py, 2 lines changed" in told[0]
    patch = tmp_path / "run" / "fix.patch"
    subprocess.run(["git", "apply", str(patch)], cwd=repository, check=True)
    assert (repository / "sums.py").read_text() == SOURCE.replace(" + 1", "")
    outcomes = [
        [test["kind"] for test in json.loads(line)["tried"]["tests"]]
        for line in (tmp_path / "run" / "programs.jsonl").read_text().splitlines()
    ]
    assert outcomes == [["passed", "wrong_answer"], ["load_error"] * 2, ["passed"] * 2, ["passed"] * 2]
    assert "def total" in model.asked[0]
    assert "def add" in model.asked[0]
    assert "def unused" not in model.asked[0]
    assert "assert Sums([1, 2]).total == 3" in model.asked[0]


def test_what_went_wrong_is_told_to_the_next_attempt(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fixer()
    monkeypatch.setattr(RepairSettings, "open", lambda self: model)
    settings = RepairSettings(
        "tests/test_sums.py::test_total", root=str(repository), apart=False, lines="never", strategy="ldb", budget="4 calls"
    )
    repairing.run(settings, tmp_path / "run")
    assert "breaks tests/test_sums.py::test_add" in model.asked[1]
    assert "changes none of the functions" in model.asked[2]


def test_a_line_is_written_anew_without_being_seen(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fixer()
    model.answers = ("return add(self.values)",)
    settings = RepairSettings("tests/test_sums.py::test_total", root=str(repository), lines="only", budget="4 calls")
    made = repairing.run(settings, tmp_path / "run", model=model)  # type: ignore[arg-type]
    assert "fixed in sums.py, 2 lines changed" in repair_page.lines(made)[0]
    assert "# MISSING" in model.asked[0]
    assert "add(self.values) + 1" not in model.asked[0]
    assert RunRecord.read(made.path).results("search")["functions"][0] == "sums.py:8 total"  # add is called by a test that passes as well


@pytest.mark.parametrize(("test", "part"), [("test_add", "nothing to repair"), ("test_none", "finds no test")])
def test_what_cannot_be_repaired_is_one_line(test: str, part: str, repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=part):
        repairing.run(RepairSettings(f"tests/test_sums.py::{test}", root=str(repository)), tmp_path / "run")
    with pytest.raises(SettingsError, match="name one test"):
        RepairSettings("tests/test_sums.py")


def test_tests_see_neither_the_machine_nor_the_network_and_end_in_time(repository: Path) -> None:
    (repository / "tests" / "test_walls.py").write_text(
        "import os, socket, pathlib, pytest, time\n\n\ndef test_walls():\n    assert not pathlib.Path('/etc/passwd').exists()\n"
        f"    assert not pathlib.Path({str(Path.home() / '.cache')!r}).exists()\n"
        "    with pytest.raises(OSError):\n        socket.create_connection(('1.1.1.1', 80), 1)\n"
        "    assert 'SECRET' not in os.environ\n\n\ndef test_hangs():\n    time.sleep(60)\n"
    )
    with Worktree(repository) as tree:
        found = tree.test(["tests/test_walls.py::test_walls"], changes={}, seconds=30)
        assert found.passed == {"tests/test_walls.py::test_walls"}, found
        hung = tree.test(["tests/test_walls.py::test_hangs"], changes={}, seconds=12)
        (told,) = (hung.texts[name] for name in hung.failed)
        assert "no end within 4 s" in told
        assert "time.sleep(60)" in told
