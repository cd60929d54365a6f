"""Retrieval tasks on disk: BEIR folders and both layouts of the model hub, in JSONL, TSV or Parquet; strict, and clear where a row is bad.

`luthier.evaluate.retrieval.layout` finds the tables; they are read and written here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import BadRowError, MissingFileError, SettingsError
from luthier.evaluate.retrieval import datasets
from luthier.evaluate.retrieval.layout import META, NAMED, TaskFiles, find_task
from luthier.evaluate.retrieval.settings import Reading
from luthier.evaluate.retrieval.task import Qrels, Task, Texts
from luthier.records import JSON, atomic_write, read_rows, write_jsonl
from luthier.records.lines import to_text


def load_task(task: str | Path, split: str = "test", *, reading: Reading = "text", source: str | Path | None = None) -> Task:
    """A BEIR folder, a folder of JSONL, TSV or Parquet tables in either hub layout, or `coir:NAME` (see `find_task`).

    Queries without a judgement in this split are left out. Raises MissingFileError where a table is missing, BadRowError with file and
    line for a bad row or an unknown or repeated id, SettingsError where a data set of CoIR has not the published size.
    """
    return read_task(find_task(task, split, source), reading)


def save_task(task: Task, folder: Path | str) -> Path:
    """Write a BEIR folder that `load_task` reads back equal. Raises SettingsError for ids that TSV cannot carry."""
    write_tables(Path(folder), task.documents, task.queries, {task.split: task.qrels.triples()})
    write_meta(Path(folder), task.name, task.meta)
    return Path(folder)


def read_task(files: TaskFiles, reading: Reading = "text") -> Task:
    """The task that was found; raises as `load_task` does."""
    documents, queries = read_texts(files.tables.corpus, "corpus"), read_texts(files.tables.queries, "queries")
    judged = read_qrels(files.tables.qrels, documents, queries)
    meta = next((row for _, row in read_rows(files.meta)), {}) if files.meta is not None else {}
    named = files.asked.startswith(NAMED)
    name = files.asked if named else str(meta.get("name") or Path(files.asked).resolve().name)
    task = assemble(name, documents, queries, judged, split=files.split, reading=reading, meta=meta.get("meta", {}))
    if named and files.split == "test":
        datasets.check_size(name.removeprefix(NAMED), len(task.queries), len(task.documents))
    return task


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


def read_texts(files: list[Path], kind: str) -> Texts:
    ids: list[str] = []
    texts: list[str] = []
    titles: list[str] = []
    seen: set[str] = set()
    for path in files:
        for line, row in _table_rows(path):
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


def read_qrels(files: list[Path], documents: Texts, queries: Texts) -> list[tuple[int, int, int]]:
    known = {row: at for at, row in enumerate(documents.ids)}
    asked = {row: at for at, row in enumerate(queries.ids)}
    triples = []
    for path in files:
        for line, row in _table_rows(path, qrels=True):
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


def _table_rows(path: Path, qrels: bool = False) -> Iterator[tuple[int, JSON]]:
    """(line, row) of any of the formats; a table of judgements may come without a header, in trec_eval's four columns or in three."""
    return _tsv_rows(path, qrels) if path.suffix.lower() == ".tsv" else read_rows(path)


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
