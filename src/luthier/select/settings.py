"""How rows are chosen, and what the commands of `luthier select` are told."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from luthier.errors import SettingsError
from luthier.models.opening import ModelSettings
from luthier.select.budget import parse_budget
from luthier.select.rows import Fields
from luthier.settings import REQUIRED, argument, check, option, seed_option

Method = Literal[
    "zip",
    "zip-long",
    "random",
    "stratified",
    "longest",
    "own-ratio",
    "k-center",
    "facility-location",
    "clusters",
    "deita",
    "score",
    "perplexity",
    "ifd",
    "rds",
    "dsir",
]
METHODS: tuple[str, ...] = get_args(Method)
BY_MODEL = ("perplexity", "ifd", "rds")
BY_DISTANCE = ("k-center", "facility-location", "clusters", "deita")  # each pick is looked for among all rows left
BY_TARGET = ("rds", "dsir")
LANGUAGE = "language"  # what `--max-share` calls the language that is found in a row
SEEDS = 100  # of one method in a comparison at most
Format = Literal["jsonl", "jsonl.gz", "parquet"]
POOL = "JSONL, JSONL.gz, JSON, Parquet or a datasets folder."


@dataclass(frozen=True)
class ChoiceSettings(ModelSettings):
    """All of a choice but its method: the budget, what is measured, what is left out before, and the constants of the methods."""

    model: str = option("bundled", "perplexity, ifd and rds: a transformers folder, or 'bundled'.")
    budget: str | int = option(REQUIRED, "'1000 rows', '5M tokens', '2M bytes' or '3%'.")
    fields: Fields = option("all", "What is measured.")
    tokenizer: str | None = option(None, "tokenizer.json, a transformers folder, or 'bundled'; for budgets in tokens.", metavar="PATH")
    quality: str | None = option(None, "A weight for zip-long, rows of 0 are left out; a score for deita and score.", metavar="COLUMN")
    group: str = option("source", "Column that names a row's source.")
    max_share: tuple[str, ...] = option(
        (), "No source gets more of the budget, as 0.3; no language, language=0.3; no value of a column, COLUMN=0.3.", metavar="SHARE"
    )
    target: tuple[str, ...] = option((), "rds and dsir: examples of what is wanted; of other methods, how near they come.", metavar="FILE")
    noise: float | None = option(4.0, "Robust z-score that counts as noise; 0 for no guard.", least=0)
    near: float | None = option(0.8, "Jaccard index of near-duplicates; 0 keeps them.", least=0, most=1)
    exclude: tuple[str, ...] = option((), "Evaluation data whose texts must not be chosen.", metavar="FILE")
    k1: int = option(10_000, "zip: rows measured a round.", least=1)
    k2: int = option(200, "zip: rows of a block.", least=1)
    k3: int = option(100, "zip and zip-long: picks a round.", least=1)
    shards: int = option(0, "zip-long: pick in so many parts first, then among these.", least=0)
    score_rows: int | None = option(2000, "perplexity, ifd and rds: rows the model reads; 0 for all.", least=0, metavar="N")
    band: tuple[float, float] = option((0.25, 0.75), "perplexity: the quantiles kept.", least=0, most=1, metavar="LOW HIGH")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        if isinstance(self.budget, int) and not isinstance(self.budget, bool):
            object.__setattr__(self, "budget", str(self.budget))
        if isinstance(self.max_share, float | int):
            object.__setattr__(self, "max_share", (str(self.max_share),))
        check(self)
        self.shares()
        if len(self.band) != 2 or not self.band[0] < self.band[1]:
            told = " to ".join(f"{limit:g}" for limit in self.band)
            raise SettingsError(f"band is {told}; give two quantiles between 0 and 1, the lower one first")
        if parse_budget(self.budget, 1).unit == "tokens" and self.tokenizer is None:
            raise SettingsError("a budget in tokens needs a tokenizer: a tokenizers file or a transformers folder")

    def shares(self) -> dict[str, float]:
        """The largest share of a group, by what groups: the column of sources, `language`, or another column. Raises SettingsError."""
        found: dict[str, float] = {}
        for told in self.max_share:
            name, equals, text = told.rpartition("=")
            name = name if equals else self.group
            try:
                share = float(text)
            except ValueError:
                share = math.nan
            if not 0 < share <= 1 or not name:
                raise SettingsError(f"--max-share is {told[:40]!r}; write a share above 0 and at 1 at most, as 0.3 or language=0.3")
            if name in found:
                raise SettingsError(f"--max-share tells the share of {name} twice; leave one out")
            found[name] = share
        return found


@dataclass(frozen=True)
class SelectSettings(ChoiceSettings):
    """How rows are chosen. noise, near: None or 0 for no guard and to keep near-duplicates; score_rows: None or 0 for all rows."""

    method: Method = option("zip-long", "What is picked first.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shards > 1 and self.method != "zip-long":
            raise SettingsError(f"shards is {self.shards}; it is for zip-long only")
        if self.method in ("deita", "score") and self.quality is None:
            raise SettingsError(f"method {self.method} picks by a score; name its column with --quality")
        if self.method == "rds" and (self.adapter is not None or self.dtype != "auto"):
            raise SettingsError("method rds reads the model's own states in float32; leave --adapter and --dtype out")
        if self.method in BY_TARGET and not self.target:
            raise SettingsError(f"method {self.method} picks towards examples; name their file with --target")


@dataclass(frozen=True)
class PoolSettings:
    """Where the rows are."""

    pool: str = argument(POOL, default=REQUIRED)
    skip_bad: str | None = option(None, "Set bad rows aside in this file instead of stopping.")


@dataclass(frozen=True)
class SelectionSettings(PoolSettings, SelectSettings):
    """Choose rows of POOL (JSONL, JSONL.gz, JSON, Parquet or a datasets folder) and write them, line for line as they were.

    A stopped run continues with the same command.
    """

    format: Format = option("jsonl", "Of the chosen rows.")
    dry_run: bool = option(False, "Say what would be done and how long it takes; choose nothing.")
    workers: int = option(0, "Ray processes that measure rows; 0 for this process alone.", least=0, aside=True)


@dataclass(frozen=True)
class ComparisonSettings(PoolSettings, ChoiceSettings):
    """Several methods on one pool and budget, side by side; random as a band over seeds (random*5)."""

    methods: tuple[str, ...] = option(("random*3", "longest", "zip", "zip-long"), "One of them; also as random*5.", "--method")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.arms()

    def arms(self) -> dict[str, SelectSettings]:
        """The settings of each selection, by its name. Raises SettingsError for methods that are not known."""
        shared = {one.name: getattr(self, one.name) for one in fields(ChoiceSettings)}
        found = {}
        for name in self.methods:
            method, star, times = name.partition("*")
            if method not in METHODS or (star and not (times.isdecimal() and 1 <= int(times[:9]) <= SEEDS)):
                raise SettingsError(f"method {name!r} is not known; known are {', '.join(METHODS)}, each also as random*5")
            for seed in range(self.seed, self.seed + int(times or 1)):
                known = f"{method} (seed {seed})" if star else method
                found[known] = SelectSettings(**shared | {"method": method, "seed": seed})
        if not found:
            raise SettingsError("no method to compare; name one with --method")
        return found


@dataclass(frozen=True)
class ExplainSettings(PoolSettings, SelectSettings):
    """Why a row was taken or left."""

    rows: tuple[int, ...] = option((), "Line or position of a row; the first ten taken and left where none is given.", "--row", least=1)


@dataclass(frozen=True)
class RatioSettings:
    """How redundant a data set is: bytes / compressed bytes at three window sizes, whole and by source."""

    pool: str = argument(POOL, default=REQUIRED)
    group: str = option("source", "Column that names a row's source.")
    fields: Fields = option("all", "What is measured.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LawSettings:
    """What compression ratio and first-epoch loss say of the versions in LEDGER (arXiv 2407.06645): alarms and prediction."""

    ledger: str = argument("A ledger that an EntropyLawCallback keeps.", default=REQUIRED)
    out: str | None = option(None, "Draw it as one page that loads nothing.", metavar="FILE.html")

    def __post_init__(self) -> None:
        check(self)
