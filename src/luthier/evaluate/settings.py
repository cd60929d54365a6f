"""What `luthier evaluate tools`, `luthier evaluate choice` and `luthier evaluate code` are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.opening import ModelSettings, ServedModelSettings
from luthier.models.options import Targets
from luthier.records.bfcl import Category
from luthier.records.bfcl_multi_turn import MultiTurnCategory
from luthier.settings import argument, check, option, seed_option

AnyCategory = Literal[Category, MultiTurnCategory]
Decoding = Literal["free", "constrained", "guided"]
Form = Literal["own", "brackets", "hermes", "llama", "json"]
Style = Literal["chat", "plain"]


@dataclass(frozen=True)
class ToolsEvaluationSettings(ServedModelSettings):
    """Function calling: items of the Berkeley leaderboard (BFCL), judged by its own rules and by stricter ones, or dialogues of your own.

    A stopped evaluation continues with the same command.
    """

    categories: tuple[AnyCategory, ...] = option(
        (),
        "Items of this kind; irrelevance: no tool on offer fits; multi_turn: dialogues in which the calls are run.",
        "--category",
        shown="simple_python, or none where --items names a file",
    )
    items: tuple[str, ...] = option(
        (),
        "Your own dialogues, scored at every turn of the assistant; or how many items of each category and file, evenly spaced (of "
        "dialogues within each type), or of one category as multiple=50: all where left out.",
        metavar="FILE|N|CATEGORY=N",
    )
    decodings: tuple[Decoding, ...] = option(
        (),
        "constrained: the answer is a call, well-formed; guided: the model calls or speaks as it likes, but what it calls is well-formed.",
        "--decoding",
        shown="free and constrained; of what cannot follow a grammar, a server say, free only",
    )
    form: Form = option("own", "What calls under a grammar are written in; own: as the model's chat template writes them.")

    def __post_init__(self) -> None:
        check(self)
        self.limits()

    @property
    def files(self) -> tuple[str, ...]:
        """Of own dialogues: whatever `items` names that is neither a number nor of a category."""
        return tuple(text for text in self.items if not _is_limit(text))

    @property
    def each(self) -> int | None:
        """Dialogues taken of each file, None for all."""
        return next((int(text) for text in reversed(self.items) if _is_limit(text) and "=" not in text), None)

    def limits(self) -> dict[str, int | None]:
        """How many items of each category are taken, None for all. Raises SettingsError."""
        found: dict[str, int | None] = dict.fromkeys(self.categories or (() if self.files else ("simple_python",)))
        for text in self.items:
            if not _is_limit(text):
                continue
            name, equals, number = text.rpartition("=")
            if not number.isascii() or not number.isdigit() or not 1 <= int(number) < 10**6 or (equals and name not in found):
                kinds = ", ".join(found)
                raise SettingsError(
                    f"--items is {text!r}; give a file of dialogues, a number from 1, or CATEGORY=NUMBER of a category that is scored ({kinds})"
                )
            found |= {name: int(number)} if equals else dict.fromkeys(found, int(number))
        return found


def _is_limit(text: str) -> bool:
    """Whether it says how many, and names no file: `50`, `multiple=50`, and what was meant as such."""
    name, equals, number = text.rpartition("=")
    return (not Path(text).exists() and (number.lstrip("-").isdigit() if not equals else name.isidentifier())) or not text


@dataclass(frozen=True)
class ChoiceSettings(ModelSettings):
    """Multiple-choice questions of DATA by the likelihood of their options, all of a question in one pass.

    A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of multiple-choice questions.", required=True)
    limit: int | None = option(None, "Questions of each file, evenly spaced; all where left out.", least=1)
    skip_bad: str | None = option(None, "Set bad rows aside in this file instead of stopping.")
    by: Targets = option("texts", "What of the options is scored.")
    style: Style = option("chat", "Through the chat template, or as 'Question: … Answer:'.")


@dataclass(frozen=True)
class CodeSettings(ServedModelSettings):
    """Programming problems: HumanEval's, or those of PROBLEMS in its layout; each program is judged in the sandbox.

    Public tests, which a problem may bring beside the private ones, are counted apart. A stopped evaluation continues with the same
    command.
    """

    problems: tuple[str, ...] = argument("Files of problems: task_id, prompt, entry_point, test; HumanEval where left out.")
    limit: int | None = option(None, "Problems of each file, evenly spaced; all where left out.", least=1)
    skip_bad: str | None = option(None, "Set bad rows aside in this file instead of stopping.")
    samples: int = option(1, "Programs a problem.", "-n", least=1, most=10_000)
    k: tuple[int, ...] = option((), "pass@k; 1, 5, 10 and 100 as far as there are samples where left out.", "-k", least=1)
    temperature: float | None = option(None, "0 for one program a problem, 0.8 for several, where left out.", least=0)
    top_p: float = option(0.95, "Of the most likely tokens, those that make up this share are drawn from.", above=0, most=1)
    max_tokens: int = option(512, "Longest answer.", least=1)
    seconds: float = option(6.0, "Longest that a test may take.", above=0, most=3600)
    workers: int | None = option(None, "Programs judged at a time; as many as there are cores where left out.", least=1, most=256)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.k and max(self.k) > self.samples:
            raise SettingsError(f"pass@{max(self.k)} needs as many programs a problem; there are {self.samples}, ask for more with -n")
        if self.samples > 1 and self.temperature == 0:
            raise SettingsError(f"{self.samples} programs a problem at temperature 0 are all the same; give a temperature")

    @property
    def chosen_k(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.k))) or tuple(k for k in (1, 5, 10, 100) if k <= self.samples)
