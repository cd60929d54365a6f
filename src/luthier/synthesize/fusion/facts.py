"""Facts from the rows of tables: which columns name the subject, which hold values, and what happens where two rows disagree.

A fact's id is a hash of subject and attribute, so it stays when documents come or go. Facts from running text come from `extraction`.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from luthier.errors import SettingsError
from luthier.records import JSON, SkippedRows
from luthier.records.account import Fate, note
from luthier.records.fusion import Fact
from luthier.synthesize.fusion.columns import EMPTY, FLAGS
from luthier.synthesize.fusion.columns import Columns as SeenColumns
from luthier.synthesize.fusion.documents import Reading, Row, Text, read_documents
from luthier.texts.dates import Order, Shown, is_open, read_moment, shown_order
from luthier.texts.values import Kind, keys_of, kind_of, mentions, plain_words, states

FLAG = "yes or no, which is no value to ask for"
OPEN = "date that may be day or month first, which no other of its column or document shows (say --dates day-first or month-first)"
NO_DATE = "date of a row that cannot be read, so that its facts have none"
LONGEST = 120  # characters of a value: more is a text, not a value
DATE_COLUMNS = ("date", "released", "releasedate", "release_date", "updated", "published")
OF_THE_ROW = ("date", "updated", "last updated", "modified", "last modified", "timestamp")  # dates that tell nothing of the subject
_COMPACT = re.compile(r"((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:[T ]?\d{4}(?:\d\d)?Z?)?")
_EPOCH = re.compile(r"\d{9,10}(?:\.\d+)?|\d{12,13}")
_SECONDS = 10  # digits; more are milliseconds
_NUMBERED = re.compile(r"\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d\d)(?!\d)")
_PLACE = re.compile(r"(.*?)(?::(\d+)|#table\d+)", re.DOTALL)  # of a row
_WEEKDAY = re.compile(r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s", re.IGNORECASE)
_SIGNS = {"+": "plus", "#": "sharp", "%": "percent", "&": "and", "*": "star", "@": "at", "$": "dollar", "€": "euro", "£": "pound"}


@dataclass(frozen=True)
class Columns:
    """How rows become facts.

    subject: columns whose cells together name what the row is about; `a|b` takes the first that is filled. None: the first column.
    attributes: (column, name) pairs of those that hold values; none: all but those of subject and date. date: the column with the
    row's date; None: one of the usual names. where: (column, text) pairs that a row must have. order: what stands first in dates such as
    05/06/2024, where neither their column nor their document shows it.
    """

    subject: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    date: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    order: Order | None = None


@dataclass(frozen=True)
class Update:
    """A fact whose value changed: both are known, with their dates."""

    old: Fact
    new: Fact


@dataclass(frozen=True)
class KnowledgeBase:
    """The facts of documents, each subject and attribute once; updates: those with two values at two dates; texts: what a model may
    read more facts from; dropped: what was left out, by reason."""

    facts: tuple[Fact, ...]
    updates: tuple[Update, ...] = ()
    texts: tuple[Text, ...] = ()
    dropped: JSON = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @classmethod
    def from_paths(
        cls, paths: Sequence[str | Path], columns: Columns = Columns(), *, skipped: SkippedRows | None = None, date_field: str | None = None
    ) -> KnowledgeBase:
        """The facts of all tables under these paths. date_field: short for `Columns(date=...)`.

        Raises MissingFileError, BadRowError, and SettingsError where there is neither a fact nor a text.
        """
        chosen = replace(columns, date=date_field) if date_field is not None else columns
        reading, texts = Reading(), list[Text]()
        dropped: Counter[str] = Counter()

        def rows() -> Iterable[Row]:
            for one in read_documents(paths, reading, skipped):
                if isinstance(one, Text):
                    texts.append(replace(one, order=one.order or chosen.order))
                else:
                    yield one

        found = table_facts(rows(), chosen, dropped)
        dropped["empty document"] += len(reading.empty)
        dropped["column told twice with two values"] += reading.repeated
        dropped["value around a list of objects that use its name"] += reading.covered
        dropped["cell beyond the columns of its table"] += reading.beyond
        dropped["text that is struck out"] += reading.struck
        dropped["raised sign of a note"] += reading.notes
        made = merged(found, dropped)
        if not made.facts and not made.updates and not texts:
            told = ", ".join(f"{count} {reason}" for reason, count in made.dropped.items()) or "no rows"
            raise SettingsError(f"{', '.join(map(str, paths))}: no facts there ({told}); name columns with --subject and --attribute")
        return replace(made, texts=tuple(texts), sources=tuple(reading.files))

    def with_facts(self, more: Sequence[Fact]) -> KnowledgeBase:
        """The same, with facts read from its texts."""
        dropped = Counter(self.dropped)
        before = [*self.facts, *(fact for update in self.updates for fact in (update.old, update.new))]
        made = merged([*before, *more], dropped)
        return replace(made, texts=self.texts, sources=self.sources)


def fact_id(subject: str, attribute: str) -> str:
    """A name for a subject's attribute that does not depend on how either is capitalised or punctuated."""
    key = "\0".join(" ".join(_key_words(part)) for part in (subject, attribute))
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def table_facts(rows: Iterable[Row], columns: Columns, dropped: Counter[str]) -> list[Fact]:
    """A fact a filled cell. Kinds are of whole attributes: a version among numbers makes all of them versions."""
    found: list[_Told] = []
    orders, seen, left_out = _Orders(columns.order), SeenColumns(), _LeftOut(dropped)
    asked = list(_asked(rows, columns, seen, left_out))  # a cell is judged by the others of its column
    for row, cells in asked:
        document = _document(row.place)
        subject = _subject(document, cells, columns.subject or tuple(cells)[:1], seen)
        if not subject:
            told = " ".join(
                filter(None, (_text(cells.get(name)) for each in columns.subject or tuple(cells)[:1] for name in each.split("|")))
            )
            left_out.add("row without a subject", row.place, told)
            continue
        date_column = columns.date or next((name for name in cells if name.casefold().replace(" ", "_") in DATE_COLUMNS), None)
        day = _text(cells.get(date_column)) if date_column else ""
        orders.see(row.place, date_column or "", [day])
        for column, name in columns.attributes or _all_attributes(cells, columns, date_column):
            values = _values(cell := cells.get(column))
            if isinstance(cell, list) and not left_out.keeps(cell, row.place, column):
                continue
            problem = _problem(values, subject, bool(values) and seen.is_code(document, column, values[0]))
            if problem:
                left_out.add(problem, row.place, values[0] if values else "", column)
                continue
            orders.see(row.place, column, values)
            fact = Fact(fact_id(subject, name), subject, name, values[0], "text", row.date, row.place, tuple(values[1:]))
            found.append(_Told(fact, column, date_column or "", day))
    return _with_kinds(list(_dated(found, orders, dropped)))


def _asked(rows: Iterable[Row], columns: Columns, seen: SeenColumns, left_out: _LeftOut) -> Iterator[tuple[Row, JSON]]:
    """Rows that are asked for, with their cells, which are seen column by column."""
    for row in rows:
        cells = {name.strip(): value for name, value in row.cells.items()}
        if any(str(cells.get(column, "")).casefold() != text.casefold() for column, text in columns.where):
            left_out.add("row not asked for", row.place)
            continue
        for column, cell in cells.items():
            if isinstance(cell, str):
                seen.see(_document(row.place), column, _text(cell))
        yield row, cells


class _LeftOut(NamedTuple):
    """What is left out: counted by reason, and noted with its place in the account of what was read."""

    dropped: Counter[str]

    def add(self, reason: str, place: str, said: str = "", column: str = "") -> None:
        self.dropped[reason] += 1
        said = f": {said[:40]!r}" if said and said.casefold() in EMPTY | FLAGS else ""
        _note("left out", f"{reason}{f', {column}' if column else ''}{said}", place)

    def keeps(self, cell: Sequence[object], place: str, column: str) -> bool:
        """Whether a list in a cell is a value and its aliases, and says so; several numbers are none, and objects and lists in it no part of it."""
        if sum(isinstance(one, int | float) and not isinstance(one, bool) for one in cell) > 1:
            self.add("several numbers in a cell", place, column=column)
            return False
        nested = sum(isinstance(one, list | dict) for one in cell)
        for _ in range(nested):
            self.add("object or list among the values of a cell", place, column=column)
        if len(cell) - nested > 1:
            _note("understood", f"list in a cell, of which the first is the value and the others are its aliases, {column}", place)
        return True


def _note(fate: Fate, what: str, place: str) -> None:
    where = _PLACE.fullmatch(place)
    line = int(where[2]) if where and where[2] else None
    note(fate, what, where[1] if where and line else place, line)


class _Told(NamedTuple):
    """A fact as it stands: the column of its value, that of its row's date, and this date."""

    fact: Fact
    column: str
    date_column: str
    day: str


class _Orders:
    """What stands first in the dates of numbers of each column of each document: what others of the column show, else of the document, else
    what is given."""

    def __init__(self, given: Order | None) -> None:
        self._given = given
        self._shown: dict[str, dict[str, Shown]] = {}

    def see(self, place: str, column: str, cells: Iterable[str]) -> None:
        dates = [date for cell in cells if (date := _numbered(cell))]
        if not dates:
            return
        of_document = self._shown.setdefault(_document(place), {})
        known, new = of_document.get(column, Shown()), shown_order(dates)
        of_document[column] = Shown(known.day or new.day, known.month or new.month)

    def of(self, place: str, column: str) -> Order | None:
        of_document = self._shown.get(_document(place), {})
        own = of_document.get(column, Shown())
        if own.day is None and own.month is None:
            shown = of_document.values()
            own = Shown(next((one.day for one in shown if one.day), None), next((one.month for one in shown if one.month), None))
        return own.order or self._given


def _dated(found: Sequence[_Told], orders: _Orders, dropped: Counter[str]) -> Iterator[Fact]:
    """The facts with the dates of their rows, and with values that are dates written so that they can be read one way only. An open date is
    counted: as a value it is left out, as a row's it is none."""
    rows: dict[tuple[str, str, str], str | None] = {}
    for told in found:
        fact = told.fact
        row = (fact.source, told.date_column, told.day)
        if row not in rows:
            order = orders.of(fact.source, told.date_column)
            rows[row] = iso = _iso(told.day, order)
            if told.day and iso is None and told.day.casefold() not in EMPTY:
                dropped[f"row's {OPEN}" if _is_open(told.day, order) else NO_DATE] += 1
        order = orders.of(fact.source, told.column)
        values = [plain_date(value, order) for value in (fact.value, *fact.aliases)]
        if values[0] is None:
            dropped[OPEN] += 1
            continue
        yield replace(fact, value=values[0], aliases=tuple(value for value in values[1:] if value), date=rows[row] or fact.date)


def plain_date(value: str, order: Order | None) -> str | None:
    """A value whose date of numbers is written 2024-06-05 in its place, others as they are; None for a date that stays open."""
    part = _numbered(value)
    if not part or kind_of([value]) != "date":
        return value
    moment = None if _is_open(part, order) else read_moment(part, order)
    return None if moment is None else f"{moment:%Y-%m-%d}{value.strip()[len(part) :]}"


def _numbered(text: str) -> str:
    """The date of numbers that a text begins with, after a weekday; empty where there is none."""
    match = _NUMBERED.match(_WEEKDAY.sub("", text.strip()))
    return match[0] if match else ""


def _is_open(text: str, order: Order | None) -> bool:
    return order is None and is_open(_numbered(text))


def _document(place: str) -> str:
    match = _PLACE.fullmatch(place)
    return match[1] if match else place


def merged(found: Sequence[Fact], dropped: Counter[str]) -> KnowledgeBase:
    """Each subject and attribute once. Equal values are one fact; two values at two dates are an update; contradictions are dropped."""
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in found:
        groups[fact.id].append(fact)
    facts, updates = list[Fact](), list[Update]()
    for group in groups.values():
        newest_last = sorted(group, key=lambda fact: (fact.date or "", fact.value, fact.source))
        different = list({_meaning(fact): fact for fact in newest_last}.values())
        dropped["fact told again"] += len(group) - len(different)
        if len(different) == 1:
            facts.append(newest_last[0])
            continue
        old, new = different[-2:]
        if old.date is None or new.date is None or old.date >= new.date:
            dropped["contradiction without an order in time"] += len(different)
        else:
            updates.append(Update(old, new))
            dropped["older than an update"] += len(different) - 2
    told = {reason: count for reason, count in sorted(dropped.items()) if count}
    return KnowledgeBase(tuple(sorted(facts, key=lambda fact: fact.id)), tuple(sorted(updates, key=lambda one: one.new.id)), (), told)


def _with_kinds(found: Sequence[Fact]) -> list[Fact]:
    values: dict[str, set[str]] = defaultdict(set)
    for fact in found:
        values[fact.attribute].add(fact.value)
    kinds: dict[str, Kind] = {name: kind_of(each) for name, each in values.items()}
    return [replace(fact, kind=kinds[fact.attribute]) for fact in found]


def _meaning(fact: Fact) -> frozenset[str]:
    return keys_of(fact.value, fact.kind)


def _subject(document: str, cells: JSON, columns: Sequence[str], seen: SeenColumns) -> str:
    """The cells of the columns, joined; one that the next begins to repeat ("Motorola", "Motorola edge") is left out."""
    parts: list[str] = []
    for column in columns:
        named = [(name.strip(), cells.get(name.strip())) for name in column.split("|")]
        filled = [(name, _text(cell)) for name, cell in named if not isinstance(cell, bool)]
        part = next((text for name, text in filled if seen.is_name(document, name, text)), "")
        if not part:
            return ""
        if parts and part.split()[0].casefold() in parts[-1].casefold().split():
            parts.pop()
        parts.append(part)
    return " ".join(parts)


def _all_attributes(cells: JSON, columns: Columns, date_column: str | None) -> Iterable[tuple[str, str]]:
    subject = {name.strip() for column in columns.subject for name in column.split("|")} or set(tuple(cells)[:1])
    used = subject | {name for name, _ in columns.where}
    return (
        (name, _spoken(name)) for name in cells if name and name not in used and (name != date_column or _spoken(name) not in OF_THE_ROW)
    )


def _spoken(column: str) -> str:
    """`releaseDate`, `release_date` and `release.date` as `release date`."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-zA-Z])\.(?=[a-zA-Z])", " ", column).replace("_", " ").split()
    return " ".join(part if part.isupper() and len(part) > 1 else part.lower() for part in parts)


def _values(cell: object) -> list[str]:
    """The cell's value first, then its aliases; a list holds both."""
    if isinstance(cell, list):
        return [text for one in cell if not isinstance(one, list | dict) and (text := _text(one))]
    return [] if cell is None or isinstance(cell, dict) else [_text(cell)]


def _text(cell: object) -> str:
    return "" if cell is None or isinstance(cell, list | dict) else " ".join(str(cell).split())


def _problem(values: Sequence[str], subject: str, is_code: bool) -> str:
    """Why a cell is no fact; empty where it is one. is_code: whether the others of its column are codes as it may be."""
    if not values or values[0].casefold() in EMPTY:
        return "missing or empty cell"
    if values[0].casefold() in FLAGS and not is_code:
        return FLAG
    if len(values[0]) > LONGEST:
        return "value too long"
    if states(subject, values[0], "text") is not None:
        return "value stands in its subject's name"
    return ""


def _iso(text: str, order: Order | None) -> str | None:
    """The day of a date cell, with or without a weekday and a time; `20240517` and seconds or milliseconds since 1970 too. None where it
    cannot be read, or may be day or month first and `order` is not known."""
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        text = f"{compact[1]}-{compact[2]}-{compact[3]}"
    elif _EPOCH.fullmatch(text):
        seconds = float(text) / (1000 if len(text.partition(".")[0]) > _SECONDS else 1)
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).date().isoformat()
    bare = _WEEKDAY.sub("", text)
    found = mentions(bare, "date")
    whole = bool(found) and (found[0].start, found[0].end) == (0, len(bare))
    if whole and len(found[0].keys) == 1 and not _numbered(bare):
        return min(found[0].keys)
    moment = read_moment(_numbered(bare) if whole else bare, order)
    return None if moment is None else moment.date().isoformat()


def _key_words(text: str) -> list[str]:
    """Words and the signs that tell names apart: the S8+ is not the S8, C# not C. A name of signs alone is its own word."""
    for sign, word in _SIGNS.items():
        text = text.replace(sign, f" {word} ")
    if any(unicodedata.category(letter) in ("Mn", "Mc") for letter in unicodedata.normalize("NFKC", text)):
        return unicodedata.normalize("NFKC", text).casefold().split()  # vowel signs are parts of words
    words = plain_words(text)
    return words if any(words) else text.split()
