"""A retrieval task: documents, queries, and which documents answer which query (CoIR, arXiv 2407.02883, sec. 3).

Everything inside is arrays of row numbers; the ids of a task are texts only at its edges. How the texts are read (text alone, as in the
paper, or title and text) is part of the task, because scores change with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.settings import Reading
from luthier.records import JSON
from luthier.records.files import evenly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READINGS: tuple[str, ...] = get_args(Reading)


@dataclass(frozen=True)
class Texts:
    """A table of texts: `ids`, `texts` and `titles`, equally long; no titles where the table has none."""

    ids: Sequence[str]
    texts: Sequence[str]
    titles: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, reading: str) -> list[str]:
        """The texts as a model sees them; title and text are joined by a space."""
        if reading == "text" or not self.titles:
            return list(self.texts)
        return [f"{title} {text}" if title else text for title, text in zip(self.titles, self.texts, strict=True)]


@dataclass(frozen=True)
class Qrels:
    """Judgements in rows of queries: those of query i are at offsets[i]:offsets[i+1]. offsets: (queries + 1,) int64; documents, gains: int32.

    A gain of 0 or less is a judged document that does not answer; a document without a judgement has the gain 0.
    """

    offsets: NDArray[np.int64]
    documents: NDArray[np.int32]
    gains: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The query of each judgement."""
        import numpy as np

        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def of(self, query: int) -> dict[int, int]:
        """Document to gain, of one query."""
        part = slice(self.offsets[query], self.offsets[query + 1])
        return dict(zip(self.documents[part].tolist(), self.gains[part].tolist(), strict=True))

    @staticmethod
    def from_triples(queries: int, triples: Iterable[tuple[int, int, int]]) -> Qrels:
        """From (query, document, gain); of a pair judged twice the greatest gain counts."""
        import numpy as np

        table = np.array(list(triples), dtype=np.int64).reshape(-1, 3)
        table = table[np.lexsort((-table[:, 2], table[:, 1], table[:, 0]))]
        first = np.ones(len(table), dtype=bool)
        first[1:] = (np.diff(table[:, 0]) != 0) | (np.diff(table[:, 1]) != 0)
        table = table[first]
        offsets = np.searchsorted(table[:, 0], np.arange(queries + 1))
        return Qrels(offsets.astype(np.int64), table[:, 1].astype(np.int32), table[:, 2].astype(np.int32))

    def triples(self) -> list[tuple[int, int, int]]:
        return list(zip(self.rows.tolist(), self.documents.tolist(), self.gains.tolist(), strict=True))


@dataclass(frozen=True)
class Task:
    """A task in memory. Every query has at least one judgement. meta: anything to keep beside it (recipe, sources, counts).

    account: what was left out when it was read, by reason. without_own: queries that are documents do not find themselves.
    """

    name: str
    documents: Texts
    queries: Texts
    qrels: Qrels
    split: str = "test"
    reading: str = "text"
    meta: JSON = field(default_factory=dict)
    account: Mapping[str, int] = field(default_factory=dict)
    without_own: bool = False

    def __post_init__(self) -> None:
        if self.reading not in READINGS:
            raise SettingsError(f"reading is {self.reading!r}; choose one of {', '.join(READINGS)}")
        if not len(self.documents):
            raise SettingsError(f"{self.name}: the corpus is empty; there is nothing to find")
        if not len(self.queries):
            raise SettingsError(f"{self.name}: no query of the split {self.split!r} has a judgement; check the qrels")

    @cached_property
    def document_texts(self) -> list[str]:
        return self.documents.read(self.reading)

    @cached_property
    def query_texts(self) -> list[str]:
        return self.queries.read("text")

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the texts as they are read and of the judgements; the order of rows and tables does not matter."""
        digest = hashlib.sha256()
        for table, texts in ((self.documents, self.document_texts), (self.queries, self.query_texts)):
            digest.update(f"{len(table)}\0".encode())
            for part in sorted(_digest(row, text) for row, text in zip(table.ids, texts, strict=True)):
                digest.update(part)
        ids, names = self.documents.ids, self.queries.ids
        for line in sorted(f"{names[q]}\t{ids[d]}\t{gain}\n" for q, d, gain in self.qrels.triples()):
            digest.update(line.encode("utf-8", "surrogatepass"))
        if self.without_own:
            digest.update(b"without own")
        return digest.hexdigest()[:16]

    @cached_property
    def copies(self) -> NDArray[np.int32]:
        """For each document the number of its distinct text, (documents,), counted in order of appearance."""
        return numbers_of(self.document_texts)

    @cached_property
    def query_clusters(self) -> NDArray[np.int32]:
        """For each query the number of its distinct text: identical queries are not independent evidence."""
        return numbers_of(self.query_texts)

    @cached_property
    def own(self) -> NDArray[np.int32]:
        """For each query the document of its id, (queries,), -1 where there is none."""
        import numpy as np

        places = {row: at for at, row in enumerate(self.documents.ids)}
        return np.fromiter((places.get(row, -1) for row in self.queries.ids), dtype=np.int32, count=len(self.queries))

    @cached_property
    def id_order(self) -> NDArray[np.int32]:
        """Each document's place when ids are sorted as texts, descending: how trec_eval orders equal scores."""
        return descending_places(self.documents.ids)

    def merged(self) -> Task:
        """The task with every document once: a kept document answers all queries that one of its copies answers."""
        import numpy as np

        _, first = np.unique(self.copies, return_index=True)
        rows = first.tolist()
        kept = Texts(
            [self.documents.ids[at] for at in rows],
            [self.documents.texts[at] for at in rows],
            [self.documents.titles[at] for at in rows] if self.documents.titles else (),
        )
        moved = self.copies[self.qrels.documents].tolist()
        triples = zip(self.qrels.rows.tolist(), moved, self.qrels.gains.tolist(), strict=True)
        return replace(self, documents=kept, qrels=Qrels.from_triples(len(self.queries), triples))

    def limited(self, queries: int) -> Task:
        """The task with that many evenly spaced queries; the corpus stays, so that scores compare."""
        if queries >= len(self.queries):
            return self
        rows = evenly(range(len(self.queries)), queries)
        triples = [(new, doc, gain) for new, old in enumerate(rows) for doc, gain in self.qrels.of(old).items()]
        chosen = Texts([self.queries.ids[at] for at in rows], [self.queries.texts[at] for at in rows])
        return replace(self, queries=chosen, qrels=Qrels.from_triples(len(rows), triples))


def numbers_of(values: Sequence[Any]) -> NDArray[np.int32]:
    """A number for each value, equal for equal values, counted in order of appearance."""
    import numpy as np

    seen: dict[Any, int] = {}
    return np.fromiter((seen.setdefault(value, len(seen)) for value in values), dtype=np.int32, count=len(values))


def own_documents(task: Task) -> int:
    """Queries whose id is that of a document with the same text."""
    own, texts = task.own.tolist(), task.document_texts
    return sum(1 for at, text in zip(own, task.query_texts, strict=True) if at >= 0 and texts[at].strip() == text.strip())


def descending_places(ids: Sequence[str]) -> NDArray[np.int32]:
    """The place of each id among all, the greatest first; bytes compare as trec_eval's strcmp does."""
    import numpy as np

    order = sorted(range(len(ids)), key=lambda at: ids[at].encode("utf-8", "surrogatepass"), reverse=True)
    places = np.empty(len(ids), dtype=np.int32)
    places[order] = np.arange(len(ids), dtype=np.int32)
    return places


def _digest(row: str, text: str) -> bytes:
    return hashlib.blake2b(f"{row}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
