"""Every example runs to its end in an empty folder, with a tiny model in place of a real one, and is short."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.errors import FetchError, SandboxError
from luthier.sandbox import Sandbox

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
NOTEBOOKS = sorted((FOLDER / "notebooks").glob("*.py"))
WITH_MODEL = {
    "decode",
    "flat_training",
    "fusion",
    "preference",
    "probe",
    "retrieval",
    "search",
    "trace",
}  # the first word is a model or an embedder
WITH_SANDBOX = {"sandbox_reward", "search"}


@pytest.fixture(scope="module")
def sandbox() -> None:
    try:
        with Sandbox():
            pass
    except SandboxError as problem:
        pytest.skip(str(problem))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(
    path: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if path.stem in WITH_SANDBOX:
        request.getfixturevalue("sandbox")
    model = shutil.copytree(tiny_model_folder, tmp_path / "tiny") if path.stem in WITH_MODEL else None
    monkeypatch.setattr(sys, "argv", [str(path), *([] if model is None else [str(model)])])
    monkeypatch.chdir(tmp_path)
    try:
        runpy.run_path(str(path), run_name="__main__")
    except FetchError as problem:
        pytest.skip(str(problem))
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_the_script_it_is(path: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    """In a process of its own, as a reader would: marimo keeps the app of a process."""
    pytest.importorskip("marimo", reason="the extra `notebooks` is not installed")
    model = shutil.copytree(tiny_model_folder, tmp_path / "tiny")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(path), *(["--model", str(model)] if "--model" in path.read_text() else [])]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_two_notebooks_and_they_are_short() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["choosing_data", "probing_and_comparing"]
    assert [path.name for path in NOTEBOOKS if len(path.read_text().splitlines()) > 160] == []


def test_every_method_has_an_example_that_fits_on_a_page() -> None:
    assert {path.stem for path in EXAMPLES} == WITH_MODEL | {"sandbox_reward", "select_rows", "tools"}
    assert [path.name for path in EXAMPLES if len(path.read_text().splitlines()) > 50] == []
