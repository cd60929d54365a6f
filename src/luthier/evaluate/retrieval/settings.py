"""What the commands of `luthier evaluate retrieval` are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.opening import EmbedderSettings
from luthier.settings import REQUIRED, argument, check, group, option, seed_option

Reading = Literal["text", "title+text"]
Adjustment = Literal["none", "centre", "whiten"]
Fusion = Literal["rrf", "minmax"]
Tokenizing = Literal["code", "word", "stem"]
ReadingOfTies = Literal["trec", "expected", "best", "worst", "merged"]
Setting = Literal["task", "split", "reading", "depth", "max_length"]
Layout = Literal["beir", "mteb"]
Near = Literal["mark", "exclude", "keep"]
Dangling = Literal["refuse", "leave-out"]
Recipe = Literal["doc2code", "code2doc", "ccr", "test2code", "usage2definition", "commit2diff", "sql", "pairs", "tools"]
TASK = "A folder, or coir:NAME."
CACHE = "Folder of embeddings; in the user's cache where left out."


@dataclass(frozen=True)
class ReadingSettings:
    """How the tables of a task are read."""

    reading: Reading = option("text", "What is read of a document; the paper reads the text.")
    source: str | None = option(None, "Folder under which CoIR's data sets lie, for coir:NAME.")
    subset: str | None = option(None, "Of a folder that holds several, as NAME-corpus and NAME-queries.")
    dangling: Dangling = option("refuse", "Judgements of a query or document that is not there; those left out are counted.")
    mapped: tuple[str, ...] = option(
        (), "What a column of the tables is: _id, text, title, query-id, corpus-id or score.", "--map", metavar="FIELD=COLUMN"
    )
    without_own: bool = option(False, "Queries that are documents do not find themselves: the document of the query's id is left out.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TaskSettings(ReadingSettings):
    """Which part of a task is read, and how."""

    split: str = option("test", "Whose judgements are read.")


@dataclass(frozen=True)
class OpeningSettings:
    """How retrievers are opened."""

    embedder: EmbedderSettings = group(EmbedderSettings)
    k1: float = option(1.5, "Saturation of BM25.", least=0, most=100)
    b: float = option(0.75, "Length normalisation of BM25.", least=0, most=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RetrievalSettings(TaskSettings, OpeningSettings):
    """Score models on TASKS: folders, or coir:NAME. A stopped run continues with the same command."""

    tasks: tuple[str, ...] = argument("Folders, or coir:NAME.", required=True)
    models: tuple[str, ...] = option(
        ("minilm",),
        "minilm, static, bm25, bm25:word, bm25:stem, bundled (the language model), vectors:FOLDER, a folder, or a served model.",
        "--model",
    )
    top: int = option(100, "Distinct documents kept of a query.", least=1)
    limit: int | None = option(None, "Evenly spaced queries of each task; the corpus stays whole.", "--queries", least=1)
    adjustment: Adjustment = option("none", "Done to vectors, fitted on the documents.", "--adjust")
    fuse: Fusion | None = option(None, "Add a run made of all models.")
    weights: tuple[float, ...] = option((), "Of each model in the fusion.", "--weight", least=0)
    rerank: str | None = option(
        None, "A language model that reads the first documents of the last run: 'bundled', or a folder.", metavar="MODEL"
    )
    rerank_top: int = option(20, "Documents that it reads.", least=1)
    instruct: bool = option(False, "Put CoIR's instruction of the data set before each query.")
    cache: str | None = option(None, CACHE)
    seed: int = seed_option("Of the intervals.")

    def __post_init__(self) -> None:
        check(self)
        if not self.models:
            raise SettingsError("name at least one model with --model")
        if len(set(self.tasks)) != len(self.tasks) or len(set(self.models)) != len(self.models):
            raise SettingsError("a task or a model is named twice")
        if self.weights and len(self.weights) != len(self.models):
            raise SettingsError(f"{len(self.weights)} weights for {len(self.models)} models; give one each")
        if self.weights and not sum(self.weights):
            raise SettingsError("every --weight is 0; nothing would be left of the fusion")
        if self.fuse is not None and len(self.models) < 2:
            raise SettingsError("fusion needs two models or more")
        if self.fuse is None and self.weights:
            raise SettingsError("--weight is of a fusion; say which with --fuse")
        if self.instruct and (others := [name for name in self.tasks if not name.startswith("coir:")]):
            raise SettingsError(f"{others[0]}: only CoIR's data sets have instructions; write your own with --query-prompt")


@dataclass(frozen=True)
class BuildSettings:
    """Make a task of SOURCES: folders, installed packages or `stdlib`; for commit2diff a git repository, else files."""

    recipe: Recipe = argument("How a query and its answer are taken.", default=REQUIRED)
    sources: tuple[str, ...] = argument("Where they are taken from.", required=True)
    train: float = option(0.0, "Share of the queries for training.", least=0, below=1)
    dev: float = option(0.0, "Share for development; the rest is test.", least=0, below=1)
    near: Near = option("mark", "Near-copies of an answer: answers too, taken out, or distractors.")
    exclude: tuple[str, ...] = option((), "A task that nothing may repeat, e.g. the test task of a training set.", metavar="TASK")
    columns: str = option("query,document", "Of the recipe pairs.", metavar="QUERY,DOCUMENT")
    name: str | None = option(None, "The task's name.")
    seed: int = seed_option("Of the draws.")

    def __post_init__(self) -> None:
        check(self)
        if self.train + self.dev >= 1:
            raise SettingsError("the shares of train and dev must be 0 or more and leave something for test")
        if self.columns.count(",") != 1 or not all(self.columns.split(",")):
            raise SettingsError(f"--columns is {self.columns!r}; two names with a comma between them are expected")

    @property
    def named_columns(self) -> tuple[str, str]:
        query, _, document = self.columns.partition(",")
        return query, document


@dataclass(frozen=True)
class AuditSettings(TaskSettings):
    """What to know of TASK before trusting a score on it."""

    task: str = argument(TASK, default=REQUIRED)
    model: str | None = option(None, "An embedder, for the share of texts that it does not read to the end.")
    against: tuple[str, ...] = option((), "Training rows (JSONL, Parquet) or a task folder, for contamination.", metavar="FILE")
    tokenizer: Tokenizing = option("code", "Of the BM25 baseline.")


@dataclass(frozen=True)
class ComparisonSettings:
    """Compare results of RUNS (folders of `run`, or results/NAME.json in them), with paired tests; refuses what does not compare."""

    runs: tuple[Path, ...] = argument("Folders of `run`, or results in them.", required=True)
    metric: str = option("ndcg@10", "What is compared.")
    ties: ReadingOfTies = option("expected", "How equal scores are read.")
    allow: tuple[Setting, ...] = option((), "May differ all the same.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SearchSettings(TaskSettings, OpeningSettings):
    """Find QUERY in the documents of TASK."""

    task: str = argument(TASK, default=REQUIRED)
    query: str = argument("What to look for.", default=REQUIRED)
    model: str = option("minilm", "As of `run`.")
    top: int = option(5, "Documents shown.", least=1)
    cache: str | None = option(None, CACHE)

    def __post_init__(self) -> None:
        check(self)
        if not self.query.strip():
            raise SettingsError("the query is empty; say what to look for")


@dataclass(frozen=True)
class ExportSettings(TaskSettings):
    """Write TASK for other tools: a BEIR folder, for mteb with a module that holds the task."""

    task: str = argument(TASK, default=REQUIRED)
    layout: Layout = option("beir", "Whose layout.", "--to")
    merged: bool = option(False, "Every document once, answering for its copies.")
    out: Path = option(REQUIRED, "The folder that is written.")
