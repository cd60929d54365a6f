"""What `luthier synthesize tools` is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.errors import SettingsError
from luthier.models.budget import Budget
from luthier.models.hardware import HardwareSettings
from luthier.models.opening import MODEL, Engine, model_reads
from luthier.settings import check, option, seed_option
from luthier.synthesize.tools.type_shares import TypeShareSettings

if TYPE_CHECKING:
    from luthier.models.protocol import LanguageModel

Agents = Literal["slots", "full"]
ExecutorName = Literal["mocked", "told", "sandboxed"]


@dataclass(frozen=True)
class WritingSettings(HardwareSettings):
    """Which model words dialogues, which judges them, and what that may cost."""

    writer: str | None = option(
        None, f"A model that words the dialogues: {MODEL.removesuffix('.')}; with --endpoint a served model.", later=True
    )
    endpoint: str | None = option(
        None, "Of the writer: base URL of an OpenAI-compatible server; a key is read from LUTHIER_API_KEY.", metavar="URL", later=True
    )
    engine: Engine = option("transformers", "What runs the writer here; openvino and llamacpp are faster on a CPU.", later=True)
    agents: Agents = option(
        "slots",
        "What the writer does: slots says the requests of drawn dialogues in other words; full plays user and assistant, which takes a strong model.",
        later=True,
    )
    turns: int = option(1, "Requests of a dialogue at most, of --agents full.", least=1, most=8, later=True)
    executor: ExecutorName = option(
        "mocked", "Who answers calls in --agents full: told is the writer, sandboxed the Python file of --functions.", later=True
    )
    functions: str | None = option(None, "Python file whose functions are the tools; run in the sandbox.", metavar="FILE", later=True)
    budget: str | None = option(None, "Of the writer, and of the judge: '500 calls', '200k tokens', or both with a comma.", later=True)
    replay: str | None = option(None, "Answers of another run (its answers.jsonl) in place of the writer.", metavar="FILE", later=True)
    judge: str | None = option(
        None, "A strong model that judges what the rules leave open; with --judge-endpoint a served one.", later=True
    )
    judge_endpoint: str | None = option(None, "Of the judge.", metavar="URL", later=True)

    @property
    def writes(self) -> bool:
        return self.writer is not None or self.replay is not None

    @property
    def spending(self) -> Budget:
        return Budget.parse(self.budget) if self.budget else Budget()

    def check_writing(self) -> None:
        """Raises SettingsError for what does not go together."""
        spending = self.spending
        if spending.seconds or spending.money:
            raise SettingsError(
                f"--budget is {self.budget!r}; here it is of calls and tokens, so that the same command makes the same dialogues"
            )
        if self.writer and self.replay:
            raise SettingsError("--writer and --replay: the answers are a model's or recorded ones; leave one out")
        if self.endpoint and not self.writer:
            raise SettingsError("--endpoint is of the writer; name the served model with --writer")
        if self.judge_endpoint and not self.judge:
            raise SettingsError("--judge-endpoint is of the judge; name the served model with --judge")
        if not (self.writes or self.judge):
            self.unread("name a model with --writer or --judge")
        if not self.writes and self.agents == "full":
            raise SettingsError("--agents full needs a model: name one with --writer")
        if self.agents != "full" and (self.turns > 1 or self.executor != "mocked"):
            raise SettingsError("--turns and --executor are of --agents full; give it, or leave them out")
        if (self.executor == "sandboxed") != (self.functions is not None):
            raise SettingsError("--executor sandboxed and --functions FILE.py go together")

    def open_writer(self) -> LanguageModel:
        """The writer. Raises MissingFileError, EngineError, FetchError."""
        from luthier.models.opening import open_model

        opened: LanguageModel = open_model(str(self.writer), endpoint=self.endpoint, engine=self.engine, **self.beside(self.endpoint))
        return opened

    def open_judge(self) -> LanguageModel:
        """The judge. Raises MissingFileError, EngineError, FetchError."""
        from luthier.models.opening import open_model

        opened: LanguageModel = open_model(str(self.judge), endpoint=self.judge_endpoint, **self.beside(self.judge_endpoint))
        return opened

    def writing_reads(self) -> list[tuple[str, Path]]:
        """What of the writer is on disk."""
        found = model_reads(self.writer, endpoint=self.endpoint) if self.writer else []
        return [*found, *((path, Path(path)) for path in (self.replay, self.functions) if path)]

    def judging_reads(self) -> list[tuple[str, Path]]:
        """What of the judge is on disk."""
        return list(model_reads(self.judge, endpoint=self.judge_endpoint)) if self.judge else []


@dataclass(frozen=True)
class DialogueSettings(TypeShareSettings, WritingSettings):
    """Write checked dialogues about your APIs: the arguments are drawn first, the request is written around them.

    With --writer a model says the requests in other words. The dialogues are in FOLDER/checked.jsonl, those that broke a rule in rejected.jsonl, with what they broke.
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
    plain: bool = option(
        False,
        "Everyday tools without objects and names of variables as arguments, and no request beside the same one without a value: for a model that"
        " has yet to learn to call.",
    )
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if not (self.apis or self.builtin_apis):
            raise SettingsError("no APIs: give some with --api, or take those of the package index with --builtin-apis")
        self.check_writing()
        self.check_shares()
        if self.given and (self.told_shares or self.plain):
            raise SettingsError(
                "--irrelevant, --missing-argument, --parallel and --plain are of dialogues that are made; --dialogues are there already"
            )
        if self.given and self.writes:
            raise SettingsError("--dialogues are checked as they are; leave --writer and --replay out")
        if self.agents == "full" and not self.apis:
            raise SettingsError("--agents full makes dialogues about your own APIs; give some with --api")
