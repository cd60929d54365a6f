"""Recipes: how a query and its answer are taken from code (CoIR, sec. 3, and four that it lacks). Each yields pairs with their provenance.

What leaks the answer into the query, or says nothing, is dropped and counted by reason; nothing is dropped silently.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from luthier.evaluate.retrieval.build.sources import Function
from luthier.records import JSON

CUT = (0.4, 0.7)  # where CodeSearchNet-CCR cuts a function, as shares of its characters
CODE_LINES, DOC_WORDS = 3, (3, 256)


@dataclass(frozen=True)
class Pair:
    """A query and the document that answers it. group: what must stay in one split (a file, a repository). source: file, line, commit."""

    query: str
    document: str
    group: str
    source: JSON = field(default_factory=dict)
    title: str = ""
    gain: int = 1


@dataclass
class Drops:
    """Why candidates were left out, and how often."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str) -> None:
        self.reasons[reason] += 1


def documented(functions: Iterable[Function], drops: Drops) -> Iterator[tuple[Function, str]]:
    """Functions that say something, with the first paragraph of their docstring: what CodeSearchNet keeps."""
    for function in functions:
        if not function.docstring:
            continue
        told = first_paragraph(function.docstring)
        words = told.split()
        reason = _unfit(function, words)
        if reason:
            drops.add(reason)
            continue
        yield function, told


def first_paragraph(docstring: str) -> str:
    """White space collapsed; a section of parameters or a doctest ends it."""
    text = re.split(r"\n\s*\n|\n\s*(?:>>>|:param|Args:|Parameters\n|Returns:)", docstring.strip(), maxsplit=1)[0]
    return " ".join(text.split())


def _unfit(function: Function, words: Sequence[str]) -> str | None:
    if function.test or function.name.startswith("test"):
        return "test"
    if function.name.startswith("__") and function.name.endswith("__"):
        return "dunder"
    if code_lines(function.code) < CODE_LINES:
        return f"fewer than {CODE_LINES} lines of code"
    if not DOC_WORDS[0] <= len(words) <= DOC_WORDS[1]:
        return f"docstring not of {DOC_WORDS[0]} to {DOC_WORDS[1]} words"
    text = " ".join(words)
    if not text.isascii() or re.search(r"https?://|<img", text):
        return "docstring with a link or other than ASCII"
    return None


def code_lines(code: str) -> int:
    """Lines with more than a comment."""
    return sum(1 for line in code.splitlines() if line.strip() and not line.strip().startswith("#"))


def doc2code(functions: Sequence[Function], drops: Drops, seed: int) -> Iterator[Pair]:
    """The docstring's first paragraph asks for the function."""
    for function, told in documented(functions, drops):
        if leaks(told, function.code):
            drops.add("query stands in its document")
            continue
        yield Pair(told, function.code, function.file, _place(function))


def code2doc(functions: Sequence[Function], drops: Drops, seed: int) -> Iterator[Pair]:
    """The function asks for its docstring's first paragraph: CoIR's CodeSearchNet."""
    for pair in doc2code(functions, drops, seed):
        yield Pair(pair.document, pair.query, pair.group, pair.source)


def ccr(functions: Sequence[Function], drops: Drops, seed: int) -> Iterator[Pair]:
    """The first 40 to 70 % of a function's characters ask for the rest: CoIR's CodeSearchNet-CCR."""
    for function, _ in documented(functions, drops):
        cut = cut_point(function.code, seed)
        yield Pair(function.code[:cut], function.code[cut:], function.file, _place(function) | {"cut": cut})


def cut_point(code: str, seed: int) -> int:
    """Where the code is cut; the same for the same code and seed, whatever comes before it."""
    digest = hashlib.sha256(f"{seed}\0{code}".encode("utf-8", "surrogatepass")).digest()
    share = CUT[0] + (CUT[1] - CUT[0]) * Random(digest).random()
    least, most = -(-len(code) * 4 // 10), len(code) * 7 // 10
    return min(max(round(share * len(code)), least), max(most, least))


def test2code(functions: Sequence[Function], drops: Drops, seed: int) -> Iterator[Pair]:
    """A test asks for the function it tests: the one whose name the test bears and which it calls, where that is unambiguous."""
    by_name = _by_name(functions)
    for test in functions:
        if not (test.test and test.name.startswith("test_")):
            continue
        target = test.name.removeprefix("test_")
        targets = by_name.get(target, [])
        if target not in test.calls or not targets:
            drops.add("no function of the test's name is called in it")
            continue
        if len(targets) > 1:
            drops.add("several functions bear the test's name")
            continue
        body = _masked(test.code, {target, test.name})
        if not _holds(test.code, target):
            drops.add("the query does not hold the use")
            continue
        yield Pair(body, targets[0].code, targets[0].file, _place(targets[0]) | {"test": f"{test.file}:{test.line}"})


def usage2definition(functions: Sequence[Function], drops: Drops, seed: int) -> Iterator[Pair]:
    """Code that calls a function, its name masked, asks for the definition; one use a definition, drawn by the seed."""
    by_name = _by_name(functions)
    uses: dict[str, list[Function]] = defaultdict(list)
    for caller in functions:
        if not caller.test and code_lines(caller.code) >= CODE_LINES:
            for name in caller.calls & by_name.keys():
                if caller.name != name:
                    uses[name].append(caller)
    for name, callers in sorted(uses.items()):
        if len(by_name[name]) != 1:
            drops.add("several functions bear the name")
            continue
        target = by_name[name][0]
        shown = [caller for caller in callers if _holds(caller.code, name)]
        if not shown:
            drops.add("the query does not hold the use")
            continue
        caller = min(shown, key=lambda each: hashlib.sha256(f"{seed}{each.file}{each.line}".encode()).digest())
        yield Pair(_masked(caller.code, {name}), target.code, target.file, _place(target) | {"used": f"{caller.file}:{caller.line}"})


def _by_name(functions: Sequence[Function]) -> dict[str, list[Function]]:
    found: dict[str, list[Function]] = defaultdict(list)
    for function in functions:
        dunder = function.name.startswith("__")
        if not function.test and not dunder and code_lines(function.code) >= CODE_LINES:
            found[function.name].append(function)
    return found


def _holds(code: str, name: str) -> bool:
    """Whether what is shown of the code, which is without its imports, calls the name."""
    return re.search(rf"\b{re.escape(name)}\s*\(", "\n".join(_shown_lines(code))) is not None


def _shown_lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if not re.match(r"\s*(?:from\s+\S+\s+)?import\s", line)]


def _masked(code: str, names: set[str]) -> str:
    """The code with these names and imports out of it."""
    lines = _shown_lines(code)
    pattern = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"\b(?:{pattern})\b", "_", "\n".join(lines))


def leaks(query: str, document: str) -> bool:
    """Whether 60 % of the query, in one piece, stand in the document; white space and letter case aside."""
    asked, text = (" ".join(each.split()).lower() for each in (query, document))
    size = max(1, -(-len(asked) * 6 // 10))
    return any(asked[start : start + size] in text for start in range(len(asked) - size + 1))


def parses(code: str) -> bool:
    """Whether a document is Python."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return True


def _place(function: Function) -> JSON:
    return {"file": function.file, "line": function.line, "name": function.qualified}


Recipe = Callable[[Sequence[Function], Drops, int], Iterator[Pair]]
CODE_RECIPES: dict[str, Recipe] = {
    "doc2code": doc2code,
    "code2doc": code2doc,
    "ccr": ccr,
    "test2code": test2code,
    "usage2definition": usage2definition,
}
