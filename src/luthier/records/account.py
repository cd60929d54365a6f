"""The account of what was read: every row, field and part is understood, carried along, left out or refused, counted by reason.

Readers call `note` with the file and line; whoever wants the account opens one round the reading. Commands print it once and write it
into `run.json`. Counts are of rows: a row is counted once for a reason, however often it stands in it and however often the file is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar, Token
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from luthier.errors import BadRowError, place

Fate = Literal["understood", "carried", "left out", "refused"]
FATES: tuple[Fate, ...] = ("understood", "carried", "left out", "refused")
LOST: tuple[Fate, ...] = ("left out", "refused")
MOST_REASONS = 100  # of one fate and file; field names come from outside
_TITLES: dict[Fate, str] = {"understood": "read", "carried": "carried along", "left out": "left out", "refused": "refused"}
_SHOWN = 12  # reasons on a line
_OTHER = "other reasons"
_VALUES = re.compile(r"'[^'\n]*+'|\"[^\"\n]*+\"|(?<!UTF-)(?<!\d)\d++")


@dataclass(frozen=True)
class Entry:
    """Rows of one fate for one reason. first: where it was met first, `file:line`, empty where that has no meaning; told: what was said there, with
    the values and numbers that the reason leaves open."""

    fate: Fate
    reason: str
    rows: int
    first: str = ""
    told: str = ""

    def __str__(self) -> str:
        where = f", the first {self.first}" if self.first and self.fate != "understood" else ""
        if self.told and self.rows > 1 and self.told != self.reason:
            where += f": {self.told}"
        return f"{self.told if self.told and self.rows == 1 else self.reason} ({self.rows} {'row' if self.rows == 1 else 'rows'}{where})"


@dataclass
class _Tally:
    rows: int
    first: str
    last: int
    told: str = ""


class Account:
    """Use as a context manager: what is read inside is noted here, and in the accounts around it, unless it is kept `apart`.

    Files are read from top to bottom, so a line that is not below the last one noted is the same row read again.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self.apart = apart
        self._tallies: dict[tuple[Fate, str], dict[str, _Tally]] = {}
        self._token: Token[tuple[Account, ...]] | None = None

    def note(  # noqa: PLR0917
        self, fate: Fate, reason: str, path: str | Path | None = None, line: int | None = None, rows: int = 1, told: str = ""
    ) -> None:
        """One row, or a part of it, or so many rows from `line` on. reason: a kind of thing, without what is particular to the row; told: with it."""
        file = "" if path is None else str(path)
        tallies = self._tallies.setdefault((fate, file), {})
        if reason not in tallies and len(tallies) >= MOST_REASONS:
            reason = _OTHER
        tally = tallies.get(reason)
        if tally is None:
            tallies[reason] = _Tally(rows, place(path, line).removesuffix(": "), (line or 0) + rows - 1, told)
        elif line is None or line > tally.last:
            tally.rows += rows
            tally.last = max(tally.last, (line or 0) + rows - 1)

    @property
    def entries(self) -> list[Entry]:
        """What was noted, over all files: by fate, the most frequent first."""
        found: dict[tuple[Fate, str], Entry] = {}
        for (fate, _), tallies in self._tallies.items():
            for reason, tally in tallies.items():
                known = found.get((fate, reason))
                first = known or Entry(fate, reason, 0, tally.first, tally.told)
                found[fate, reason] = Entry(fate, reason, tally.rows + first.rows, first.first, first.told)
        return sorted(found.values(), key=lambda entry: (FATES.index(entry.fate), -entry.rows))

    def of(self, fate: Fate) -> list[Entry]:
        return [entry for entry in self.entries if entry.fate == fate]

    def lines(self, fates: Sequence[Fate] = FATES) -> list[str]:
        """The account in words, a line for each of these fates that has entries."""
        told = []
        for fate in fates:
            entries = self.of(fate)
            more = f"; and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
            if entries:
                told.append(f"{_TITLES[fate]}: {'; '.join(map(str, entries[:_SHOWN]))}{more}")
        return told

    def to_row(self) -> list[dict[str, Any]]:
        """As it stands in `run.json`: a list of `fate`, `reason`, `rows`, `first`, and `told`, the reason with its values where it was met first."""
        return [asdict(entry) for entry in self.entries]

    def __enter__(self) -> Account:
        self._token = _OPEN.set((self,) if self.apart else (*_OPEN.get(), self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            _OPEN.reset(self._token)
            self._token = None


_OPEN: ContextVar[tuple[Account, ...]] = ContextVar("accounts", default=())


def current() -> Account | None:
    """The innermost account that is open."""
    return next(reversed(_OPEN.get()), None)


def note(fate: Fate, reason: str, path: str | Path | None = None, line: int | None = None, rows: int = 1) -> None:
    """Note one row, a part of it, or so many rows from `line` on, in the accounts that are open."""
    for account in _OPEN.get():
        account.note(fate, reason, path, line, rows)


def note_row(layout: str, carried: Iterable[str], path: str | Path | None, line: int | None) -> None:
    """A row that was understood as `layout`, and the fields of it that are only carried along."""
    if _OPEN.get():
        note("understood", layout, path, line)
        for name in carried:
            note("carried", name, path, line)


def strange_fields(value: Any, known: frozenset[str], depth: int = 8) -> Iterator[str]:
    """Names of fields, anywhere in a value, that no reader of it knows; what stands within them is not looked at."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in known:
                yield from strange_fields(part, known, depth - 1) if depth else ()
            elif part is not None:
                yield str(name)
    elif isinstance(value, list):
        for part in value:
            yield from strange_fields(part, known, depth - 1) if depth else ()


def note_strange(what: str, value: Any, known: frozenset[str], path: str | Path | None, line: int | None) -> None:
    """A row that was understood as `what`, and the fields anywhere in it that were left out because no reader knows them."""
    if _OPEN.get():
        note("understood", what, path, line)
        for name in dict.fromkeys(strange_fields(value, known)):
            note("left out", f"field {name!r} of {what}", path, line)


def note_refusal(error: BadRowError) -> None:
    """A row that was refused; quoted values and numbers do not tell reasons apart."""
    if _OPEN.get():
        reason = _VALUES.sub("…", error.problem)[:200]
        for account in _OPEN.get():
            account.note("refused", reason, error.path, error.line, told=error.problem[:200])
