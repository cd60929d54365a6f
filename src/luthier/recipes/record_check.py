"""What the readers make of files, counted by what was understood, carried along, left out and refused; nothing is written or trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from luthier.errors import BadRowError, LuthierError, MissingFileError
from luthier.progress import Progress
from luthier.records import JSON, Account, SkippedRows
from luthier.records.account import note_refusal
from luthier.records.files import mapping, shards
from luthier.report.wording import Told
from luthier.settings import argument, check, option

Kind = Literal["auto", "conversations", "pairs", "choices", "results", "answers", "task", "tools", "rows"]
_MEANT: dict[Kind, tuple[str, ...]] = {
    "pairs": ("rejected", "rejected_messages", "non_preferred_output"),
    "conversations": ("messages", "conversations", "conversation"),
}
_LOOKED_AT = 20  # rows of a file that tell its kind


@dataclass(frozen=True)
class CheckSettings:
    """Read FILES as the commands would, and say what of them is understood, carried along, left out and refused. Nothing is written; it ends with status 1 where a row is
    refused and not set aside.

    A file may be a data set of the hub, ORG/NAME[@revision][:split], or a folder of evaluation results or of a retrieval task.
    """

    files: tuple[str, ...] = argument("Files, folders or data sets.", required=True)
    kind: Kind = option(
        "auto", "What the rows are: results are answers of models, answers those of learners; found from the first rows.", "--as"
    )
    mapped: tuple[str, ...] = option((), "The column that holds a field.", "--map", metavar="FIELD=COLUMN")
    skip_bad: str | None = option(None, "Bad rows are set aside in FILE, with what is wrong.", metavar="FILE")
    offline: bool = option(False, "Data sets are read from the cache of the hub, and nothing is fetched.")

    def __post_init__(self) -> None:
        check(self)
        mapping(self.mapped)


def answer(settings: CheckSettings, progress: Progress) -> Told:
    """The account of each file. Raises MissingFileError, and BadRowError for a file that cannot be read at all."""
    if settings.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    columns = mapping(settings.mapped)
    skipped = SkippedRows(None if settings.skip_bad is None else Path(settings.skip_bad))
    found: dict[str, tuple[str, Account]] = {}
    for file in settings.files:
        with Account(apart=True) as account:
            kind = settings.kind
            if kind == "auto":
                with Account(apart=True):  # looking is not reading
                    kind = kind_of(file, columns)
            try:
                for row in _READERS[kind](file, columns, skipped):
                    _weigh(row)
            except BadRowError:
                if not account.entries:  # else the account says why nothing could be made of it
                    raise
        found[file] = kind, account
    lines = [line for file, (kind, account) in found.items() for line in (f"{file}: {kind}", *(f"  {told}" for told in account.lines()))]
    refused = any(account.of("refused") for _, account in found.values())
    told = {file: {"kind": kind, "account": account.to_row()} for file, (kind, account) in found.items()}
    return Told(lines, told, code=1 if refused and settings.skip_bad is None else 0)


def _weigh(row: Any) -> None:
    """Notes a row whose weight training would refuse."""
    from luthier.train.turn_weights import row_weight

    try:
        row_weight(getattr(row, "extra", None) or {})
    except BadRowError as problem:
        note_refusal(BadRowError(f"by training: {problem.problem}"))


def kind_of(file: str, columns: dict[str, str] | None = None) -> Kind:
    """What the rows of a file are, from its first ones. Raises BadRowError, MissingFileError."""
    from luthier.records.inspect_logs import is_inspect_log
    from luthier.trace.results import result_files

    path = Path(file)
    if path.suffix.lower() in (".yaml", ".yml") or (path.suffix.lower() == ".json" and _describes_tools(path)):
        return "tools"
    if path.is_dir() and any((path / name).exists() for name in ("corpus.jsonl", "corpus", "corpus.parquet", "corpus.tsv")):
        return "task"
    if not (path.is_dir() and (path / "state.json").exists()):
        try:
            result_files([file], columns)
        except (BadRowError, MissingFileError):
            if path.is_dir() and not (path / "dataset_dict.json").exists() and not shards(path):
                raise
        else:
            return "results"
    if path.is_file() and is_inspect_log(path):
        return "choices"
    if path.suffix.lower() == ".txt" and _has_layout(path, columns or {}):
        return "answers"
    rows = [row for _, row in islice(_rows(file, columns or {}, SkippedRows()), _LOOKED_AT)]
    fits: dict[Kind, Callable[[JSON], Any]] = {"pairs": _pair, "choices": _choice, "conversations": _conversation}
    counted = {kind: sum(_takes(read, row) for row in rows) for kind, read in fits.items()}
    best = max(counted, key=lambda kind: counted[kind])
    if counted[best]:
        return best
    if meant := next((kind for kind, names in _MEANT.items() if any(name in row for row in rows for name in names)), None):
        return meant  # its reader says what is wrong with them
    if _has_layout(path, columns or {}):
        return "answers"
    return "choices" if any(True for _ in _choices(file, columns or {}, SkippedRows())) else "rows"


def _has_layout(path: Path, columns: dict[str, str]) -> bool:
    """Whether a file is one of learners' answers."""
    from luthier.trace.readers.places import is_table
    from luthier.trace.readers.reading import guess_layout

    try:
        return path.is_file() and is_table(path) and bool(guess_layout(path, columns))
    except LuthierError:
        return False


def _describes_tools(path: Path) -> bool:
    """Whether a file is an API's description, or a list of tools and nothing else."""
    from luthier.synthesize.tools.importers.documents import load_document
    from luthier.synthesize.tools.importers.mcp import holds_tools

    try:
        document = load_document(path)
    except LuthierError:
        return False
    if isinstance(document, dict):
        return "openapi" in document or "swagger" in document or holds_tools(document)
    return (
        isinstance(document, list) and bool(document) and all(isinstance(each, dict) and _is_tool(each) for each in document[:_LOOKED_AT])
    )


def _is_tool(entry: JSON) -> bool:
    function = entry.get("function", entry)
    return (
        isinstance(function, dict)
        and "name" in function
        and any(name in function for name in ("parameters", "inputSchema", "input_schema"))
    )


def _takes(read: Callable[[JSON], Any], row: JSON) -> bool:
    try:
        read(row)
    except LuthierError:
        return False
    return True


def _pair(row: JSON) -> Any:
    from luthier.records import to_pair

    return to_pair(row)


def _conversation(row: JSON) -> Any:
    from luthier.records import to_conversation

    return to_conversation(row)


def _choice(row: JSON) -> Any:
    from luthier.records.choices import to_choice

    return to_choice(row)


def _conversations(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.records import read_conversations

    return read_conversations(file, skipped=skipped, columns=columns)


def _pairs(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.records import read_pairs

    return read_pairs(file, skipped, columns)


def _choices(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.records.choices import read_choices

    return read_choices(file, skipped, columns)


def _results(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.trace.results import read_results

    return read_results([file], skipped=skipped, columns=columns).rows()


def _answers(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.trace.readers import read_answers

    read_answers([file], columns=columns, skipped=skipped)
    return iter(())


def _tools(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.synthesize.tools.importers.documents import load_document
    from luthier.synthesize.tools.importers.mcp import holds_tools, import_mcp
    from luthier.synthesize.tools.importers.openapi import import_openapi

    return (import_mcp if holds_tools(load_document(Path(file))) else import_openapi)(Path(file))


def _task(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[Any]:
    from luthier.evaluate.retrieval.formats import load_task

    load_task(file, mapped=tuple(f"{name}={column}" for name, column in columns.items()))
    return iter(())


def _rows(file: str, columns: dict[str, str], skipped: SkippedRows) -> Iterator[tuple[int, JSON]]:
    from luthier.records import read_rows
    from luthier.records.account import note_row

    for number, row in read_rows(file, skipped, columns):
        note_row("rows", (f"field {name!r}" for name in row), file, number)
        yield number, row


_READERS: dict[str, Callable[[str, dict[str, str], SkippedRows], Iterator[Any]]] = {
    "conversations": _conversations,
    "pairs": _pairs,
    "choices": _choices,
    "tools": _tools,
    "results": _results,
    "answers": _answers,
    "task": _task,
    "rows": _rows,
}
