"""Lines of a function hidden from the model and written anew (cloze repair: AlphaRepair, arXiv 2207.08281, sec. 3).

A small model that is shown a faulty function mostly copies it. It cannot copy a line that it does not see: each statement in turn, the most
suspect first, gives way to a mark, and the model says what belongs there. Places where a block may lack something come after those.
"""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.models.protocol import Prompt
from luthier.records import Message
from luthier.search.edits import Editable
from luthier.search.steps import Search, judge_all
from luthier.search.wants import Steps
from luthier.texts.programs import lines_of, parsed, program_of

MARK = "# MISSING"
WAVE = 4  # lines that are asked for at once
DRAWS = 4  # of each line, the first at the temperature of programs that are not drawn
ROOM = 80  # tokens of a line
INFILLED = "infilled"


@dataclass(frozen=True)
class Hole:
    """A function without one statement, or the head of one, or with room for one. line: of the file; adds: nothing was taken out."""

    function: Editable
    before: str
    after: str
    indent: str
    line: int
    is_head: bool = False
    adds: bool = False
    is_elif: bool = False

    @property
    def shown(self) -> str:
        return f"{self.before}{self.indent}{MARK}\n{self.after}".rstrip()

    @property
    def opening(self) -> str:
        """How an answer begins that writes the function from its start up to the hole."""
        return f"```python\n{self.before}{self.indent}"

    @property
    def lead(self) -> str:
        return f"{self.opening}elif " if self.is_elif else self.opening

    @property
    def grammar(self) -> str:
        """What makes a model write the function up to the hole as it stands, and then one line: it is used to writing whole functions."""
        rest = "(REST)?" if self.adds else ""
        lines = "LINE: /[^\\n \\t#][^\\n]{0,200}\\n/\nREST: /[ \\t]+[^\\n \\t][^\\n]{0,200}\\n/\n"
        return f"start: {json.dumps(self.lead, ensure_ascii=False)} LINE {rest}\n{lines}"

    def filled(self, answer: str) -> str:
        """The function with an answer in the hole; the answer itself where it is the whole function, or none that fits."""
        forced = answer.removeprefix(
            self.opening
        ).rstrip()  # by the grammar, unless more follows: then a model began the function by itself
        if answer.startswith(self.lead) and forced.count("\n") <= self.adds and "```" not in forced:
            return f"{self.before}{self.indent}{forced}\n{self.after}"
        text = textwrap.dedent(program_of(answer, "").replace(MARK, "")).strip("\n")
        if any(line.lstrip().startswith(("def ", "async def ")) for line in text.splitlines()):
            return text
        own = self._head(text) if self.is_head else text if self.adds else _one(text)
        return f"{self.before}{textwrap.indent(own, self.indent)}\n{self.after}"

    def _head(self, text: str) -> str:
        """Up to the colon that ends it."""
        lines = text.splitlines()
        last = next((at for at, line in enumerate(lines, 1) if line.rstrip().endswith(":")), len(lines))
        made = "\n".join(lines[:last])
        return f"el{made}" if self.is_elif and made.startswith("if ") else made


def holes(functions: Sequence[Editable], worth: Mapping[tuple[str, int], float]) -> list[Hole]:
    """The holes of functions, the most suspect lines first. worth: suspicion by file and line; a line without any was not run, and stays."""
    found = [hole for function in functions for hole in _holes(function)]
    reached = [hole for hole in found if (hole.function.file, hole.line) in worth]
    return sorted(reached, key=lambda hole: (hole.adds, -worth[hole.function.file, hole.line]))


def prompt(told: str, hole: Hole, *, forced: bool = False) -> Prompt:
    """Ask what belongs into a hole. told: what the failing test says; forced: the answer follows `Hole.grammar`."""
    what = "Something may be missing in this function of" if hole.adds else "A line of this function was taken out. It is in"
    wanted = "what belongs there, as short as can be," if hole.adds else "the line that belongs there"
    asked = (
        f"A test of a Python repository fails.\n\n{told}\n\n{what} {hole.function.file}, and `{MARK}` marks the place:\n\n```python\n{hole.shown}\n```\n\n"
        f"Answer with {wanted} so that the test passes, alone, in one block of code."
    )
    return Prompt((Message("user", asked),), grammar=hole.grammar if forced else None)


def infill(search: Search, told: str, places: Sequence[Hole], *, forced: bool = False) -> Steps[None]:
    """Write each line anew, then draw again, until a program passes or every line had its draws. forced: where the model follows grammars."""
    longest = (search.settings.max_tokens - ROOM) * 3  # characters that surely fit, with a line after them
    for draw in range(DRAWS):
        for start in range(0, len(places), WAVE):
            wave = places[start : start + WAVE]
            heat = search.settings.draw_temperature if draw else None
            asked = [prompt(told, hole, forced=forced and len(hole.before) < longest) for hole in wave]
            answers = yield tuple(search.say("line", one, temperature=heat, draw=draw) for one in asked)
            programs = [hole.filled(answer.text) for hole, answer in zip(wave, answers, strict=True) if answer is not None]
            made = (yield from judge_all(search, programs, search.root, INFILLED)) if programs else []
            if any(one.passes for one in made) and search.settings.stop != "never":
                search.finished = "passes"
                return
    search.finished = "lines"


def _holes(function: Editable) -> list[Hole]:
    text = function.shown
    tree, lines = parsed(text), lines_of(text)
    if tree is None or not isinstance(tree.body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return []
    top = tree.body[0]
    kept = function.text.count("\n") - text.count("\n")  # lines of a docstring that are not shown: all further lines stand that much lower
    begins = top.body[0].end_lineno or 0 if ast.get_docstring(top) is not None else 0
    made = []

    def hole(first: int, last: int, *, is_head: bool = False, adds: bool = False, like: int = 0) -> None:
        model = lines[(like or first) - 1]
        indent = model[: len(model) - len(model.lstrip())]
        place = function.first - 1 + (like or first) + (kept if (like or first) > begins else 0)
        made.append(
            Hole(
                function,
                "".join(lines[: first - 1]),
                "".join(lines[last:]),
                indent,
                place,
                is_head,
                adds,
                is_head and model.lstrip().startswith("elif"),
            )
        )

    for node in ast.walk(top):
        if not isinstance(node, ast.stmt) or node is top or node.lineno <= begins:
            continue
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            if body[0].lineno > node.lineno and not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Try)):
                hole(node.lineno, body[0].lineno - 1, is_head=True)
            if isinstance(node, ast.If) and not node.orelse:
                last = node.end_lineno or node.lineno
                hole(last + 1, last, adds=True, like=node.lineno)
        elif lines[node.lineno - 1][: node.col_offset].isspace():
            hole(node.lineno, node.end_lineno or node.lineno)
    return made


def _one(text: str) -> str:
    """The first statement of an answer."""
    tree = parsed(text)
    if tree is None or not tree.body:
        return text.splitlines()[0] if text else ""
    return "\n".join(text.splitlines()[: tree.body[0].end_lineno])
