"""The rows of a task's tables: columns under the names in use, ids and grades as numbers or texts; what is left out is counted by reason.

A column is understood, or counted as not read; a value that has no meaning is refused with its file and line.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError
from luthier.evaluate.retrieval.layout import LINES, is_split
from luthier.evaluate.retrieval.settings import Dangling
from luthier.evaluate.retrieval.task import Texts
from luthier.records import JSON, read_rows
from luthier.records.delimited import read_delimited
from luthier.records.files import renamed

LeftOut = Counter[str]  # rows by reason
Triple = tuple[int, int, int]
ID = ("_id", "id", "docid", "doc_id", "docno", "document_id", "corpus_id", "pid", "passage_id", "query_id", "qid")
TEXT = ("text", "contents", "content", "passage", "document", "query", "question")
QUERY = ("query_id", "qid", "queryid", "q_id", "topic_id", "query", "topic")
DOCUMENT = ("corpus_id", "corpusid", "docid", "doc_id", "document_id", "documentid", "docno", "pid", "passage_id", "document", "doc")
GRADE = ("score", "grade", "relevance", "rel", "label", "gain", "judgement", "judgment", "rating")
DULL = ("iteration", "iter", "q0")  # trec_eval's second column says nothing
SPLIT = ("split", "partition")
OF_TEXTS, OF_QRELS = ("_id", "text", "title"), ("query-id", "corpus-id", "score")  # what `--map` can name
NOTHING: tuple[Any, ...] = (None, "", [], {})


def read_texts(files: list[Path], kind: str, account: LeftOut | None = None, columns: Mapping[str, str] | None = None) -> Texts:
    """A corpus or queries. columns: names of fields, and the columns that hold them. Raises BadRowError with file and line."""
    told = LeftOut() if account is None else account
    ids: list[str] = []
    texts: list[str] = []
    titles: list[str] = []
    seen: set[str] = set()
    for path in files:
        for line, row in _rows(path, kind, columns):
            row_id, text, title = _text_row(row, kind, path, line, told)
            if row_id in seen:
                raise BadRowError(f"the id {row_id!r} appears twice in the {kind}; ids must be unique", path, line)
            seen.add(row_id)
            ids.append(row_id)
            texts.append(text)
            titles.append(title)
    if not ids:
        raise BadRowError(f"the {kind} is empty; a task needs at least one row", files[0])
    return Texts(ids, texts, titles if any(titles) else ())


def read_qrels(
    files: list[Path],
    documents: Texts,
    queries: Texts,
    split: str = "test",
    *,
    dangling: Dangling = "refuse",
    account: LeftOut | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[Triple]:
    """Judgements as (row of the query, row of the document, gain). dangling: what becomes of one of a query or document that is not there.

    Raises BadRowError with file and line.
    """
    told = LeftOut() if account is None else account
    known, asked = _places(documents.ids), _places(queries.ids)
    gains: dict[tuple[int, int], int] = {}
    for path in files:
        for line, row in _rows(path, "qrels", columns):
            found = _judgement(row, split, path, line, told)
            if found is None:
                continue
            query, document, gain = found
            pair = (_find(asked, query), _find(known, document))
            if pair[0] is None or pair[1] is None:
                what, where = ("query", "among the queries") if pair[0] is None else ("document", "in the corpus")
                if dangling == "refuse":
                    name = query if pair[0] is None else document
                    raise BadRowError(
                        f"the {what} {name!r} is judged but is not {where}; --dangling leave-out counts such rows", path, line
                    )
                told[f"judgement of a {what} that is not {where}"] += 1
                continue
            if pair in gains:
                other = gains[pair] != gain
                told["judgement of a pair that is judged twice" + (", with another grade: the greatest counts" if other else "")] += 1
            gains[pair[0], pair[1]] = max(gain, gains.get((pair[0], pair[1]), gain))
    return [(query, document, gain) for (query, document), gain in gains.items()]


# --- rows --------------------------------------------------------------------------------------------------------------------------


def _text_row(row: JSON, kind: str, path: Path, line: int, account: LeftOut) -> tuple[str, str, str]:
    named = _named(row, path, line)
    id_name = _column(named, ID, "_id", path, line)
    text_name = next((name for name in TEXT if name in named), None)
    text = row.get(named[text_name]) if text_name is not None else None
    if not isinstance(text, str):
        there = f"; columns: {', '.join(row)}" if text_name is None else f", not {_shown(text)}"
        raise BadRowError(f"a row of the {kind} needs a `text` that is a text{there}", path, line)
    title = _title(row.get(named["title"]) if "title" in named else None, path, line)
    _count_unread(row, {named[id_name], named[str(text_name)], named.get("title")}, kind, account)
    return _id(row[named[id_name]], named[id_name], path, line), text, title


def _title(value: Any, path: Path, line: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str | int | float):
        raise BadRowError(f"the title is {_shown(value)}; a text is expected", path, line)
    return str(value)


def _judgement(row: JSON, split: str, path: Path, line: int, account: LeftOut) -> tuple[str, str, int] | None:
    """(query, document, gain); None for a row of another split."""
    named = _named(row, path, line)
    query, document = _column(named, QUERY, "query-id", path, line), _column(named, DOCUMENT, "corpus-id", path, line)
    used = {named[query], named[document]}
    for name in SPLIT:
        if name in named and isinstance(value := row[named[name]], str) and value:
            used.add(named[name])
            if not is_split(value, split):
                account[f"judgement of the split {value}"] += 1
                return None
    grades = [named[name] for name in GRADE if name in named]
    gain = _gain(row, grades, path, line) if grades else _only_gain(row, used, path, line)
    _count_unread(row, {*used, *grades}, "qrels", account)
    return _id(row[named[query]], named[query], path, line), _id(row[named[document]], named[document], path, line), gain


def _named(row: JSON, path: Path, line: int) -> dict[str, str]:
    """The columns by their plain names: `Query-ID` is `query_id`."""
    named = {_plain(name): name for name in row}
    if len(named) != len(row):
        raise BadRowError(f"two columns have the same name ({', '.join(row)}); rename one", path, line)
    return named


@cache
def _plain(name: str) -> str:
    return re.sub(r"[-\s.]+", "_", name.strip().lower())


def _column(named: Mapping[str, str], names: tuple[str, ...], usual: str, path: Path, line: int) -> str:
    for name in names:
        if name in named:
            return name
    raise BadRowError(f"the field `{usual}` is missing (columns: {', '.join(named.values())})", path, line)


def _id(value: Any, name: str, path: Path, line: int) -> str:
    """An id as a text; numbers that are whole are written without a point."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
        return str(value)
    raise BadRowError(f"the field `{name}` is {_shown(value)}; an id is a text or a whole number", path, line)


def _gain(row: JSON, names: list[str], path: Path, line: int) -> int:
    found = {_grade(row[name], name, path, line) for name in names}
    if len(found) > 1:
        raise BadRowError(f"the columns {', '.join(names)} give different grades; keep one of them", path, line)
    return found.pop()


def _grade(value: Any, name: str, path: Path, line: int) -> int:
    if isinstance(value, bool) or (isinstance(value, str) and value.strip().lower() in ("true", "false")):
        return int(str(value).strip().lower() == "true")
    try:
        number = float(value)
        if number.is_integer() and abs(number) < 2**31:
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadRowError(f"the {_plain(name)} is {_shown(value)}; a whole number is expected", path, line)


def _only_gain(row: JSON, used: set[str], path: Path, line: int) -> int:
    """1 where a table has no grades; one whose columns might be grades is refused."""
    others = [name for name in row if name not in used and _plain(name) not in DULL]
    if others:
        known = ", ".join(GRADE)
        raise BadRowError(f"no column of grades (columns: {', '.join(row)}); known names: {known}", path, line)
    return 1


def _count_unread(row: JSON, used: set[str | None], kind: str, account: LeftOut) -> None:
    for name, value in row.items():
        if name not in used and _plain(name) not in DULL and value not in NOTHING:
            account[f"{kind}: the column `{name}` is not read"] += 1


def _shown(value: Any) -> str:
    return repr(value)[:40]


# --- ids that are written in two ways ------------------------------------------------------------------------------------------------


def _places(ids: Any) -> dict[str, int]:
    """The row of each id, and of the same number written without a point where no id is written so."""
    places = {row: at for at, row in enumerate(ids)}
    for row, at in list(places.items()):
        if (whole := _whole(row)) != row:
            places.setdefault(whole, at)
    return places


def _find(places: Mapping[str, int], row: str) -> int | None:
    return next((places[name] for name in (row, row.strip(), _whole(row)) if name in places), None)


def _whole(row: str) -> str:
    """`12.0` as `12`: how columns with a gap write whole numbers."""
    return re.sub(r"\.0+\Z", "", row) if re.fullmatch(r"\s*+-?\d++\.0++\s*+", row) else row


# --- files -------------------------------------------------------------------------------------------------------------------------


def _rows(path: Path, kind: str, columns: Mapping[str, str] | None = None) -> Iterator[tuple[int, JSON]]:
    """(line, row) of any of the formats."""
    named = {} if columns is None else {name: column for name, column in columns.items() if (name in OF_QRELS) == (kind == "qrels")}
    rows = _separated_rows(path, kind == "qrels", {*named.values()}) if path.name.lower().endswith(LINES) else _object_rows(path, kind)
    return renamed(rows, named, path) if named else rows


def _separated_rows(path: Path, qrels: bool, named: set[str]) -> Iterator[tuple[int, JSON]]:
    header: list[str] | None = None
    for line, cells in read_delimited(path):
        if header is None:
            header, is_data = (cells, False) if named & {*cells} else _header(cells, qrels, path, line)
            if not is_data:
                continue
        if len(cells) != len(header):
            raise BadRowError(f"{len(cells)} columns where {len(header)} are expected ({', '.join(header)})", path, line)
        yield line, dict(zip(header, cells, strict=True))


def _header(cells: list[str], qrels: bool, path: Path, line: int) -> tuple[list[str], bool]:
    """The column names, and whether the first line is a row already: trec_eval's four columns, three, or two; of texts an id and a text."""
    plain = {_plain(cell) for cell in cells}
    if plain & {*(QUERY if qrels else ID), *(DOCUMENT if qrels else ())}:
        if len(plain) != len(cells):
            raise BadRowError(f"two columns have the same name ({', '.join(cells)}); rename one", path, line)
        return cells, False
    bare = {4: ["query-id", "iteration", "corpus-id", "score"], 3: ["query-id", "corpus-id", "score"], 2: ["query-id", "corpus-id"]}
    names = bare.get(len(cells)) if qrels else ["_id", "text"] if len(cells) == 2 else None
    if names is None:
        raise BadRowError(f"no column of ids is named (first row: {', '.join(cells)[:80]}); give the columns names", path, line)
    return names, True


def _object_rows(path: Path, kind: str) -> Iterator[tuple[int, JSON]]:
    """Rows of JSON and Parquet; one object that holds a whole table, id to text or query to document to grade, comes as its rows."""
    for line, row in read_rows(path):
        if not path.name.lower().endswith((".json", ".json.gz")) or not _is_table(row, kind):
            yield line, row
            continue
        for name, value in row.items():
            if kind == "qrels":
                pairs = value.items() if isinstance(value, dict) else [(document, 1) for document in value]
                yield from ((line, {"query-id": name, "corpus-id": document, "score": gain}) for document, gain in pairs)
            else:
                yield line, {"_id": name, **(value if isinstance(value, dict) else {"text": value})}


def _is_table(row: JSON, kind: str) -> bool:
    if kind == "qrels":
        return bool(row) and all(isinstance(value, dict | list) for value in row.values())
    named = {_plain(name) for name in row}
    return bool(row) and not named & set(ID) and all(isinstance(value, dict | str) for value in row.values())
