"""Learners' answers: who answered what, in which order, and how well; and the items and concepts that the answers are about.

A learner is a pupil or a language model. One row is one answer to one item, whatever the number of its concepts: concepts belong to
the item, so a label never stands in two rows. Columns are arrays; ten million rows take 200 MB.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from luthier.errors import BadRowError
from luthier.trace.writings import in_seconds, whole_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RELATIONS = ("prerequisite", "related")
DAYS = "the times are whole days, so answers of one day stay in the order of the file"
PROVENANCES = ("expert", "llm", "knn", "train")


class Item(NamedTuple):
    """A question: its text, where there is one, and the names of its concepts."""

    item: str
    text: str = ""
    concepts: tuple[str, ...] = ()


class Concept(NamedTuple):
    """A skill or topic; its text is what a text encoder reads."""

    concept: str
    text: str = ""


class Edge(NamedTuple):
    """Concept `source` is a prerequisite of `target`, or related to it. provenance: `expert`, `llm`, `knn` or `train`; evidence: a word on why."""

    source: str
    target: str
    relation: str = "prerequisite"
    weight: float = 1.0
    provenance: str = "expert"
    evidence: str = ""


@dataclass(frozen=True)
class Catalogue:
    """Items, concepts and the relations between concepts. Raises BadRowError for a name that is there twice or is not known."""

    items: tuple[Item, ...] = ()
    concepts: tuple[Concept, ...] = ()
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        for kind, names in (("item", [i.item for i in self.items]), ("concept", [c.concept for c in self.concepts])):
            if len(set(names)) < len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise BadRowError(f"the {kind} {twice!r} is there twice")
        known = self.concept_places
        for item in self.items:
            missing = next((name for name in item.concepts if name not in known), None)
            if missing is not None:
                raise BadRowError(f"item {item.item!r} names the concept {missing!r}, which is not among the concepts")
        for edge in self.edges:
            missing = next((name for name in edge[:2] if name not in known), None)
            if missing is not None:
                raise BadRowError(f"an edge names the concept {missing!r}, which is not among the concepts")
            if edge.relation not in RELATIONS or edge.provenance not in PROVENANCES:
                raise BadRowError(
                    f"an edge is {edge.relation!r} by {edge.provenance!r}; relations are {', '.join(RELATIONS)}, "
                    f"provenances {', '.join(PROVENANCES)}"
                )

    @cached_property
    def item_places(self) -> dict[str, int]:
        return {item.item: place for place, item in enumerate(self.items)}

    @cached_property
    def concept_places(self) -> dict[str, int]:
        return {concept.concept: place for place, concept in enumerate(self.concepts)}

    @cached_property
    def concepts_of(self) -> list[tuple[int, ...]]:
        """Of each item the places of its concepts, in ascending order."""
        places = self.concept_places
        return [tuple(sorted({places[name] for name in item.concepts})) for item in self.items]

    @cached_property
    def concept_sets(self) -> NDArray[np.int64]:
        """(items,): a number for each distinct set of concepts, from 0 in order of the items."""
        import numpy as np

        numbers: dict[tuple[int, ...], int] = {}
        return np.array([numbers.setdefault(some, len(numbers)) for some in self.concepts_of], dtype=np.int64)

    def with_edges(self, edges: Iterable[Edge]) -> Catalogue:
        return replace(self, edges=tuple(edges))

    @staticmethod
    def of(items: Iterable[Item], concepts: Iterable[Concept] = (), edges: Iterable[Edge] = ()) -> Catalogue:
        """The same, where concepts that only items or edges name are added with their name as text."""
        items, edges = tuple(items), tuple(edges)
        known = {concept.concept: concept for concept in concepts}
        named = [name for item in items for name in item.concepts] + [name for edge in edges for name in edge[:2]]
        for name in named:
            known.setdefault(name, Concept(name, name))
        return Catalogue(items, tuple(known.values()), edges)


@dataclass(frozen=True)
class AnswerLog:
    """Answers in columns, learner by learner, each learner's in order of time.

    learner, item: int32 (answers,), places in `learners` and `catalogue.items`; correct: float32 in [0, 1]; time: float64, seconds or
    any growing number, zeros where only the order is known. merged: rows that were part of another row's answer: they named a further concept
    of it or, so many are repeated, said it again; moved: answers that did not stand in order of time. notes: what else was left out.
    """

    learners: tuple[str, ...]
    catalogue: Catalogue
    learner: NDArray[np.int32]
    item: NDArray[np.int32]
    correct: NDArray[np.float32]
    time: NDArray[np.float64]
    merged: int = 0
    moved: int = 0
    repeated: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.item)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(learners + 1,): the answers of learner l are starts[l] to starts[l + 1]."""
        import numpy as np

        return np.searchsorted(self.learner, np.arange(len(self.learners) + 1)).astype(np.int64)

    def of_learner(self, place: int) -> slice:
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def by_concept(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each answer once for each concept of its item: places of answers, ascending, and of concepts; an answer without concepts is left out."""
        import numpy as np

        sizes = np.array([len(some) for some in self.catalogue.concepts_of], dtype=np.int64)
        members = np.array([one for some in self.catalogue.concepts_of for one in some], dtype=np.int64)
        first = np.concatenate([[0], np.cumsum(sizes)])
        repeats = sizes[self.item]
        answer = np.repeat(np.arange(len(self)), repeats)
        within = np.arange(len(answer)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        return answer, members[first[self.item[answer]] + within]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The answers as rows of the long table."""
        for learner, item, correct, time in zip(self.learner, self.item, self.correct, self.time, strict=True):
            right = int(correct) if correct in (0.0, 1.0) else float(correct)
            yield {"learner": self.learners[learner], "item": self.catalogue.items[item].item, "correct": right, "timestamp": float(time)}

    def take_learners(self, places: Sequence[int] | NDArray[np.int64]) -> AnswerLog:
        """The answers of some learners, numbered anew in the order given."""
        import numpy as np

        at = [np.arange(self.starts[place], self.starts[place + 1]) for place in places]
        rows = np.concatenate(at) if at else np.zeros(0, dtype=np.int64)
        numbers = np.repeat(np.arange(len(at), dtype=np.int32), [len(some) for some in at]).astype(np.int32)
        names = tuple(self.learners[place] for place in places)
        return replace(self, learners=names, learner=numbers, item=self.item[rows], correct=self.correct[rows], time=self.time[rows])

    def where(self, keep: NDArray[np.bool_]) -> AnswerLog:
        """The answers that are marked, of the same learners."""
        return replace(self, learner=self.learner[keep], item=self.item[keep], correct=self.correct[keep], time=self.time[keep])


class AnswerCollector:
    """Gathers answers in any order and makes a log of them.

    Rows of one answer are merged: the same learner and item with the same label at the same time, each with a further concept or with one
    said before. Where no time is known, or whole days only, they stand next to each other, and the same concept again is another attempt.
    """

    def __init__(self) -> None:
        self._learners: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._concepts: dict[str, int] = {}
        self._columns = {name: array(code) for name, code in (("learner", "i"), ("item", "i"), ("concept", "i"), ("line", "q"))}
        self._correct, self._time = array("f"), array("d")
        self._of_item: dict[int, dict[int, None]] = {}
        self._texts: dict[str, str] = {}
        self._timed = False

    def __len__(self) -> int:
        return len(self._correct)

    def add(  # noqa: PLR0917
        self, learner: str, item: str, correct: float, time: float | None = None, concept: str | None = None, line: int = 0
    ) -> None:
        """One row; concept: where the format writes a row for each. Raises BadRowError for a score outside [0, 1]."""
        if not 0.0 <= correct <= 1.0:
            raise BadRowError(f"correct is {correct}; it must lie between 0 and 1", line=line or None)
        place = self._items.setdefault(item, len(self._items))
        tag = -1
        if concept is not None:
            tag = self._concepts.setdefault(concept, len(self._concepts))
            self._of_item.setdefault(place, {})[tag] = None
        self._timed |= time is not None
        number = self._learners.setdefault(learner, len(self._learners))
        for name, value in (("learner", number), ("item", place), ("concept", tag), ("line", line)):
            self._columns[name].append(value)
        self._correct.append(correct)
        self._time.append(0.0 if time is None else time)

    def tell(self, item: str, text: str) -> bool:
        """Keep the text of an item, the first one that is told; whether it is the one that is kept."""
        return self._texts.setdefault(item, text) == text

    def add_columns(
        self, learner: Sequence[str], item: Sequence[str], correct: NDArray[np.float32], time: NDArray[np.float64] | None
    ) -> None:
        """Many rows without concepts at once: codes are made from the distinct names only. learner, item: pyarrow dictionary arrays."""
        import numpy as np

        for name, values, known in (("learner", learner, self._learners), ("item", item, self._items)):
            column: Any = values
            codes = np.array([known.setdefault(text, len(known)) for text in column.dictionary.to_pylist()], dtype=np.int32)
            self._columns[name].frombytes(codes[np.asarray(column.indices)].tobytes())
        self._columns["concept"].frombytes(np.full(len(correct), -1, dtype=np.int32).tobytes())
        self._columns["line"].frombytes(np.zeros(len(correct), dtype=np.int64).tobytes())
        self._correct.frombytes(correct.astype(np.float32).tobytes())
        self._timed |= time is not None
        self._time.frombytes((np.zeros(len(correct)) if time is None else time.astype(np.float64)).tobytes())

    def settle(self) -> list[str]:
        """Names and times that came in several writings in one: learners and items `1.0` as `1`, times of several units in seconds; what was
        changed, in words."""
        import numpy as np

        told = [*self._settle_names("learner", "learners"), *self._settle_names("item", "items")]
        times, changed = in_seconds(np.frombuffer(self._time, dtype=np.float64))
        if changed:
            self._time = array("d", times.tobytes())
            told.append(f"times of several units are told apart by their size and brought to seconds, {changed:,} of them")
        return told

    def _settle_names(self, column: str, what: str) -> list[str]:
        import numpy as np

        known = self._learners if column == "learner" else self._items
        names = list(known)
        whole = whole_names(names)
        if whole == names:
            return []
        new: dict[str, int] = {}
        codes = np.array([new.setdefault(name, len(new)) for name in whole], dtype=np.int32)
        self._columns[column] = array("i", codes[np.frombuffer(self._columns[column], dtype=np.int32)].tobytes())
        if column == "learner":
            self._learners = new
        else:
            self._items, concepts = new, dict[int, dict[int, None]]()
            for place, tags in self._of_item.items():
                concepts.setdefault(int(codes[place]), {}).update(tags)
            self._of_item = concepts
            texts = dict(zip(names, whole, strict=True))
            self._texts = {texts[name]: text for name, text in reversed(self._texts.items())}
        changed = sum(name != other for name, other in zip(names, whole, strict=True))
        both = len(names) - len(new)
        return [f"names of {what} such as 1.0 are read as 1, {changed:,} of them{f'; {both:,} stood in both writings' if both else ''}"]

    def log(self, catalogue: Catalogue | None = None, notes: Sequence[str] = (), *, once: bool = False) -> AnswerLog:
        """All rows as a log, sorted and merged. Raises BadRowError for one answer with two labels, and where nothing was added.

        catalogue: items that must cover the answers; without one it is made of the names and concepts that were seen. once: rows without
        concepts are merged as well, where they say the same of one moment.
        """
        import numpy as np

        if not len(self):
            raise BadRowError("there is no answer in it")
        numbers: dict[str, Any] = {
            name: np.frombuffer(column, dtype=np.int64 if name == "line" else np.int32) for name, column in self._columns.items()
        }
        correct = np.frombuffer(self._correct, dtype=np.float32)
        time = np.frombuffer(self._time, dtype=np.float64)
        if np.isnan(time).any():
            raise BadRowError("a timestamp is not a number", line=int(numbers["line"][np.isnan(time)][0]) or None)
        learner = numbers["learner"]
        order = np.lexsort((time, learner) if self._timed else (learner,))
        moved = _out_of_order(learner, time) if self._timed else 0
        learner, correct, time = learner[order], correct[order], time[order]
        item, concept, line = (numbers[name][order] for name in ("item", "concept", "line"))
        rows = _Rows(learner, item, time, concept, correct, line)
        further, repeated, again = _further_by_time(rows, once) if self._timed and not _is_coarse(time) else (_further_by_place(rows), 0, 0)
        told = (*notes, DAYS) if self._timed and _is_coarse(time) and time.any() else tuple(notes)
        told += (f"further attempts of one learner at one item and moment: {again:,}",) if again else ()
        keep = ~further
        catalogue, item = self._catalogue(catalogue, item)
        names, counts = tuple(self._learners), (int(further.sum()), moved, repeated)
        return AnswerLog(names, catalogue, learner[keep], item[keep], correct[keep], time[keep], *counts, told)

    def _catalogue(self, given: Catalogue | None, item: NDArray[np.int32]) -> tuple[Catalogue, NDArray[np.int32]]:
        import numpy as np

        names = list(self._concepts)
        seen = [
            Item(name, self._texts.get(name, ""), tuple(names[tag] for tag in self._of_item.get(place, ())))
            for name, place in self._items.items()
        ]
        if given is None:
            return Catalogue.of(seen), item
        missing = next((each.item for each in seen if each.item not in given.item_places), None)
        if missing is not None:
            raise BadRowError(f"the item {missing!r} was answered but is not among the items")
        places = np.array([given.item_places[each.item] for each in seen], dtype=np.int32)
        return given, places[item]


def _out_of_order(learner: NDArray[np.int32], time: NDArray[np.float64]) -> int:
    """Answers that stand after a later one of the same learner."""
    import numpy as np

    order = np.argsort(learner, kind="stable")
    same = learner[order][1:] == learner[order][:-1]
    return int((same & (time[order][1:] < time[order][:-1])).sum())


class _Rows(NamedTuple):
    """Rows of answers by learner and, where it is known, time; (rows,) each."""

    learner: NDArray[np.int32]
    item: NDArray[np.int32]
    time: NDArray[np.float64]
    concept: NDArray[np.int32]
    correct: NDArray[np.float32]
    line: NDArray[np.int64]


def _is_coarse(time: NDArray[np.float64]) -> bool:
    """Whether times tell no moments: all zero, or whole days."""
    return not time.any() or bool((time > 1e8).all() and (time % 86_400 == 0).all())


def _further_by_place(rows: _Rows) -> NDArray[np.bool_]:
    """Rows that only add a concept to the answer in the row before. Raises BadRowError for one answer with two labels."""
    import numpy as np

    item, concept, correct = rows.item, rows.concept, rows.correct
    further = np.zeros(len(item), dtype=bool)
    same = (rows.learner[1:] == rows.learner[:-1]) & (item[1:] == item[:-1]) & (rows.time[1:] == rows.time[:-1])
    same &= (concept[1:] >= 0) & (concept[:-1] >= 0)
    held: set[int] = set()
    before = -2
    for row in np.flatnonzero(same) + 1:
        if row != before + 1:
            held = {int(concept[row - 1])}
        if int(concept[row]) in held:
            held = {int(concept[row])}  # the same concept again: another attempt
        else:
            held.add(int(concept[row]))
            further[row] = True
            if correct[row] != correct[row - 1]:
                raise _two_labels(correct[row - 1], correct[row], rows.line[row])
        before = int(row)
    return further


def _further_by_time(rows: _Rows, once: bool) -> tuple[NDArray[np.bool_], int, int]:
    """Rows of an answer that was given by an earlier row at the same time, how many of them say nothing new, and how many others of that
    time are answers of their own.

    Another label at the same time is another attempt where every attempt has its concept. Raises BadRowError where it has not: that is one
    answer with two labels.
    """
    import numpy as np

    further = np.zeros(len(rows.item), dtype=bool)
    tied = (rows.learner[1:] == rows.learner[:-1]) & (rows.time[1:] == rows.time[:-1])
    among = np.flatnonzero(np.concatenate([[False], tied]) | np.concatenate([tied, [False]]))
    among = among[np.lexsort((rows.item[among], rows.time[among], rows.learner[among]))]
    learner, item, time = rows.learner[among], rows.item[among], rows.time[among]
    begins = np.flatnonzero(
        np.concatenate([[True], (learner[1:] != learner[:-1]) | (item[1:] != item[:-1]) | (time[1:] != time[:-1])])[: len(among)]
    )
    ends = np.append(begins[1:], len(among))
    repeated = again = 0
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        attempts: dict[float, set[int]] = {}
        for row in among[begin:end]:
            label, tag = float(rows.correct[row]), int(rows.concept[row])
            if tag < 0 and not once:
                continue
            if label in attempts:
                further[row] = True
                repeated += tag in attempts[label]
                attempts[label].add(tag)
            elif all(tag in some for some in attempts.values()):
                attempts[label] = {tag}
            else:
                raise _two_labels(next(iter(attempts)), label, rows.line[row])
        again += int((~further[among[begin:end]]).sum()) - 1
    return further, repeated, again


def _two_labels(one: float, other: float, line: int) -> BadRowError:
    told = f"{one:g} for one concept and {other:g} for another"
    return BadRowError(f"one answer has two labels: {told}; give each answer one label", line=int(line) or None)
