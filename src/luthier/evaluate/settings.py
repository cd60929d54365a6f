"""What `luthier evaluate tools` and `luthier evaluate choice` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.opening import ModelSettings, ServedModelSettings
from luthier.models.options import Targets
from luthier.records.bfcl import Category
from luthier.settings import argument, check, option

Decoding = Literal["free", "constrained"]
Style = Literal["chat", "plain"]


@dataclass(frozen=True)
class ToolsEvaluationSettings(ServedModelSettings):
    """Function calling: items of the Berkeley leaderboard (BFCL), judged by its own rules and by stricter ones.

    A stopped evaluation continues with the same command.
    """

    categories: tuple[Category, ...] = option(("simple_python",), "Items of this kind; irrelevance: no tool on offer fits.", "--category")
    items: tuple[str, ...] = option(
        (), "Evenly spaced items of each category, or of one as multiple=50; all where left out.", metavar="N|CATEGORY=N"
    )
    decodings: tuple[Decoding, ...] = option(
        (), "Both where left out; what cannot follow a grammar, a server say, decodes freely only.", "--decoding"
    )

    def __post_init__(self) -> None:
        check(self)
        self.limits()

    def limits(self) -> dict[str, int | None]:
        """How many items of each category are taken, None for all. Raises SettingsError."""
        found: dict[str, int | None] = dict.fromkeys(self.categories)
        for text in self.items:
            name, equals, number = text.rpartition("=")
            if not number.isascii() or not number.isdigit() or not 1 <= int(number) < 10**6 or (equals and name not in found):
                kinds = ", ".join(found)
                raise SettingsError(f"--items is {text!r}; give a number from 1, or CATEGORY=NUMBER of a category that is scored ({kinds})")
            found |= {name: int(number)} if equals else dict.fromkeys(found, int(number))
        return found


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
