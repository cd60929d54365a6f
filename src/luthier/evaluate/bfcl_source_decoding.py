"""What the leaderboard reads in an answer that calls a Java or JavaScript function: its own parsers, where the tree-sitter that they need is installed.

They take a call apart and give every value as source text; they run nothing of it. Without them Luthier reads such calls by itself, which gives
some malformed answers another verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from luthier.errors import LuthierError
from luthier.evaluate.bfcl import benchmark_modules
from luthier.evaluate.bfcl_decoding import DecodingError, bracketed
from luthier.records.bfcl import LANGUAGES

PARSERS = {"Java": ("java_parser", "parse_java_function_call"), "JavaScript": ("js_parser", "parse_javascript_function_call")}
NEEDED = ("tree_sitter", "tree_sitter_java", "tree_sitter_javascript")


@cache
def can_parse_source() -> bool:
    """Whether the leaderboard's own parsers run here: tree-sitter is installed, in a version that they are written for."""
    if any(find_spec(name) is None for name in NEEDED):
        return False
    try:
        return all(_parser(language) for language in PARSERS)
    except (ImportError, TypeError, AttributeError, ValueError):  # of another version
        return False


def source_reader(categories: Iterable[str]) -> str:
    """Who reads the Java and JavaScript of these categories: "tree-sitter", "luthier", or "" where there is none."""
    if not LANGUAGES.keys() & set(categories):
        return ""
    return "tree-sitter" if can_parse_source() else "luthier"


def decode_source(text: str, language: str) -> list[dict[str, dict[Any, Any]]]:
    """The calls that BFCL reads in an answer of such a category: one dictionary each, of the name and the arguments, an unnamed one under None.

    language: "Java" or "JavaScript". Raises DecodingError where BFCL reads none, LuthierError where its parsers cannot run (`can_parse_source`).
    """
    if not can_parse_source():
        raise LuthierError("the leaderboard's parsers need tree-sitter: pip install 'luthier[bfcl]'")
    said = bracketed(text)
    try:
        found = _parser(language)(said[1:-1])
    except Exception as error:  # whatever they raise, the benchmark takes it as no call
        raise DecodingError(f"not a call in {language}: {str(error) or type(error).__name__}") from error
    if not isinstance(found, list):
        raise DecodingError(f"no call in {language}")
    return found


@cache
def _parser(language: str) -> Any:
    module, name = PARSERS[language]
    with benchmark_modules():
        return getattr(import_module(f"bfcl_eval.model_handler.parser.{module}"), name)
