"""What `luthier synthesize fusion` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.hardware import HardwareSettings
from luthier.models.opening import URL
from luthier.settings import argument, check, option, seed_option
from luthier.synthesize.fusion.facts import Columns
from luthier.synthesize.fusion.questions import FORMS
from luthier.synthesize.fusion.splitting import Way
from luthier.synthesize.fusion.suite import SuiteSettings, check_suite
from luthier.texts.dates import ORDERS, DateOption, is_date

Retriever = Literal["bm25", "bm25:word", "bm25:stem", "bm25:code"]


@dataclass(frozen=True)
class FusionSettings(HardwareSettings):
    """Make a fusion suite from DOCUMENTS: text, Markdown, HTML, CSV, JSON and JSONL files, or folders of them.

    Facts are split into memory and external knowledge; every question's scenario follows from the ids of the facts it needs. Tables need
    no model. A stopped run continues with the same command.
    """

    documents: tuple[str, ...] = argument("Files or folders.", required=True)
    subject: tuple[str, ...] = option(
        (),
        "Columns that name what a row is about, joined; 'a|b' takes the first that is filled. The first column where left out.",
        metavar="COLUMN",
    )
    attributes: tuple[str, ...] = option(
        (), "A column of values, and what people call it; all columns where left out.", "--attribute", metavar="COLUMN[=NAME]"
    )
    date: str | None = option(None, "Column of the row's date; one of the usual names where left out.", metavar="COLUMN")
    dates: DateOption = option(
        "auto", "What stands first in dates such as 05/06/2024, where no other of their column or document shows it."
    )
    where: tuple[str, ...] = option((), "Only rows that have this.", metavar="COLUMN=TEXT")
    by: Way = option("date", "What decides between memory and external knowledge.", "--split-by")
    at: str | None = option(
        None, "Older facts are memory, newer ones external; the median where left out.", "--split-date", metavar="YYYY[-MM[-DD]]"
    )
    holdout: float = option(0.1, "Share of subjects in neither.", least=0, below=1)
    per_scenario: int = option(200, "Test questions of each scenario.", least=1)
    training_per_scenario: int | None = option(None, "Training conversations of each; as many where left out.", least=1)
    distractors: str = option("0,1,3", "Noise levels.", metavar="N,N,…")
    memory: int | None = option(None, "Facts that are infused at most; all where left out.", least=1)
    forms: str = option(",".join(FORMS), "Questions that need both sources.", metavar="FORM,…")
    wordings: int = option(5, "Statements of each infused fact.", least=1, most=100)
    refusals: float = option(1.5, "Training refusals for each item of the largest other scenario.", least=0)
    retriever: Retriever | None = option(None, "Contexts are what it finds, with its misses, in place of chosen distractors.")
    depth: int = option(3, "Passages it finds.", least=1, most=1000)
    reader: str | None = option(
        None, "A model that reads facts from running text: 'bundled', a folder, or a served model.", metavar="MODEL"
    )
    writer: str | None = option(None, "A model that words the test questions.", metavar="MODEL")
    untrained: str | None = option(None, "The model to be infused: what it knows already is left out.", metavar="MODEL")
    endpoint: str | None = option(None, f"Of those models. {URL}", metavar="URL")
    skip_bad: str | None = option(None, "Set bad rows and unreadable files aside in this file instead of stopping.")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        check_suite(self.suite)
        if self.columns.where and not all(column and text for column, text in self.columns.where):
            raise SettingsError(f"--where {', '.join(self.where)}: write each as COLUMN=TEXT")
        if self.at is not None and (self.by != "date" or not is_date(self.at)):
            raise SettingsError(f"--split-date is {self.at!r}; it is a date such as 2024-07-01, and for --split-by date")
        if self.endpoint is not None and not (self.reader or self.writer or self.untrained):
            raise SettingsError("--endpoint serves --reader, --writer or --untrained; name one of them")
        if not (self.reader or self.writer or self.untrained):
            self.unread("name one with --reader, --writer or --untrained")

    @property
    def columns(self) -> Columns:
        """How rows become facts."""
        named = tuple((column, name or column) for column, _, name in (text.partition("=") for text in self.attributes))
        wanted = tuple((column, text) for column, _, text in (each.partition("=") for each in self.where))
        return Columns(self.subject, named, self.date, wanted, ORDERS[self.dates])

    @property
    def suite(self) -> SuiteSettings:
        """How facts become a suite."""
        return SuiteSettings(
            self.per_scenario,
            self.training_per_scenario,
            _numbers(self.distractors),
            self.memory,
            tuple(filter(None, self.forms.split(","))),
            wordings=self.wordings,
            refusals=self.refusals,
            depth=self.depth,
        )


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and len(part) < 7 for part in parts):
        raise SettingsError(f"--distractors {text}: give whole numbers with commas between them, as in 0,1,3")
    return tuple(map(int, parts))
