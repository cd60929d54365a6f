"""Selection towards examples of what is wanted: RDS+ by a model's hidden states, and DSIR by hashed n-grams.

RDS+ (arXiv 2503.01807, sec. 3): a row is the mean of the last hidden states of its tokens, weighted by their place; the targets take turns,
and each takes the row that is nearest to it. DSIR (arXiv 2302.03169, sec. 3): a row's weight is how much likelier its words and pairs of
words are in the targets than in the pool, and rows are drawn by their weights without replacement.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError
from luthier.models.embedding_cache import EmbeddingCache
from luthier.models.opening import EmbedderSettings, open_embedder
from luthier.progress import Progress, quiet
from luthier.select.budget import Pick
from luthier.select.model_sample import sample
from luthier.select.rows import Fields, read_pool
from luthier.select.settings import ChoiceSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUCKETS = 10_000  # of hashed n-grams, as in the paper
VECTORS = "embeddings"  # in a run folder
_WORDS = re.compile(rb"[\w\x80-\xff]++|[^\w\s\x80-\xff]++")


@dataclass(frozen=True)
class Nearness:
    """rows: places in the pool; cosines: of each of them to each target, (rows, targets) float32."""

    rows: list[int]
    cosines: NDArray[np.float32]

    def best(self) -> dict[int, float]:
        """The cosine of each row to the target that it is nearest to."""
        return dict(zip(self.rows, map(float, self.cosines.max(axis=1)), strict=True))


def read_targets(files: Iterable[str], fields: Fields) -> list[bytes]:
    """The texts of all rows of the files, read as those of the pool are. Raises BadRowError, also for a file without a text."""
    texts = list[bytes]()
    for file in files:
        found = [text for row in read_pool(file, fields) if (text := row.text.encode("utf-8", "replace")).strip()]
        if not found:
            raise BadRowError("there is no text in it to select towards", Path(file))
        texts += found
    return texts


def nearness(
    texts: Sequence[bytes],
    open_rows: Sequence[int],
    targets: Sequence[bytes],
    settings: ChoiceSettings,
    *,
    run: Path | None = None,
    progress: Progress = quiet,
) -> Nearness:
    """How near a seeded sample of `settings.score_rows` of the rows (all where it is None or 0) is to each target, by the model's states.

    run: a folder in which vectors are kept, so that the same call continues a stopped one.
    """
    import numpy as np

    rows = sample(open_rows, settings.score_rows, settings.seed)
    model = open_embedder(settings.model, EmbedderSettings(pooling="weighted-mean", device=settings.device))
    words = [text.decode("utf-8", "replace") for text in (*targets, *(texts[row] for row in rows))]
    progress.step("Reading rows", len(set(words)))
    if run is None:
        vectors = model.encode(words)
    else:
        vectors = EmbeddingCache(run / VECTORS, shard=128).encode(model, words, progress=progress.advance)
    aims, points = vectors[: len(targets)], vectors[len(targets) :]
    return Nearness(rows, np.asarray(points @ aims.T, dtype=np.float32).reshape(len(rows), len(targets)))


def nearest_in_turn(near: Nearness) -> Iterator[Pick]:
    """The targets in turn, each the row nearest to it that none took before; score: its cosine."""
    import numpy as np

    orders = np.argsort(-near.cosines, axis=0, kind="stable").astype(np.int32)
    reached, taken = [0] * orders.shape[1], set[int]()
    for turn in range(1, len(near.rows) + 1):
        for target in range(orders.shape[1]):
            while reached[target] < len(near.rows) and int(orders[reached[target], target]) in taken:
                reached[target] += 1
            if reached[target] < len(near.rows):
                place = int(orders[reached[target], target])
                taken.add(place)
                yield Pick(near.rows[place], float(near.cosines[place, target]), turn)
        if len(taken) == len(near.rows):
            return


def important_picks(rows: Sequence[bytes], targets: Sequence[bytes], *, seed: int = 0) -> Iterator[Pick]:
    """Drawn without replacement by importance: the greatest log-weight with Gumbel noise first; score: the log-weight in nats."""
    import numpy as np

    places = [place for place, row in enumerate(rows) if row]
    features = [ngrams(rows[place]) for place in places]
    odds = np.log(_shares(map(ngrams, targets))) - np.log(_shares(features))
    weights = np.array([sum(count * odds[bucket] for bucket, count in each.items()) for each in features])
    noise = np.random.default_rng(seed).gumbel(size=len(places))
    return (Pick(places[at], float(weights[at])) for at in np.argsort(-(weights + noise), kind="stable"))


def divergence(rows: Iterable[bytes], targets: Iterable[bytes]) -> float:
    """Kullback-Leibler divergence, in bits, of the rows' n-grams from the targets': 0 where they are used alike."""
    import numpy as np

    wanted, found = _shares(map(ngrams, targets)), _shares(map(ngrams, rows))
    return float(np.sum(wanted * np.log2(wanted / found)))


def ngrams(text: bytes) -> Counter[int]:
    """How often each bucket is hit by the text's words and pairs of words, in small letters."""
    words = _WORDS.findall(text.lower())
    return Counter(zlib.crc32(part) % BUCKETS for part in (*words, *map(b" ".join, pairwise(words))))


def _shares(features: Iterable[Counter[int]]) -> NDArray[Any]:
    """The share of each bucket, (BUCKETS,), none of them 0: each counts as hit once more."""
    import numpy as np

    counts = np.ones(BUCKETS)
    for each in features:
        np.add.at(counts, list(each), list(each.values()))
    shares: NDArray[Any] = counts / counts.sum()
    return shares
