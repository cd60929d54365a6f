"""Choosing rows from a pool: gates first (noise, duplicates, evaluation data), then a selector under a budget, then the account.

`select` is the front door of the room. What it returns knows for every row why it was taken or left.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from luthier.errors import BadRowError, SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, SkippedRows
from luthier.records.files import set_aside
from luthier.records.filled_nulls import as_said
from luthier.records.sources import rows_in
from luthier.select.balance import shifts
from luthier.select.budget import Allowance, Budget, Cap, Pick, parse_budget, within
from luthier.select.languages import language_group
from luthier.select.model_sample import judge, open_scorer
from luthier.select.pool import TextPool, Texts
from luthier.select.replica import Engine, Local
from luthier.select.rows import quality_of, read_pool, rows_at, weight_of
from luthier.select.settings import BY_DISTANCE, BY_MODEL, LANGUAGE, ChoiceSettings, SelectSettings
from luthier.select.targets import Nearness, divergence, important_picks, nearest_in_turn, nearness, read_targets

if TYPE_CHECKING:
    from luthier.select.long_window import LongZip
    from luthier.select.zip import Zip


class Dropped(NamedTuple):
    """A row that was left out before its rank counted: by which gate, what it saw, and the index of the row that says the same."""

    gate: str
    detail: str
    twin: int | None = None


@dataclass
class Selection:
    """The rows chosen from a pool, in pick order, and the account of all others.

    dropped: by index, the rows that a gate took out before choosing. passed: those that the choosing passed over, because their source
    had its share or they have no score. Every other row that was not picked was not reached. left: the score of each of these, in the order
    in which they would come next, where the method has one.
    """

    settings: SelectSettings
    budget: Budget
    picks: list[Pick]
    dropped: dict[int, Dropped]
    pool: TextPool
    numbers: array[int]
    groups: list[str]
    source: str | Path | Sequence[JSON]
    passed: dict[int, Dropped] = field(default_factory=dict)
    report: JSON = field(default_factory=dict)
    model_scores: dict[int, float] = field(default_factory=dict)
    left: dict[int, float] = field(default_factory=dict)

    @property
    def indices(self) -> list[int]:
        """Positions in the pool (from 0), in pick order."""
        return [pick.index for pick in self.picks]

    def rows(self) -> list[JSON]:
        """The chosen rows as they were, in pick order; out of columns without the nulls that these put into calls."""
        from luthier.select.raw import SPOKEN

        numbers = [self.numbers[pick.index] for pick in self.picks]
        found = rows_at(self.source, set(numbers))
        return [dict(as_said(found[number], SPOKEN)) for number in numbers]

    def save(self, out: str | Path) -> None:
        """Write the chosen rows to `out`, in pick order, each line as it was in a JSONL pool; Parquet where `out` says so."""
        from luthier.select.raw import write_rows

        write_rows(self.source, [self.numbers[pick.index] for pick in self.picks], out)

    def scores(self) -> Iterator[JSON]:
        """One row for every row of the pool: its number, what became of it, rank, round, score and the reason.

        Ranks of rows that were left go on after those of the picks. Such a row has none where a gate took it out, or where the method ranks
        no row before it takes it (k-center, facility-location, clusters, deita); it has the score that a model gave it.
        """
        rank = {pick.index: (at, pick) for at, pick in enumerate(self.picks, 1)}
        after = self.ranks_after
        for index in range(len(self.pool)):
            row: JSON = {"row": self.numbers[index], "source": self.groups[index], "bytes": self.pool.size(index)}
            if index in rank:
                at, pick = rank[index]
                yield {**row, "taken": True, "rank": at, "round": pick.round, "score": pick.score}
            else:
                told: JSON = {"rank": after[index]} if index in after else {}
                known = self.left.get(index, self.model_scores.get(index))
                told |= {} if known is None else {"score": known}
                yield {**row, "taken": False, **told, "reason": self.reason(index)}

    def reason(self, index: int) -> str:
        """Why the row at this position (from 0), which is no pick, was left."""
        gone = self.dropped.get(index) or self.passed.get(index)
        if gone:
            return f"{gone.gate}: {gone.detail}"
        rank = f"rank {self.ranks_after[index]:,}: " if index in self.ranks_after else ""
        return f"{rank}the budget was spent on rows that rank before it"

    @cached_property
    def ranks_after(self) -> dict[int, int]:
        """By index, the ranks of the rows that were left, which go on after those of the picks."""
        return {index: len(self.picks) + at for at, index in enumerate((i for i in self.left if i not in self.dropped), 1)}


@dataclass(frozen=True)
class PoolRows:
    """A pool as it was read. numbers: line or position of each row; groups: its source; quality: the value of the quality column;
    bad: how many rows were set aside; columns: the values of further columns whose shares are capped; targets: texts to select towards;
    mute: positions of conversations whose assistant says and calls nothing."""

    source: str | Path | Sequence[JSON]
    texts: TextPool
    numbers: array[int]
    groups: list[str]
    quality: list[float | None]
    bad: int
    columns: dict[str, list[str]] = field(default_factory=dict)
    targets: list[bytes] = field(default_factory=list)
    mute: set[int] = field(default_factory=set)


def select(
    source: str | Path | Iterable[JSON],
    *,
    settings: SelectSettings | None = None,
    run: Path | None = None,
    workers: int = 0,
    skipped: SkippedRows | None = None,
    progress: Progress = quiet,
    **changes: Any,
) -> Selection:
    """Choose rows from a file (any format `read_rows` takes), from rows, a `Dataset` or a `DataFrame` in memory; settings by name, or as one object.

    run: a folder in which the rounds of `zip` and `zip-long`, and the losses of `perplexity` and `ifd`, are kept, so that the same call
    continues a stopped selection. workers: Ray processes that measure rows, to the same picks as without; 0 for this process alone.
    Raises SettingsError, BadRowError, MissingFileError.
    """
    chosen = settings or SelectSettings(**changes)
    check_tools(chosen)
    return choose(read_texts(source, chosen, skipped), chosen, run=run, workers=workers, progress=progress)


def check_tools(settings: SelectSettings) -> None:
    """What the method works with, before anything is read. Raises MissingFileError, SettingsError, EngineError, FetchError."""
    if settings.method in BY_MODEL:
        open_scorer(settings)
    if settings.method in BY_DISTANCE and find_spec("sklearn") is None:
        raise SettingsError(f"method {settings.method} needs scikit-learn; pip install 'luthier[select]'")
    if settings.tokenizer is not None:
        token_counter(settings.tokenizer)


def read_texts(source: str | Path | Iterable[JSON], settings: ChoiceSettings, skipped: SkippedRows | None = None) -> PoolRows:
    """Read a pool once, for any number of choices with the same fields, group and quality. Raises BadRowError, MissingFileError."""
    kept = source if isinstance(source, str | Path) else [row for _, row in rows_in(source)]
    texts, numbers, groups, quality = TextPool(), array("Q"), list[str](), list[float | None]()
    mute: set[int] = set()
    known: dict[str, None] = {}
    methods = getattr(settings, "methods", None) or (getattr(settings, "method", ""),)
    columns: dict[str, list[str]] = {name: [] for name in settings.shares() if name not in (LANGUAGE, settings.group)}
    number_of = weight_of if any(method.startswith("zip") for method in methods) else quality_of
    for row in read_pool(kept, settings.fields, skipped):
        known |= dict.fromkeys(row.row)
        try:
            quality.append(None if settings.quality is None else number_of(row.row, settings.quality))
        except BadRowError as problem:
            error = problem.at(kept if isinstance(kept, str | Path) else "the rows", row.number)
            set_aside(error, row.row, skipped)
            continue
        if row.mute:
            mute.add(len(numbers))
        texts.append(row.text)
        numbers.append(row.number)
        groups.append(_group(row.row.get(settings.group)))
        for name, values in columns.items():
            values.append(_group(row.row.get(name)))
    asked = {
        **{name: f"--max-share {name}=…" for name in columns},
        **({settings.group: f"--max-share of {settings.group}"} if settings.group in settings.shares() else {}),
        **({settings.quality: f"--quality {settings.quality}"} if settings.quality else {}),
    }
    absent = next((name for name in asked if known and name not in known), None)
    if absent is not None:
        raise SettingsError(f"{asked[absent]}: no row of the pool has a column {absent!r}; there are {', '.join(map(repr, known))}")
    if not numbers and isinstance(kept, str | Path):
        raise SettingsError(
            f"{kept}: no rows there to choose from" + (", all were set aside" if skipped is not None and skipped.count else "")
        )
    targets = read_targets(settings.target, settings.fields)
    return PoolRows(kept, texts, numbers, groups, quality, 0 if skipped is None else skipped.count, columns, targets, mute)


def choose(read: PoolRows, settings: SelectSettings, *, run: Path | None = None, workers: int = 0, progress: Progress = quiet) -> Selection:
    """Choose among the rows of a pool. Arguments and errors as for `select`."""
    from luthier.select.resume import kept_rounds

    progress.step("Selecting rows")
    pool, columns = read.texts, _Columns(read.groups, read.quality)
    picks: list[Pick] = []
    order: list[Pick] = []
    scores: dict[int, float] = {}
    near: Nearness | None = None
    languages = [language_group(row) for row in pool]
    with _engine(workers) as engine:
        dropped = _gates(read, settings, engine)
        for index, value in enumerate(columns.quality):
            if settings.quality is not None and not value and settings.method in ("zip", "zip-long"):
                dropped.setdefault(index, Dropped("quality", f"{settings.quality} is {value}"))
        open_rows = [index for index in range(len(pool)) if index not in dropped] if settings.method in BY_MODEL else []
        if settings.method == "rds":
            near = nearness(pool, open_rows, read.targets, settings, run=run, progress=progress)
            scores = near.best()
            outside = ("not scored", f"outside the sample of {len(near.rows):,} rows")
            dropped |= dict.fromkeys(set(open_rows) - set(near.rows), Dropped(*outside))
            progress.step("Selecting rows")
        elif settings.method in BY_MODEL:
            scores, unread = judge(read.source, read.numbers, open_rows, settings, run=run, progress=progress)
            dropped |= {index: Dropped(*why) for index, why in unread.items()}
            columns = columns._replace(quality=[scores.get(index) for index in range(len(pool))])
            progress.step("Selecting rows")
        budget = parse_budget(settings.budget, len(pool))
        allowance = Allowance(budget, _costs(pool, budget, settings.tokenizer), _caps(read, languages, settings))
        rows = _Open(pool, dropped)
        search = _search(rows, columns, settings, allowance, engine)
        similar: dict[int, float] = {}
        rounds: Iterator[list[Pick]]
        if search is None:
            ordered = _ordered(rows, columns, settings, similar, near, read.targets)
            if settings.method not in BY_DISTANCE:
                order = list(ordered)
                ordered = iter(order)
            rounds = ([pick] for pick in within(ordered, allowance, to_the_end=bool(order)))
        else:
            rounds = kept_rounds(search, run, settings)
        for new in rounds:
            picks += new
            progress.advance(len(new))
    passed = _passed(allowance, columns, settings, dropped.keys() | {pick.index for pick in picks})
    passed |= {index: Dropped("too similar", f"a pick is as near as cosine {cosine:.2f}") for index, cosine in similar.items()}
    taken = {pick.index for pick in picks}
    left = {pick.index: pick.score for pick in order if pick.index not in taken}
    if search is not None:
        left = dict(sorted(search.left().items(), key=lambda one: (one[1], one[0])))
    made = Selection(settings, budget, picks, dropped, pool, read.numbers, columns.groups, read.source, passed, {}, scores, left)
    made.report = _report(made, allowance, read, languages)
    return made


def _group(value: Any) -> str:
    """The name of a row's group; rows that have none are one group."""
    return "" if value is None else str(value)


def _caps(read: PoolRows, languages: Sequence[str], settings: ChoiceSettings) -> list[Cap]:
    known = {settings.group: read.groups, **read.columns}
    return [Cap(name, known.get(name, languages), share) for name, share in settings.shares().items()]


class _Columns(NamedTuple):
    """What of each row is not text: its source, and its quality (the model's score where a model judges)."""

    groups: list[str]
    quality: list[float | None]


class _Open(Texts):
    """The pool as a selector sees it: rows that a gate took out read as empty, and empty rows are passed over."""

    def __init__(self, pool: TextPool, dropped: dict[int, Dropped]) -> None:
        self._pool, self._dropped = pool, dropped

    def __len__(self) -> int:
        return len(self._pool)

    def _at(self, index: int) -> bytes:
        return b"" if index in self._dropped else self._pool[index]


@contextmanager
def _engine(workers: int) -> Iterator[Engine]:
    if workers == 0:
        yield Local()
        return
    from luthier.select.cluster import RayEngine

    with RayEngine(workers) as engine:
        yield engine


def _gates(read: PoolRows, settings: SelectSettings, engine: Engine) -> dict[int, Dropped]:
    """Rows that may not be picked: empty or without an answer, evaluation data, exact and near duplicates of an earlier row, noise."""
    from luthier.select.duplicates import exact_duplicates, near_duplicates, repeats_of
    from luthier.select.guard import noise_scores

    pool, numbers, groups = read.texts, read.numbers, read.groups
    dropped = {index: Dropped("empty", "no text") for index, row in enumerate(pool) if not row.strip()}
    for index in read.mute:
        dropped.setdefault(index, Dropped("empty", "the assistant says and calls nothing"))

    def drop(gate: str, found: dict[int, str]) -> None:
        for index, detail in found.items():
            dropped.setdefault(index, Dropped(gate, detail))

    def drop_twins(gate: str, words: str, twins: dict[int, int]) -> None:
        for index, other in twins.items():
            dropped.setdefault(index, Dropped(gate, f"{words} row {numbers[other]}", other))

    if settings.exclude:
        drop("excluded", repeats_of(pool, settings.exclude))
    drop_twins("duplicate", "the same text as", exact_duplicates(pool, engine))
    if settings.near:
        drop_twins("near-duplicate", "nearly the text of", near_duplicates(pool, settings.near, dropped, engine))
    if settings.noise:
        scores = noise_scores(pool, groups, engine)
        drop("noise", {i: f"z = {z:.1f} among its like" for i, z in enumerate(scores) if z > settings.noise})
    return dropped


def _costs(pool: TextPool, budget: Budget, tokenizer: str | None) -> Sequence[int] | None:
    if budget.unit == "rows":
        return None
    if budget.unit == "bytes":
        return [pool.size(index) for index in range(len(pool))]
    count = token_counter(cast("str", tokenizer))
    return [count(row.decode("utf-8", "replace")) for row in pool]


def tokenizer_file(tokenizer: str) -> Path:
    """Where the tokenizer of that name lies."""
    from luthier.models.known import find_known, pull

    if find_known(tokenizer) is not None:
        return pull(tokenizer) / "tokenizer.json"
    return Path(tokenizer) / "tokenizer.json" if Path(tokenizer).is_dir() else Path(tokenizer)


def token_counter(tokenizer: str) -> Callable[[str], int]:
    """How many tokens a text has, by a `tokenizers` JSON file, a transformers folder, or "bundled". Raises SettingsError."""
    from tokenizers import Tokenizer

    path = tokenizer_file(tokenizer)
    if not path.is_file():
        raise SettingsError(f"{tokenizer}: no tokenizer here; give a tokenizer.json, a transformers folder, or 'bundled'")
    try:
        loaded = Tokenizer.from_file(str(path))
    except Exception as problem:  # tokenizers raises nothing narrower
        raise SettingsError(f"{path}: not a tokenizer that can be read ({' '.join(str(problem).split())})") from problem
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _search(
    rows: Sequence[bytes], columns: _Columns, settings: SelectSettings, allowance: Allowance, engine: Engine
) -> Zip | LongZip | None:
    """The greedy search of the methods that work in rounds."""
    from luthier.select.long_window import AddedBytes, LongZip
    from luthier.select.shards import Only, shard_picks
    from luthier.select.zip import SetSizes, Zip

    if settings.method == "zip":
        sizes = engine.replica(SetSizes, rows)
        return Zip(rows, settings.k1, settings.k2, settings.k3, allowance=allowance, state=sizes)
    if settings.method != "zip-long":
        return None
    weights = None if settings.quality is None else [value or 1.0 for value in columns.quality]
    if settings.shards > 1:
        few = shard_picks(rows, weights, settings.shards, allowance, engine, k3=settings.k3, seed=settings.seed)
        rows = Only(rows, few)
    added = engine.replica(partial(AddedBytes, seed=settings.seed), rows)
    return LongZip(rows, k3=settings.k3, weights=weights, allowance=allowance, state=added)


def _ordered(  # noqa: PLR0917
    rows: Sequence[bytes],
    columns: _Columns,
    settings: SelectSettings,
    similar: dict[int, float],
    near: Nearness | None,
    targets: Sequence[bytes],
) -> Iterator[Pick]:
    """The picks of a method that has an order of its own. similar: is given the rows that `deita` passes over, with their cosine."""
    from luthier.select import baselines

    seed = settings.seed
    if settings.method == "random":
        return baselines.random_picks(rows, seed=seed)
    if settings.method == "stratified":
        return baselines.stratified_picks(rows, columns.groups, seed=seed)
    if settings.method == "longest":
        return baselines.longest_picks(rows)
    if settings.method == "dsir":
        return important_picks(rows, targets, seed=seed)
    if near is not None:
        return nearest_in_turn(near)
    if settings.method == "own-ratio":
        return baselines.own_ratio_picks(rows)
    places = [index for index, row in enumerate(rows) if row]
    scores = [columns.quality[index] for index in places]
    if settings.method == "perplexity":
        return _placed(baselines.middle_picks(scores), places)
    if settings.method in ("score", "ifd"):
        return _placed(baselines.scored_picks(scores), places)
    embeddings = baselines.hashed_embeddings([rows[index] for index in places], seed=seed)
    if settings.method == "deita":
        return _placed(baselines.deita_picks(scores, embeddings, similar=similar, places=places), places)
    if settings.method == "k-center":
        return _placed(baselines.k_center_picks(embeddings, seed=seed), places)
    if settings.method == "clusters":
        return _placed(baselines.cluster_picks(embeddings, seed=seed), places)
    return _placed(baselines.facility_location_picks(embeddings, seed=seed), places)


def _placed(picks: Iterator[Pick], places: Sequence[int]) -> Iterator[Pick]:
    return (pick._replace(index=places[pick.index]) for pick in picks)


def _passed(allowance: Allowance, columns: _Columns, settings: SelectSettings, settled: Set[int]) -> dict[int, Dropped]:
    """Rows that the method came to and could not take, or never ranks. settled: picks and rows that a gate took out."""
    passed = {
        index: Dropped("source-cap", _share_of(allowance.caps[cap], index, settings.group))
        for index, cap in allowance.capped_rows.items()
        if index not in settled
    }
    for index, left in allowance.unfit.items():
        if index not in settled:
            passed[index] = Dropped("did not fit", f"it takes {allowance.cost(index):,} of the budget, of which {left:,.0f} were left")
    if settings.method in ("deita", "score"):
        for index, score in enumerate(columns.quality):
            if score is None and index not in settled:
                passed[index] = Dropped("no score", f"column {settings.quality} is empty")
    return passed


def _share_of(cap: Cap, index: int, source: str) -> str:
    kind = "" if cap.name == source else f"{cap.name} "
    return f"{kind}{cap.groups[index] or 'no ' + ('source' if cap.name == source else cap.name)} has its share of the budget"


def _report(made: Selection, allowance: Allowance, read: PoolRows, languages: Sequence[str]) -> JSON:
    from luthier.select.profile import ratio_profile

    settings = made.settings
    by_source, taken_by_source = Counter(made.groups), Counter(made.groups[pick.index] for pick in made.picks)
    by_language, taken_by_language = Counter(languages), Counter(languages[pick.index] for pick in made.picks)
    shifted = shifts(settings.group, by_source, taken_by_source) + shifts(LANGUAGE, by_language, taken_by_language)
    away = {}
    if read.targets:
        away = {"pool": divergence(made.pool, read.targets), "picks": divergence((made.pool[i] for i in made.indices), read.targets)}
    sizes = [made.pool.size(pick.index) for pick in made.picks]
    return {
        "method": made.settings.method,
        "budget": str(made.budget),
        "pool_rows": len(made.pool),
        "pool_bytes": made.pool.total,
        "bad_rows": read.bad,
        "rows": len(made.picks),
        "bytes": sum(sizes),
        "dropped": dict(Counter(gone.gate for gone in made.dropped.values()).most_common()),
        "capped": dict(allowance.capped),
        "no_score": sum(gone.gate == "no score" for gone in made.passed.values()),
        "too_similar": sum(gone.gate == "too similar" for gone in made.passed.values()),
        "scored_rows": len(made.model_scores),
        "pool_by_source": dict(by_source.most_common()),
        "taken_by_source": dict(taken_by_source.most_common()),
        "pool_by_language": dict(by_language.most_common()),
        "taken_by_language": dict(taken_by_language.most_common()),
        "shifts": [shift._asdict() for shift in shifted],
        "target_divergence": away,
        "ratio": ratio_profile([made.pool[pick.index] for pick in made.picks]),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
    }
