"""The items and concepts of a fitted tracer with their vectors, and how new ones take their place: they read the graph, and nothing reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from luthier.errors import BadRowError
from luthier.models.embedder import unit_length
from luthier.trace.answers import RELATIONS, Catalogue, Concept, Edge, Item
from luthier.trace.graph import check_prerequisites, edge_list
from luthier.trace.learner_model import to_edges
from luthier.trace.sinkt import Edges, Nodes, StructureEncoder, mean_concepts
from luthier.trace.stepping import ItemTable, Stepper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from luthier.trace.stepping import LearnerState

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]


class Bank:
    """Rows of items and concepts.

    layers: vectors of all nodes after each layer of the encoder, texts first; table: rows of the items; trained: (items,) whether training
    answered them; encode: texts to unit vectors; virtual: rows of a question of each concept alone, made where None.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        layers: list[Nodes],
        table: ItemTable,
        trained: NDArray[np.bool_],
        *,
        encoder: StructureEncoder,
        stepper: Stepper,
        encode: Encode,
        virtual: ItemTable | None = None,
    ) -> None:
        self.items, self.concepts, self.edges = list(catalogue.items), list(catalogue.concepts), list(catalogue.edges)
        self.item_rows, self.concept_rows = dict(catalogue.item_places), dict(catalogue.concept_places)
        self.members = list(catalogue.concepts_of)
        self.layers, self.table, self.trained = layers, table, trained
        self.attached = 0
        self._encoder, self._stepper, self._encode = encoder, stepper, encode
        self._padded_members: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self.virtual = self._alone(range(len(self.concepts))) if virtual is None else virtual

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(tuple(self.items), tuple(self.concepts), tuple(self.edges))

    def row(self, item: str) -> int:
        """The place of an item. Raises BadRowError."""
        row = self.item_rows.get(item)
        if row is None:
            raise BadRowError(f"the item {item!r} is not known; add it with its text and concepts")
        return row

    def concept_row(self, name: str) -> int:
        """The place of a concept. Raises BadRowError."""
        row = self.concept_rows.get(name)
        if row is None:
            raise BadRowError(f"the concept {name!r} is not known; add it first")
        return row

    def add_items(self, items: Sequence[Item]) -> None:
        """New questions at the end of the table. Raises BadRowError for a name that is taken or a concept that is not known."""
        _refuse_known([item.item for item in items], self.item_rows, "item")
        members = [tuple(sorted({self.concept_row(name) for name in item.concepts})) for item in items]
        texts = self._texts([item.text for item in items], members)
        edges = _members_edges(members)
        question = self._attach(Nodes(torch.from_numpy(texts), self.layers[0].concept[:0]), {"cq": edges}).question
        concept = mean_concepts(self.layers[-1].concept, edges, len(items))
        self.table = self.table.joined(self._stepper.table(question.numpy(), concept.numpy()))
        for item, some in zip(items, members, strict=True):
            self.item_rows[item.item] = len(self.items)
            self.items.append(item)
            self.members.append(some)
        self.trained = np.concatenate([self.trained, np.zeros(len(items), dtype=bool)])
        self._padded_members = None
        self.attached += len(items)

    def add_concepts(self, concepts: Sequence[Concept], edges: Sequence[Edge]) -> None:
        """New concepts at the end; they read the sources of edges that lead to them. Raises BadRowError, SettingsError for a circle of prerequisites."""
        names, first = [concept.concept for concept in concepts], len(self.concepts)
        _refuse_known(names, self.concept_rows, "concept")
        rows = self.concept_rows | {name: first + at for at, name in enumerate(names)}
        missing = next((name for edge in edges for name in edge[:2] if name not in rows), None)
        if missing is not None:
            raise BadRowError(f"an edge names the concept {missing!r}, which is not known")
        check_prerequisites([*self.edges, *edges])
        texts = torch.from_numpy(self._encode([concept.text or concept.concept for concept in concepts]))
        reads = {relation: _relation_edges(edges, relation, rows, first) for relation in RELATIONS}
        known = self.layers
        with torch.inference_mode():
            found = self._encoder.attach(Nodes(known[0].question[:0], texts), reads, known)
        self.layers = [Nodes(old.question, torch.cat([old.concept, new.concept])) for old, new in zip(known, found, strict=True)]
        self.concepts.extend(concepts)
        self.concept_rows = rows
        self.edges.extend(edges)
        self.virtual = self.virtual.joined(self._alone(range(first, len(self.concepts))))
        self.attached += len(concepts)

    def counts(self, state: LearnerState, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """A learner's answers and right ones on the concepts of each item: means over an item's concepts, (n,) each."""
        if len(rows) == 1:
            some = self.members[int(rows[0])]
            one, two = ([each[at] for at in some if at < len(each)] for each in (state.concept_answers, state.concept_right))
            size = max(1, len(some))
            return np.array([sum(one) / size], dtype=np.float32), np.array([sum(two) / size], dtype=np.float32)
        if self._padded_members is None:
            widest = max((len(some) for some in self.members), default=0)
            table = np.full((len(self.members), max(1, widest)), -1, dtype=np.int64)
            for at, some in enumerate(self.members):
                table[at, : len(some)] = some
            self._padded_members = table, np.maximum((table >= 0).sum(axis=1), 1)
        table, sizes = self._padded_members
        # the last place stands for no concept
        columns = [np.append(padded(each, len(self.concepts)), np.float32(0)) for each in (state.concept_answers, state.concept_right)]
        answers, right = ((each[table[rows]].sum(axis=1) / sizes[rows]).astype(np.float32) for each in columns)
        return answers, right

    def _alone(self, places: range) -> ItemTable:
        """A question of each concept alone, without text."""
        members = [(place,) for place in places]
        texts = self.layers[0].concept[list(places)]
        question = self._attach(Nodes(texts, texts[:0]), {"cq": _members_edges(members)}).question
        return self._stepper.table(question.numpy(), self.layers[-1].concept[list(places)].numpy())

    def _attach(self, texts: Nodes, edges: dict[str, Edges]) -> Nodes:
        with torch.inference_mode():
            found: list[Nodes] = self._encoder.attach(texts, edges, self.layers)
        return found[-1]

    def _texts(self, texts: Sequence[str], members: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
        """Vectors of new questions, the mean direction of their concepts where they have no text."""
        known = self.layers[0].concept.numpy()
        found = np.zeros((len(texts), known.shape[1]), dtype=np.float32)
        written = [at for at, text in enumerate(texts) if text]
        if written:
            found[written] = self._encode([texts[at] for at in written])
        for at, some in enumerate(members):
            if not texts[at] and some:
                found[at] = known[list(some)].mean(axis=0)
        return unit_length(found)


def padded(counts: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """With zeros for concepts that came after the counts were made."""
    if len(counts) >= size:
        return counts
    return np.concatenate([counts, np.zeros(size - len(counts), dtype=np.float32)])


def _members_edges(members: Sequence[tuple[int, ...]]) -> Edges:
    sources = [concept for some in members for concept in some]
    return to_edges(edge_list(sources, [at for at, some in enumerate(members) for _ in some], np.ones(len(sources))))


def _relation_edges(edges: Sequence[Edge], relation: str, rows: dict[str, int], first: int) -> Edges:
    """Edges of one relation that lead to new concepts, whose targets count from `first`."""
    some = [e for e in edges if e.relation == relation and rows[e.target] >= first and e.weight > 0]
    sources, targets = [rows[e.source] for e in some], [rows[e.target] - first for e in some]
    return to_edges(edge_list(sources, targets, np.array([e.weight for e in some])))


def _refuse_known(names: Sequence[str], known: dict[str, Any], kind: str) -> None:
    twice = next((name for at, name in enumerate(names) if name in known or name in names[:at]), None)
    if twice is not None:
        raise BadRowError(f"the {kind} {twice!r} is there already")
