"""What `luthier evaluate fusion` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.opening import URL, ServedModelSettings
from luthier.settings import REQUIRED, argument, check, option, seed_option

Memory = Literal["infused", "measured"]
SCRIPTED = "scripted:"


@dataclass(frozen=True)
class FusionEvaluationSettings(ServedModelSettings):
    """Score a model, or several arms of it, on SUITE, a folder of `luthier synthesize fusion`: retention, the scenarios under noise, refusing.

    A stopped run continues with the same command.
    """

    suite: str = argument("Folder of `luthier synthesize fusion`.", default=REQUIRED)
    model: str = option(
        "bundled", "'bundled', a transformers folder, with --endpoint a served model, or scripted:reader, memory, both or refuser."
    )
    infused: str | None = option(None, "Run folder of `luthier train infuse`: each of its stages is an arm beside the model.")
    arms: tuple[str, ...] = option((), "Another arm: a model folder, or an adapter of --model.", "--arm", metavar="NAME=FOLDER")
    memory: Memory = option("infused", "What memory holds: what was infused, or what closed-book questions find.", "--kp")
    confidence: bool = option(False, "Score the answers again, for the curve of abstention.")
    limit: int | None = option(None, "Questions of each scenario; all where left out.", least=1)
    max_tokens: int | None = option(None, "Room for an answer; twice the longest right one where left out.", least=1)
    judge: str | None = option(None, "A model that judges a sample beside exact matching; its agreement is reported.", metavar="MODEL")
    judge_endpoint: str | None = option(None, URL, metavar="URL")
    judged: int = option(100, "Answers it judges.", least=1)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.endpoint is not None and self.confidence:
            raise SettingsError("a served model gives no probabilities of its answers: leave --confidence out")
        if self.judge_endpoint is not None and self.judge is None:
            raise SettingsError("--judge-endpoint serves the model of --judge; name it")
        if self.adapter is not None and self.model.startswith(SCRIPTED):
            raise SettingsError(f"{self.adapter}: an adapter is put on a model; {self.model} is a script")
