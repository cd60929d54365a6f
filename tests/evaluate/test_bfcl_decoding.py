"""The leaderboard's decoding, computed without running anything: equal to its own functions, which do run things, on what is safe to give them."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import FetchError
from luthier.evaluate.bfcl_decoding import DecodingError, decode

KINDS = "class ReturnFormat: PYTHON, JAVA, JAVASCRIPT, VERBOSE_XML = range(4)"
FORMS = [
    "[f(x=1)]",
    "f(x=1)",
    "[f(x=1)",
    "f(x=1)]",
    "```\n[f(x=1)]\n```",
    "```python\n[f(x=1)]\n```",
    "`f(x=1)`",
    "'[f(x=1)]'",
    "[f(x=1), g(y='a')]",
    "f(x=1), g(y=2)",
    "(f(x=1), g(y=2))",
    "[f(x=1)]; [g()]",
    "[f(x=1)] # note",
    "[f(x=1)] and more",
    "[f(1, 2)]",
    "[f(1, x=2)]",
    "[f(*a, **b)]",
    "[f(x=20-10)]",
    "[f(x=2**10)]",
    "[f(x='a'*3)]",
    "[f(x='a'+'b')]",
    "[f(x=[1]+[2, 3])]",
    "[f(x=-(2+3)*4)]",
    "[f(x=7//2, y=7%2, z=1<<4, w=6&3, v=6|1, u=6^3, t=8>>1)]",
    "[f(x=1/0)]",
    "[f(x=0xA, y=0b11, z=1_000, w=010)]",
    "[f(x=0xA, y=0b11, z=1_000)]",
    "[f(x=+5, y=-5, z=~5, w=not 5)]",
    "[f(x=--5)]",
    "[f(x=-'a')]",
    "[f(x=- 1.5e3, y=1j)]",
    "[f(x=True, y=None, z=...)]",
    "[f(x=true, y=units)]",
    "[f(x=a.b)]",
    "[f(x=a[0])]",
    "[f(x=a[1:2])]",
    "[f(x=g(1))]",
    "[f(x=g(y=1))]",
    "[f(x=g())]",
    "[f(x=(1, 'a'))]",
    "[f(x={'a': [1, {'b': 2}]})]",
    "[f(x={**a})]",
    "[f(x={[1]: 2})]",
    "[f(x={1, 2})]",
    "[f(x=lambda: 1)]",
    "[f(x=1 if y else 2)]",
    "[f(x=1 < 2)]",
    "[f(x=f'{y}')]",
    "[f(x='a' 'b')]",
    "[f(x=b'a')]",
    "[f(x='it\\'s \\d')]",
    "[f(x='''a\nb''')]",
    "[f(x='a\nb')]",
    "[a.b.c(x=1)]",
    "[f()(x=1)]",
    "['f'(x=1)]",
    "[f-g(x=1)]",
    "[f g(x=1)]",
    "[f(x=1, x=2)]",
    "[f]",
    "[]",
    "",
    "[[f(x=1)]]",
    "[{'f': {'x': 1}}]",
    "None of the tools fits.",
    "print('x')",
    "[f(x=1)] + [g(y=2)]",
    "f(x=",
    "\x00",
    "[f(x=" + "(" * 300 + ")" * 300 + ")]",
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The benchmark's own function, out of the source in its wheel: its module asks for packages that are not installed here."""
    from luthier.packages import BFCL, unpack_wheel

    try:
        source = Path(unpack_wheel(BFCL)) / "bfcl_eval" / "model_handler" / "utils.py"
    except FetchError as problem:
        pytest.skip(str(problem))
    wanted = ("ast_parse", "resolve_ast_call", "resolve_ast_by_type", "default_decode_ast_prompting")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    assert len(tree.body) == len(wanted)
    path = tmp_path_factory.mktemp("theirs") / "their_decoding.py"
    path.write_text(f"import ast, re\n{KINDS}\n{ast.unparse(tree)}", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("their_decoding", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[str], Any]", module.default_decode_ast_prompting)


def outcome(function: Callable[[str], Any], text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(function(text)).replace("{None:", "{'None':")  # of `**`: a name that no tool has, either way
        except Exception:
            return "no calls"


@pytest.mark.parametrize("text", FORMS)
def test_the_calls_are_those_of_the_benchmark(theirs: Callable[[str], Any], text: str):
    assert outcome(decode, text) == outcome(theirs, text)


ATOMS = st.sampled_from(
    ["1", "-2", "+3", "1.5", "'a'", '"b c"', "True", "None", "x", "1+2", "'a'*2", "[1, 2]", "{'k': 1}", "(1,)", "g(y=1)", "g(1)", "a[0]"]
)
NAMES = st.sampled_from(["f", "a.b", "tool_1", "x.y.z"])
CALLS = st.builds(
    lambda name, args: f"{name}({', '.join(f'p{number}={value}' for number, value in enumerate(args))})", NAMES, st.lists(ATOMS, max_size=3)
)
TEXTS = st.builds(
    lambda opening, calls, closing: opening + ", ".join(calls) + closing,
    st.sampled_from(["", "[", "`[", "[["]),
    st.lists(CALLS, max_size=3),
    st.sampled_from(["", "]", "]`", "] ok", ",]"]),
)


@given(TEXTS)
def test_so_they_are_of_whatever_is_put_together_of_calls(theirs: Callable[[str], Any], text: str):
    assert outcome(decode, text) == outcome(theirs, text)


@pytest.mark.parametrize(
    "text",
    [
        "[f(x=__import__('os').getpid()*1)]",
        "[f(x=open('secret').read() + '')]",
        "[f(x=(lambda: 1)() + 1)]",
        "[f(x='%s' % (1).__class__)]",
        "[f(x=9**9**9)]",
        "[f(x=1 << 10**9)]",
        "[f(x='a' * 10**9)]",
        "[f(x=[0] * 10**9)]",
        "[f(x=(10**4000) * (10**4000))]",
        "[f(x='%1000000000d' % 1)]",
    ],
)
def test_what_would_run_or_fill_the_memory_is_not_computed(text: str):
    with pytest.raises(DecodingError):
        decode(text)


def test_text_without_end_is_refused_before_it_is_parsed():
    with pytest.raises(DecodingError, match="longer than 100000 characters"):
        decode("[f(x=" + "[" * 10**7)
