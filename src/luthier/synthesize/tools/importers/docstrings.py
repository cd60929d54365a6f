"""What a docstring says: its summary, and the type and description of each parameter, in Google, NumPy or Sphinx style."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HEADING = re.compile(
    r"^(Args|Arguments|Parameters|Params|Returns|Return|Yields|Raises|Examples?|Notes?|See Also|References|Attributes|Keyword Args)\s*+:?\s*+$"
)
_PARAMETERS = ("Args", "Arguments", "Parameters", "Params", "Keyword Args")
_SPHINX = re.compile(r"^:(param|parameter|arg|type|returns?|rtype)\s*+([^:]*+):\s*+(.*)$")
_GOOGLE = re.compile(r"^\*{0,2}(\w++)\s*+(?:\(([^)]*+)\))?\s*+:\s*+(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w++(?:\s*+,\s*+\w++)*+)\s*+(?::\s*+(.*))?$")


@dataclass
class Docstring:
    """Summary, and by parameter name its description and its type as text; `returns` is the type of the result as text."""

    summary: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    returns: str = ""


def parse_docstring(text: str) -> Docstring:
    """Reads a cleaned docstring (`inspect.getdoc`). Parts it does not know are passed over."""
    lines = text.splitlines()
    doc = Docstring(summary=_summary(lines))
    _read_sphinx(lines, doc)
    for heading, body in _sections(lines):
        if heading in _PARAMETERS:
            _read_parameters(body, doc)
        elif heading in ("Returns", "Return") and body:
            doc.returns = doc.returns or _GOOGLE_RETURN.sub(r"\1", body[0].strip())
    return doc


_GOOGLE_RETURN = re.compile(r"^([\w\[\], .|]+):.*$")


def _summary(lines: list[str]) -> str:
    paragraph: list[str] = []
    for line in lines:
        if (not line.strip() and paragraph) or _HEADING.match(line.strip()) or line.strip().startswith(":"):
            break
        paragraph.append(line.strip())
    return " ".join(paragraph).strip()


def _sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = []
    for line in lines:
        heading = _HEADING.match(line)
        if heading:
            sections.append((heading[1], []))
        elif sections and not re.fullmatch(r"-{3,}", line.strip()):
            sections[-1][1].append(line)
    return sections


def _read_parameters(body: list[str], doc: Docstring) -> None:
    filled = [line for line in body if line.strip()]
    if not filled:
        return
    margin = len(filled[0]) - len(filled[0].lstrip())
    names: list[str] = []
    for line in filled:
        indent, content = len(line) - len(line.lstrip()), line.strip()
        if indent > margin and names:
            for name in names:
                doc.parameters[name] = f"{doc.parameters[name]} {content}".strip()
            continue
        if indent < margin:
            return
        numpy_style = margin == 0
        match = (_NUMPY if numpy_style else _GOOGLE).match(content)
        if match is None:
            return
        names = [name.strip() for name in match[1].split(",")]
        for name in names:
            doc.types[name] = match[2] or doc.types.get(name, "")
            doc.parameters[name] = "" if numpy_style else match[3]


def _read_sphinx(lines: list[str], doc: Docstring) -> None:
    current: str | None = None
    for line in lines:
        match = _SPHINX.match(line.strip())
        if match is None:
            if current is not None and line.startswith((" ", "\t")) and line.strip():
                doc.parameters[current] += " " + line.strip()
            else:
                current = None
            continue
        kind, words, rest = match[1], match[2].split(), match[3]
        current = None
        if kind in ("param", "parameter", "arg") and words:
            current = words[-1]
            doc.parameters[current] = rest
            if len(words) > 1:
                doc.types[current] = " ".join(words[:-1])
        elif kind == "type" and words:
            doc.types[words[-1]] = rest
        elif kind == "rtype":
            doc.returns = rest
