"""Infusing facts into a model's weights: continued pre-training on their statements, then supervised fine-tuning on what to do with them (arXiv 2405.19010).

Both stages are `fine_tune_rows`: LoRA, Flat-LoRA or all weights. The second stage builds on what the first one made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from luthier.errors import BadRowError, SettingsError
from luthier.progress import Progress, quiet
from luthier.records import JSON, Conversation, read_rows
from luthier.records.fusion_suite import CONVERSATIONS, STATEMENTS, Stage, read_suite
from luthier.run import Run
from luthier.run.folder import Read
from luthier.train import infusion_page
from luthier.train.rows import RefusedRowError, placing, read_training
from luthier.train.settings import InfusionRunSettings, InfusionSettings, SftSettings

if TYPE_CHECKING:
    from luthier.models.local import LocalModel
    from luthier.train.sft import FineTuned, Prepared

END = "<|endoftext|>"
Row = dict[str, list[int]]
EPOCHS: dict[Stage, float] = {"continued": 14, "supervised": 3}
ROWS: dict[Stage, int] = {"continued": 2, "supervised": 4}  # of a step: many small steps store more than few large ones
LONGEST = 1024  # tokens of a row at least, where --pack asks for no more
RATES = {"full": 1e-4, "lora": 1e-3}
SECTIONS: dict[Stage, Stage] = {"continued": "supervised", "supervised": "continued"}  # settings that a stage does not depend on


@dataclass(frozen=True)
class Infused:
    """What a stage did: as `FineTuned`, how many rows were general text, and how many more were drawn and too long."""

    tuned: FineTuned
    stage: Stage
    way: str
    general_rows: int
    general_left_out: int

    def to_row(self) -> JSON:
        general = {"general_rows": self.general_rows, "general_left_out": self.general_left_out}
        return {**self.tuned.to_row(), "stage": self.stage, "way": self.way, **general}


@dataclass(frozen=True)
class Lessons:
    """What there is to learn: statements for the first stage, mixed with general conversations, and conversations for the second."""

    statements: Sequence[str] = ()
    conversations: Sequence[Conversation] = ()
    general: Sequence[Conversation] = ()


def run(settings: InfusionRunSettings, out: Path, progress: Progress = quiet) -> Run:
    """Train each stage in a folder of its name under `out`; the same call continues a stopped run."""
    folder, base = read_suite(settings.suite).folder, settings.open()
    statements, conversations = folder / STATEMENTS, folder / CONVERSATIONS
    lessons = Lessons(
        [str(row["text"]) for _, row in read_rows(Path(statements))],
        taught := read_training([conversations]),
        general := read_training(settings.general),
    )
    with placing(taught, general):
        for stage in settings.chosen:  # with the base's tokenizer, which is that of what the first stage makes
            prepare_stage(stage, base, out / stage, settings, lessons)
    reads: list[Read] = [statements, conversations, *settings.general, *settings.reads()]
    with Run(out, "train infuse", settings, reads=reads, progress=progress, draw=infusion_page.draw) as made:
        before: list[str] = []
        for stage in settings.chosen:
            uses = [name for name in made.settings if name not in (SECTIONS[stage], "stages")]
            model = partial(_start, settings, out / before[-1] / settings.made if before else None)
            work = partial(_train, stage, model, out / stage, settings, lessons=lessons, progress=progress)
            made.step(stage, work, uses=uses, files=[stage], after=before)
            before.append(stage)
    return made


def _train(stage: Stage, model: Callable[[], LocalModel], folder: Path, settings: InfusionSettings, **more: Any) -> JSON:
    return infuse(stage, model(), folder, settings, **more).to_row()


def _start(settings: InfusionRunSettings, previous: Path | None) -> LocalModel:
    """The base, or what the stage before made of it."""
    if previous is None:
        found = settings
    elif settings.way == "full":
        found = replace(settings, model=str(previous))
    else:
        found = replace(settings, adapter=str(previous))
    model: LocalModel = found.open()
    return model


def infuse(
    stage: Stage,
    model: LocalModel,
    folder: Path,
    settings: InfusionSettings = InfusionSettings(),
    *,
    lessons: Lessons = Lessons(),
    progress: Progress = quiet,
) -> Infused:
    """Train one stage in `folder`, which then holds `adapter` or `model`; the same call continues a stopped one.

    continued: learns statements, mixed with general text; supervised: learns what the assistant says in conversations. Raises SettingsError
    where there is nothing to learn or a setting has no meaning.
    """
    from luthier.train.sft import train

    prepared, *general = prepare_stage(stage, model, folder, settings, lessons)
    tuned = train(prepared, model, folder, stage_settings(stage, settings, model), progress)
    return Infused(tuned, stage, "flat" if settings.sigma else settings.way, *general)


def prepare_stage(stage: Stage, model: LocalModel, folder: Path, settings: InfusionSettings, lessons: Lessons) -> tuple[Prepared, int, int]:
    """Everything that can be refused before weights are loaded, how many rows are general text, and how many were too long for it; writes nothing."""
    from luthier.train.sft import encode_all, prepare_rows

    chosen, mixed, passed = stage_settings(stage, settings, model), list[Row](), 0
    if stage == "continued":
        rows = statement_rows(lessons.statements, model.tokenizer, settings.pack)
        _check_pack(rows, settings, model)
        mixed, passed = general_rows(
            lessons.general, rows, model.tokenizer, settings, longest=chosen.sft.get("max_length", min(LONGEST, model.room))
        )
    else:
        rows = encode_all(lessons.conversations, model)
    if not rows:
        raise SettingsError(f"nothing to learn in the stage {stage!r}; the suite infuses no facts")
    return prepare_rows([*rows, *mixed], model, folder, chosen, section=stage), len(mixed), passed


def stage_settings(stage: Stage, settings: InfusionSettings, model: LocalModel) -> SftSettings:
    """How `fine_tune_rows` is set for a stage. An adapter that is there already keeps its own LoRA settings."""
    own = {
        "num_train_epochs": EPOCHS[stage],
        "learning_rate": RATES[settings.way],
        "weight_decay": 0.0,
        "save_steps": 100,
        "per_device_train_batch_size": ROWS[stage],
        "gradient_accumulation_steps": 1,
    }
    if stage == "continued" and (longest := min(2 * settings.pack, model.room)) > LONGEST:  # else packed rows would be left out
        own["max_length"] = longest
    given = settings.continued if stage == "continued" else settings.supervised
    fresh = settings.way != "full" and model.adapter is None
    lora = {"r": 32, "lora_alpha": 64, **settings.lora} if fresh else {}
    return SftSettings(sigma=settings.sigma, sft={**own, **given}, lora=lora, seed=settings.seed, full=settings.way == "full")


def statement_rows(statements: Sequence[str], tokenizer: Any, pack: int) -> list[Row]:
    """Rows of several statements, each ended by the end-of-text token, of at most `pack` tokens where one is not longer; every token is learned."""
    end = end_of_text(tokenizer)
    rows: list[Row] = []
    current: list[int] = []
    for text in statements:
        ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
        if current and len(current) + len(ids) > pack:
            rows.append({"input_ids": current, "labels": list(current)})
            current = []
        current = current + ids
    return [*rows, {"input_ids": current, "labels": list(current)}] if current else rows


def _check_pack(rows: Sequence[Row], settings: InfusionSettings, model: LocalModel) -> None:
    """Raises SettingsError where statements are packed into rows that would be left out."""
    packed = max((len(row["input_ids"]) for row in rows if len(row["input_ids"]) <= settings.pack), default=0)
    given = settings.continued.get("max_length")
    for longest, what in ((model.room, f"{model.name} reads"), (given, "continued.max_length is")):
        if isinstance(longest, int | float) and packed > longest:
            raise SettingsError(
                f"--pack {settings.pack} makes rows of {packed} tokens, and {what} {longest}; give --pack {longest} or less"
            )


def general_rows(
    general: Sequence[Conversation], rows: Sequence[Row], tokenizer: Any, settings: InfusionSettings, *, longest: int | None = LONGEST
) -> tuple[list[Row], int]:
    """As many conversations, drawn by the seed, as make up the wanted share of all tokens, and how many more rows were drawn and longer than
    `longest` or two packed ones. None where none are given."""
    from luthier.train.encoding import encode_parts

    if not general or settings.share == 0:
        return [], 0
    wanted = sum(len(row["input_ids"]) for row in rows) * settings.share / (1 - settings.share)
    chosen: list[Row] = []
    most, passed = 2 * settings.pack if longest is None else min(2 * settings.pack, longest), 0
    for position, one in enumerate(Random(settings.seed).sample(list(general), len(general)), 1):
        if sum(len(row["input_ids"]) for row in chosen) >= wanted:
            break
        try:
            rows_of_it = encode_parts(one, tokenizer)
        except BadRowError as problem:
            raise RefusedRowError(problem.problem, position, one) from problem
        fitting = [row for row in rows_of_it if len(row["input_ids"]) <= most]
        chosen += fitting
        passed += len(rows_of_it) - len(fitting)
    return chosen, passed


def end_of_text(tokenizer: Any) -> int:
    """The token that ends a document: the base model's, where the tokenizer still has it beside the end of a turn."""
    known = tokenizer.convert_tokens_to_ids(END)
    return int(known if known is not None and tokenizer.convert_ids_to_tokens(known) == END else tokenizer.eos_token_id)
