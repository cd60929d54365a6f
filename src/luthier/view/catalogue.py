"""The runs below a folder, as a list: what each was, how it stands, and what its page says. Reads `run.json` and the head of `report.html`."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import LuthierError
from luthier.records import JSON
from luthier.run import RunRecord
from luthier.run.record import RECORD, REPORT
from luthier.view.pictures import drawn_files

DEEPEST = 8  # folders below the first
HEAD = 2048  # bytes of a page in which its title stands
NO_RUNS = frozenset(["adapter", "checkpoints", "node_modules", "__pycache__"])  # folders that hold none, and may hold much
_TITLE = re.compile(r"<title>([^<]{0,500})</title>")


@dataclass(frozen=True)
class ListedRun:
    """A run in the list. path: below the folder, with slashes; depth: how many runs it is a part of; title: its page's; problem: why its record cannot be read;
    drawn: (what its rows are pictures of, file), as `pictures.drawn_files` tells."""

    path: str
    depth: int
    name: str
    status: str
    started: str
    seconds: float
    model: str
    title: str
    problem: str = ""
    drawn: tuple[tuple[str, str], ...] = ()

    def holds(self, words: str) -> bool:
        """Whether every word stands somewhere in what is shown of it, letter case aside."""
        shown = f"{self.path} {self.name} {self.status} {self.model} {self.title}".casefold()
        return all(word in shown for word in words.casefold().split())


class Catalogue:
    """The runs below `root`. What was read stays known until `run.json` changes."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._known: dict[str, tuple[tuple[int, int], ListedRun]] = {}

    def runs(self) -> list[ListedRun]:
        """The newest first; the parts of a run below it, in their own order of time."""
        groups: dict[str, list[ListedRun]] = {}
        for path, depth, whole in _walk(self.root):
            groups.setdefault(self._path(whole), []).append(self._listed(path, depth))
        started = {path: runs[0].started for path, runs in groups.items()}
        order = sorted(groups, key=lambda path: (started.get(path, ""), path), reverse=True)
        return [run for path in order for run in (groups[path][0], *sorted(groups[path][1:], key=lambda part: (part.started, part.path)))]

    def find(self, path: str) -> RunRecord | None:
        """The run at `path`, None where there is none, or it lies elsewhere."""
        folder = self.within(path)
        if folder is None or not (folder / RECORD).is_file():
            return None
        try:
            return RunRecord.read(folder)
        except LuthierError:
            return None

    def within(self, path: str) -> Path | None:
        """A path below the root, None where it leads out, by `..` or a link."""
        if "\0" in path:
            return None
        place = (self.root / path).resolve()
        return place if place == self.root or self.root in place.parents else None

    def _path(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix()

    def _listed(self, folder: Path, depth: int) -> ListedRun:
        path = self._path(folder)
        try:
            told = (folder / RECORD).stat()
            mark = (told.st_mtime_ns, told.st_size)
            kept = self._known.get(path)
            if kept is not None and kept[0] == mark and kept[1].status not in ("running", "stopped"):
                return kept[1]
            found = _read(folder, path, depth)
        except OSError as problem:
            return ListedRun(path, depth, "", "", "", 0.0, "", "", problem.strerror or str(problem))
        self._known[path] = mark, found
        return found


def _walk(root: Path) -> Iterator[tuple[Path, int, Path]]:
    """(folder, how many runs it lies in, the outermost of them) of each run, a run before its parts, by name."""
    waiting: list[tuple[str, int, str | None, int]] = [(str(root), 0, None, 0)]
    while waiting:
        folder, depth, whole, level = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        is_run = any(entry.name == RECORD and entry.is_file(follow_symlinks=False) for entry in inside)
        if is_run:
            whole = whole or folder
            yield Path(folder), depth, Path(whole)
        if level < DEEPEST:
            below = [entry.path for entry in inside if entry.is_dir(follow_symlinks=False) and _may_hold(entry.name)]
            waiting += [(path, depth + is_run, whole, level + 1) for path in reversed(below)]


def _may_hold(name: str) -> bool:
    return not name.startswith(".") and name not in NO_RUNS


def _read(folder: Path, path: str, depth: int) -> ListedRun:
    try:
        run = RunRecord.read(folder)
    except LuthierError as problem:
        return ListedRun(path, depth, "", "", "", 0.0, "", "", str(problem))
    settings = run.settings
    model = settings.get("adapter") or settings.get("model") or ""
    seconds = sum(float(step["seconds"]) for step in run.steps.values() if isinstance(step.get("seconds"), int | float))
    return ListedRun(
        path,
        depth,
        run.name,
        run.status,
        str(run.record.get("started") or ""),
        seconds,
        str(model),
        _title(folder),
        drawn=drawn_files(folder),
    )


def _title(folder: Path) -> str:
    """What its page is called, without the house's name."""
    try:
        with (folder / REPORT).open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return ""
    found = _TITLE.search(head)
    return html.unescape(found[1]).removesuffix(" · Luthier") if found else ""


def artefacts(run: RunRecord) -> list[tuple[str, int]]:
    """(name, bytes) of the files of rows in a run folder."""
    found = [path for pattern in ("*.jsonl", "*.jsonl.gz") for path in run.path.glob(pattern) if path.is_file() and not path.is_symlink()]
    return sorted((path.name, path.stat().st_size) for path in found)


def flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Nested results as (`scores.simple_python free.official`, value): rates stay whole, rows of a list go by the words in them."""
    if isinstance(value, dict) and not _is_rate(value):
        for key, inside in value.items():
            yield from flat(inside, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for number, inside in enumerate(value, 1):
            words = " ".join(str(part) for part in inside.values() if isinstance(part, str)) if isinstance(inside, dict) else ""
            yield from flat(inside, f"{name}.{words[:80] or number}")
    else:
        yield name, value


def _is_rate(value: JSON) -> bool:
    return isinstance(value.get("rate"), int | float) and "low" in value and "high" in value
