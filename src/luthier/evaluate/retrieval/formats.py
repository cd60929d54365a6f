"""Retrieval tasks on disk: BEIR folders and the layouts of the model hub, in JSONL, JSON, Parquet, TSV, CSV or trec_eval's columns.

`layout` finds the tables, `tables` reads their rows; here they become a task, and a task is written.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.errors import SettingsError
from luthier.evaluate.retrieval import datasets
from luthier.evaluate.retrieval.layout import META, NAMED, TaskFiles, find_task
from luthier.evaluate.retrieval.settings import ReadingSettings, TaskSettings
from luthier.evaluate.retrieval.tables import OF_QRELS, OF_TEXTS, LeftOut, read_qrels, read_texts
from luthier.evaluate.retrieval.task import Qrels, Task, Texts
from luthier.records import JSON, atomic_write, read_rows, write_jsonl
from luthier.records.account import note
from luthier.records.files import mapping
from luthier.records.lines import to_text


def load_task(task: str | Path, split: str = "test", *, source: str | Path | None = None, **reading: Any) -> Task:
    """A BEIR folder, a folder of tables in any layout of the hub, or `coir:NAME` (see `find_task`).

    reading: `reading`, `subset`, `dangling` and `without_own` of TaskSettings. Queries without a judgement in this split are left out.
    Raises MissingFileError where a table is missing, BadRowError with file and line for a bad row or an unknown or repeated id,
    SettingsError where a data set of CoIR has not the published size.
    """
    return open_task(task, TaskSettings(split=split, source=None if source is None else str(source), **reading))


def open_task(task: str | Path, settings: TaskSettings) -> Task:
    """The same with all that a command was told."""
    return read_task(find_task(task, settings.split, settings.source, settings.subset), settings)


def save_task(task: Task, folder: Path | str) -> Path:
    """Write a BEIR folder that `load_task` reads back equal. Raises SettingsError for ids that TSV cannot carry."""
    write_tables(Path(folder), task.documents, task.queries, {task.split: task.qrels.triples()})
    write_meta(Path(folder), task.name, task.meta)
    return Path(folder)


def read_task(files: TaskFiles, settings: ReadingSettings | None = None) -> Task:
    """The task that was found; `account` counts what of its tables was left out. Raises as `load_task` does."""
    chosen, account = settings or ReadingSettings(), LeftOut(files.account())
    columns = mapping(chosen.mapped)
    if strange := next((name for name in columns if name not in (*OF_TEXTS, *OF_QRELS)), None):
        raise SettingsError(f"--map {strange}=…: a task has no such field; its fields are {', '.join((*OF_TEXTS, *OF_QRELS))}")
    documents, queries = (
        read_texts(table, kind, account, columns) for table, kind in ((files.tables.corpus, "corpus"), (files.tables.queries, "queries"))
    )
    judged = read_qrels(files.tables.qrels, documents, queries, files.split, dangling=chosen.dangling, account=account, columns=columns)
    meta = next((row for _, row in read_rows(files.meta)), {}) if files.meta is not None else {}
    named = files.asked.startswith(NAMED)
    name = files.asked if named else str(meta.get("name") or Path(files.asked).resolve().name)
    task = assemble(name, documents, queries, judged, split=files.split, reading=chosen.reading, meta=meta.get("meta", {}))
    if named and files.split == "test":
        datasets.check_size(name.removeprefix(NAMED), len(task.queries), len(task.documents))
    if unasked := len(queries) - len(task.queries):
        account[f"query without a judgement in the split {files.split}"] = unasked
    _note(files, documents, queries, account)
    return replace(task, account=dict(account), without_own=chosen.without_own)


def _note(files: TaskFiles, documents: Texts, queries: Texts, left: LeftOut) -> None:
    note("understood", "documents", files.asked, 1, rows=len(documents))
    note("understood", "queries", files.asked, 1, rows=len(queries))
    for reason, count in left.items():
        note("left out", reason, files.asked, 1, rows=count)


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
