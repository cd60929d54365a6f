"""From pairs to a task: copies become one document that answers for all, near-copies stay in one split, splits follow files.

A document that nearly repeats an answer would be counted wrong for being right, so it is marked as an answer too, or taken out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, get_args

from luthier.errors import SettingsError
from luthier.evaluate.retrieval.build.pairs import Pair
from luthier.evaluate.retrieval.settings import Near
from luthier.evaluate.retrieval.task import Texts
from luthier.records import JSON
from luthier.texts.grams import gram_hashes, word_hashes
from luthier.texts.minhash import SIZE, first_twins, jaccard, signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAR: tuple[str, ...] = get_args(Near)
SHINGLE, THRESHOLD = 5, 0.8  # tokens in a run, Jaccard index from which documents are nearly the same
_TOKEN = re.compile(r"\w+|[^\w\s]")

Triples = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Built:
    """Tables, judgements of each split, where each document comes from, and what was merged."""

    documents: Texts
    queries: Texts
    splits: dict[str, Triples]
    provenance: list[JSON]
    counts: JSON


def assemble_pairs(
    pairs: Sequence[Pair],
    *,
    near: Near = "mark",
    train: float = 0.0,
    dev: float = 0.0,
    seed: int = 0,
    times: Sequence[float] | None = None,
    distractors: Sequence[Pair] = (),
) -> Built:
    """One document a distinct text, one query a distinct text, all answers of both kept.

    train, dev: shares of the queries in these splits; the rest is test. times: of each pair; where given, test is the latest part, instead of
    files drawn by the seed. distractors: documents that nobody asks for. Raises SettingsError where nothing is left.
    """
    if near not in NEAR:
        raise SettingsError(f"near is {near!r}; choose one of {', '.join(NEAR)}")
    if min(train, dev) < 0 or train + dev >= 1:
        raise SettingsError("the shares of train and dev must be 0 or more and leave something for test")
    if not pairs:
        raise SettingsError("no pair is left to make a task of; look at the counts of what was dropped, or take another source")
    everything = [*pairs, *distractors]
    documents, document_of = _distinct([pair.document for pair in everything])
    queries, query_of = _distinct([pair.query for pair in pairs])
    twins = near_twins([everything[row].document for row in documents])
    removed = {row for row in twins if near == "exclude"}
    gains: dict[tuple[int, int], int] = {}
    for at, pair in enumerate(pairs):
        key = (query_of[at], twins.get(document_of[at], document_of[at]) if near == "exclude" else document_of[at])
        gains[key] = max(pair.gain, gains.get(key, 0))
    if near == "mark":
        gains = _marked(gains, twins)
    groups = _joined(pairs, query_of, document_of, twins)
    split_of = _splits(groups, query_of, len(queries), (train, dev), seed=seed, times=times)
    kept = [row for row in range(len(documents)) if row not in removed]
    place = {row: at for at, row in enumerate(kept)}
    splits: dict[str, Triples] = defaultdict(list)
    for (query, document), gain in sorted(gains.items()):
        splits[split_of[query]].append((query, place[document], gain))
    firsts = [everything[documents[row]] for row in kept]
    table = Texts([f"d{at}" for at in range(len(kept))], [pair.document for pair in firsts], [pair.title for pair in firsts])
    asked = Texts([f"q{at}" for at in range(len(queries))], [pairs[row].query for row in queries])
    counts: JSON = {
        "pairs": len(pairs),
        "documents": len(kept),
        "queries": len(queries),
        "copies_merged": len(everything) - len(documents),
        "queries_merged": len(pairs) - len(queries),
        "near_copies": len(twins),
        "near": near,
        "splits": {name: len({query for query, _, _ in triples}) for name, triples in sorted(splits.items())},
    }
    provenance = [{"_id": f"d{at}", **pair.source} for at, pair in enumerate(firsts)]
    return Built(table, asked, dict(splits), provenance, counts)


def near_twins(texts: Sequence[str], threshold: float = THRESHOLD) -> dict[int, int]:
    """Index of each text that nearly repeats an earlier one, and of that one: Jaccard of runs of five tokens, exact for every pair found."""
    import numpy as np

    shingles = [shingle_hashes(text) for text in texts]
    signatures = np.stack([signature(each) for each in shingles]) if shingles else np.empty((0, SIZE), dtype=np.uint32)
    sets: dict[int, frozenset[int]] = {}

    def of(at: int) -> frozenset[int]:
        return sets.setdefault(at, frozenset(shingles[at].tolist()))

    return first_twins(signatures, threshold, lambda later, earlier: jaccard(of(later), of(earlier)) >= threshold)


def shingle_hashes(text: str) -> NDArray[np.uint64]:
    """Hashes of the runs of five tokens of a text, or of the whole where it is shorter; numbers and names count as they are."""
    tokens = _TOKEN.findall(text)
    return gram_hashes(word_hashes(tokens), max(1, min(SHINGLE, len(tokens))))


def normal_form(text: str) -> str:
    """White space collapsed: what makes two texts copies."""
    return " ".join(text.split())


def _distinct(texts: Sequence[str]) -> tuple[list[int], list[int]]:
    """The first row of each distinct text, and for each row the number of its text."""
    seen: dict[str, int] = {}
    numbers = [seen.setdefault(normal_form(text), len(seen)) for text in texts]
    firsts: dict[int, int] = {}
    for row, number in enumerate(numbers):
        firsts.setdefault(number, row)
    return list(firsts.values()), numbers


def _marked(gains: dict[tuple[int, int], int], twins: dict[int, int]) -> dict[tuple[int, int], int]:
    """Near-copies of an answer answer as well, with the gain 1."""
    members: dict[int, list[int]] = defaultdict(list)
    for later, first in twins.items():
        members[first].append(later)
    marked = dict(gains)
    for query, document in gains:
        first = twins.get(document, document)
        for other in (first, *members[first]):
            marked.setdefault((query, other), 1)
    return marked


def _joined(pairs: Sequence[Pair], query_of: Sequence[int], document_of: Sequence[int], twins: dict[int, int]) -> list[int]:
    """A number for each pair, equal where a file, a query, a document or a near-copy ties pairs together."""
    parents: dict[tuple[str, object], tuple[str, object]] = {}

    def find(node: tuple[str, object]) -> tuple[str, object]:
        while (parent := parents.setdefault(node, node)) != node:
            parents[node] = parents.get(parent, parent)
            node = parent
        return node

    for at, pair in enumerate(pairs):
        document = document_of[at]
        for other in (("query", query_of[at]), ("document", twins.get(document, document))):
            parents[find(other)] = find(("group", pair.group))
    numbers: dict[tuple[str, object], int] = {}
    return [numbers.setdefault(find(("group", pair.group)), len(numbers)) for pair in pairs]


def _splits(
    groups: Sequence[int], query_of: Sequence[int], queries: int, shares: tuple[float, float], *, seed: int, times: Sequence[float] | None
) -> list[str]:
    """The split of each query: whole groups, the earliest first or drawn, until train and dev have their shares; the rest is test."""
    members: dict[int, set[int]] = defaultdict(set)
    latest: dict[int, float] = {}
    for at, group in enumerate(groups):
        members[group].add(query_of[at])
        latest[group] = max(latest.get(group, float("-inf")), times[at] if times is not None else 0.0)
    order = sorted(members)
    if times is None:
        Random(seed).shuffle(order)
    else:
        order.sort(key=lambda group: (latest[group], group))
    split = ["test"] * queries
    for name, share in zip(("train", "dev"), shares, strict=True):
        taken = _take(order, members, share * queries, whole_draw=times is None)
        for group in taken:
            for query in members[group]:
                split[query] = name
        order = [group for group in order if group not in taken]
    return split


def _take(order: Sequence[int], members: dict[int, set[int]], wanted: float, *, whole_draw: bool) -> set[int]:
    """Groups in order until about so many queries are taken. In a draw, a group that would overfill is passed over; in time none is."""
    taken: set[int] = set()
    count = 0
    for group in order:
        if count >= wanted:
            break
        if whole_draw and count + len(members[group]) > 1.05 * wanted + 1:
            continue
        taken.add(group)
        count += len(members[group])
    return taken
