"""The learners of a tracer on disk: every answer is kept before it counts, and a state comes back after `kill -9`.

Names of learners are stored as salted hashes only, and of an answer only the item and how right it was. Answers go to a journal; from time
to time all learners are written to one file and the journal starts anew, so that opening reads states instead of replaying histories.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError, DiskError, MissingFileError, SettingsError
from luthier.records import JSON, Journal, atomic_write, read_rows, write_jsonl
from luthier.records.files import disk_error
from luthier.trace.answers import Concept, Edge, Item
from luthier.trace.stepping import LearnerState

if TYPE_CHECKING:
    from luthier.trace.tracer import Tracer

SALT, ADDED, ANSWERS, LEARNERS, LOCK = "salt", "added.jsonl", "answers.jsonl", "learners.jsonl", "lock"
FORMAT = 1
COMPACT_AFTER = 20_000  # answers in the journal; replaying as many takes some seconds


class AnswerIdError(SettingsError):
    """An id that came before with another answer."""


class Answered(NamedTuple):
    """The learner's answers so far, and whether this one was known already by its id."""

    answers: int
    repeated: bool


class Given(NamedTuple):
    """An answer to count."""

    learner: str
    item: str
    correct: float
    id: str | None = None


@dataclass
class Learner:
    """A state and the answers behind it: places of items, shares right, and the places of answers that had an id."""

    state: LearnerState
    items: array[int] = field(default_factory=lambda: array("i"))
    correct: array[float] = field(default_factory=lambda: array("d"))
    ids: dict[str, int] = field(default_factory=dict)

    def marked(self, mark: str) -> tuple[int, float] | None:
        """Item and share right of the answer with this id."""
        place = self.ids.get(mark)
        return None if place is None else (self.items[place], self.correct[place])


class Roster:
    """All learners of a folder. One process opens a folder at a time; threads hold `lock` around every call.

    Items and concepts that were added before are added to the tracer again. Raises SettingsError where another process has the folder,
    BadRowError for damaged files, MissingFileError where the salt is gone.
    """

    def __init__(self, tracer: Tracer, folder: str | Path) -> None:
        self.tracer, self.folder, self.lock = tracer, Path(folder), RLock()
        self.answers, self.closed = 0, False
        self._written = self._synced = 0  # writes so far, and those of them that are surely on the disk
        self._learners: dict[str, Learner] = {}
        self._sequence = self._since = 0  # of the last journal row; rows since learners were last written
        self._unsaved: list[JSON] = []
        self._leaving: dict[str, int] = {}  # forgotten, and still on disk
        self._trusted = False  # whether the states on disk are of this tracer
        self._guard = _lock(self.folder)
        try:
            self._salt = _salt(self.folder)
            self._added = Journal(self.folder / ADDED)
            self._journal = Journal(self.folder / ANSWERS)
            self._load()
        except BaseException:
            self._guard.close()
            raise

    def __enter__(self) -> Roster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._learners)

    def state(self, name: str) -> LearnerState:
        """Of a learner, a fresh one where nothing is known."""
        found = self._learners.get(self._key(name))
        return self.tracer.start() if found is None else found.state

    def answers_of(self, name: str) -> int | None:
        """How many answers a learner gave; None where nothing is known."""
        found = self._learners.get(self._key(name))
        return None if found is None else len(found.items)

    def history(self, name: str) -> list[tuple[str, float]]:
        """Items and shares right, oldest first."""
        found = self._learners.get(self._key(name))
        names = self.tracer.bank.items
        return [] if found is None else [(names[row].item, right) for row, right in zip(found.items, found.correct, strict=True)]

    def answer(self, name: str, item: str, correct: float, answer_id: str | None = None) -> Answered:
        """Count an answer; when this returns, a kill no longer loses it (and after `sync` no power failure). With an id it counts once.

        Raises BadRowError for an unknown item, AnswerIdError, DiskError.
        """
        return self.answer_all([Given(name, item, correct, answer_id)])[0]

    def answer_all(self, given: Sequence[Given]) -> list[Answered]:
        """As `answer`, one after another and in one write: where it raises, none of them counts."""
        drafts: dict[str, tuple[LearnerState, int]] = {}  # by learner: the state and the number of answers with those given so far
        marked: dict[str, tuple[int, float]] = {}
        fresh: list[tuple[JSON, LearnerState]] = []
        told = []
        for place, (name, item, correct, answer_id) in enumerate(given):
            key, row = self._key(name), self._row(item, place, len(given))
            known = self._learners.get(key)
            state, many = drafts.get(key) or ((self.tracer.start(), 0) if known is None else (known.state, len(known.items)))
            mark = None if answer_id is None else self._key(f"{name}\n{answer_id}")
            if mark is not None:
                before = marked.get(mark) or (None if known is None else known.marked(mark))
                if before is not None:
                    if before != (row, correct):
                        raise AnswerIdError(f"the id {answer_id!r} came before with another answer; give every answer an id of its own")
                    told.append(Answered(many, True))
                    continue
                marked[mark] = row, correct
            after = self.tracer.update(state, item, correct)
            drafts[key] = after, many + 1
            entry: JSON = {"seq": self._sequence + len(fresh) + 1, "learner": key, "item": item, "correct": correct}
            fresh.append((entry | ({} if mark is None else {"id": mark}), after))
            told.append(Answered(many + 1, False))
        self._keep(fresh)
        return told

    def sync(self) -> None:
        """Wait until what was written so far is on the disk itself; others may go on meanwhile. Raises DiskError."""
        with self.lock:
            target = self._written
            if self._synced == target:
                return
            parts = [self._added.descriptor(), self._journal.descriptor()]
        try:
            for part in parts:
                os.fdatasync(part)
        except OSError as error:
            raise disk_error(error, self.folder) from error
        finally:
            for part in parts:
                os.close(part)
        self._synced = max(self._synced, target)

    def forget(self, name: str) -> int | None:
        """Remove a learner from memory and from every file; returns the number of answers, None where nothing is known.

        After a DiskError nothing is known of the learner, but rows may be left on disk until the next call for the same name succeeds.
        """
        key = self._key(name)
        if key in self._learners:
            self._journal.append({"seq": self._sequence + 1, "forget": key})
            self._written += 1
            self._sequence += 1
            self._leaving[key] = self._drop(key)
        gone = self._leaving.get(key)
        if gone is not None:
            self.compact()
        return gone

    def add_items(self, items: Sequence[Item]) -> None:
        """As `Tracer.add_items`, and again whenever the folder is opened, unless the tracer was saved with them meanwhile."""
        self.tracer.add_items(items)
        self._unsaved.append({"items": [each._asdict() | {"concepts": list(each.concepts)} for each in items]})
        self._save()

    def add_concepts(self, concepts: Sequence[Concept], edges: Sequence[Edge] = ()) -> None:
        """As `Tracer.add_concepts`, and again whenever the folder is opened."""
        self.tracer.add_concepts(concepts, edges)
        self._unsaved.append({"concepts": [each._asdict() for each in concepts], "edges": [each._asdict() for each in edges]})
        self._save()

    def compact(self) -> None:
        """Write all learners to one file and begin the journal anew. Raises DiskError; the answers are safe in either file then."""
        write_jsonl(self.folder / LEARNERS, self._rows())
        # Stopped here, the journal's rows are known by their numbers as being in the file already.
        self._journal.close()
        try:
            with atomic_write(self.folder / ANSWERS, "wb"):
                pass
        finally:
            self._journal = Journal(self.folder / ANSWERS)
        self._since, self._leaving = 0, {}

    def close(self) -> None:
        """Write what the journal holds to the learners' file, and give the folder free."""
        self.closed = True
        try:
            if self._since:
                self.compact()
        finally:
            self._journal.close()
            self._added.close()
            self._guard.close()

    def _key(self, name: str) -> str:
        return hashlib.blake2b(name.encode(), key=self._salt, digest_size=16).hexdigest()

    def _row(self, item: str, place: int, many: int) -> int:
        try:
            return self.tracer.bank.row(item)
        except BadRowError as problem:
            raise problem if many == 1 else BadRowError(f"answer {place + 1}: {problem.problem}") from None

    def _keep(self, fresh: Sequence[tuple[JSON, LearnerState]]) -> None:
        """Write entries, then count them."""
        self._save()
        if not fresh:
            return
        self._journal.extend([entry for entry, _ in fresh])
        self._written += 1
        self._sequence += len(fresh)
        for entry, after in fresh:
            self._count(self._learners.get(entry["learner"]) or Learner(after), entry, after)
        if self._since >= max(COMPACT_AFTER, self.answers // 4):
            try:
                self.compact()
            except DiskError:  # these answers are in the journal and count: the next attempt comes as much later
                self._since = 0

    def _count(self, learner: Learner, entry: JSON, after: LearnerState) -> None:
        if "id" in entry:
            learner.ids[entry["id"]] = len(learner.items)
        learner.items.append(self.tracer.bank.row(entry["item"]))
        learner.correct.append(entry["correct"])
        learner.state = after
        self._learners[entry["learner"]] = learner
        self.answers += 1
        self._since += 1

    def _drop(self, key: str) -> int:
        gone = len(self._learners.pop(key).items)
        self.answers -= gone
        self._since += 1
        return gone

    def _save(self) -> None:
        """Keep what was added; before any answer, which may name it."""
        while self._unsaved:
            self._added.append(self._unsaved[0])
            self._written += 1
            del self._unsaved[0]

    def _rows(self) -> Iterator[JSON]:
        tracer = self.tracer
        yield {
            "format": FORMAT,
            "seq": self._sequence,
            "version": tracer.version,
            "concepts": len(tracer.bank.concepts),
            "order": self._order(len(tracer.bank.concepts)),
        }
        names = tracer.bank.items
        for key, learner in self._learners.items():
            items = [names[row].item for row in learner.items]
            yield {"learner": key, "items": items, "correct": learner.correct.tolist(), "ids": learner.ids, "state": learner.state.to_row()}

    def _order(self, many: int) -> str:
        """A hash of the first concepts: states count answers by a concept's place."""
        names = [each.concept for each in self.tracer.bank.concepts[:many]]
        return hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).hexdigest()[:16]

    def _load(self) -> None:
        for number, row in enumerate(self._added, 1):
            _placed(self._add, row, self.folder / ADDED, number)
        path, forgotten = self.folder / LEARNERS, False
        if path.is_file():
            for number, row in read_rows(path):
                _placed(self._read_header if number == 1 else self._read_learner, row, path, number)
        for number, row in enumerate(self._journal, 1):
            forgotten |= "forget" in row
            _placed(self._read_entry, row, self.folder / ANSWERS, number)
        if self._since >= COMPACT_AFTER or forgotten:  # a learner who is to be forgotten stands in no file any longer
            self.compact()

    def _add(self, row: JSON) -> None:
        bank = self.tracer.bank
        if "items" in row:  # together as they came: an encoder may round texts otherwise one by one
            items = [Item(each["item"], each["text"], tuple(each["concepts"])) for each in row["items"]]
            items = [each for each in items if each.item not in bank.item_rows]
            if items:
                self.tracer.add_items(items)
            return
        fresh = [Concept(**each) for each in row["concepts"] if each["concept"] not in bank.concept_rows]
        edges = [Edge(**each) for each in row["edges"]]
        if fresh:
            self.tracer.add_concepts(fresh, [edge for edge in edges if edge not in bank.edges])

    def _read_header(self, row: JSON) -> None:
        if row["format"] != FORMAT:
            raise BadRowError(f"format {row['format']}; this version reads {FORMAT}")
        self._sequence = int(row["seq"])
        self._trusted = row["version"] == self.tracer.version and row["order"] == self._order(int(row["concepts"]))

    def _read_learner(self, row: JSON) -> None:
        """A learner with the state that was written, or replayed where the tracer is another one."""
        rows = [self.tracer.bank.row(item) for item in row["items"]]
        state = LearnerState.of_row(row["state"]) if self._trusted else self.tracer.replay(zip(row["items"], row["correct"], strict=True))
        self._learners[row["learner"]] = Learner(state, array("i", rows), array("d", row["correct"]), dict(row["ids"]))
        self.answers += len(rows)
        self._since += not self._trusted

    def _read_entry(self, row: JSON) -> None:
        if row["seq"] <= self._sequence:
            return
        self._sequence = row["seq"]
        if "forget" in row:
            self._drop(row["forget"])
            return
        learner = self._learners.get(row["learner"]) or Learner(self.tracer.start())
        after = self.tracer.update(learner.state, row["item"], row["correct"])
        self._count(learner, row, after)


def _placed(read: Any, row: JSON, path: Path, number: int) -> None:
    """Read a row, or raise BadRowError with its place."""
    try:
        read(row)
    except (BadRowError, SettingsError) as problem:
        raise BadRowError(getattr(problem, "problem", str(problem)), path, number) from None
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadRowError(f"not a row of a service ({type(problem).__name__}: {problem})", path, number) from None


def _lock(folder: Path) -> Any:
    """A file that one process holds; a killed one lets go of it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = (folder / LOCK).open("a")
    except OSError as problem:
        raise disk_error(problem, folder) from problem
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise SettingsError(f"{folder} is in use by another process; stop it, or give another folder") from None
    return held


def _salt(folder: Path) -> bytes:
    path = folder / SALT
    try:
        path.touch(mode=0o600)
        found = path.read_text(encoding="ascii").strip()
        if not found:
            if any((folder / name).exists() and (folder / name).stat().st_size for name in (ANSWERS, LEARNERS)):
                raise MissingFileError(f"{path} is gone, and without it no stored learner can be found; put it back, or begin a new folder")
            found = secrets.token_hex(32)
            with atomic_write(path) as stream:
                stream.write(found + "\n")
        return bytes.fromhex(found)
    except OSError as problem:
        raise disk_error(problem, path) from problem
    except ValueError:
        raise BadRowError("not a salt of 64 hexadecimal digits", path, 1) from None
