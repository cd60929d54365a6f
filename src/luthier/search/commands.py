"""What the commands of `luthier search` are told."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from luthier.errors import SettingsError
from luthier.models.budget import Budget
from luthier.models.opening import ServedModelSettings
from luthier.search.settings import SearchSettings, Strategy
from luthier.settings import REQUIRED, argument, check, option

PROBLEMS = (
    "Files of HumanEval, MBPP or APPS, folders with problem.md and tests, modules with doctests (FILE.py or FILE.py::NAME), or 'humaneval'."
)


@dataclass(frozen=True)
class _Problems(ServedModelSettings, SearchSettings):
    """Of commands that search programs for problems."""

    problems: tuple[str, ...] = argument(PROBLEMS, required=True)
    public: str | None = option(None, "Public tests by task: rows with task_id and given_tests.", metavar="FILE")
    limit: int | None = option(None, "Problems of each file, evenly spaced; all where left out.", least=1)
    at_once: int = option(16, "Problems searched side by side; what they ask is one batch.", least=1, most=1024, aside=True)
    test_seconds: float = option(6.0, "Longest that a test may take.", above=0, most=3600)
    workers: int | None = option(
        None, "Programs judged at a time; as many as there are cores where left out.", least=1, most=256, aside=True
    )
    replay: bool = option(False, "Ask and run nothing: only what is recorded in --out.", aside=True)

    def __post_init__(self) -> None:
        check(self)
        Budget.parse(self.budget)

    def how(self, strategy: Strategy | None = None) -> SearchSettings:
        """The settings of the search itself. strategy: in place of its own."""
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(SearchSettings)}
        made = SearchSettings(**own)
        return replace(made, strategy=strategy) if strategy else made


@dataclass(frozen=True)
class SearchRunSettings(_Problems):
    """Search programs for PROBLEMS with a model: thoughts, programs, what execution says of them, better thoughts.

    Public tests guide the search; private ones, where there are some, score the chosen program once. A stopped search continues with the
    same command.
    """

    curve: bool = option(False, "Score by the private tests also what would have been the answer earlier.")


@dataclass(frozen=True)
class SearchCompareSettings(_Problems):
    """Search programs for PROBLEMS by several strategies under the same budget: solved over calls and tokens, with intervals and paired tests.

    What two strategies ask in the same words is answered once. A stopped comparison continues with the same command.
    """

    strategies: str = option("rethink,thought-mcts,tot,best-of-n", "Names with commas; the others are compared with the first.")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = get_args(Strategy)
        for name in self.chosen:
            if name not in known:
                raise SettingsError(f"--strategies names {name!r}; there are {', '.join(known)}")
        if len(set(self.chosen)) < len(self.chosen) or not self.chosen:
            raise SettingsError(f"--strategies is {self.strategies!r}; give each strategy once, with commas")

    @property
    def chosen(self) -> tuple[Strategy, ...]:
        return tuple(part.strip() for part in self.strategies.split(",") if part.strip())  # type: ignore[misc]


@dataclass(frozen=True)
class SearchExportSettings:
    """Write what the searches of RUN found as training rows: programs that pass with their thoughts, repairs, or thoughts in pairs.

    Which rows are good is told by the public tests alone; private tests are not read.
    """

    run: str = argument("Folder of a run of `luthier search run`.", default=REQUIRED)
    out: str = option(REQUIRED, "Rows for TRL, JSONL.")
    kind: Literal["sft", "repairs", "pairs"] = option(
        "sft", "sft: problem to thoughts and program; repairs: failing program to one that passes; pairs: new thought over the old one."
    )

    def __post_init__(self) -> None:
        check(self)
