"""Where the tables of a task lie: a corpus, queries, and judgements (qrels) of a split, found by the names of files and folders.

`corpus.jsonl`, `queries/queries-00000-of-00001.parquet`, `python-corpus/…`, `qrels/test.tsv`, `default/test-….parquet`. What is in
them is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import MissingFileError
from luthier.evaluate.retrieval import datasets

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".tsv", ".parquet")
SPLITS = {"valid": ("valid", "validation", "dev"), "dev": ("dev", "valid", "validation")}
META, PROVENANCE = "task.json", "provenance.jsonl"
KINDS = ("corpus", "queries", "qrels")
NAMED = "coir:"


@dataclass(frozen=True)
class Tables:
    """The files of each table; of the judgements those of all splits."""

    corpus: list[Path] = field(default_factory=list)
    queries: list[Path] = field(default_factory=list)
    qrels: list[Path] = field(default_factory=list)

    def of(self, kind: str) -> list[Path]:
        found: list[Path] = getattr(self, kind)
        return found


@dataclass(frozen=True)
class TaskFiles:
    """A task and one of its splits on disk. asked: its path or name as it was given; tables: of this split."""

    asked: str
    split: str
    tables: Tables
    meta: Path | None

    def reads(self) -> list[tuple[str, Path]]:
        """Every file that is read, for a run's record."""
        files = [*self.tables.corpus, *self.tables.queries, *self.tables.qrels, *([self.meta] if self.meta else [])]
        if not self.asked.startswith(NAMED):
            return [(str(file), file) for file in files]
        return [(f"{self.asked}/{file.parent.name}/{file.name}", file) for file in files]


def find_task(task: str | Path, split: str = "test", source: str | Path | None = None) -> TaskFiles:
    """The files of a folder, or of `coir:NAME`.

    source: folder under which the CoIR data sets lie; without it they come from the hub's cache, or the hub where it may be asked.
    Raises MissingFileError where a table is missing, SettingsError for an unknown name.
    """
    asked = str(task)
    language = None
    if asked.startswith(NAMED):
        name = datasets.proper_name(asked.removeprefix(NAMED))
        asked, language, folders = (
            NAMED + name,
            datasets.language_of(name),
            datasets.folders(name, None if source is None else Path(source)),
        )
    else:
        folders = [Path(task)]
    tables = Tables()
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"{folder}: no such folder; a task is a folder with corpus.jsonl, queries.jsonl and qrels/")
        found = find_tables(folder)
        for kind in KINDS:
            tables.of(kind).extend(file for file in found.of(kind) if datasets.belongs(file.relative_to(folder), language))
    for kind in ("corpus", "queries"):
        if not tables.of(kind):
            raise MissingFileError(f"{', '.join(map(str, folders))}: no {kind} (expected {kind}.jsonl or a table in {kind}/)")
    meta = next((folder / META for folder in folders if (folder / META).is_file()), None)
    return TaskFiles(asked, split, Tables(tables.corpus, tables.queries, split_files(tables.qrels, split, folders[0])), meta)


def find_tables(folder: Path) -> Tables:
    """The files of each kind: by the name of the file, else by those of the folders above it."""
    found = Tables()
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in inner.parts)
        if hidden or not path.name.lower().endswith(SUFFIXES) or path.name in (META, PROVENANCE) or not path.is_file():
            continue
        kind = next((kind for part in reversed(inner.parts) if (kind := _kind(part))), None)
        if kind is not None:
            found.of(kind).append(path)
    return found


def split_files(files: list[Path], split: str, folder: Path) -> list[Path]:
    """The judgements of a split. Raises MissingFileError with the splits that are there."""
    names = SPLITS.get(split, (split,))
    wanted = [path for path in files if _first(path.name) in names]
    wanted = wanted or [path for path in files if path.parent.name.lower() in names]
    if not wanted:
        there = sorted({_first(path.name) for path in files})
        known = f"; there are {', '.join(there)}" if there else ""
        raise MissingFileError(f"{folder}: no judgements of the split {split!r} (expected qrels/{split}.tsv){known}")
    return wanted


def _kind(name: str) -> str | None:
    words = re.split(r"[-_.]", name.lower())
    if "qrels" in words or words[0] in ("default", "test", "train", "valid", "validation", "dev"):
        return "qrels"
    if "corpus" in words and "queries" not in words:  # a folder called NAME-queries-corpus holds both
        return "corpus"
    return "queries" if "queries" in words and "corpus" not in words else None


def _first(name: str) -> str:
    return re.split(r"[-_.]", name.lower())[0]
