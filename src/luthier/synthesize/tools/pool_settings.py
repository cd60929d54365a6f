"""What `luthier tools import`, `lint`, `stats`, `export` and `review` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import SettingsError
from luthier.settings import REQUIRED, argument, check, option

_SPECS = (
    "OpenAPI files, MCP or other lists of tools, Google discovery and botocore documents, data sets with tools, pools, module:NAME, and live MCP "
    "servers: mcp:https://HOST/mcp or 'mcp:COMMAND'."
)


@dataclass(frozen=True)
class ImportSettings:
    """Read any description of APIs into a pool: one tool a line, normalised and linted, with where it is from and its licence.

    The pool can be given to --api wherever APIs are.
    """

    specs: tuple[str, ...] = argument(_SPECS, metavar="SPEC")
    out: str = option("pool.jsonl", "The pool.", metavar="FILE")
    builtin_apis: bool = option(False, "Also the cloud services whose descriptions come from the package index, without near duplicates.")

    def __post_init__(self) -> None:
        check(self)
        if not (self.specs or self.builtin_apis):
            raise SettingsError("no APIs: name some, or take those of the package index with --builtin-apis")


@dataclass(frozen=True)
class LintSettings:
    """Say of each tool what is wrong with its definition: no JSON Schema, incomplete, or no value that a required parameter allows.

    Ends with 1 where something is.
    """

    specs: tuple[str, ...] = argument(_SPECS, required=True, metavar="SPEC")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class StatsSettings:
    """Count tools by source and domain, and what their parameters are like."""

    specs: tuple[str, ...] = argument(_SPECS, required=True, metavar="SPEC")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class ExportSettings:
    """Write tool dialogues as other projects read them. What a layout cannot say is left out, counted by reason."""

    dialogues: str = argument("Tool dialogues, such as checked.jsonl of a run.", default="", metavar="FILE")
    to: Literal["openai", "trl", "hermes", "sharegpt", "toolace", "xlam", "hammer"] = option("openai", "The layout.")
    out: str = option("exported.jsonl", "The rows.", metavar="FILE")

    def __post_init__(self) -> None:
        check(self)
        if not self.dialogues:
            raise SettingsError("no dialogues: name a file, such as runs/dialogues/checked.jsonl")


@dataclass(frozen=True)
class ReviewSettings:
    """Show the dialogues of RUN that the experts were unsure of, and take those that a person accepted in its review.jsonl."""

    run: str = argument("A run folder of `luthier synthesize tools --judge`.", default=REQUIRED)

    def __post_init__(self) -> None:
        check(self)
