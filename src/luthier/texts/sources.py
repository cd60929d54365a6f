"""Python files as bytes and as text: the encoding that they declare, a byte order mark and the ends of their lines stay when a part is written anew."""

from __future__ import annotations

import codecs
import difflib
import io
import tokenize
from dataclasses import dataclass

from luthier.texts.programs import lines_of


@dataclass(frozen=True)
class Source:
    """A file's text with line feeds alone, and how it was written. lines: as they stand, with their ends."""

    text: str
    encoding: str
    mark: bytes
    lines: tuple[str, ...]

    @classmethod
    def of(cls, content: bytes) -> Source:
        """Raises ValueError where the bytes are no text of the encoding that the file declares, UTF-8 where it declares none."""
        try:
            encoding = tokenize.detect_encoding(io.BytesIO(content).readline)[0]
        except SyntaxError as problem:
            raise ValueError(str(problem)) from None
        mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
        lines = tuple(lines_of(content[len(mark) :].decode("utf-8" if mark else encoding)))
        return cls("".join(_ending_in(line, "\n") for line in lines), "utf-8" if mark else encoding, mark, lines)

    def written(self, text: str) -> bytes:
        """Another text in the same form: lines that were there stand as they did, new ones end as most do.

        Raises UnicodeEncodeError, a ValueError, where the encoding has no such character.
        """
        new, ends = lines_of(text), [line[len(line.rstrip("\r\n")) :] for line in self.lines]
        usual = max(("\n", "\r\n", "\r"), key=ends.count)
        if len(set(ends) - {""}) < 2:
            return self.mark + "".join(_ending_in(line, usual) for line in new).encode(self.encoding)
        made: list[str] = []
        old = [_ending_in(line, "\n") for line in self.lines]
        for what, first, last, begin, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            made += self.lines[first:last] if what == "equal" else (_ending_in(line, usual) for line in new[begin:end])
        return self.mark + "".join(made).encode(self.encoding)


def _ending_in(line: str, end: str) -> str:
    bare = line.rstrip("\r\n")
    return line if bare == line else bare + end
