"""What a selection shows beyond its files: chance beside the picks, scores and sizes in classes, rows to look at.

All of it is taken from the selection while it is in memory, and kept as the result of a step.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from random import Random

from luthier.records import JSON
from luthier.report.wording import number
from luthier.select.budget import Allowance, Budget, Pick, within
from luthier.select.duplicates import clusters
from luthier.select.page_charts import ScoreSteps, score_steps, size_class
from luthier.select.profile import ratio_profile
from luthier.select.selection import Selection

RANDOMS = 3  # random selections that the picks are compared with
MEASURED = 32 << 20  # bytes of the picks that are compressed at most; a sample of the picks beyond that
CLUSTERS, TWINS, ROWS = 10, 2, 10  # shown at most
HEAD = 160  # characters of a text
NAME = 80  # characters of a source's name
READ, BEFORE = 65_536, 40  # characters: looked through for a difference; shown before it
NOT_REACHED = "not reached"
SCORELESS = ("random", "stratified")


@dataclass(frozen=True)
class Shown:
    """All that the page shows of a selection beside its account.

    ratio and random_ratios: of the picks and of random selections, by window; measured: bytes of the sample of the picks that they are
    taken of, None for all. scores: steps of equally many ranks. pool_sizes, taken_sizes: rows by class of size: class k holds texts of
    2^(k/2) to 2^((k+1)/2) bytes. clusters, picks, rejects: rows to look at.
    """

    ratio: Mapping[str, float]
    random_ratios: list[dict[str, float]]
    measured: int | None
    scores: ScoreSteps
    pool_sizes: Mapping[int, int]
    taken_sizes: Mapping[int, int]
    clusters: list[JSON]
    picks: list[JSON]
    rejects: list[JSON]

    def to_row(self) -> JSON:
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "ratio": dict(self.ratio),
            "scores": asdict(self.scores),
        }


def gather(made: Selection) -> Shown:
    """What there is to see of a selection; reads its pool."""
    ratio, randoms, measured = ratios(made)
    pool, scoreless = made.pool, made.settings.method in SCORELESS
    return Shown(
        ratio=ratio,
        random_ratios=randoms,
        measured=measured,
        scores=score_steps([] if scoreless else [pick.score for pick in made.picks if math.isfinite(pick.score)]),
        pool_sizes=Counter(size_class(pool.size(index)) for index in range(len(pool)) if pool.size(index)),
        taken_sizes=Counter(size_class(pool.size(pick.index)) for pick in made.picks if pool.size(pick.index)),
        clusters=_largest_clusters(made),
        picks=shown_picks(made),
        rejects=_shown_rejects(made),
    )


def ratios(made: Selection, most: int = MEASURED) -> tuple[Mapping[str, float], list[dict[str, float]], int | None]:
    """The ratio profile of the picks, those of random selections of as many bytes from the rows that passed the gates, and the bytes
    of the sample of the picks that was measured: None where they have at most `most` bytes and all were.

    A sample keeps the order of the picks. No random selections where there are no picks.
    """
    pool, seed = made.pool, made.settings.seed
    sizes = [pool.size(index) for index in range(len(pool))]

    def drawn(indices: Sequence[int], amount: int, seed: int) -> list[int]:
        order = Random(seed).sample(indices, len(indices))
        allowance = Allowance(Budget(amount, "bytes"), sizes)
        return [pick.index for pick in within((Pick(index, 0.0) for index in order), allowance, to_the_end=True)]

    ratio, amount, measured = made.report["ratio"], made.report["bytes"], None
    if amount > most:
        sample = set(drawn(made.indices, most, seed))
        ratio = ratio_profile(pool[index] for index in made.indices if index in sample)
        amount = measured = sum(sizes[index] for index in sample)
    # The selection may be random itself, with the same seed; chance must not be the very same rows.
    seeds = range(seed + 1, seed + 1 + RANDOMS) if amount else ()
    free = [index for index, size in enumerate(sizes) if size and index not in made.dropped]
    return ratio, [ratio_profile(pool[index] for index in drawn(free, amount, each)) for each in seeds], measured


def _largest_clusters(made: Selection) -> list[JSON]:
    """The largest groups of duplicates and near-duplicates of one row, with the row and two of those left out for it."""
    twins = {index: gone.twin for index, gone in made.dropped.items() if gone.twin is not None}
    ranks = {pick.index: rank for rank, pick in enumerate(made.picks, 1)}

    def twin(index: int, first: int) -> JSON:
        return {**_shown(made, index, made.dropped[index].gate), "text": from_difference(_text(made, index), _text(made, first))}

    return [
        {
            "size": len(rows),
            "kept": _shown(made, rows[0], _fate(made, rows[0], ranks)),
            "twins": [twin(index, rows[0]) for index in rows[1 : 1 + TWINS]],
        }
        for rows in clusters(twins)[:CLUSTERS]
    ]


def _fate(made: Selection, index: int, ranks: Mapping[int, int]) -> str:
    """What became of a row, in words. ranks: rank by index of the picks."""
    return f"taken as number {ranks[index]:,}" if index in ranks else f"left: {made.reason(index)}"


def shown_picks(made: Selection) -> list[JSON]:
    """The first five picks, and five evenly spaced from there to the last."""
    count, first = len(made.picks), ROWS // 2
    ranks = list(range(count))
    if count > ROWS:
        step = (count - first) / (ROWS - first)
        ranks = [*range(first), *(first - 1 + round(step * at) for at in range(1, ROWS - first + 1))]
    scoreless = made.settings.method in SCORELESS
    return [
        _shown(made, pick.index, f"number {rank + 1:,}" + ("" if scoreless else f", score {number(pick.score)}"))
        for rank in ranks
        for pick in (made.picks[rank],)
    ]


def _shown_rejects(made: Selection) -> list[JSON]:
    """Ten rows that were left, drawn by a fixed seed, one of each gate in turn."""
    taken = set(made.indices)
    left: dict[str, array[int]] = defaultdict(lambda: array("Q"))
    for index in range(len(made.pool)):
        if index not in taken:
            gone = made.dropped.get(index) or made.passed.get(index)
            left[gone.gate if gone else NOT_REACHED].append(index)
    draw = Random(0)
    drawn = [draw.sample(indices, min(ROWS, len(indices))) for _, indices in sorted(left.items())]
    turns = (index for turn in range(ROWS) for indices in drawn for index in indices[turn : turn + 1])
    return [_shown(made, index, made.reason(index)) for index in islice(turns, ROWS)]


def _shown(made: Selection, index: int, said: str) -> JSON:
    """A row as the page has it: line or position in the pool, source, what became of it, and how its text begins."""
    source = head(made.groups[index], NAME)
    return {"number": made.numbers[index], "source": source, "fate": head(said, 2 * HEAD), "text": head(_text(made, index))}


def _text(made: Selection, index: int) -> str:
    return made.pool[index].decode("utf-8", "replace")


def from_difference(text: str, first: str, most: int = HEAD) -> str:
    """How a text begins; where it begins like `first` for longer than is shown, from shortly before it parts from it."""
    one, other = (" ".join(each[:READ].split()) for each in (text, first))
    apart = (at for at, (here, there) in enumerate(zip(one, other, strict=False)) if here != there)
    same = next(apart, min(len(one), len(other)))
    # Nothing parts exact duplicates, nor texts that only differ beyond what is read.
    start = same - BEFORE if most <= same < len(one) else 0
    return ("…" if start else "") + head(one[start:], most)


def head(text: str, most: int = HEAD) -> str:
    """How a text begins, on one line: at most that many characters, control characters made visible."""
    line = " ".join(text[: 8 * most].split())
    seen = "".join("\ufffd" if unicodedata.category(each) == "Cc" else each for each in line[:most])
    return seen + ("…" if len(line) > most or len(text) > 8 * most else "")
