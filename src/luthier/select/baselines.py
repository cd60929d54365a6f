"""The selectors that ZIP is measured against: random, stratified, longest, own ratio, diversity on embeddings, given scores.

Each is a generator of picks in order, best first, that goes on until no row is left; a budget cuts it off. Embeddings are any
(rows, dimensions) array; `hashed_embeddings` makes one without a model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import log
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from luthier.select.budget import Pick
from luthier.select.zip import own_sizes

if TYPE_CHECKING:
    import numpy as np

REFERENCES = 4096  # rows that facility location wants covered; a sample of the pool beyond that
SAME = 0.9  # cosine from which DEITA's filter calls two rows the same


def random_picks(rows: Sequence[bytes], *, seed: int = 0) -> Iterator[Pick]:
    """A random order."""
    order = [index for index, row in enumerate(rows) if row]
    Random(seed).shuffle(order)
    return (Pick(index, 0.0) for index in order)


def stratified_picks(rows: Sequence[bytes], groups: Sequence[str], *, seed: int = 0) -> Iterator[Pick]:
    """A random order in which every group has its share of the pool at any length, within one row."""
    members: dict[str, list[int]] = defaultdict(list)
    for pick in random_picks(rows, seed=seed):
        members[groups[pick.index]].append(pick.index)
    places = [((at + 0.5) / len(order), group, index) for group, order in members.items() for at, index in enumerate(order)]
    return (Pick(index, 0.0) for _, _, index in sorted(places))


def longest_picks(rows: Sequence[bytes]) -> Iterator[Pick]:
    """Most bytes first; the strongest simple baseline in studies of selection at scale (arXiv 2410.09335)."""
    sizes = [len(row) for row in rows]
    return (Pick(index, float(sizes[index])) for index in sorted(range(len(rows)), key=lambda i: (-sizes[i], i)) if sizes[index])


def own_ratio_picks(rows: Sequence[bytes]) -> Iterator[Pick]:
    """Lowest compression ratio of the row alone first: ZIP without its set."""
    ratios = [raw / packed if raw else 0.0 for raw, packed in map(own_sizes, rows)]
    order = sorted((index for index, row in enumerate(rows) if row), key=lambda i: (ratios[i], i))
    return (Pick(index, ratios[index]) for index in order)


def scored_picks(scores: Sequence[float | None], *, highest: bool = True) -> Iterator[Pick]:
    """By a score of one's own; rows without one are passed over."""
    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    return (Pick(index, score) for index, score in sorted(known, key=lambda one: (-one[1] if highest else one[1], one[0])))


def middle_picks(scores: Sequence[float | None]) -> Iterator[Pick]:
    """Nearest to the median first, in ratio (scores are above 0): half of it is as far as twice. Rows without a score are passed over."""
    known = [(index, score) for index, score in enumerate(scores) if score is not None]
    if not known:
        return
    middle = log(median(score for _, score in known))
    for index, score in sorted(known, key=lambda one: (abs(log(one[1]) - middle), one[0])):
        yield Pick(index, score)


def deita_picks(
    scores: Sequence[float | None],
    embeddings: np.ndarray,
    *,
    threshold: float = SAME,
    similar: dict[int, float] | None = None,
    places: Sequence[int] | None = None,
) -> Iterator[Pick]:
    """DEITA's filter (arXiv 2312.15685) on given scores: the best score first, unless a picked row is as near as `threshold`.

    similar: is given the rows passed over, with the cosine to their nearest pick; by their entry in `places` where it is given.
    """
    import numpy as np

    unit = _unit(embeddings)
    taken = np.empty_like(unit)
    count = 0
    for pick in scored_picks(scores):
        nearest = float((taken[:count] @ unit[pick.index]).max()) if count else -1.0
        if nearest < threshold:
            taken[count] = unit[pick.index]
            count += 1
            yield pick
        elif similar is not None:
            similar[places[pick.index] if places else pick.index] = nearest


def k_center_picks(embeddings: np.ndarray, *, seed: int = 0) -> Iterator[Pick]:
    """Farthest first: each pick is the row farthest from all picks so far (a 2-approximation of k-center)."""
    import numpy as np

    points = np.asarray(embeddings, dtype=np.float32)
    squares = (points**2).sum(1)
    distances = np.full(len(points), np.inf, dtype=np.float32)
    index = Random(seed).randrange(len(points)) if len(points) else 0
    for _ in range(len(points)):
        yield Pick(index, float(np.sqrt(max(0.0, distances[index]))) if np.isfinite(distances[index]) else 0.0)
        gap = squares + squares[index] - 2 * (points @ points[index])
        np.minimum(distances, gap, out=distances)
        distances[index] = -np.inf
        index = int(distances.argmax())


def facility_location_picks(embeddings: np.ndarray, *, seed: int = 0) -> Iterator[Pick]:
    """Greedy maximum of the summed similarity of every row to its nearest pick, on a sample of 4,096 rows of a larger pool (lazy)."""
    import numpy as np

    unit = _unit(embeddings)
    references = unit[sorted(Random(seed).sample(range(len(unit)), min(REFERENCES, len(unit))))]
    covered = np.zeros(len(references), dtype=np.float32)

    def gain(index: int) -> float:
        return float(np.maximum(references @ unit[index] - covered, 0).sum())

    heap = [(-gain(index), index, 0) for index in range(len(unit))]
    heapify(heap)
    picked = 0
    while heap:
        negative, index, seen = heappop(heap)
        if seen < picked:
            heappush(heap, (-gain(index), index, picked))
            continue
        picked += 1
        np.maximum(covered, references @ unit[index], out=covered)
        yield Pick(index, -negative)


def cluster_picks(embeddings: np.ndarray, *, clusters: int = 100, seed: int = 0) -> Iterator[Pick]:
    """Balanced over k-means clusters: one row of each in turn, the nearest to its centre first."""
    import numpy as np
    from sklearn.cluster import MiniBatchKMeans

    points = np.asarray(embeddings, dtype=np.float32)
    if not len(points):
        return
    means = MiniBatchKMeans(min(clusters, len(points)), random_state=seed, n_init=3, batch_size=4096).fit(points)
    distances = np.linalg.norm(points - means.cluster_centers_[means.labels_], axis=1)
    queues: dict[int, list[int]] = defaultdict(list)
    for index in np.lexsort((np.arange(len(points)), distances)):
        queues[int(means.labels_[index])].append(int(index))
    for turn in range(max(map(len, queues.values()))):
        for label in sorted(queues):
            if turn < len(queues[label]):
                index = queues[label][turn]
                yield Pick(index, float(distances[index]), turn + 1)


def hashed_embeddings(rows: Sequence[bytes], *, dimensions: int = 128, seed: int = 0) -> np.ndarray:
    """(rows, dimensions), float32: TF-IDF of hashed words and word pairs, reduced by a truncated SVD. Needs no model."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    texts = (row.decode("utf-8", "replace") for row in rows)
    counts = HashingVectorizer(n_features=1 << 18, ngram_range=(1, 2), alternate_sign=False, norm=None).transform(texts)
    weighted: Any = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    weighted = weighted[
        :, np.flatnonzero(weighted.getnnz(axis=0))
    ]  # most hashes are nobody's in a small pool, and would be decomposed all the same
    if min(weighted.shape) <= dimensions:
        dimensions = max(1, min(weighted.shape) - 1)
    return np.asarray(TruncatedSVD(dimensions, random_state=seed).fit_transform(weighted), dtype=np.float32)


def _unit(embeddings: np.ndarray) -> np.ndarray:
    import numpy as np

    points = np.asarray(embeddings, dtype=np.float32)
    length = np.linalg.norm(points, axis=1, keepdims=True)
    unit: np.ndarray = points / np.where(length > 0, length, 1)
    return unit
