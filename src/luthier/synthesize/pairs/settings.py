"""What `luthier synthesize pairs` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.models.opening import URL, ServedModelSettings
from luthier.settings import argument, check, option, seed_option

Bridge = Literal["answer-swap", "splice", "model", "none"]


@dataclass(frozen=True)
class PairSettings(ServedModelSettings):
    """Make preference pairs from DATA, files of questions with right answers, or bridge pairs that are there.

    The rejected answers are the model's own wrong ones; the chosen ones are those, bridged, where the bridge holds. A stopped run
    continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of questions with right answers, or of preference pairs.", required=True)
    limit: int | None = option(None, "Questions taken, evenly spaced; all where left out.", least=1)
    samples: int = option(2, "Answers to each question.", least=1, most=1000)
    per_question: int = option(1, "Pairs of each at most.", least=1)
    ask: str = option("", "Put after each question, for models that do not state an answer: 'End with: The answer is …'.")
    temperature: float = option(0.8, "0 takes the most likely token.", least=0)
    max_tokens: int = option(192, "Longest answer of the model.", least=1)
    bridge: Bridge = option("answer-swap", "How a wrong answer is made right with few changes; two ways need no model.")
    editor: str | None = option(None, "The model of --bridge model: 'bundled', a transformers folder, or a served model.")
    editor_endpoint: str | None = option(None, URL, metavar="URL")
    farthest: float = option(0.8, "Largest edit distance of a bridged answer, in words over the longer length.", least=0, most=1)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.bridge == "model" and self.editor is None:
            raise SettingsError("the bridge 'model' needs a model that edits: name it with --editor (a folder, or a served model)")
        if self.bridge != "model" and (self.editor or self.editor_endpoint):
            raise SettingsError(f"--editor is for --bridge model; the bridge is {self.bridge!r}")
        if self.samples > 1 and self.temperature == 0:
            raise SettingsError(f"{self.samples} answers a question at temperature 0 are all the same; give a temperature, or --samples 1")
