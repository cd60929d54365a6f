"""Where the tables of a task lie: a corpus, queries, and judgements (qrels) of a split, found by the names of files and folders.

`corpus.jsonl`, `queries/queries-00000-of-00001.parquet`, `python-corpus/…`, `qrels/test.tsv`, `default/test-….parquet`,
`corpus/test-….parquet`. What is in them is not known here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.errors import MissingFileError
from luthier.evaluate.retrieval import datasets

META, PROVENANCE = "task.json", "provenance.jsonl"
BLANKS = (".txt", ".qrels", ".qrel", ".trec", ".txt.gz")  # cells between blanks: judgements alone
LINES = (".tsv", ".csv", ".tsv.gz", ".csv.gz", *BLANKS)  # cells, not objects
SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz", ".parquet", *LINES)
NAMED = "coir:"
KINDS = ("corpus", "queries", "qrels")
SYNONYMS = {  # for tables that are found under no other name
    "corpus": ("collection", "documents", "docs", "passages"),
    "queries": ("query", "topics", "questions"),
    "qrels": ("qrel", "judgements", "judgments"),
}
SPLITS = {"train": ("train",), "dev": ("dev", "valid", "validation"), "test": ("test",)}  # what other names stand for
_SPLITS = frozenset(name for names in SPLITS.values() for name in names)
OTHERS = ("top_ranked", "top-ranked", "instruction", "candidates")  # tables that belong to other kinds of tasks
OWN = (META, PROVENANCE, "run.json", "build.json")  # what lies beside the tables of a task


@dataclass(frozen=True)
class Tables:
    """The files of each table; others: tables that are none of a task."""

    corpus: list[Path] = field(default_factory=list)
    queries: list[Path] = field(default_factory=list)
    qrels: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

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

    def account(self) -> dict[str, int]:
        """Tables that are there and are not read, by reason."""
        return dict(Counter(f"a table in {file.parent.name}/, which is none of a task" for file in self.tables.others))


def find_task(task: str | Path, split: str = "test", source: str | Path | None = None, subset: str | None = None) -> TaskFiles:
    """The files of a folder, or of `coir:NAME`.

    source: folder under which the CoIR data sets lie; without it they come from the hub's cache, or the hub where it may be asked.
    subset: of a folder that holds several tasks, as `NAME-corpus`. Raises MissingFileError where a table is missing or is not clear,
    SettingsError for an unknown name.
    """
    asked, language = str(task), None
    folders = [Path(task)]
    if asked.startswith(NAMED):
        name = datasets.proper_name(asked.removeprefix(NAMED))
        asked, language, folders = (
            NAMED + name,
            datasets.language_of(name),
            datasets.folders(name, None if source is None else Path(source)),
        )
    tables = Tables()
    for folder in folders:
        if not folder.is_dir():
            raise MissingFileError(f"{folder}: no such folder; a task is a folder with corpus.jsonl, queries.jsonl and qrels/")
        found = find_tables(folder)
        for kind in (*KINDS, "others"):
            tables.of(kind).extend(file for file in found.of(kind) if datasets.belongs(file.relative_to(folder), language))
    named = ", ".join(map(str, folders))
    if language is None:
        tables = _of_subset(tables, folders, subset, named)
    for kind in ("corpus", "queries"):
        if not tables.of(kind):
            raise MissingFileError(f"{named}: no {kind} (expected {kind}.jsonl or a table in {kind}/)")
    meta = next((folder / META for folder in folders if (folder / META).is_file()), None)
    corpus, queries = (_texts_of_split(tables.of(kind), split, kind, named) for kind in ("corpus", "queries"))
    return TaskFiles(asked, split, Tables(corpus, queries, split_files(tables.qrels, split, named), tables.others), meta)


def find_tables(folder: Path) -> Tables:
    """The files of each kind: by the name of the file, else by those of the folders above it. Run folders below are none of the task."""
    found, other = Tables(), Tables()
    runs = {path.parent for path in folder.rglob("run.json")} - {folder}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith((".", "_")) for part in inner.parts) or path.name in OWN or not runs.isdisjoint(path.parents)
        if hidden or not path.name.lower().endswith(SUFFIXES) or not path.is_file():
            continue
        for tables, names in ((found, {kind: (kind,) for kind in KINDS}), (other, SYNONYMS)):
            kind = _kind(inner, names)
            if kind is not None and (kind == "qrels" or not path.name.lower().endswith(BLANKS)):
                tables.of(kind).append(path)
                break
    return Tables(*(found.of(kind) or other.of(kind) for kind in (*KINDS, "others")))


def split_files(files: list[Path], split: str, folder: str) -> list[Path]:
    """The judgements of a split; where no file names one, they are those of `test`. Raises MissingFileError with the splits that are there."""
    named = {path: _split_of(path) for path in files}
    if files and not any(named.values()) and split == "test":
        return files
    wanted = _exact([(path, name) for path, name in named.items() if name is not None and is_split(name, split)], split)
    if not wanted:
        there = sorted({name or path.name for path, name in named.items()})
        known = f"; there are {', '.join(there)}" if there else ""
        raise MissingFileError(f"{folder}: no judgements of the split {split!r} (expected qrels/{split}.tsv){known}")
    return wanted


def is_split(name: str, split: str) -> bool:
    """Whether a split's name stands for another's: `validation` is `dev`."""
    name, split = name.lower(), split.lower()
    return name == split or any(name in names and split in names for names in SPLITS.values())


def _kind(inner: Path, names: Mapping[str, Sequence[str]]) -> str | None:
    """The table that a file belongs to. The innermost name that says one counts; `default` and splits by themselves are judgements."""
    for part in reversed(inner.parts):
        words = {*_words(part)}
        said = [kind for kind, known in names.items() if words & {*known}]
        if len(said) == 1:
            return said[0]
        if any(name in part.lower() for name in OTHERS):
            return "others"
    firsts = {_words(part)[0] for part in inner.parts}
    return "qrels" if names is not SYNONYMS and firsts & {"default", *_SPLITS} and not inner.name.lower().endswith(BLANKS) else None


def _split_of(path: Path) -> str | None:
    """The split that a file names: any word of its own name, else its folder's whole name."""
    kinds = {*KINDS, *(name for names in SYNONYMS.values() for name in names)}
    words = _words(path.name)
    folder = path.parent.name.lower()
    if said := next((word for word in words if word in _SPLITS), None):
        return said
    if folder in _SPLITS:
        return folder
    if words[0] in kinds or words[0].isdigit():
        return None
    return words[0] if set(_words(folder)) & {*kinds, "default"} else None


def _texts_of_split(files: list[Path], split: str, kind: str, folder: str) -> list[Path]:
    """Tables of texts that name splits are those of this split, where there are any; tables that name none belong to all."""
    named = {path: next((word for word in _words(path.name) if word in _SPLITS), None) for path in files}
    wanted = _exact([(path, name) for path, name in named.items() if name is None or is_split(name, split)], split)
    there = sorted({name for name in named.values() if name is not None})
    if wanted or len(there) == 1:
        return wanted or files
    raise MissingFileError(f"{folder}: no {kind} of the split {split!r}; there are {', '.join(there)}")


def _exact(named: Sequence[tuple[Path, str | None]], split: str) -> list[Path]:
    """The files of the very name, where there are any beside those of a name that stands for it."""
    exact = any(name == split.lower() for _, name in named)
    return [path for path, name in named if not exact or name in (split.lower(), None)]


def _of_subset(tables: Tables, folders: list[Path], subset: str | None, named: str) -> Tables:
    """The tables of one subset, where folders are called NAME-corpus, NAME-queries and NAME-qrels. Raises MissingFileError."""
    where = {path: _subset_of(path, folders) for kind in KINDS for path in tables.of(kind)}
    there = sorted({name for name in where.values() if name})
    if subset is None and len(there) > 1:
        raise MissingFileError(f"{named}: holds the subsets {', '.join(there)}; name one with --subset")
    if subset is None or not there:
        if subset is not None:
            raise MissingFileError(f"{named}: holds no subsets; leave --subset out")
        return tables
    if subset not in there:
        raise MissingFileError(f"{named}: no subset {subset!r}; there are {', '.join(there)}")
    kept = {kind: [path for path in tables.of(kind) if where[path] in (subset, "")] for kind in KINDS}
    return Tables(kept["corpus"], kept["queries"], kept["qrels"], tables.others)


def _subset_of(path: Path, folders: list[Path]) -> str:
    """`en` of `en-corpus/test-….parquet`; empty where the folder is named after the table alone."""
    inner = next(path.relative_to(folder) for folder in folders if path.is_relative_to(folder))
    for part in reversed(inner.parts[:-1]):
        head, _, last = part.rpartition("-")
        if last.lower() in KINDS and not {*_words(head)} & {"", *KINDS}:
            return head
    return ""


def _words(name: str) -> list[str]:
    return re.split(r"[-_.]|(?<=[0-9])(?=[a-z])", name.lower())  # `2019qrels-pass.txt` of TREC
