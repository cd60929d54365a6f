"""What `luthier synthesize tools` is told."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.settings import check, option, seed_option


@dataclass(frozen=True)
class DialogueSettings:
    """Write checked dialogues about your APIs: the arguments are drawn first, the request is written around them.

    The dialogues are in FOLDER/checked.jsonl, those that broke a rule in rejected.jsonl, with what they broke.
    """

    apis: tuple[str, ...] = option((), "OpenAPI file, MCP tools/list file, or Python module.", "--api", metavar="FILE|module:NAME")
    builtin_apis: bool = option(False, "Also the cloud services whose descriptions come from the package index.", off="--no-builtin-apis")
    count: int = option(200, "Dialogues made, before they are checked.", least=1)
    held_out: int = option(0, "Further dialogues for evaluation, with other requests and other calls: held_out.jsonl.", least=0)
    given: str | None = option(None, "A file of dialogues in place of made ones, edited say; they are checked like those.", "--dialogues")
    real_share: float = option(
        1.0, "Share of dialogues about your APIs; the rest are everyday tools and those of --builtin-apis.", least=0, most=1
    )
    each: int = option(
        2, "Calls of each of your tools, and values of each of their parameters, before anything repeats.", least=1, most=1000
    )
    whole_lists: float = option(
        0.3, "Share of the lists that hold all your tools, as they will be served; the others hold a few.", least=0, most=1
    )
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if not (self.apis or self.builtin_apis):
            raise SettingsError("no APIs: give some with --api, or take those of the package index with --builtin-apis")
