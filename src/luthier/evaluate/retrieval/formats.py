"""Retrieval tasks on disk: BEIR folders and both layouts of the model hub, in JSONL, TSV or Parquet; strict, and clear where a row is bad.

Three tables make a task: a corpus, queries, and judgements (qrels) of a split. They are found by the names of files and folders:
`corpus.jsonl`, `queries/queries-00000-of-00001.parquet`, `python-corpus/…`, `qrels/test.tsv`, `default/test-….parquet`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.evaluate.retrieval.task import Qrels, Task, Texts
from luthier.records import JSON, atomic_write, read_rows, write_jsonl
from luthier.records.files import renamed
from luthier.records.lines import to_text

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".tsv", ".parquet")
SPLITS = {"valid": ("valid", "validation", "dev"), "dev": ("dev", "valid", "validation")}
META = "task.json"
_OF_TEXTS, _OF_QRELS = ("_id", "text", "title"), ("query-id", "corpus-id", "score")


def read_task(
    folder: Path, split: str = "test", *, reading: str = "text", name: str | None = None, columns: Mapping[str, str] | None = None
) -> Task:
    """The task in a folder. Queries without a judgement in this split are left out.

    columns: names of fields (`_id`, `text`, `title`; `query-id`, `corpus-id`, `score`), and the columns that hold them. Raises MissingFileError where a table is missing, BadRowError with file and line for a bad row or an unknown or repeated id.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder; a task is a folder with corpus.jsonl, queries.jsonl and qrels/")
    tables = find_tables(folder)
    for kind in ("corpus", "queries"):
        if not tables[kind]:
            raise MissingFileError(f"{folder}: no {kind} (expected {kind}.jsonl or a table in {kind}/)")
    named, judging = _columns_of(columns or {})
    documents = read_texts(tables["corpus"], "corpus", named)
    queries = read_texts(tables["queries"], "queries", named)
    judged = read_qrels(split_files(tables["qrels"], split, folder), documents, queries, judging)
    meta = _read_meta(folder / META)
    return assemble(
        name or str(meta.get("name") or folder.name), documents, queries, judged, split=split, reading=reading, meta=meta.get("meta", {})
    )


def assemble(
    name: str,
    documents: Texts,
    queries: Texts,
    triples: list[tuple[int, int, int]],
    *,
    split: str = "test",
    reading: str = "text",
    meta: JSON | None = None,
) -> Task:
    """A task of these tables; queries without a judgement are left out. triples: (row of the query, row of the document, gain)."""
    judged = sorted({query for query, _, _ in triples})
    place = {row: at for at, row in enumerate(judged)}
    kept = Texts([queries.ids[row] for row in judged], [queries.texts[row] for row in judged])
    qrels = Qrels.from_triples(len(judged), [(place[query], document, gain) for query, document, gain in triples])
    return Task(name, documents, kept, qrels, split, reading, meta or {})


def write_task(task: Task, folder: Path) -> Path:
    """Write `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv` and `task.json`. Raises SettingsError for ids that TSV cannot carry."""
    write_tables(folder, task.documents, task.queries, {task.split: task.qrels.triples()})
    write_meta(folder, task.name, task.meta)
    return folder


def write_tables(folder: Path, documents: Texts, queries: Texts, splits: dict[str, list[tuple[int, int, int]]]) -> None:
    """The BEIR layout: splits gives (row of the query, row of the document, gain) for each split."""
    for table in (documents, queries):
        if strange := [row for row in table.ids if re.search(r"[\t\r\n]", row) or not row]:
            raise SettingsError(f"the id {strange[0]!r} cannot stand in a TSV of judgements; rename it")
    titles = documents.titles or [""] * len(documents)
    corpus = zip(documents.ids, titles, documents.texts, strict=True)
    write_jsonl(folder / "corpus.jsonl", ({"_id": row, "title": title, "text": text} for row, title, text in corpus))
    asked = zip(queries.ids, queries.texts, strict=True)
    write_jsonl(folder / "queries.jsonl", ({"_id": row, "text": text} for row, text in asked))
    for split, triples in splits.items():
        with atomic_write(folder / "qrels" / f"{split}.tsv") as stream:
            stream.write("query-id\tcorpus-id\tscore\n")
            stream.writelines(f"{queries.ids[q]}\t{documents.ids[d]}\t{gain}\n" for q, d, gain in triples)


def write_meta(folder: Path, name: str, meta: JSON) -> None:
    with atomic_write(folder / META) as stream:
        stream.write(to_text({"name": name, "meta": meta}) + "\n")


def _read_meta(path: Path) -> JSON:
    return next((row for _, row in read_rows(path)), {}) if path.is_file() else {}


def find_tables(folder: Path) -> dict[str, list[Path]]:
    """The files of `corpus`, `queries` and `qrels`: by the name of the file, else by those of the folders above it."""
    found: dict[str, list[Path]] = {"corpus": [], "queries": [], "qrels": []}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in inner.parts)
        if (
            hidden
            or not path.name.lower().endswith(SUFFIXES)
            or path.name in (META, "provenance.jsonl", "build.json")
            or not path.is_file()
        ):
            continue
        kind = next((kind for part in reversed(inner.parts) if (kind := _kind(part))), None)
        if kind is not None:
            found[kind].append(path)
    return found


def _kind(name: str) -> str | None:
    words = re.split(r"[-_.]", name.lower())
    if "qrels" in words or words[0] in ("default", "test", "train", "valid", "validation", "dev"):
        return "qrels"
    if "corpus" in words and "queries" not in words:  # a folder called NAME-queries-corpus holds both
        return "corpus"
    return "queries" if "queries" in words and "corpus" not in words else None


def split_files(files: list[Path], split: str, folder: Path) -> list[Path]:
    names = SPLITS.get(split, (split,))
    wanted = [path for path in files if re.split(r"[-_.]", path.name.lower())[0] in names]
    wanted = wanted or [path for path in files if path.parent.name.lower() in names]
    if not wanted:
        there = sorted({re.split(r"[-_.]", path.name.lower())[0] for path in files})
        raise MissingFileError(
            f"{folder}: no judgements of the split {split!r} (expected qrels/{split}.tsv)"
            + (f"; there are {', '.join(there)}" if there else "")
        )
    return wanted


def read_texts(files: list[Path], kind: str, columns: Mapping[str, str] | None = None) -> Texts:
    ids: list[str] = []
    texts: list[str] = []
    titles: list[str] = []
    seen: set[str] = set()
    for path in files:
        for line, row in _table_rows(path, columns):
            row_id = _field(row, ("_id", "id"), path, line)
            text = row.get("text")
            if not isinstance(text, str):
                raise BadRowError(f"a row of the {kind} needs a `text` that is a text", path, line)
            if row_id in seen:
                raise BadRowError(f"the id {row_id!r} appears twice in the {kind}; ids must be unique", path, line)
            seen.add(row_id)
            ids.append(row_id)
            texts.append(text)
            titles.append(str(row.get("title") or ""))
    if not ids:
        raise BadRowError(f"the {kind} is empty; a task needs at least one row", files[0])
    return Texts(ids, texts, titles if any(titles) else ())


def read_qrels(files: list[Path], documents: Texts, queries: Texts, columns: Mapping[str, str] | None = None) -> list[tuple[int, int, int]]:
    known = {row: at for at, row in enumerate(documents.ids)}
    asked = {row: at for at, row in enumerate(queries.ids)}
    triples = []
    for path in files:
        for line, row in _table_rows(path, columns, qrels=True):
            query = _field(row, ("query-id", "query_id", "qid"), path, line)
            document = _field(row, ("corpus-id", "corpus_id", "docid"), path, line)
            if query not in asked:
                raise BadRowError(f"the query {query!r} is judged but is not among the queries", path, line)
            if document not in known:
                raise BadRowError(f"the document {document!r} is judged but is not in the corpus", path, line)
            triples.append((asked[query], known[document], _gain(row.get("score", 1), path, line)))
    return triples


def _field(row: JSON, names: tuple[str, ...], path: Path, line: int) -> str:
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return str(value)
    raise BadRowError(f"the field `{names[0]}` is missing", path, line)


def _gain(value: Any, path: Path, line: int) -> int:
    try:
        number = float(value)
        if not isinstance(value, bool) and number.is_integer() and abs(number) < 2**31:
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadRowError(f"the score is {str(value)[:40]!r}; a whole number is expected", path, line)


def _columns_of(columns: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The columns of texts, and those of judgements. Raises SettingsError for a name that neither has."""
    strange = next((name for name in columns if name not in (*_OF_TEXTS, *_OF_QRELS)), None)
    if strange is not None:
        raise SettingsError(f"a task has no field {strange!r}; its fields are {', '.join((*_OF_TEXTS, *_OF_QRELS))}")
    return tuple({name: column for name, column in columns.items() if name in names} for names in (_OF_TEXTS, _OF_QRELS))  # type: ignore[return-value]


def _table_rows(path: Path, columns: Mapping[str, str] | None = None, qrels: bool = False) -> Iterator[tuple[int, JSON]]:
    """(line, row) of any of the formats; a table of judgements may come without a header, in trec_eval's four columns or in three."""
    if path.suffix.lower() != ".tsv":
        return read_rows(path, columns=columns)
    rows = _tsv_rows(path, qrels and not columns)
    return renamed(rows, columns, path) if columns else rows


def _tsv_rows(path: Path, qrels: bool) -> Iterator[tuple[int, JSON]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header: list[str] | None = None
            # Texts may hold quotes and separators of other kinds: only tabs and line ends count.
            for line, cells in enumerate(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), 1):
                if not cells:
                    continue
                if header is None:
                    header, is_data = _header(cells, qrels)
                    if not is_data:
                        continue
                if len(cells) != len(header):
                    raise BadRowError(f"{len(cells)} columns where {len(header)} are expected ({', '.join(header)})", path, line)
                yield line, dict(zip(header, cells, strict=True))
    except UnicodeDecodeError as problem:
        raise BadRowError(f"not UTF-8 text ({problem.reason})", path) from problem
    except csv.Error as problem:
        raise BadRowError(f"not a table of tab-separated values ({problem})", path) from problem
    except OSError as problem:
        raise MissingFileError(f"cannot read {path}: {problem.strerror or problem}") from problem


def _header(cells: list[str], qrels: bool) -> tuple[list[str], bool]:
    """The column names, and whether the first line is a row already."""
    if qrels and not {"query-id", "query_id", "qid"} & set(cells):
        return (["query-id", "iteration", "corpus-id", "score"] if len(cells) == 4 else ["query-id", "corpus-id", "score"]), True
    return cells, False
