"""Problems from where people have them, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError, LuthierError, MissingFileError, SettingsError
from luthier.sandbox import InputOutput, Sandbox
from luthier.search.readers import read, read_all

DOUBLE = 'def double(x):\n    """Twice x.\n\n    >>> double(3)\n    6\n    >>> double("a")\n    \'aa\'\n    """\n'


def rows(path: Path, *entries: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


def test_humaneval_takes_public_tests_of_a_file_of_the_row_or_of_the_docstring(tmp_path: Path) -> None:
    row = {"task_id": "d", "prompt": DOUBLE, "entry_point": "double", "test": "def check(candidate):\n    assert candidate(2) == 4\n"}
    path = rows(tmp_path / "problems.jsonl", row)
    (one,) = read_all([path])
    assert one.posed.public == ("assert double(3) == 6", "assert double(\"a\") == 'aa'")
    assert one.private == (row["test"],)
    (one,) = read_all([path], rows(tmp_path / "public.jsonl", {"task_id": "d", "given_tests": ["assert double(1) == 2"]}))
    assert one.posed.public == ("assert double(1) == 2",)
    (one,) = read_all([rows(tmp_path / "own.jsonl", row | {"given_tests": ["assert double(5) == 10"]})])
    assert one.posed.public == ("assert double(5) == 10",)


def test_the_real_humaneval_has_examples_in_most_docstrings() -> None:
    try:
        found = list(read("humaneval"))
    except LuthierError as problem:
        pytest.skip(str(problem))
    assert len(found) > 60


def test_mbpp_shows_its_first_assertion(tmp_path: Path) -> None:
    row = {
        "task_id": 11,
        "text": "Twice x.",
        "code": "",
        "test_list": ["assert twice(1) == 2", "assert set(twice([1])) == {1}"],
        "test_setup_code": "import math",
    }
    (one,) = read_all([rows(tmp_path / "mbpp.jsonl", row)])
    assert (one.task, one.posed.entry_point) == ("MBPP/11", "twice")
    assert one.posed.public == ("import math\nassert twice(1) == 2",)
    assert len(one.private) == 2


def test_mbpp_may_ask_for_a_function_with_the_name_of_a_builtin(tmp_path: Path) -> None:
    row = {"task_id": 126, "text": "Sum of common divisors.", "test_list": ["assert sum(10, 15) == 6"]}
    (one,) = read_all([rows(tmp_path / "mbpp.jsonl", row)])
    assert one.posed.entry_point == "sum"


def test_apps_is_split_in_half_and_one_test_cannot_be(tmp_path: Path) -> None:
    place = tmp_path / "apps" / "0001"
    place.mkdir(parents=True)
    (place / "question.txt").write_text("Add two numbers.")
    (place / "input_output.json").write_text(json.dumps({"inputs": ["1 2\n", "3 4\n", "5 6\n"], "outputs": ["3\n", "7\n", "11\n"]}))
    (one,) = read_all([str(place.parent)])
    assert one.posed.public == (InputOutput("1 2\n", "3\n"), InputOutput("3 4\n", "7\n"))
    assert one.private == (InputOutput("5 6\n", "11\n"),)
    row = {
        "problem_id": 7,
        "question": "Double.",
        "input_output": json.dumps({"fn_name": "double", "inputs": [[1], [4]], "outputs": [[2], 8]}),
    }
    (one,) = read_all([rows(tmp_path / "apps.jsonl", row)])
    assert one.posed.public + one.private == ("assert double(1) == 2", "assert double(4) == 8")
    single = {"problem_id": 8, "question": "?", "input_output": {"inputs": ["1"], "outputs": ["1"]}}
    with pytest.raises(SettingsError, match="no problems with public tests"):
        read_all([rows(tmp_path / "one.jsonl", single)])


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    place = tmp_path / "greet"
    (place / "private").mkdir(parents=True)
    (place / "problem.md").write_text("Write greet(name).")
    (place / "tests.py").write_text("import math\n\nassert greet('a') == 'hi a'\nassert greet('') == 'hi'\n")
    (one,) = read_all([str(place)])
    assert (one.task, one.posed.entry_point, len(one.posed.public)) == ("greet", "greet", 2)
    assert one.posed.public[0].startswith("import math\nassert greet")
    (place / "tests.py").write_text("")
    with pytest.raises(SettingsError, match=r"has problem\.md and no tests"):
        read_all([str(place)])
    (place / "tests.py").write_text("assert 1 == 1\n")
    with pytest.raises(SettingsError, match="call no function"):
        read_all([str(place)])


def test_doctests_of_a_module_with_the_rest_of_it_before_the_function(tmp_path: Path, box: Sandbox) -> None:
    module = tmp_path / "tools.py"
    module.write_text(f"FACTOR = 2\n\n\n{DOUBLE}    return FACTOR * x\n\n\ndef other():\n    return 1\n")
    (one,) = read_all([str(module)])
    assert one.task == "tools.py::double"
    assert "return FACTOR" not in one.posed.text
    program = one.posed.program_in("```python\ndef double(x):\n    return FACTOR * x\n```")
    assert box.judge(program, one.posed.public, entry_point="double").passed
    with pytest.raises(SettingsError, match="no function other with examples"):
        read_all([f"{module}::other"])


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"a": 1}, "is no problem that is known here"),
        ({"task_id": 1, "test_list": ["x = 1"]}, "is no problem of MBPP"),
        ({"question": "q", "input_output": "{"}, "no lists"),
    ],
)
def test_a_row_that_is_no_problem_is_named_by_its_line(row: dict[str, Any], part: str, tmp_path: Path) -> None:
    path = rows(tmp_path / "bad.jsonl", row)
    with pytest.raises(BadRowError, match=part) as caught:
        read_all([path])
    assert f"{path}:1" in str(caught.value)


def test_nothing_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file or folder"):
        read_all([str(tmp_path / "none.jsonl")])
    with pytest.raises(MissingFileError, match="no problem there"):
        read_all([str(tmp_path)])
