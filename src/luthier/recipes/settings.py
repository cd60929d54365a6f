"""What the flows of `luthier run` are told."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import SettingsError
from luthier.models.hardware import HardwareSettings
from luthier.models.opening import MODEL
from luthier.settings import check, option, seed_option
from luthier.synthesize.tools.type_shares import TypeShareSettings

MINUTES = 17.0
OWN_SHARE, SAMPLE_SHARE = 0.5, 0.35  # of dialogues about the APIs that are given, and about the sample


@dataclass(frozen=True)
class ToolsSettings(TypeShareSettings, HardwareSettings):
    """Teach a small model to call your tools, and measure it before and after: on held-out dialogues about them, and with BFCL's own checker.

    A stopped run continues with the same command. It trains the same number of steps on every machine.
    """

    apis: tuple[str, ...] = option(
        (),
        "Your APIs: OpenAPI file, MCP tools/list file, or Python module.",
        "--api",
        metavar="FILE|module:NAME",
        shown="sample, a library's desk that ships with the package",
    )
    builtin_apis: bool = option(True, "Also use the cloud APIs that the package index ships.")
    model: str = option("bundled", MODEL)
    dialogues: str = option("4800", "Dialogues to make, or a file of them, edited say, in place of made ones.", metavar="N|FILE")
    real_share: float | None = option(
        None,
        "Share of the dialogues that are about your APIs.",
        least=0,
        most=1,
        shown=f"{OWN_SHARE:g} with --api, {SAMPLE_SHARE:g} for the sample",
    )
    selected: int = option(1600, "Dialogues ZIP picks for training.", least=1)
    flat: float = option(0.05, "Strength of the Flat-LoRA noise; 0 is plain LoRA.", least=0, most=10, alone=0.05)
    learning_rate: float | None = option(
        None, "Of training.", above=0, most=1, shown="1.5e-3, or 2e-4 for a model that calls tools before it is trained"
    )
    steps: int | None = option(None, "Training steps.", least=1, shown="one pass over the selection, and at least 60")
    minutes: float | None = option(
        None,
        "Time the run should take: where it is short, fewer items are scored. 0 for no limit.",
        least=0,
        shown=f"{MINUTES:g}, or no limit with --full",
    )
    items: int = option(100, "BFCL items of simple_python to score; a third as many of the others.", least=3)
    own_items: int = option(60, "Held-out dialogues about your APIs to score.", least=0)
    full: bool = option(False, "Score every item of every category.")
    constrained: bool = option(True, "Also score decoding under a grammar of the tools.", off="--free-only")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        object.__setattr__(self, "dialogues", str(self.dialogues))  # a number from Python, or from a file of settings
        check(self)
        if self.given is None and self.count < 1:
            raise SettingsError(f"--dialogues is {self.dialogues}; give a number from 1, or a file of dialogues")
        if self.given is not None and self.real_share is not None:
            raise SettingsError(
                f"--real-share is of dialogues that are made, and those of {self.dialogues} are there already; leave it out"
            )
        self.check_shares()
        if self.given is not None and self.told_shares:
            raise SettingsError(
                f"--irrelevant, --missing-argument and --parallel are of dialogues that are made; those of {self.dialogues} are there already"
            )
        if self.given is None and self.selected > self.count:
            raise SettingsError(f"selected ({self.selected}) is more than dialogues ({self.count}); make more or select fewer")

    @property
    def given(self) -> str | None:
        """The file of dialogues that are taken in place of made ones."""
        return None if self.dialogues.lstrip("+-").isdigit() else self.dialogues

    @property
    def count(self) -> int:
        """Dialogues to make."""
        return 0 if self.given else int(self.dialogues)

    @property
    def share(self) -> float:
        """Of the dialogues that are made, those about the APIs."""
        return (OWN_SHARE if self.apis else SAMPLE_SHARE) if self.real_share is None else self.real_share

    @property
    def limit(self) -> float | None:
        """Minutes that the run may take, None for no limit."""
        return (None if self.full else MINUTES) if self.minutes is None else self.minutes or None
