"""Problems from where people have them, and what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadRowError, LuthierError, MissingFileError, SettingsError
from luthier.records import Account
from luthier.sandbox import InputOutput, Sandbox
from luthier.search.doctests import examples
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


def test_rows_that_lack_what_others_have_are_read_or_left_out(tmp_path: Path) -> None:
    one = {"task_id": 1, "text": "Twice.", "test_list": ["assert twice(1) == 2", "assert twice(2) == 4"]}
    nulls = {"test_imports": None, "challenge_test_list": None, "test_setup_code": None}
    (found,) = read_all([rows(tmp_path / "mbpp.jsonl", one | nulls)])
    assert len(found.private) == 2
    told = {"inputs": ["1", "2"], "outputs": ["1", "2"]}
    apps = [{"problem_id": at, "question": "Echo.", "input_output": given} for at, given in enumerate(("", None, told))]
    with Account() as account:
        assert [one.task for one in read_all([rows(tmp_path / "apps.jsonl", *apps)])] == ["2"]
    assert [(entry.reason, entry.rows) for entry in account.of("left out")] == [("problem without tests", 2)]
    for name in ("0001", "0002"):
        (tmp_path / "apps" / name).mkdir(parents=True)
        (tmp_path / "apps" / name / "question.txt").write_text("Echo.")
    (tmp_path / "apps" / "0002" / "input_output.json").write_text(json.dumps(told))
    assert [one.task for one in read_all([str(tmp_path / "apps")])] == ["0002"]


def test_files_may_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_bytes(b"\xef\xbb\xbf" + f"{DOUBLE}    return 2 * x\n".encode())
    assert [one.task for one in read_all([str(tmp_path / "tools.py")])] == ["tools.py::double"]


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


CLIP = "return max(low, min(x, high))"
SPAN = "return list(range(n))"


@pytest.mark.parametrize(
    ("head", "right", "wrong", "doc"),
    [
        ("clip(x, low, high)", CLIP, "return x", ">>> x = 5\n>>> clip(x, 0, 3)\n3"),
        ("clip(x, low, high)", CLIP, "return x", ">>> print(clip(-1, 0, 3))\n0\n>>> print('at', clip(9, 0, 3))\nat 3"),
        ("clip(x, low, high)", CLIP, "return x", ">>> clip(9, 0, 3)  # the largest\n3"),
        ("clip(x, low, high)", CLIP, "return x", ">>> found = clip(9, 0, 3)\n>>> found\n3"),
        ("clip(x, low, high)", CLIP, "return x", ">>> clip(\n...     9,\n...     0, 3)\n3"),
        ("span(n)", SPAN, "return [n]", ">>> span(10)  # doctest: +ELLIPSIS\n[0, 1, ..., 9]"),
        ("span(n)", SPAN, "return [n]", ">>> span(3)  # doctest: +NORMALIZE_WHITESPACE\n[0,\n 1,\n 2]"),
        (
            "grow(items, one)",
            "items.append(one)\n    return items",
            "return [one]",
            ">>> a = [1]\n>>> b = grow(a, 2)\n>>> grow(b, 3)\n[1, 2, 3]",
        ),
        ("both(x)", "return {x, 1}", "return [x, 1]", ">>> both(2)\n{1, 2}"),
    ],
)
def test_an_example_tells_right_from_wrong(head: str, right: str, wrong: str, doc: str, tmp_path: Path, box: Sandbox) -> None:
    module = tmp_path / "tools.py"
    indented = doc.replace("\n", "\n    ")
    module.write_text(f'def {head}:\n    """Does it.\n\n    {indented}\n    """\n    {right}\n')
    (one,) = read_all([str(module)])
    for body, passes in ((right, True), (wrong, False)):
        judged = box.judge(f"def {head}:\n    {body}\n", one.posed.public, entry_point=one.posed.entry_point)
        assert judged.passed is passes, (one.posed.public, judged)


def test_a_long_chain_of_examples_is_read_at_once() -> None:
    chain = ">>> x0 = 1\n" + "".join(f">>> x{n} = x{n - 1}\n" for n in range(1, 300)) + ">>> f(x299)\n1\n"
    (test,) = examples(chain, "f")
    assert test.count("\n") == 300


@pytest.mark.parametrize(
    ("doc", "test"),
    [
        (">>> f(1)  # doctest: -ELLIPSIS\n3", "assert f(1) == 3"),
        (">>> print(f(2))\n  b", "assert ' '.join(map(str, [f(2)])) == '  b'"),
        (">>> for i in [1]: y = i\n>>> f(y)\n4", "for i in [1]:\n    y = i\nassert f(y) == 4"),
        (">>> f(1) > 2\nTrue", "assert (f(1) > 2) == True"),
        (">>> not f(1)\nFalse", "assert (not f(1)) == False"),
        (">>> f(1), f(2)\n(1, 2)", "assert (f(1), f(2)) == (1, 2)"),
        (">>> f(0) if f(1) else 2\n3", "assert (f(0) if f(1) else 2) == 3"),
        (">>> f(1)\ninf", "assert repr(f(1)) == 'inf'"),
        (">>> f(1)\nset()", "assert f(1) == set()"),
        (">>> f(1)\n[1,\n 2]", "assert f(1) == [1, 2]"),
        (">>> f('aab')\nCounter({'a': 2, 'b': 1})", "assert f('aab') == dict({'a': 2, 'b': 1})"),
    ],
)
def test_an_example_as_an_assertion(doc: str, test: str) -> None:
    assert list(examples(doc, "f")) == [test]


def test_examples_that_cannot_be_said_as_assertions_are_none() -> None:
    told = ">>> f(1)\nTraceback (most recent call last):\nValueError: no\n>>> f(2)  # doctest: +SKIP\n2\n>>> print(f(1), end='')\n1\n>>> 1 + 1\n2\n"
    assert list(examples(told, "f")) == []


@pytest.mark.parametrize(
    "shown",
    [
        "Hello",
        "1\n2\nFizz",
        "Decimal('1.50')",
        "datetime.date(2020, 1, 1)",
        "<object at 0x1>",
        "Point(x=0, y=0)",
        "dict_items([(0, 1)])",
        "a b",
    ],
)
@pytest.mark.parametrize("flag", ["", "  # doctest: +ELLIPSIS"])
def test_what_a_function_prints_and_objects_are_no_tests(shown: str, flag: str) -> None:
    found = list(examples(f">>> f(1){flag}\n{shown}", "f"))
    assert found == [] or (flag and shown[0].isdigit())  # digits may be a number that the flag loosens


@pytest.mark.parametrize("wrong", ["return [x]", "return None", "return x * 3"])
def test_examples_of_comparisons_tell_right_from_wrong(wrong: str, box: Sandbox) -> None:
    doc = '>>> f("a") == "aa"\nTrue\n>>> f(1), f(2)\n(2, 4)\n>>> 4 in [f(2)]\nTrue\n>>> not f(0)\nTrue\n'
    tests = list(examples(doc, "f"))
    assert len(tests) == 4
    assert box.judge("def f(x): return x * 2", tests, entry_point="f").passed
    assert not any(box.judge(f"def f(x): {wrong}", [test], entry_point="f").passed for test in tests[:3])


@pytest.mark.parametrize(
    ("tests", "entry", "program", "count"),
    [
        ("s = [1]\nassert grow(s, 2) == [1, 2]\ns = [2]\nassert grow(s, 2) == [2, 2]\n", "grow", "def grow(s, x): return s + [x]\n", 2),
        ("from solution import add\n\nassert add(1, 2) == 3\n", "add", "def add(a, b): return a + b\n", 1),
        ("import pytest_like_thing_of_nobody as m\n", "", "", 0),
        (
            "from .solution import add\nimport math\n\n\ndef test_add():\n    x = add(1, 2)\n    assert math.isclose(x, 3)\n",
            "add",
            "def add(a, b): return a + b\n",
            1,
        ),
        ("def test_data(): return 2\n\nassert area(test_data()) == 4\n", "area", "def area(x): return x * x\n", 1),
        ("from __main__ import area\n\nassert area(2) == 4\n", "area", "def area(x): return x * x\n", 1),
        ("def close(a, b): return abs(a - b) < 1e-6\n\nassert close(area(2), 4)\n", "area", "def area(x): return x * x\n", 1),
    ],
)
def test_tests_of_a_folder_stand_behind_what_comes_before_them(
    tests: str, entry: str, program: str, count: int, tmp_path: Path, box: Sandbox
) -> None:
    place = tmp_path / "one"
    place.mkdir()
    (place / "problem.md").write_text("Write it.")
    (place / "tests.py").write_text(tests)
    if not count:
        with pytest.raises(SettingsError, match=r"has problem\.md and no tests"):
            read_all([str(place)])
        return
    (one,) = read_all([str(place)])
    assert (one.posed.entry_point, len(one.posed.public)) == (entry, count)
    assert box.judge(program, one.posed.public, entry_point=entry).passed, one.posed.public


def test_objects_of_a_class_do_not_pass_to_the_judge(tmp_path: Path) -> None:
    (tmp_path / "problem.md").write_text("Write Stack.")
    (tmp_path / "tests.py").write_text("s = Stack()\ns.push(1)\nassert s.pop() == 1\n")
    with pytest.raises(SettingsError, match="uses objects that Stack makes"):
        read_all([str(tmp_path)])


def test_a_class_of_apps_is_asked_through_its_method(tmp_path: Path, box: Sandbox) -> None:
    told = {"fn_name": "f", "inputs": [[1], [4]], "outputs": [[2], [8]]}
    row = {"question": "Double it.", "input_output": told, "starter_code": "class Solution:\n    def f(self, x):\n"}
    (one,) = read_all([rows(tmp_path / "apps.jsonl", row)])
    program = one.posed.program_in("```python\nclass Solution:\n    def f(self, x):\n        return 2 * x\n```")
    assert box.judge(program, one.posed.public + one.private, entry_point="f").passed


def test_a_test_with_fixtures_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "problem.md").write_text("Write add.")
    (tmp_path / "tests.py").write_text("import math\n\n\ndef test_add(tmp_path):\n    assert add(1, 2) == 3\n")
    with pytest.raises(SettingsError, match=r"tests\.py:4: test_add takes arguments"):
        read_all([str(tmp_path)])


@pytest.mark.parametrize(
    ("told", "starter", "tests", "entry"),
    [
        ({"inputs": [[[1, 2]], [[4]]], "outputs": [[2, 4], [2]]}, "", ("assert f([1, 2]) == [2, 4]", "assert f([4]) == [2]"), "f"),
        ({"inputs": [[1], [4]], "outputs": [[2], [8]]}, "", ("assert f(1) == 2", "assert f(4) == 8"), "f"),
        ({"inputs": [[1], [4]], "outputs": [2, 8]}, "class Solution:\n    def f(self, x):", ("assert f(1) == 2", "assert f(4) == 8"), "f"),
    ],
)
def test_apps_has_its_outputs_wrapped_or_not(
    told: dict[str, Any], starter: str, tests: tuple[str, ...], entry: str, tmp_path: Path
) -> None:
    row = {"question": "Do it.", "input_output": json.dumps({"fn_name": "f", **told}), "starter_code": starter}
    (one,) = read_all([rows(tmp_path / "apps.jsonl", row)])
    assert one.posed.public + one.private == tests
    assert one.posed.entry_point == entry
    assert starter in one.posed.text


def test_the_tests_own_helper_is_not_what_is_to_be_written(tmp_path: Path) -> None:
    row = {
        "task_id": 9,
        "text": "Write area.",
        "test_setup_code": "def is_close(a, b):\n    return abs(a - b) < 0.1",
        "test_list": ["assert is_close(area(2), 12.56)"],
    }
    (one,) = read_all([rows(tmp_path / "mbpp.jsonl", row)])
    assert one.posed.entry_point == "area"


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"question": "q", "input_output": json.dumps({"inputs": ["1", "2", "3"], "outputs": ["1", "2"]})}, "of one length"),
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
