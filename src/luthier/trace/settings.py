"""What the commands of `luthier trace` are told, and how a tracer is built and trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from luthier.errors import SettingsError
from luthier.models.hardware import DeviceSettings, chosen_device
from luthier.models.opening import EmbedderSettings, ServedModelSettings, open_embedder
from luthier.records import SkippedRows
from luthier.records.files import mapping
from luthier.settings import REQUIRED, argument, check, group, option, seed_option
from luthier.texts.dates import DateOption

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder
    from luthier.trace.answers import AnswerLog

Layout = Literal["auto", "long", "assistments", "datashop", "ednet", "akt", "akt3", "dkt", "pykt", "pykt-sequences", "xapi"]
GraphPart = Literal["qmatrix", "expert", "knn"]
Held = Literal["none", "concepts", "items"]
Ask = Literal["numbers", "yes_no"]
TRACER = "tracer"  # folder of a fitted tracer in a run folder
DATES = "What stands first in dates such as 05/06/2024, where no other of their column shows it."
SKIP_BAD = "Set bad rows aside in this file instead of stopping."


@dataclass(frozen=True)
class FitSettings:
    """How a tracer is trained. decay: the learning rate of Adam is multiplied by it after each epoch."""

    epochs: int = option(5, "Passes over the learners.", least=1)
    learning_rate: float = option(2e-3, "Of Adam, at the first epoch.", above=0, most=1)
    batch: int = option(32, "Learners in a step.", least=1)
    window: int = option(200, "Last answers of a learner that train.", least=2)
    least: int = option(10, "Learners with fewer answers do not train.", least=1)
    decay: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TracerSettings:
    """How a tracer is built; the fields without an option as in `luthier.trace.sinkt.SinktSettings`."""

    encoder: str = option("minilm", "'minilm', 'static', or the folder of a text encoder.")
    graph: tuple[GraphPart, ...] = option(("qmatrix", "expert"), "Where edges come from: items' concepts, --edges, nearest texts.")
    dim: int = option(64, "Width of vectors and of a learner's state.", least=1, most=4096)
    layers: int = option(2, "Graph layers; 0 reads texts alone.", least=0, most=16)
    item_residual: bool = option(True, "A vector of its own for every trained item.")
    evidence: bool = option(True, "Counts of a learner's own answers beside the state.")
    attention: Literal["projected", "raw"] = "projected"
    dropout: float = 0.3
    fit: FitSettings = group(FitSettings)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class WithEncoder(DeviceSettings):
    """Of commands that read texts with an encoder."""

    device: str = option(
        "auto", "Of the text encoder, a transformers folder: cpu, cuda, cuda:N or mps; a GPU where there is one, else the CPU.", later=True
    )

    def open_encoder(self, name: str) -> Embedder:
        """The encoder, on the device. Raises SettingsError for one that is not here, MissingFileError."""
        return encoder_on(name, self.device)


def encoder_on(name: str, device: str) -> Embedder:
    """A text encoder on a device. Raises SettingsError for one that is not here, MissingFileError."""
    if device != "auto":
        chosen_device(device)  # now, and not once texts are read
    return open_embedder(name, EmbedderSettings(device=device))


@dataclass(frozen=True)
class WithTracer:
    """Of commands that use a fitted tracer."""

    tracer: str = argument("A tracer, or the run folder of `luthier trace fit`.", default=REQUIRED)

    def folder(self) -> Path:
        """Where the tracer itself is."""
        inside = Path(self.tracer) / TRACER
        return inside if inside.is_dir() else Path(self.tracer)


@dataclass(frozen=True)
class AnswerSettings:
    """Of commands that read answers."""

    data: tuple[str, ...] = argument("Files of answers, or the folder of a long table.", required=True)
    layout: Layout = option("auto", "Layout of DATA; found from its beginning where left out.", "--format")
    items: str | None = option(None, "Items: item, text, concepts.", metavar="FILE")
    concepts: str | None = option(None, "Concepts: concept, text.", metavar="FILE")
    edges: str | None = option(None, "Relations between concepts: source, target, relation, weight, provenance.", metavar="FILE")
    names: str | None = option(None, "JSON of concept name to number.", metavar="FILE")
    mapped: tuple[str, ...] = option(
        (), "What a column of DATA is: learner, item, correct, timestamp, concept or text.", "--map", metavar="FIELD=COLUMN"
    )
    dates: DateOption = option("auto", DATES)
    skip_bad: str | None = option(None, SKIP_BAD, metavar="FILE")

    def __post_init__(self) -> None:
        check(self)

    def read(self) -> AnswerLog:
        """The answers. Raises BadRowError, MissingFileError, SettingsError."""
        from luthier.trace.readers import read_answers

        skipped = None if self.skip_bad is None else SkippedRows(Path(self.skip_bad))
        return read_answers(
            self.data,
            self.layout,
            items=self.items,
            concepts=self.concepts,
            edges=self.edges,
            names=self.names,
            columns=mapping(self.mapped),
            skipped=skipped,
            dates=self.dates,
        )

    def reads(self) -> list[tuple[str, Path]]:
        """Every file that is read, those of a long table's folder one by one: its run.json says nothing of the answers."""
        named = [Path(path) for path in (*self.data, self.items, self.concepts, self.edges, self.names) if path is not None]
        return [(str(file), file) for path in named for file in (sorted(path.glob("*.jsonl")) or [path] if path.is_dir() else [path])]


@dataclass(frozen=True)
class ImportSettings(AnswerSettings):
    """Read answers of a tutoring system or another tracer and write them as a long table: events, items, concepts, edges."""


@dataclass(frozen=True)
class TrainingSettings(WithEncoder, AnswerSettings):
    """Fit a tracer on answers; OUT/tracer is what the other commands use.

    A stopped run continues with the same command.
    """

    built: TracerSettings = group(TracerSettings)
    seed: int = seed_option()


@dataclass(frozen=True)
class EvaluationSettings(TrainingSettings):
    """Split by learner, fit the tracer and every baseline, and score them question by question.

    A stopped run continues with the same command.
    """

    hold: Held = option("none", "Hold out a quarter of these from training.")
    draws: int = option(1, "Splits, each with a seed of its own.", least=1, most=1000)
    resamples: int = option(200, "Of learners, for intervals.", least=20)


@dataclass(frozen=True)
class MasterySettings(WithEncoder, AnswerSettings, WithTracer):
    """Follow the learners of DATA with TRACER: mastery.csv, and a page with the class, concepts over time and learners one by one.

    A stopped run continues with the same command.
    """

    learners: tuple[str, ...] = option((), "Only this one; may be given again.", "--learner", metavar="NAME")


@dataclass(frozen=True)
class AdviceSettings(WithEncoder, AnswerSettings, WithTracer):
    """Items that a learner of DATA should be asked next."""

    learner: str = option(REQUIRED, "Whose next items.")
    count: int = option(10, "Items.", "-n", least=1)
    target: tuple[float, float] = option((0.4, 0.7), "Chances between which an item is worth asking.", least=0, most=1)
    ignore_prerequisites: bool = option(False, "Also items whose concepts have a prerequisite that is not mastered.")


@dataclass(frozen=True)
class ExplanationSettings(WithEncoder, AnswerSettings, WithTracer):
    """Which past answers of a learner move the chance of an item: each is left out in turn."""

    learner: str = option(REQUIRED, "Whose answers.")
    item: str = option(REQUIRED, "Whose chance is explained.")


@dataclass(frozen=True)
class ExportSettings(WithTracer):
    """Write one step of TRACER as an ONNX graph, TARGET."""

    target: str = argument("The graph's file.", default=REQUIRED)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RelateSettings(AnswerSettings):
    """Let a language model choose which concepts must be known before which, among the nearest by text; OUT/edges.jsonl is for --edges of
    the other commands.

    Edges given with --edges are an expert's, which the choice is scored against. A stopped run continues with the same command.
    """

    chooser: ServedModelSettings = group(ServedModelSettings)
    ask: Ask = option("numbers", "Numbers of a list, or yes or no for every pair (local models).")
    candidates: int = option(30, "Nearest concepts that are shown for each.", least=1, most=30)
    encoder: str = option("minilm", "Finds the candidates, on the model's device.")


METRIC = "What counts where results were scored in several ways: a metric, a scorer of Inspect or the name of a value that it gives, plus or base of EvalPlus."
FILTER = "Of lm-evaluation-harness, the filter that counts, such as strict-match."
RESULT_FIELDS = ("learner", "item", "correct", "timestamp", "concepts", "text")  # of a table


@dataclass(frozen=True)
class ModelsSettings(WithEncoder):
    """What models or checkpoints master, skill by skill, from the RESULTS of evaluations.

    Reads BFCL score files, samples of lm-evaluation-harness, logs of Inspect, results of EvalPlus, annotations of AlpacaEval, Luthier's own evaluations, and tables
    with the columns learner, item, correct. A stopped run continues with the same command.
    """

    more: tuple[str, ...] = argument("Files or folders of results.", metavar="[RESULTS]...")
    results: tuple[str, ...] = option(
        (), "A file or folder of results; may be given several times. NAME names the learner.", metavar="[NAME=]PATH"
    )
    items: str | None = option(None, "Rows with item, text and concepts, where the results do not say them.", metavar="FILE")
    checkpoints: bool = option(False, "The learners are checkpoints of one model, in the order read: alarms where a skill was lost.")
    new: tuple[str, ...] = option(
        (), "Estimate this learner from what it answered; those with less than half of the items where left out.", metavar="NAME"
    )
    calibrated: str | None = option(
        None, "A run folder of this command: its items are used as calibrated there, and all learners are new.", metavar="FOLDER"
    )
    ask: int = option(50, "Items to ask a new model, and to try left-out families with.", least=0)
    train: int = option(50, "Items to train on next.", least=0)
    families: str | None = option(None, "CSV learner,family: those left out together; by name where left out.", metavar="FILE")
    parameters: int = option(1, "Of an item: difficulty, or discrimination as well.", least=1, most=2)
    embedder: str = option("minilm", "Reads difficulty from text: minilm, static, a folder, or none.")
    cache: str | None = option(None, "Folder of embeddings; in the user's cache where left out.", metavar="FOLDER")
    metrics: tuple[str, ...] = option((), METRIC, "--metric", metavar="[TASK=]NAME")
    filters: tuple[str, ...] = option((), FILTER, "--filter", metavar="[TASK=]NAME")
    mapped: tuple[str, ...] = option(
        (), "What a column of a table is: learner, item, correct, timestamp, concepts or text.", "--map", metavar="FIELD=COLUMN"
    )
    skip_bad: str | None = option(None, SKIP_BAD, metavar="FILE")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if strange := next((name for name in mapping(self.mapped) if name not in RESULT_FIELDS), None):
            raise SettingsError(f"--map {strange}=…: a table of results has no such field; its fields are {', '.join(RESULT_FIELDS)}")
        if self.device != "auto" and (self.embedder == "none" or self.calibrated is not None):
            raise SettingsError("--device is of a text encoder, and none reads here: leave it out")
        if not self.paths:
            raise SettingsError("no results: give files or folders with --results")

    @property
    def paths(self) -> tuple[str, ...]:
        """All results, those of --results first."""
        return (*self.results, *self.more)
