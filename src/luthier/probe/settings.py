"""What the commands of `luthier probe` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.branches import Mode
from luthier.models.hardware import HardwareSettings
from luthier.models.opening import URL, ModelSettings
from luthier.models.options import Normalise
from luthier.settings import REQUIRED, argument, check, option, seed_option

Strategy = Literal["first", "no-cot", "vote", "cop", "confidence", "weighted", "tree", "resample"]
Labels = Literal["recorded", "equations", "judge"]
Score = Literal["mean", "gain", "final", "mono"]
RUN = "Folder of a run of `luthier probe run`."


@dataclass(frozen=True)
class AskingSettings(ModelSettings):
    """Of commands that have a model write chains of thought on questions, or read them."""

    limit: int | None = option(None, "Questions of each file or task, evenly spaced; all where left out.", least=1)
    skip_bad: str | None = option(None, "Set bad rows aside in this file instead of stopping.")
    max_tokens: int = option(160, "Longest chain.", least=1)
    top_p: float = option(0.95, "Of the most likely tokens, those that make up this share are drawn from.", above=0, most=1)
    probe: str = option("letters", "'letters', 'texts', or a text after which an answer would stand.")
    normalise: Normalise = option("token", "How the length of an option's words counts.")
    mode: Mode = option("auto", "How probes are read; the numbers are the same.")
    seed: int = seed_option()


@dataclass(frozen=True)
class ProbeSettings(AskingSettings):
    """Ask a model for chains of thought on DATA, files of multiple-choice questions, and for its answer before and after each step.

    A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of questions, whose chains the model writes.")
    stored: tuple[str, ...] = option(
        (), "Questions with chains of any model, read as they are: JSONL, lm-eval samples, logs of Inspect.", "--chains", metavar="FILE"
    )
    injected: tuple[str, ...] = option(
        (), "Questions with right solutions: each is probed as it is, and with an error put in.", "--inject", metavar="FILE"
    )
    samples: int = option(1, "Chains a question.", "-k", least=1)
    temperature: float | None = option(None, "0 for one chain a question, 0.8 for several, where left out.", least=0)

    def __post_init__(self) -> None:
        check(self)
        if not (self.data or self.stored or self.injected):
            raise SettingsError("no data: give files of questions, --chains for stored chains, or --inject for right solutions")
        if self.samples > 1 and self.temperature == 0:
            raise SettingsError(f"{self.samples} chains a question at temperature 0 are all the same; give a temperature")


@dataclass(frozen=True)
class OnlineSettings(AskingSettings):
    """Probe while chains are written, and cut each one once its answer is settled: tokens saved and answers changed.

    A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of multiple-choice questions.", required=True)
    top_p: float = option(1.0, "Of the most likely tokens, those that make up this share are drawn from.", above=0, most=1)
    temperature: float = option(0.0, "0 takes the most likely token.", least=0)
    same: int = option(2, "Probes in a row with the same answer.", least=1)
    margin: float = option(0.5, "By which it leads.", least=0, most=1)
    whole: bool = option(True, "Also write the chains to their end, to compare.")


@dataclass(frozen=True)
class TreeFitSettings(HardwareSettings):
    """Fit a tree on the chains of RUN; precision and recall are on questions that the tree had not seen."""

    run: str = argument(RUN, default=REQUIRED)
    out: str = option("tree.json", "The tree, as JSON.")
    labels: Labels = option(
        "recorded", "Who says which chains are wrong: their field `wrong` (as --inject writes it), their equations, or a model."
    )
    judge: str | None = option(None, "The model of --labels judge: 'bundled', a transformers folder, or a served model.")
    judge_endpoint: str | None = option(None, URL, metavar="URL")
    depth: int = option(4, "Questions that a chain is put, at most.", least=1, most=64)
    least: int = option(20, "Chains in a leaf.", least=1)
    seed: int = seed_option("Of the folds.")

    def __post_init__(self) -> None:
        check(self)
        if self.labels != "judge":
            self.unread("give --labels judge")


@dataclass(frozen=True)
class TreeApplySettings:
    """Judge the chains of RUN with TREE."""

    run: str = argument(RUN, default=REQUIRED)
    tree: str = argument("A tree of `luthier probe tree fit`.", default=REQUIRED)
    out: str = option(REQUIRED, "One row a chain, JSONL.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ChoosingSettings:
    """Choose among the chains of each question of RUN, by every strategy: accuracy, difference from majority vote, tokens."""

    run: str = argument(RUN, default=REQUIRED)
    strategy: Strategy | None = option(None, "Write this one's answers; the table shows all.")
    score: Score = option("mean", "The CoP score of cop and weighted.")
    tree: str | None = option(None, "A tree of `luthier probe tree fit`, for the strategies tree and resample.")
    out: str | None = option(None, "Answers of --strategy, one row a question, JSONL.")
    seed: int = seed_option("Of the bootstrap.")

    def __post_init__(self) -> None:
        check(self)
        if (self.strategy is None) != (self.out is None):
            raise SettingsError("--strategy and --out go together: whose answers, and where to")


@dataclass(frozen=True)
class ExportSettings:
    """Write the traces of RUN as a log of Inspect."""

    run: str = argument(RUN, default=REQUIRED)
    out: str = option(REQUIRED, "A log of Inspect (.json), for `inspect view`.")

    def __post_init__(self) -> None:
        check(self)
