"""HTML pages: their visible text, their tables as grids of cells, and their date. What a reader sees struck out, and notes to cells, are left out
and counted."""

from __future__ import annotations

import html.parser
import re
from dataclasses import dataclass, field

from luthier.synthesize.fusion.markup import is_note

MOST_COLUMNS = 1_000  # as browsers have it for one cell; here of a table
MOST_ROWS = 65_534  # that one cell may span
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(\d\d)[-_]?(\d\d)(?!\d)")
_STRUCK = frozenset(("s", "strike", "del"))


@dataclass
class _Cell:
    columns: int = 1
    rows: int = 1  # 0: all that follow in its group
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())


@dataclass
class _Table:
    """Rows of cells by the group (head, body, foot) they stand in: no cell spans rows of two."""

    rows: list[tuple[int, list[_Cell]]] = field(default_factory=list)
    group: int = 0

    def grid(self) -> list[list[str]]:
        """Each row with a cell in every column: one that spans several stands in all of them."""
        told: list[list[str]] = []
        spanning: dict[int, tuple[int, int, str]] = {}  # of a column: the rows to come, their group and the text
        for group, cells in self.rows:
            row: dict[int, str] = {}
            for column, (left, of_group, text) in list(spanning.items()):
                if of_group == group and left:
                    row[column], spanning[column] = text, (left - 1, of_group, text)
                else:
                    del spanning[column]
            at = 0
            for cell in cells:
                said = cell.text
                while at in row:
                    at += 1
                for column in range(at, min(at + cell.columns, MOST_COLUMNS)):
                    row.setdefault(column, said)
                    if cell.rows != 1:
                        spanning[column] = ((cell.rows or MOST_ROWS) - 1, group, said)
                at += cell.columns
            if row:
                told.append([row.get(column, "") for column in range(max(row) + 1)])
        return told


class HtmlPage(html.parser.HTMLParser):
    """The visible text, the tables and the date of a page. Scripts and styles are passed over."""

    BREAKS = frozenset(("p", "div", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "tr"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.date: str | None = None
        self.struck = self.notes = 0
        self._parts: list[str] = []
        self._silent = 0
        self._before = ""  # what stands before this place, as it is written
        self._crossed: list[str] = []
        self._raised: list[str] | None = None
        self._open: list[_Table] = []
        self.feed(page)
        self.close()

    def text(self) -> str:
        return re.sub(r"(?<![ \t])[ \t]*+\n\s*\n\s*", "\n\n", "".join(self._parts)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "style", "template", "head"):
            self._silent += tag != "head"
        elif tag == "time" or (tag == "meta" and "date" in (given.get("name", "") + given.get("property", "")).lower()):
            stated = _DATE.search(given.get("datetime", "") or given.get("content", ""))
            self.date = self.date or (f"{stated[1]}-{stated[2]}-{stated[3]}" if stated else None)
        elif tag in _STRUCK:
            self.struck += not self._crossed
            self._crossed.append(tag)
        elif tag == "sup":
            self._raised = []
        elif tag == "table":
            self._open.append(_Table())
        elif self._open and tag in ("tr", "td", "th", "thead", "tbody", "tfoot"):
            self._part_of_table(tag, given)
        elif tag in self.BREAKS:
            self._parts.append("\n\n")

    def _part_of_table(self, tag: str, given: dict[str, str]) -> None:
        table = self._open[-1]
        self._crossed.clear()  # a cell that does not close what it strikes out ends it
        if tag == "tr":
            table.rows.append((table.group, []))
        elif tag in ("td", "th"):
            if not table.rows:  # a row need not be opened
                table.rows.append((table.group, []))
            self._before = ""
            table.rows[-1][1].append(_Cell(_span(given.get("colspan"), MOST_COLUMNS) or 1, _span(given.get("rowspan"), MOST_ROWS)))
        else:
            table.group += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._silent = max(0, self._silent - 1)
        elif tag in self._crossed:
            del self._crossed[self._crossed.index(tag) :]
        elif tag == "sup" and self._raised is not None:
            raised, self._raised = " ".join("".join(self._raised).split()), None
            if is_note(self._before, raised):
                self.notes += 1
            elif raised:
                self._say(raised)
        elif tag == "table" and self._open:
            table = self._open.pop().grid()
            self.tables += [table] if len(table) > 1 else []

    def handle_data(self, data: str) -> None:
        if self._silent or self._crossed:
            return
        if self._raised is not None:
            self._raised.append(data)
        else:
            self._say(data)

    def _cell(self) -> _Cell | None:
        rows = self._open[-1].rows if self._open else []
        return rows[-1][1][-1] if rows and rows[-1][1] else None

    def _say(self, data: str) -> None:
        self._before = data
        cell = self._cell()
        if cell is not None:
            cell.parts.append(data)
        elif not self._open:
            self._parts.append(data)


def _span(given: str | None, most: int) -> int:
    """Over how many columns or rows a cell stands; what is no number is one, as in browsers."""
    return min(int(given), most) if given is not None and given.strip().isdecimal() and len(given) < 9 else 1
