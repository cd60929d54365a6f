"""What `luthier synthesize complexity` is told."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.models.opening import ModelSettings
from luthier.settings import argument, check, option, seed_option


@dataclass(frozen=True)
class ComplexitySettings(ModelSettings):
    """How hard the dialogues of DATA are for the model that shall learn them, by its own loss, and which losses are worth training on.

    With --steer, dialogues outside that range are made harder or easier. A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of tool dialogues.", required=True)
    limit: int | None = option(None, "Dialogues of each file, evenly spaced; all where left out.", least=1)
    prior: int = option(200, "Dialogues that the range is read from.", least=2)
    tuned: str | None = option(
        None,
        "An adapter that was trained on prior.jsonl of a run like this: what it leaves hard is not worth training on.",
        metavar="FOLDER",
    )
    steer: bool = option(False, "Make dialogues harder or easier towards the range.")
    steps: int = option(3, "Changes to a dialogue at most.", least=1, most=20)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.engine != "transformers":
            raise SettingsError(f"--engine {self.engine} gives no losses through a chat template's own marks; leave it out")
