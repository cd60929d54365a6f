"""What `luthier tools import`, `evolve`, `lint`, `stats`, `export` and `review` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from luthier.errors import SettingsError
from luthier.models.budget import Budget
from luthier.models.hardware import HardwareSettings
from luthier.models.opening import MODEL, Engine
from luthier.settings import REQUIRED, argument, check, option, seed_option

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel

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
class EvolveSettings(HardwareSettings):
    """Make new tools of the given ones, by ToolACE's speciation, adaptation and evolution: each covers a set of functions that no other has, and
    comes of an example by operators (a parameter more, a constraint, another type, another answer).

    By rule, or with --writer by a model. A stopped run continues with the same command.
    """

    specs: tuple[str, ...] = argument(_SPECS, metavar="SPEC")
    builtin_apis: bool = option(False, "Also the cloud services whose descriptions come from the package index.", off="--no-builtin-apis")
    count: int = option(200, "Tools to make.", least=1)
    writer: str | None = option(
        None, f"A model that writes the definitions: {MODEL.removesuffix('.')}; with --endpoint a served model.", later=True
    )
    endpoint: str | None = option(
        None, "Base URL of an OpenAI-compatible server; a key is read from LUTHIER_API_KEY.", metavar="URL", later=True
    )
    engine: Engine = option("transformers", "What runs the writer here; openvino and llamacpp are faster on a CPU.", later=True)
    budget: str | None = option(None, "Of the writer: '500 calls', '200k tokens', or both with a comma.", later=True)
    replay: str | None = option(None, "Answers of another run (its answers.jsonl) in place of the writer.", metavar="FILE", later=True)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if not (self.specs or self.builtin_apis):
            raise SettingsError("no APIs: name some, or take those of the package index with --builtin-apis")
        spending = self.spending
        if spending.seconds or spending.money:
            raise SettingsError(
                f"--budget is {self.budget!r}; here it is of calls and tokens, so that the same command makes the same tools"
            )
        if self.writer and self.replay:
            raise SettingsError("--writer and --replay: the answers are a model's or recorded ones; leave one out")
        if not self.writer:
            if self.endpoint:
                raise SettingsError("--endpoint is of the writer; name the served model with --writer")
            if self.budget:
                raise SettingsError("--budget is of the writer; name a model with --writer")
            self.unread("name a model with --writer")

    @property
    def spending(self) -> Budget:
        return Budget.parse(self.budget) if self.budget else Budget()

    def open_writer(self) -> LanguageModel:
        """The writer. Raises MissingFileError, EngineError, FetchError."""
        from luthier.models.opening import open_model

        opened: LanguageModel = open_model(str(self.writer), endpoint=self.endpoint, engine=self.engine, **self.beside(self.endpoint))
        return opened


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
