"""Gathers what the page of a selection shows: chance beside the picks, sizes, sources, what each gate took out, rows to look at."""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from luthier.records import JSON

if TYPE_CHECKING:
    from luthier.report.selection_page import Cluster, Gate, SelectionView, ShownRow, Source
    from luthier.select.selection import Selection, SelectSettings

RANDOMS = 3  # random selections that the picks are compared with
MEASURED = 32 << 20  # bytes of the picks that are compressed at most; a sample of the picks beyond that
SOURCES, CLUSTERS, TWINS, ROWS = 12, 10, 2, 10  # shown at most
HEAD = 160  # characters of a text
NAME = 80  # characters of a source's name
READ, BEFORE = 65_536, 40  # characters: looked through for a difference; shown before it
NOT_REACHED = "not reached"


def write_page(made: Selection, out: Path) -> None:
    """Draw the selection as one HTML file that loads nothing. Raises DiskError."""
    from luthier.report.selection_page import write_selection_page

    write_selection_page(gather(made), out)


def gather(made: Selection) -> SelectionView:
    """All that the page shows of a selection; rows in memory count as a pool named "rows"."""
    from luthier.report.selection_page import SelectionView, size_class

    ratio, randoms, measured = ratios(made)
    scoreless = made.settings.method in ("random", "stratified")
    pool = made.pool
    return SelectionView(
        report=made.report,
        pool=Path(made.source).name if isinstance(made.source, str | Path) else "rows",
        group=made.settings.group,
        ratio=ratio,
        random_ratios=randoms,
        measured=measured,
        scores=[] if scoreless else [pick.score for pick in made.picks if math.isfinite(pick.score)],
        score_meaning=score_meaning(made.settings),
        pool_sizes=Counter(size_class(pool.size(index)) for index in range(len(pool)) if pool.size(index)),
        taken_sizes=Counter(size_class(pool.size(pick.index)) for pick in made.picks if pool.size(pick.index)),
        sources=sources(made.report),
        gates=gates(made.report, made.settings),
        clusters=largest_clusters(made),
        picks=shown_picks(made),
        rejects=shown_rejects(made),
    )


def ratios(made: Selection, most: int = MEASURED) -> tuple[Mapping[str, float], list[dict[str, float]], int | None]:
    """The ratio profile of the picks, those of random selections of as many bytes from the rows that passed the gates, and the bytes
    of the sample of the picks that was measured: None where they have at most `most` bytes and all were.

    A sample keeps the order of the picks. No random selections where there are no picks.
    """
    from luthier.select.budget import Allowance, Budget, Pick, within
    from luthier.select.profile import ratio_profile

    pool, seed = made.pool, made.settings.seed
    sizes = [pool.size(index) for index in range(len(pool))]

    def drawn(indices: Sequence[int], amount: int, seed: int) -> list[int]:
        order = Random(seed).sample(indices, len(indices))
        allowance = Allowance(Budget(amount, "bytes"), sizes)
        return [pick.index for pick in within((Pick(index, 0.0) for index in order), allowance)]

    ratio, amount, measured = made.report["ratio"], made.report["bytes"], None
    if amount > most:
        sample = set(drawn(made.indices, most, seed))
        ratio = ratio_profile(pool[index] for index in made.indices if index in sample)
        amount = measured = sum(sizes[index] for index in sample)
    # The selection may be random itself, with the same seed; chance must not be the very same rows.
    seeds = range(seed + 1, seed + 1 + RANDOMS) if amount else ()
    free = [index for index, size in enumerate(sizes) if size and index not in made.dropped]
    return ratio, [ratio_profile(pool[index] for index in drawn(free, amount, each)) for each in seeds], measured


def score_meaning(settings: SelectSettings) -> str:
    """What the score of a pick says, by method."""
    column = settings.quality
    weighted = "" if column is None else f", divided by {column}"
    known = {
        "zip-long": f"bytes of the row / bytes it adds to the compressed selection{weighted}; lower says more that is new",
        "zip": "compression ratio of the round's picks with the row; lower is less redundant",
        "longest": "bytes of the row",
        "own-ratio": "compression ratio of the row alone; lower is less redundant",
        "k-center": "distance to the nearest earlier pick; the first has none and counts as 0",
        "facility-location": "how much nearer the row brings the pool to the picks",
        "clusters": "distance to the centre of the row's cluster",
        "deita": f"column {column}",
        "score": f"column {column}",
        "perplexity": "perplexity of the answer; nearest to the median first",
        "ifd": "loss of the answer after its prompt / loss of the answer alone; highest below 1 first",
    }
    return known.get(settings.method, "")


def sources(report: JSON) -> list[Source]:
    """Rows by source, the largest of the pool first; beyond twelve, all others together."""
    from luthier.report.selection_page import Source

    pool, taken = report["pool_by_source"], report["taken_by_source"]
    names = list(pool)
    alone = names if len(names) <= SOURCES else names[:SOURCES]
    rows = [Source(head(name, NAME) or "(no source)", pool[name], taken.get(name, 0)) for name in alone]
    rest = names[len(alone) :]
    if rest:
        count = sum(taken.get(name, 0) for name in rest)
        rows.append(Source(f"{len(rest):,} others", sum(pool[name] for name in rest), count))
    return rows


def gates(report: JSON, settings: SelectSettings) -> list[Gate]:
    """Why rows were left, in the order in which it is asked; with the picks they add up to the pool."""
    from luthier.report.selection_page import Gate
    from luthier.select.model_sample import BY_MODEL

    near, noise, quality, share = settings.near, settings.noise, settings.quality, settings.max_share
    dropped = report["dropped"]
    capped, unscored = sum(report["capped"].values()), report["no_score"]
    left = report["pool_rows"] - report["rows"] - sum(dropped.values()) - capped - unscored - report["too_similar"]
    weighed = quality is not None and settings.method in ("zip", "zip-long")
    scored, by_model = settings.method in ("deita", "score"), settings.method in BY_MODEL
    asked = [
        ("empty", "no text", True, dropped.get("empty", 0)),
        ("excluded", "repeats a row of an --exclude file", bool(settings.exclude), dropped.get("excluded", 0)),
        ("duplicate", "the text of an earlier row, but for case and white space", True, dropped.get("duplicate", 0)),
        (
            "near-duplicate",
            f"nearly the text of an earlier row: Jaccard index {near} or more of runs of three words",
            near is not None,
            dropped.get("near-duplicate", 0),
        ),
        ("noise", f"unlike its like, by a byte-trigram model: robust z-score above {noise}", noise is not None, dropped.get("noise", 0)),
        ("quality", f"column {quality} is empty or 0", weighed, dropped.get("quality", 0)),
        ("not scored", "outside the sample that the model read, or without what it scores", by_model, dropped.get("not scored", 0)),
        (
            "perplexity",
            f"outside the quantiles {settings.band[0]:g} to {settings.band[1]:g} of perplexity",
            settings.method == "perplexity",
            dropped.get("perplexity", 0),
        ),
        ("ifd", "1 or more: the prompt does not help the answer", settings.method == "ifd", dropped.get("ifd", 0)),
        ("source cap", f"its source has its share of the budget ({share})", share is not None, capped),
        ("no score", f"column {quality} is empty", scored, unscored),
        ("too similar", "a pick is as near as cosine 0.9", settings.method == "deita", report["too_similar"]),
        (NOT_REACHED, "the budget was spent on rows that rank before it, or the method passed over it", True, left),
    ]
    return [Gate(name, meaning if on else "", count if on else None) for name, meaning, on, count in asked]


def largest_clusters(made: Selection) -> list[Cluster]:
    """The largest groups of duplicates and near-duplicates of one row, with the row and two of those left out for it."""
    from luthier.report.selection_page import Cluster
    from luthier.select.duplicates import clusters

    twins = {index: gone.twin for index, gone in made.dropped.items() if gone.twin is not None}
    ranks = {pick.index: rank for rank, pick in enumerate(made.picks, 1)}

    def twin(index: int, first: int) -> ShownRow:
        row = shown(made, index, made.dropped[index].gate)
        return row._replace(text=from_difference(_text(made, index), _text(made, first)))

    return [
        Cluster(len(rows), shown(made, rows[0], fate(made, rows[0], ranks)), [twin(index, rows[0]) for index in rows[1 : 1 + TWINS]])
        for rows in clusters(twins)[:CLUSTERS]
    ]


def fate(made: Selection, index: int, ranks: Mapping[int, int]) -> str:
    """What became of a row, in words. ranks: rank by index of the picks."""
    return f"taken as number {ranks[index]:,}" if index in ranks else f"left: {made.reason(index)}"


def shown_picks(made: Selection) -> list[ShownRow]:
    """The first five picks, and five evenly spaced from there to the last."""
    from luthier.report.wording import number

    count, first = len(made.picks), ROWS // 2
    ranks = list(range(count))
    if count > ROWS:
        step = (count - first) / (ROWS - first)
        ranks = [*range(first), *(first - 1 + round(step * at) for at in range(1, ROWS - first + 1))]
    scoreless = made.settings.method in ("random", "stratified")
    return [
        shown(made, pick.index, f"number {rank + 1:,}" + ("" if scoreless else f", score {number(pick.score)}"))
        for rank in ranks
        for pick in (made.picks[rank],)
    ]


def shown_rejects(made: Selection) -> list[ShownRow]:
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
    return [shown(made, index, made.reason(index)) for index in islice(turns, ROWS)]


def shown(made: Selection, index: int, said: str) -> ShownRow:
    """A row as the page has it."""
    from luthier.report.selection_page import ShownRow

    source = head(made.groups[index], NAME)
    return ShownRow(made.numbers[index], source, head(said, 2 * HEAD), head(_text(made, index)))


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
