"""The entropy law as rules over a ledger (arXiv 2407.06645): what compression ratio R and first-epoch loss L say of a version.

At equal quality, a higher R and, at equal R, a higher L go with a worse model. The rules compare a version with the earlier ones of
its group; they know nothing of training. `law_of` is the whole ledger judged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Literal, NamedTuple

from luthier.records import JSON
from luthier.select.ledger import Version, read_ledger

Level = Literal["info", "warn", "stop"]
LEVELS: tuple[Level, ...] = ("info", "warn", "stop")

RATIO_STEP = 0.03  # relative change of R that counts
LOSS_STEP = 0.02  # relative rise of L that counts while the history is short
INDEX_STEP = 0.10  # relative rise of R_all / R_32K that counts
FITTED = 4  # earlier data sets from which L is expected from a line through them
SPREADS = 3  # median absolute deviations from that line that count
FLOOR = 0.005  # of L: a history that lies on its line by chance does not make every next version an outlier
BAND = 2  # standard errors
PREDICTED = 5  # finished data sets from which the metric is predicted
EXTRAPOLATED = 1.0  # standard deviations beyond the finished versions to which a line is still drawn
PENALTY = 1.0  # of the ridge, on standardised R and L
TOLD = ("name", "seed", "fingerprint", "rows", "tokens", "ratio", "index", "loss", "loss_epoch", "bits_per_byte", "metric")


class Alarm(NamedTuple):
    """What a rule saw. rule: A, B, A+B, D, E or "long range". in_band: the change of L is within seed noise, so
    the alarm is lowered: by one level, or from E to what R alone says.
    """

    rule: str
    level: Level
    text: str
    in_band: bool = False


class Band(NamedTuple):
    """Seed noise of L in a group. spread: standard deviation of L between seeds of one data set, pooled over `datasets` of them."""

    spread: float
    datasets: int
    runs: int

    def between(self, a: int, b: int) -> float:
        """Half-width of what seed noise alone makes of the difference between means of `a` and of `b` runs."""
        return BAND * self.spread * math.sqrt(1 / a + 1 / b)


@dataclass(frozen=True)
class Point:
    """A data set in a group: its runs, one for each seed, taken together."""

    name: str
    runs: tuple[Version, ...]

    @property
    def ratio(self) -> float:
        return fmean(run.ratio["32K"] for run in self.runs)

    @property
    def loss(self) -> float:
        return fmean(run.loss for run in self.runs)

    @property
    def index(self) -> float | None:
        found = [run.index for run in self.runs if run.index is not None]
        return fmean(found) if found else None

    @property
    def metric(self) -> float | None:
        found = [run.metric for run in self.runs if run.metric is not None]
        return fmean(found) if found else None


class Prediction(NamedTuple):
    """metric: what is expected. error: root mean square of the leave-one-out errors; mean_error: that of guessing the mean instead.

    weights: change of the metric for one standard deviation of R and of L. outside: R or L lies a little beyond all finished versions.
    """

    metric: float
    error: float
    mean_error: float
    versions: int
    weights: tuple[float, float]
    outside: bool


class Refusal(NamedTuple):
    """Why nothing is predicted."""

    reason: str


@dataclass(frozen=True)
class JudgedVersion:
    """A version with its alarms, and a prediction or why there is none; None where its metric is known."""

    version: Version
    alarms: list[Alarm]
    guess: Prediction | Refusal | None

    def to_row(self) -> JSON:
        """What is told of the version; its "prediction", or a "refusal" in words."""
        row: JSON = {name: getattr(self.version, name) for name in TOLD} | {"alarms": [alarm._asdict() for alarm in self.alarms]}
        if isinstance(self.guess, Prediction):
            row["prediction"] = {**self.guess._asdict(), "weights": list(self.guess.weights)}
        elif self.guess is not None:
            row["refusal"] = self.guess.reason
        return row


@dataclass(frozen=True)
class Group:
    """Versions that compare, with what their group is the hash of, and the seed noise of L where it is known."""

    group: str
    setup: JSON
    noise: Band | None
    versions: list[JudgedVersion]

    def to_row(self) -> JSON:
        return {
            "group": self.group,
            "setup": self.setup,
            "noise": None if self.noise is None else self.noise._asdict(),
            "versions": [version.to_row() for version in self.versions],
        }


def points(versions: Sequence[Version], group: str) -> list[Point]:
    """The data sets of a group, in the order of their first runs; of two runs with one seed the later stands."""
    found: dict[str, dict[int, Version]] = {}
    for version in versions:
        if version.group == group:
            found.setdefault(version.fingerprint, {})[version.seed] = version
    return [Point(next(iter(runs.values())).name, tuple(runs.values())) for runs in found.values()]


def noise_band(versions: Sequence[Version], group: str) -> Band | None:
    """Seed noise of L, where some data set of the group has two seeds or more."""
    repeated = [point for point in points(versions, group) if len(point.runs) > 1]
    if not repeated:
        return None
    squares = sum((run.loss - point.loss) ** 2 for point in repeated for run in point.runs)
    runs = sum(len(point.runs) for point in repeated)
    return Band(math.sqrt(squares / (runs - len(repeated))), len(repeated), runs)


def judge_data(versions: Sequence[Version], version: Version) -> list[Alarm]:
    """What R alone says, before any training: rule A and the long-range index. The loss of `version` is not looked at."""
    now, earlier = _split(versions, version)
    if not earlier:
        return []
    rise = _change(now.ratio, earlier[-1].ratio)
    found = [Alarm("A", "warn", _ratio_text(now, earlier[-1]))] if rise > RATIO_STEP else []
    return found + _long_range(now, earlier[-1])


def judge(versions: Sequence[Version], version: Version) -> list[Alarm]:
    """The alarms of a version against the earlier data sets of its group; the most specific rule speaks for those that it contains.

    versions: the ledger, with or without `version`. Runs of one data set with other seeds count as one, and give the noise band.
    """
    now, earlier = _split(versions, version)
    if not earlier:
        return []
    before = earlier[-1]
    band = noise_band([*versions, version], version.group)
    width = 0.0 if band is None else band.between(len(now.runs), len(before.runs))
    ratio, loss = _change(now.ratio, before.ratio), _change(now.loss, before.loss)
    excess, limit, how = _excess(now, earlier)
    told = _ratio_text(now, before)
    found: list[Alarm] = []
    if ratio > RATIO_STEP and loss < 0:
        text = f"{told} and L down from {before.loss:.3f} to {now.loss:.3f}: duplication or memorisation suspected"
        placed = _placed("E", "warn", text, before.loss - now.loss, width)
        found.append(placed._replace(rule="A", level="warn") if placed.in_band else placed)  # R has no seed noise: A stands
    elif ratio > RATIO_STEP and excess > limit and loss > 0:
        text = f"{told} and L up to {now.loss:.3f}, {how}: both at once foretell a worse model"
        found.append(_placed("A+B", "stop", text, excess, width))
    elif ratio > RATIO_STEP:
        found.append(Alarm("A", "warn", told))
    elif ratio < -RATIO_STEP and loss > LOSS_STEP:
        text = (
            f"R down from {before.ratio:.3f} to {now.ratio:.3f} and L up from {before.loss:.3f} to {now.loss:.3f} against {before.name}: "
            "noise suspected, look at the rows with the highest noise score"
        )
        found.append(_placed("D", "warn", text, now.loss - before.loss, width))
    elif excess > limit:
        found.append(_placed("B", "warn", f"L {now.loss:.3f} is {how}: the rows agree less with each other", excess, width))
    return found + _long_range(now, before)


def predict(versions: Sequence[Version], version: Version) -> Prediction | Refusal:
    """The metric of a version by ridge regression, Z = a + b z(R) + c z(L), over the finished data sets of its group but its own.

    z: standard score over those data sets. Refuses with fewer than five of them, where neither R nor L varies between them, and for a version
    far outside of them: R and L usually move together in a history, and a line through it says nothing of the day on which they part.
    """
    now, _ = _split(versions, version)
    finished = [
        (point.ratio, point.loss, point.metric)
        for point in points(versions, version.group)
        if point.metric is not None and point.runs[0].fingerprint != version.fingerprint
    ]
    if len(finished) < PREDICTED:
        return Refusal(f"{len(finished)} finished versions of this group; a prediction needs {PREDICTED}")
    known = [[row[column] for row in finished] for column in (0, 1)]
    if not any(map(_spread, known)):
        return Refusal("R and L are the same in all finished versions; they cannot tell them apart")
    beyond = [_beyond(value, seen) for value, seen in zip((now.ratio, now.loss), known, strict=True)]
    if max(beyond) > EXTRAPOLATED:
        name, value, seen = ("R", now.ratio, known[0]) if beyond[0] >= beyond[1] else ("L", now.loss, known[1])
        return Refusal(f"{name} {value:.3f} is far from the finished versions ({min(seen):.3f} to {max(seen):.3f})")
    errors, mean_errors = [], []
    for at, (ratio, loss, metric) in enumerate(finished):
        others = finished[:at] + finished[at + 1 :]
        errors.append(_ridge(others).at(ratio, loss) - metric)
        mean_errors.append(fmean(other[2] for other in others) - metric)
    fit = _ridge(finished)
    return Prediction(
        fit.at(now.ratio, now.loss),
        _root_mean_square(errors),
        _root_mean_square(mean_errors),
        len(finished),
        (fit.b, fit.c),
        outside=max(beyond) > 0,
    )


def _beyond(value: float, known: Sequence[float]) -> float:
    """By how many standard deviations a value lies outside the range of the known ones; 0 within it."""
    distance = max(min(known) - value, value - max(known))
    if distance <= 1e-9 * abs(value):
        return 0.0
    spread = _spread(known)
    return distance / spread if spread else math.inf


def theil_sen(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """(slope, intercept): medians of the slopes between all pairs with differing x, and of what is then left of y."""
    slopes = [(y[j] - y[i]) / (x[j] - x[i]) for i in range(len(x)) for j in range(i + 1, len(x)) if abs(x[j] - x[i]) > 1e-12]
    slope = median(slopes) if slopes else 0.0
    return slope, median(b - slope * a for a, b in zip(x, y, strict=True))


def _split(versions: Sequence[Version], version: Version) -> tuple[Point, list[Point]]:
    """The version's data set with all its seeds, and the data sets that came before it."""
    found = points([*versions, version], version.group)
    place = next(at for at, point in enumerate(found) if point.runs[0].fingerprint == version.fingerprint)
    return found[place], found[:place]


def _excess(now: Point, earlier: Sequence[Point]) -> tuple[float, float, str]:
    """By how much L is above what R lets expect, how much of that is usual, and both in words.

    From four earlier data sets on, a line of L over log R through them; before, the previous one, unless R fell, which raises L by itself.
    """
    before = earlier[-1]
    if len(earlier) < FITTED:
        fell = now.ratio < before.ratio * (1 - RATIO_STEP)
        excess = -math.inf if fell else now.loss - before.loss
        return excess, LOSS_STEP * abs(before.loss), f"{_change(now.loss, before.loss):.1%} above {before.name}"
    x, y = [math.log(point.ratio) for point in earlier], [point.loss for point in earlier]
    slope, level = theil_sen(x, y)
    spread = median(abs(b - level - slope * a) for a, b in zip(x, y, strict=True))
    excess = now.loss - level - slope * math.log(now.ratio)
    limit = max(SPREADS * spread, FLOOR * abs(now.loss))
    return excess, limit, f"{excess:.3f} above what {len(earlier)} versions let expect at this R (usual: {limit:.3f})"


def _long_range(now: Point, before: Point) -> list[Alarm]:
    if now.index is None or before.index is None or _change(now.index, before.index) <= INDEX_STEP:
        return []
    text = f"R_all / R_32K up from {before.index:.2f} to {now.index:.2f} against {before.name}: rows repeat further apart than 32 KiB"
    return [Alarm("long range", "warn", text)]


def _placed(rule: str, level: Level, text: str, change: float, width: float) -> Alarm:
    """The alarm, one level lower where the change of L is within the noise band."""
    if width == 0 or abs(change) > width:
        return Alarm(rule, level, text)
    lower = LEVELS[max(0, LEVELS.index(level) - 1)]
    return Alarm(rule, lower, f"{text}; the change of L is within seed noise (±{width:.3f})", in_band=True)


def _ratio_text(now: Point, before: Point) -> str:
    return f"R up from {before.ratio:.3f} to {now.ratio:.3f} against {before.name}"


def _change(now: float, before: float) -> float:
    return (now - before) / abs(before) if before else 0.0


class _Line(NamedTuple):
    a: float
    b: float
    c: float
    middle: tuple[float, float]
    scale: tuple[float, float]

    def at(self, ratio: float, loss: float) -> float:
        x, y = (ratio - self.middle[0]) / self.scale[0], (loss - self.middle[1]) / self.scale[1]
        return self.a + self.b * x + self.c * y


def _ridge(rows: Sequence[tuple[float, float, float]]) -> _Line:
    """Ridge over (R, L, Z) rows: the 2 x 2 normal equations of the standard scores, solved by hand."""
    middle = (fmean(row[0] for row in rows), fmean(row[1] for row in rows))
    scale = (_spread([row[0] for row in rows]) or 1.0, _spread([row[1] for row in rows]) or 1.0)
    mean = fmean(row[2] for row in rows)
    x = [(row[0] - middle[0]) / scale[0] for row in rows]
    y = [(row[1] - middle[1]) / scale[1] for row in rows]
    z = [row[2] - mean for row in rows]
    xx, yy = sum(v * v for v in x) + PENALTY, sum(v * v for v in y) + PENALTY
    xy = sum(v * w for v, w in zip(x, y, strict=True))
    xz, yz = sum(v * w for v, w in zip(x, z, strict=True)), sum(v * w for v, w in zip(y, z, strict=True))
    area = xx * yy - xy * xy
    return _Line(mean, (xz * yy - yz * xy) / area, (yz * xx - xz * xy) / area, middle, scale)


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(fmean(value * value for value in values))


def _spread(values: Sequence[float]) -> float:
    """Standard deviation; 0 for values that differ by rounding only."""
    middle = fmean(values)
    spread = _root_mean_square([value - middle for value in values])
    return spread if spread > 1e-9 * max(abs(value) for value in values) else 0.0


def law_of(ledger: Path) -> list[Group]:
    """The groups in the order of the ledger, each version with its alarms and prediction. Raises MissingFileError, BadRowError with file and line."""
    versions = read_ledger(ledger)
    groups = []
    for group in dict.fromkeys(version.group for version in versions):
        members = [version for version in versions if version.group == group]
        judged = [
            JudgedVersion(version, judge(members, version), predict(members, version) if version.metric is None else None)
            for version in members
        ]
        groups.append(Group(group, members[-1].setup, noise_band(members, group), judged))
    return groups


def expectation(version: JSON) -> str:
    """The metric of a version in words: known, predicted with its error, or why neither."""
    if version["metric"] is not None:
        return f"{version['metric']:.4g}"
    guess = version.get("prediction")
    if guess is None:
        return f"no prediction: {version['refusal']}"
    doubts = [] if guess["error"] < guess["mean_error"] else [f"no better than the mean, ±{guess['mean_error']:.2g}"]
    doubts += ["beyond all finished versions"] if guess["outside"] else []
    return f"predicted {guess['metric']:.4g} ± {guess['error']:.2g}" + (f" ({'; '.join(doubts)})" if doubts else "")


def noise_words(group: JSON) -> str:
    """The noise band in words."""
    noise = group["noise"]
    if noise is None:
        return "seed noise of L: not known, no data set has two seeds"
    sets = "1 data set" if noise["datasets"] == 1 else f"{noise['datasets']} data sets"
    return f"seed noise of L: ±{noise['spread']:.3f} (standard deviation, {noise['runs']} runs of {sets})"
