"""Official verdicts beside the leaderboard's own: its decoding, as its source has it, and its checker, on accepted answers and damaged ones.

Every single-turn Python category. The benchmark's decoding evaluates what it is given, so nothing here is damaged into an expression with a
call. --run FOLDER: also the answers of a run of `luthier evaluate tools`.
"""

from __future__ import annotations

import ast
import importlib.util
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import benchmark
from luthier.evaluate.bfcl import official_verdict
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
    decode, chance = _theirs(), random.Random(0)
    counts: Counter[str] = Counter()
    different: list[dict[str, Any]] = []
    texts = [(item, text) for item in _items(quick) for text in _answers(item, chance)]
    for item, text in [*texts, *_said(run)]:
        ours = official_verdict(item, decoded(item, text, read_calls(text, [tool.name for tool in item.tools])))[0]
        theirs = _verdict(item, decode, text)
        counts["answers"] += 1
        counts["right"] += theirs
        if ours != theirs:
            different.append({"id": item.id, "text": text, "ours": ours, "theirs": theirs})
    return {"categories": len(CATEGORIES) - len(LANGUAGES), **counts, "different": different}


def _items(quick: bool) -> list[Item]:
    return [item for category in CATEGORIES if category not in LANGUAGES for item in load_items(category, 20 if quick else None)]


def _theirs() -> Decode:
    source = unpack_wheel(BFCL) / "bfcl_eval" / "model_handler" / "utils.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in NAMES]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "their_decoding.py"
        kinds = "class ReturnFormat: PYTHON, JAVA, JAVASCRIPT, VERBOSE_XML = range(4)"
        path.write_text(f"import ast, re\n{kinds}\n{ast.unparse(tree)}", encoding="utf-8")
        spec = importlib.util.spec_from_file_location("their_decoding", path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    found: Decode = module.default_decode_ast_prompting
    return found


def _verdict(item: Item, decode: Decode, text: str) -> bool:
    """As the leaderboard's runner: what cannot be decoded is no call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = decode(text)
        except Exception:  # whatever it raises, its runner takes it as no call
            made = None
    return official_verdict(item, made)[0]


def _answers(item: Item, chance: random.Random) -> Iterator[str]:
    """An accepted answer, and two damaged ones."""
    right = render_calls(_gold(item)) if item.truth else chance.choice(SILENT)
    yield right
    for _ in range(2):
        yield _damaged(right, chance)


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
