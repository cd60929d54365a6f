"""Every command that keeps a run: its page, what it computes again, what it refuses. Made from the table, on the least it can run on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_cases import CASES, ELSEWHERE, Materials

from command import luthier
from luthier.cli.commands import COMMANDS, RunCommand
from luthier.errors import FetchError
from luthier.packages import BFCL, fetch_wheel
from luthier.sandbox import Sandbox
from luthier.search import worktree

OWN = {"run.json", "report.html", ".lock"}
NEEDS_SANDBOX = {"evaluate code", "search run", "search compare", "search repair"}
NEEDS_BFCL = {"evaluate tools", "synthesize tools"}


@pytest.fixture(scope="module", autouse=True)
def _without_plugins() -> Iterator[None]:
    """The repository that is repaired needs none of the plugins of pytest in this environment, which take most of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(worktree.ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Materials:
    return Materials(tmp_path_factory.mktemp("materials"), tiny_model_folder)


@pytest.fixture(scope="module")
def finished(at: Materials, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs a command once, and gives its words and its folder."""
    known: dict[str, tuple[list[str], Path]] = {}

    def run(name: str) -> tuple[list[str], Path]:
        if name not in known:
            if name in NEEDS_BFCL:
                try:
                    fetch_wheel(BFCL)
                except FetchError as problem:
                    pytest.skip(str(problem))
            if name in NEEDS_SANDBOX and not Sandbox(workers=1).doctor().sound:
                pytest.skip("programs cannot be confined on this machine")
            out = tmp_path_factory.mktemp("runs") / name.replace(" ", "-")
            words = [*name.split(), *map(str, CASES[name](at)), "--quiet", "--out", str(out)]
            luthier(*words)
            known[name] = words, out
        return known[name]

    return run


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def test_every_command_that_keeps_a_run_has_a_case() -> None:
    assert {words for words, command in COMMANDS.items() if isinstance(command, RunCommand)} == {*CASES, *ELSEWHERE}


@pytest.mark.parametrize("name", CASES)
def test_the_page_is_a_function_of_the_folder(name: str, finished: Any) -> None:
    _, out = finished(name)
    told = record(out)
    assert (told["name"], told["status"]) == (name, "done")
    assert told["peak_memory_mib"] > 0
    assert "page_problem" not in told
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert luthier("report", out).stdout.strip() == str(out / "report.html")
    assert (out / "report.html").read_bytes() == page
    text = page.decode()
    assert f"<span>{name}</span>" in text
    assert ">finished</span>" in text
    assert '<section id="record">' in text


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_goes_on_has_a_page_that_says_so(name: str, finished: Any, tmp_path: Path) -> None:
    _, out = finished(name)
    steps = {step: {**told, "files": []} for step, told in list(record(out)["steps"].items())[:1]}
    for kept, said in (({}, "was stopped"), ({step: {"key": "k", "seconds": 0.0} for step in steps}, "was stopped")):
        (tmp_path / "run.json").write_text(json.dumps({**record(out), "status": "running", "steps": kept}))
        luthier("report", tmp_path)
        assert said in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", CASES)
def test_the_same_command_again_computes_nothing(name: str, finished: Any) -> None:
    words, out = finished(name)
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name not in OWN}
    steps = record(out)["steps"]
    luthier(*words)
    assert record(out)["steps"] == steps
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name not in OWN} == files


@pytest.mark.parametrize("name", CASES)
def test_a_changed_byte_of_what_is_read_is_another_run(name: str, finished: Any, at: Materials) -> None:
    words, out = finished(name)
    before = record(out)
    read = [Path(place) for place in before["inputs"] if Path(place).exists() and at.folder in (Path(place), *Path(place).parents)]
    for place in read:
        for file in changeable(place):
            kept = file.read_bytes()
            file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]) if file.suffix == ".safetensors" else kept + b"\n")
            try:
                said = luthier(*words, ok=False).stderr
            finally:
                file.write_bytes(kept)
            assert "has changed" in said or "is not as it was written" in said, file
    assert record(out) == {**before, "started": record(out)["started"], "finished": record(out)["finished"]}


def changeable(place: Path) -> Iterator[Path]:
    """A file, or of a folder its weights, its settings and its template."""
    if place.is_file():
        yield place
    else:
        names = ("model.safetensors", "adapter_model.safetensors", "config.json", "chat_template.jinja", "corpus.jsonl", "tokenizer.json")
        yield from (place / name for name in names if (place / name).is_file())


@pytest.mark.parametrize("name", ["probe run", "train sft"])
def test_replace_computes_what_depends_on_the_change_and_keeps_the_old_run(name: str, finished: Any, at: Materials) -> None:
    words, out = finished(name)
    old = record(out)
    luthier(*words, "--replace", "--set", "seed=7")
    assert record(out.with_name(f"{out.name}.1")) == old
    assert record(out)["settings"]["seed"] == 7
    assert record(out)["status"] == "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_recorded_and_the_same_command_continues(number: signal.Signals, code: int, at: Materials, tmp_path: Path) -> None:
    words = ["probe", "run", str(at.questions), "--model", str(at.model), "--max-tokens", "400", "--quiet", "--out", str(tmp_path / "run")]
    with subprocess.Popen([sys.executable, "-m", "luthier", *words], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and "chains" not in (
            record(tmp_path / "run")["steps"] if (tmp_path / "run" / "run.json").is_file() else {}
        ):
            os.sched_yield()
        process.send_signal(number)
        assert process.stderr is not None
        assert process.stderr.read() == "luthier: stopped; the same command continues where it was\n"
    assert process.returncode == code
    assert record(tmp_path / "run")["status"] == "stopped"
    luthier(*words)
    assert record(tmp_path / "run")["status"] == "done"
    assert not list((tmp_path / "run").glob(".*.part"))
