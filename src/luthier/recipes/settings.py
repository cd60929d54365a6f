"""What the flows of `luthier run` are told."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.models.opening import MODEL
from luthier.settings import check, option, seed_option

MINUTES = 17.0


@dataclass(frozen=True)
class ToolsSettings:
    """Teach a small model to call tools, and measure it before and after with BFCL's own checker.

    A stopped run continues with the same command.
    """

    apis: tuple[str, ...] = option(
        (), "Your APIs: OpenAPI file, MCP tools/list file, or Python module.", "--api", metavar="FILE|module:NAME"
    )
    builtin_apis: bool = option(True, "Also use the cloud APIs that the package index ships.")
    real_share: float = option(0.6, "Share of dialogues about your APIs, where there are some.", least=0, most=1)
    model: str = option("bundled", MODEL)
    dialogues: int = option(4800, "Dialogues to make.", least=1)
    selected: int = option(1600, "Dialogues ZIP picks for training.", least=1)
    flat: float = option(0.05, "Strength of the Flat-LoRA noise; 0 is plain LoRA.", least=0, most=10, alone=0.05)
    learning_rate: float = option(1.5e-3, "Of training.", above=0, most=1)
    minutes: float | None = option(
        None,
        "Time the run may take: training gets what evaluation leaves. 0 for no limit.",
        least=0,
        shown=f"{MINUTES:g}, or no limit with --full",
    )
    items: int = option(100, "simple_python items to score; a third as many of the others.", least=3)
    full: bool = option(False, "Score every item of every category.")
    constrained: bool = option(True, "Also score decoding under a grammar of the tools.", off="--free-only")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.selected > self.dialogues:
            raise SettingsError(f"selected ({self.selected}) is more than dialogues ({self.dialogues}); make more or select fewer")
        if not self.apis and not self.builtin_apis:
            raise SettingsError("no APIs: give some with --api or leave --no-builtin-apis out")

    @property
    def limit(self) -> float | None:
        """Minutes that the run may take, None for no limit."""
        return (None if self.full else MINUTES) if self.minutes is None else self.minutes or None
