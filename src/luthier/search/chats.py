"""Files that a conversation shows, as coding tools put them there: the function that is asked for with its doctests, and its answer in the file.

A tool shows a file in one message and says what is wanted in the last one, and takes a whole file for an answer. So a search writes the
function, and the answer is the file with the new function in it, under the name that the tool gave it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.records import Message
from luthier.search.doctests import examples
from luthier.search.edits import Editable, functions_in, put
from luthier.search.problem import Posed, Test
from luthier.texts.programs import parsed

_FILE = re.compile(
    r"^(?:[ \t]*+(?P<name>[\w./-]+\.py)[ \t]*\n)?[ \t]*+```(?:python|py)?[ \t]*\n(?P<text>(?:(?![ \t]*+```)[^\n]*\n)*+)[ \t]*+```[ \t]*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Shown:
    """A file that a message shows, and the function of it that is asked for. name: its path, "" where none stands above it."""

    name: str
    text: str
    function: Editable

    def posed(self, words: str, tests: Sequence[Test]) -> Posed:
        """The problem: what the user says, then the file. A program is the file and the new function after it, which takes its name."""
        told = f"{words.strip()}\n\nThe file {self.name or 'is'}:\n\n```python\n{self.text.rstrip()}\n```"
        return Posed("request", told, self.function.name, tuple(tests), self.head)

    @property
    def head(self) -> str:
        return f"{self.text.rstrip()}\n\n\n"

    def answer(self, program: str) -> str:
        """The file with the function of a program in it, and before it what else the program brings."""
        own = program.removeprefix(self.head)
        tree = parsed(own)
        made = [one for one in functions_in(own) if one.name == self.function.name and not one.text.startswith((" ", "\t"))]
        if tree is None or not made:
            return f"```python\n{own.rstrip()}\n```"
        known = {ast.dump(node) for node in ast.parse(self.text).body}
        more = [node for node in tree.body if getattr(node, "name", "") != self.function.name and ast.dump(node) not in known]
        lead = [
            ast.unparse(node) for node in more if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign))
        ]
        before = "".join(f"{one}\n\n" for one in lead)
        text = put(self.text, self.function, made[-1].text, before)
        name = f"{self.name}\n" if self.name else ""
        return f"{name}```python\n{text.rstrip()}\n```"


def shown_file(messages: Sequence[Message], entry_point: str) -> Shown | None:
    """The file of the latest message with a function that has doctests and is asked for: named in the request or in the last message,
    or the only one. None where there is none; files of the last message itself are read as a problem of their own."""
    said = [message.content or "" for message in messages if message.role == "user"]
    for text in reversed(said[:-1]):
        found = [one for one in _files(text) if not entry_point or one.function.name == entry_point]
        named = [one for one in found if re.search(rf"\b{re.escape(one.function.name)}\b", said[-1])]
        chosen = named or found
        if len(chosen) == 1 or named:
            return chosen[0]
    return None


def doctests_of(one: Shown) -> tuple[str, ...]:
    """The doctests of the function, as assertions."""
    node = ast.parse(one.function.text).body[0]
    doc = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
    return tuple(dict.fromkeys(examples(doc or "", one.function.name)))


def _files(text: str) -> Iterator[Shown]:
    for match in _FILE.finditer(text):
        functions = [one for one in functions_in(match["text"]) if not one.text.startswith((" ", "\t"))]
        for function in functions:
            shown = Shown(match["name"] or "", match["text"], function)
            if doctests_of(shown):
                yield shown
