"""Official verdicts beside the leaderboard's own: its decoding, as its source has it, and its checker, on accepted answers and damaged ones.

Every single-turn category, those in Java and JavaScript where tree-sitter is installed (`pip install 'luthier[bfcl]'`). The benchmark's decoding
evaluates what it is given, so nothing here is damaged into an expression with a call. --run FOLDER: also the answers of a run of `luthier evaluate
tools`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import benchmark
from luthier.evaluate.bfcl import benchmark_modules, official_verdict
from luthier.evaluate.bfcl_source_decoding import can_parse_source
from luthier.evaluate.tool_verdicts import decoded
from luthier.packages import BFCL, unpack_wheel
from luthier.records import ToolCall, read_rows
from luthier.records.bfcl import CATEGORIES, LANGUAGES, Item, load_items
from luthier.records.call_forms import read_calls
from luthier.records.calls import render_calls

Decode = Callable[[str], Any]
NAMES = ("ast_parse", "resolve_ast_call", "resolve_ast_by_type", "default_decode_ast_prompting")
SILENT = ("None of the functions fits.", "[]", "f(x=1)", "print('x')", "asdf")


def measure(quick: bool, run: str) -> dict[str, Any]:
    theirs_of, chance = their_functions(*NAMES), random.Random(0)
    counts: Counter[str] = Counter()
    different: list[dict[str, Any]] = []
    texts = [(item, text) for item in _items(quick) for text in _answers(item, chance)]
    for item, text in [*texts, *_said(run)]:
        ours = official_verdict(item, decoded(item, text, read_calls(text, [tool.name for tool in item.tools])))[0]
        theirs = _verdict(item, theirs_of, text)
        counts["answers"] += 1
        counts["right"] += theirs
        if ours != theirs:
            different.append({"id": item.id, "text": text, "ours": ours, "theirs": theirs})
    return {"categories": len(_categories()), **counts, "different": different}


def _categories() -> list[str]:
    return [category for category in CATEGORIES if category not in LANGUAGES or can_parse_source()]


def _items(quick: bool) -> list[Item]:
    return [item for category in _categories() for item in load_items(category, 20 if quick else None)]


def their_functions(*names: str) -> Any:
    """A module with so many functions of the leaderboard's decoding, as its source has them; its own module needs what is not installed."""
    source = unpack_wheel(BFCL) / "bfcl_eval" / "model_handler" / "utils.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "their_decoding.py"
        kinds = "class ReturnFormat: PYTHON, JAVA, JAVASCRIPT, VERBOSE_XML = range(4)"
        path.write_text(f"import ast, re\n{kinds}\n{ast.unparse(tree)}", encoding="utf-8")
        spec = importlib.util.spec_from_file_location("their_decoding", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    if can_parse_source():
        with benchmark_modules():
            from bfcl_eval.model_handler.parser import java_parser, js_parser
        module.parse_java_function_call = java_parser.parse_java_function_call
        module.parse_javascript_function_call = js_parser.parse_javascript_function_call
    return module


def _verdict(item: Item, theirs: Any, text: str) -> bool:
    """As the leaderboard's runner: what cannot be decoded is no call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind = getattr(theirs.ReturnFormat, LANGUAGES.get(item.category, "Python").upper())
            made = theirs.default_decode_ast_prompting(text, kind)
            made = made if isinstance(made, list) else None  # its runner refuses all else
        except Exception:  # whatever it raises, its runner takes it as no call
            made = None
    return official_verdict(item, made)[0]


def _answers(item: Item, chance: random.Random) -> Iterator[str]:
    """An accepted answer, and two damaged ones."""
    right = _written(item) if item.truth else chance.choice(SILENT)
    yield right
    for _ in range(2):
        yield _damaged(right, chance)


def _written(item: Item) -> str:
    if item.category not in LANGUAGES:
        return render_calls(_gold(item))
    kinds = {name: schema for function in item.functions for name, schema in function["parameters"]["properties"].items()}
    write = _in_java if item.category == "simple_java" else _in_javascript
    return ", ".join(
        f"{call.name}({', '.join(f'{name}={write(value, kinds[name])}' for name, value in call.arguments.items())})" for call in _gold(item)
    )


def _in_java(value: Any, schema: dict[str, Any]) -> str:
    kind, inner = schema.get("type"), str(schema.get("items", {}).get("type", "String"))
    if isinstance(value, list) and kind == "Array":
        return f"new {inner}[]{{{', '.join(map(json.dumps, value))}}}"
    if isinstance(value, list):
        return f"new ArrayList<{inner}>(Arrays.asList({', '.join(map(json.dumps, value))}))"
    if isinstance(value, dict):
        return "new HashMap<String, String>() {{ " + "".join(f'put("{key}", {json.dumps(one)}); ' for key, one in value.items()) + "}}"
    return value if isinstance(value, str) and kind not in ("String", "char") else json.dumps(value)


def _in_javascript(value: Any, schema: dict[str, Any]) -> str:
    return value if isinstance(value, str) and schema.get("type") != "String" else json.dumps(value)


def _gold(item: Item) -> list[ToolCall]:
    calls = []
    for answer in item.truth:
        for name, arguments in answer.items():
            values = {key: [value for value in accepted if value != ""] for key, accepted in arguments.items()}
            calls.append(ToolCall(name, {key: _plain(some[0]) for key, some in values.items() if some}))
    return calls


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inside[0] if isinstance(inside, list) else inside) for key, inside in value.items()}
    return [_plain(inside) for inside in value] if isinstance(value, list) else value


def _damaged(text: str, chance: random.Random) -> str:
    at = chance.randrange(max(1, len(text)))
    ways: list[Callable[[], str]] = [
        lambda: text[:at] + text[at + 1 :],
        lambda: text[:at] + chance.choice("\"'()[]{},=.-_ 0a\\\n") + text[at:],
        lambda: text[1:],
        lambda: text[:-1],
        lambda: f"```python\n{text}\n```",
        lambda: f"```\n{text}\n```",
        lambda: text.replace("=", ":", 1),
        lambda: text.replace('"', "'"),
        lambda: text.replace("(", "(1, ", 1),
        lambda: text + " I hope this helps.",
        lambda: text.replace("True", "true").replace("1", "1+0"),
        text.lower,
    ]
    return chance.choice(ways)()


def _said(run: str) -> Iterator[tuple[Item, str]]:
    """Answers of a finished evaluation, those in the benchmark's own form."""
    if not run:
        return
    items = {item.id: item for item in _items(False)}
    for _, row in read_rows(Path(run) / "answers.jsonl"):
        if row.get("id") in items and row.get("form") in ("", "brackets", "python"):
            yield items[row["id"]], row["answer"]


def line(figures: dict[str, Any]) -> str:
    return (
        f"{figures['answers']:,} answers of {figures['categories']} categories, {figures['right']:,} of them right by the leaderboard's own code: "
        f"{len(figures['different'])} verdicts differ"
    )


if __name__ == "__main__":
    benchmark("bfcl_verdicts", measure, line, __doc__, run="")
