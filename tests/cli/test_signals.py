"""Signals and accidents end in one line and the right exit code, at any moment from the first import on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from command import luthier
from luthier.cli import commands

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
WHILE_IMPORTING = """
import os, signal, sys
class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Sends())
from luthier.__main__ import main
sys.argv = ["luthier", *{words!r}]
main()
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("module", ["luthier.cli.main", "click", "luthier.cli.models", "luthier.models.known"])
def test_a_signal_while_things_are_loaded(number: signal.Signals, code: int, module: str, tmp_path: Path) -> None:
    script = WHILE_IMPORTING.format(module=module, number=int(number), words=["models", "list"])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env={**os.environ, "LUTHIER_CACHE": str(tmp_path)}
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == "luthier: stopped\n"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_command_that_keeps_a_run_says_that_it_continues(number: signal.Signals, code: int, tmp_path: Path) -> None:
    script = WHILE_IMPORTING.format(module="luthier.probe.questions", number=int(number), words=["probe", "run", "x.jsonl"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == code
    assert done.stderr == "luthier: stopped; the same command continues where it was\n"


INTERRUPTED = """
from importlib import import_module
command = import_module("luthier.cli.main")
class Interrupts:
    def __getattr__(self, name):
        exec("raise KeyboardInterrupt")
command.cli = Interrupts()
command.main(["probe", "run", "x.jsonl"])
"""


def test_an_interrupt_within_made_code_ends_with_the_same_status(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, "-m", "interrupted"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr.startswith("luthier: stopped")
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), "xxx: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), "out: No space left on device; make room"),
        (ValueError("embedded null byte"), "ValueError: embedded null byte; --debug shows where"),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum recursion depth"),
        (KeyError("a\nb"), "KeyError: 'a\\nb'"),
        (RuntimeError(), "RuntimeError: no more is known"),
        (UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"), "surrogates not allowed"),
    ],
)
def test_what_nobody_foresaw_is_one_line(problem: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fails() -> None:
        raise problem

    monkeypatch.setitem(commands.COMMANDS, "models list", commands.Own("luthier.cli.commands:fails"))
    monkeypatch.setattr(commands, "fails", fails, raising=False)
    said = luthier("models", "list", ok=False)
    assert said.code == 2
    assert told in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m luthier run tools --help"
    with subprocess.Popen([*command.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
