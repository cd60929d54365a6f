from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.texts.programs import defines, prelude, program_of, whole_program, without_demonstrations

PROMPT = 'import math\n\ndef helper(x):\n    return x\n\n\ndef area(r):\n    """Area.\n    >>> area(0)\n    0.0\n    """\n'


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("def area(r):\n    return r\n", "def area(r):\n    return r\n"),
        ("```python\ndef area(r):\n    return 1\n```", "def area(r):\n    return 1\n"),
        ("```py\nx = 1\n```\nor\n```\ndef area(r):\n    return 2\n```\n```python\narea(3)\n```", "def area(r):\n    return 2\n"),
        ("  ```python\n    return 3\n  ```", "    return 3\n"),
        ("```python\ndef area(r):\n    return 4", "def area(r):\n    return 4"),
        ("```bash\nls\n```\nno code", "```bash\nls\n```\nno code"),
        ("```python\nnot python at all\n```\n```python\ny = 1\n```", "y = 1\n"),
        ("", ""),
    ],
)
def test_the_program_is_found_in_the_answer(answer: str, program: str) -> None:
    assert program_of(answer, "area") == program


def test_demonstrations_are_left_out_and_the_rest_stays() -> None:
    text = (
        '"""Doc."""\nimport sys\nsys.setrecursionlimit(9999)\ndef area(r):\n    assert r\n    print(r)\n    return r\n'
        "assert area(1) == 2, \\\n    'no'\nprint(area(1))\narea(3)\nLIMIT = 4; print(LIMIT)\nif __name__ == '__main__':\n    area(5)\nelse:\n    area(6)\n"
    )
    kept = without_demonstrations(text, "area")
    assert kept == text.split("assert area(1)", maxsplit=1)[0] + "LIMIT = 4; print(LIMIT)\n"


def test_a_script_is_kept_whole() -> None:
    assert program_of("```python\nprint(int(input()) * 2)\n```", "") == "print(int(input()) * 2)\n"


@pytest.mark.parametrize("text", ["    return math.pi * r\n", "    x = 1\n    return x\n"])
def test_a_continuation_is_put_behind_its_prompt(text: str) -> None:
    assert whole_program(PROMPT, text, "area") == PROMPT + text


def test_a_whole_function_gets_the_prompts_imports_and_helpers() -> None:
    text = "def area(r):\n    return helper(math.pi)\n"
    assert whole_program(PROMPT, text, "area") == "import math\n\ndef helper(x):\n    return x\n\n\n" + text
    assert prelude(PROMPT, "volume") == ""


def test_names_defined_are_those_of_the_top_level() -> None:
    assert defines("async def area(r): pass", "area")
    assert defines("area = abs", "area")
    assert defines("class area: pass", "area")
    assert not defines("def f():\n    def area(): pass", "area")
    assert not defines("def area(", "area")


@given(st.text(max_size=200))
def test_any_text_has_a_program(answer: str) -> None:
    program = program_of(answer, "f")
    assert isinstance(program, str)
    assert isinstance(whole_program(PROMPT, program, "area"), str)


@given(st.lists(st.sampled_from(["x = 1", "print(x)", "assert x", "f(x)", "def f(x):\n    return x", "import os", "'text'"]), max_size=8))
def test_what_is_kept_is_the_program_in_its_order(statements: list[str]) -> None:
    kept = without_demonstrations("\n".join([*statements, ""]), "f")
    wanted = [ast.dump(ast.parse(text)) for text in statements if not text.startswith(("print", "assert", "f("))]
    assert [ast.dump(ast.Module([node], [])) for node in ast.parse(kept).body] == wanted


def test_a_long_answer_without_a_line_end_is_read_in_linear_time() -> None:
    assert program_of("```" + "a" * 300_000, "f") == "```" + "a" * 300_000
