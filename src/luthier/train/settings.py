"""What the commands of `luthier train` and `luthier probe sharpness` are told, and what shapes training for Python callers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.errors import SettingsError
from luthier.models.hardware import Attention
from luthier.models.opening import ModelSettings
from luthier.records import JSON, SkippedRows
from luthier.records.files import mapping, refuse_same
from luthier.records.fusion_suite import STAGES, Stage
from luthier.settings import REQUIRED, argument, check, option, section, seed_option

Method = Literal["flat", "none", "neftune", "lora-sam", "bi-lora"]
BackendName = Literal["auto", "cached", "recompute", "table", "inplace"]
Way = Literal["lora", "full"]
PreferenceMethod = Literal["bmc", "dpo", "mc", "bc"]
Loss = Literal["dpo", "ipo", "rdpo", "simpo", "orpo"]
Weighting = Literal["none", "bmc", "ld", "d2po", "column"]
SIGMA = 0.05
STRENGTHS: dict[Method, float] = {"neftune": 5.0, "lora-sam": 0.003, "bi-lora": 0.05}
FLAT = "Flat-LoRA's noise, of this sigma; 0 for none, 0.05 where it stands alone."
BACKEND = "How the noise of --flat is kept."
FULL = "Train all weights, not an adapter."
TRAINED_FURTHER = "A PEFT adapter of it that is trained further."


@dataclass(frozen=True, kw_only=True)
class TuningSettings:
    """What every way of training shares."""

    backend: BackendName | None = option(None, BACKEND)
    full: bool = option(False, FULL)
    epochs: float | None = option(None, "Passes over the data; 1 where nothing else is set.", above=0, most=1_000_000)
    learning_rate: float | None = option(None, "5e-4 where nothing else is set.", least=0, most=100)
    rank: int | None = option(None, "Of LoRA; 8 where nothing else is set.", least=1, most=65_536)
    lora: JSON = section("any field of peft.LoraConfig")
    seed: int = seed_option()

    @property
    def made(self) -> str:
        """The folder of what training makes."""
        return "model" if self.full else "adapter"

    def lora_settings(self) -> JSON:
        return _joined("lora", self.lora, r=("--rank", self.rank))


@dataclass(frozen=True, kw_only=True)
class SftSettings(TuningSettings):
    """How `fine_tune` trains.

    sigma: of Flat-LoRA's noise, 0.05 where neither another method nor all weights are asked for. seconds: time limit of the training loop, to which
    the number of steps is fitted, but for `least_steps`, which holds for every training in order. branches: conversations on the same tools and system message that one row holds, so that what they
    share is read once. by_length: batches of rows of like length; `seconds` and `branches` train in such batches.
    sft: fields of `trl.SFTConfig`; lora: of `peft.LoraConfig`; flat: of `FlatNoise`. What is not given has the values of `start.defaults`.
    """

    sigma: float | None = option(None, FLAT, "--flat", least=0, most=10, alone=SIGMA, shown="0.05")
    method: Method = option("flat", "What --flat is compared with: none is plain LoRA.")
    strength: float | None = option(None, "alpha of neftune (5), rho of lora-sam (0.003) and bi-lora (0.05).", above=0, most=1_000_000)
    seconds: float | None = option(None, "Time limit of training, to which the number of steps is fitted.", above=0)
    least_steps: int = option(
        1, "Steps at least, however slow the machine or few the rows, where rows are ordered; two with a time limit.", least=1
    )
    branches: int = option(1, "Conversations on the same tools that are read as one row.", least=1, most=1024)
    by_length: bool = option(False, "Batches of rows of like length, in one process: little is padded.")
    sft: JSON = section("any field of trl.SFTConfig")
    flat: JSON = section("of luthier.train.flat.FlatNoise")

    def __post_init__(self) -> None:
        check(self)
        if self.method != "flat" and self.sigma:
            raise SettingsError(f"--flat is {self.sigma}, but the method is {self.method}; leave one of them out")
        if self.strength is not None and self.method not in STRENGTHS:
            raise SettingsError(
                f"--strength is of {', '.join(STRENGTHS)}; the method is {self.method}, and the sigma of its noise is --flat"
            )
        if self.full and (self.lora or self.rank or self.sigma or self.method not in ("flat", "none")):
            raise SettingsError("all weights are trained, so there is no adapter: leave lora settings, --flat and the method out")
        if not self.noise and (self.flat or self.backend):
            raise SettingsError(f"settings of flat are given, but the method is {self.way}; leave one of them out")
        self.sft_settings(), self.lora_settings(), self.flat_settings()

    @property
    def noise(self) -> float:
        """sigma of Flat-LoRA's noise, 0 where there is none."""
        if self.sigma is None:
            return SIGMA if self.method == "flat" and not self.full else 0.0
        return self.sigma

    @property
    def way(self) -> Method:
        """How minima are sought, in one word."""
        return self.method if self.noise or self.method != "flat" else "none"

    @property
    def amount(self) -> float:
        """sigma, alpha or rho of that way."""
        return self.noise if self.method not in STRENGTHS else STRENGTHS[self.method] if self.strength is None else self.strength

    @property
    def ordered(self) -> bool:
        """Whether rows are trained on in batches of like length."""
        return self.by_length or self.branches > 1 or self.seconds is not None

    def sft_settings(self) -> JSON:
        return _joined("sft", self.sft, num_train_epochs=("--epochs", self.epochs), learning_rate=("--learning-rate", self.learning_rate))

    def flat_settings(self) -> JSON:
        return {"seed": self.seed, **_joined("flat", self.flat, backend=("--backend", self.backend))}


@dataclass(frozen=True, kw_only=True)
class RowSettings:
    """How commands read the files that they train on."""

    mapped: tuple[str, ...] = option((), "Which column holds a field, where it is called otherwise.", "--map", metavar="FIELD=COLUMN")
    skip_bad: str | None = option(None, "Set bad rows aside in this file instead of stopping.", metavar="FILE")

    def columns(self) -> Mapping[str, str]:
        """Names of fields, and the columns that hold them. Raises SettingsError."""
        return mapping(self.mapped)

    def skipped(self, read: Iterable[str]) -> SkippedRows | None:
        """What takes the bad rows of these files; only the first of several processes writes them. Raises SettingsError where it is one of them."""
        if self.skip_bad is None:
            return None
        refuse_same(self.skip_bad, list(read))
        return SkippedRows(Path(self.skip_bad) if os.environ.get("RANK", "0") == "0" else None)


@dataclass(frozen=True)
class SftRunSettings(RowSettings, SftSettings, ModelSettings):
    """Train a LoRA adapter on DATA, files of conversations, with TRL's SFTTrainer on what the assistant says.

    Started by torchrun or accelerate, every process trains. A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of conversations.", required=True)
    evaluation: tuple[str, ...] = option((), "Conversations whose loss is measured after each epoch.", "--eval", metavar="FILE")
    adapter: str | None = option(None, TRAINED_FURTHER)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_engine(self)


@dataclass(frozen=True, kw_only=True)
class PreferenceSettings(TuningSettings):
    """How `tune_preferences` trains.

    method: plain preference tuning (dpo), with weights (mc), with bridged answers (bc) or with both (bmc), whatever the loss is.
    training: fields of `PreferenceConfig`; lora: of `peft.LoraConfig`. What is not given has the values of `start.defaults`.
    """

    method: PreferenceMethod = option("bmc", "bmc: bridged answers and weights; dpo: neither; mc: weights only; bc: bridged answers only.")
    loss: Loss | None = option(None, "dpo where nothing else is set.")
    weighting: Weighting | None = option(None, "Weights of tokens, other than the method's.")
    beta: float | None = option(None, "Scale of the rewards: 0.1, for simpo 2.", above=0, most=1_000_000)
    delta: float | None = option(None, "Cap of the weights of what differs; 2 where nothing else is set.", least=0, most=1_000_000)
    sigma: float = option(0.0, FLAT, "--flat", least=0, most=10, alone=SIGMA)
    attention: Attention | None = option(
        None, "Attention kernel; the model's own where left out. On a GPU, flex_attention skips what a pair's answers do not see."
    )
    learning_rate: float | None = option(None, "5e-5 where nothing else is set.", least=0, most=100)
    reference_cache: str | None = option(None, "Folder for what the reference model says, to share between runs; else in the run folder.")
    training: JSON = section("any field of transformers.TrainingArguments, and those of pairs")

    def __post_init__(self) -> None:
        check(self)
        if self.full and (self.lora or self.rank or self.sigma):
            raise SettingsError("all weights are trained, so there is no adapter: leave lora settings and flat noise out")
        if self.backend and not self.sigma:
            raise SettingsError("--backend is of --flat; give both")
        self.training_settings(), self.lora_settings()

    def training_settings(self) -> JSON:
        return _joined(
            "training",
            self.training,
            loss=("--loss", self.loss),
            beta=("--beta", self.beta),
            delta=("--delta", self.delta),
            num_train_epochs=("--epochs", self.epochs),
            learning_rate=("--learning-rate", self.learning_rate),
            reference_cache=("--reference-cache", self.reference_cache),
        )


@dataclass(frozen=True)
class PreferenceRunSettings(RowSettings, PreferenceSettings, ModelSettings):
    """Tune a model on DATA, files of preference pairs (prompt, chosen, rejected), with DPO-BMC or any of its parts.

    `luthier synthesize pairs` makes such files. A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of preference pairs.", required=True)
    evaluation: tuple[str, ...] = option((), "Pairs that are judged before and after, and each epoch.", "--eval", metavar="FILE")
    adapter: str | None = option(None, TRAINED_FURTHER)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_engine(self)


@dataclass(frozen=True, kw_only=True)
class InfusionSettings:
    """How `infuse` trains. continued, supervised: fields of `trl.SFTConfig` for each stage; lora: of `peft.LoraConfig`."""

    way: Way = option("lora", "LoRA, or all weights.")
    sigma: float = option(0.0, FLAT, "--flat", least=0, most=10, alone=SIGMA)
    share: float = option(0.2, "Share of general text in the tokens of continued pre-training.", "--general-share", least=0, below=1)
    pack: int = option(160, "Tokens of a row of statements.", least=1)
    continued: JSON = section("any field of trl.SFTConfig, for the first stage")
    supervised: JSON = section("the same, for the second")
    lora: JSON = section("any field of peft.LoraConfig")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.way == "full" and (self.lora or self.sigma):
            raise SettingsError("all weights are trained, so there is no adapter: leave lora settings and --flat out, or choose --way lora")

    @property
    def made(self) -> str:
        """The folder of what a stage makes."""
        return "model" if self.way == "full" else "adapter"


@dataclass(frozen=True)
class InfusionRunSettings(InfusionSettings, ModelSettings):
    """Infuse the memory facts of SUITE, a folder of `luthier synthesize fusion`, into a model's weights.

    A stopped run continues with the same command.
    """

    suite: str = argument("Folder of `luthier synthesize fusion`.", default=REQUIRED)
    adapter: str | None = option(None, TRAINED_FURTHER)
    stages: tuple[Stage, ...] = option((), "Both where left out: continued pre-training, then supervised fine-tuning.", "--stage")
    general: tuple[str, ...] = option((), "Conversations mixed into continued pre-training, against forgetting.", metavar="FILE")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_engine(self)
        if list(self.chosen) != [stage for stage in STAGES if stage in self.chosen]:
            raise SettingsError(f"stages are {', '.join(STAGES)}, in this order, or one of them")

    @property
    def chosen(self) -> tuple[Stage, ...]:
        return self.stages or STAGES


@dataclass(frozen=True)
class SharpnessSettings(ModelSettings):
    """How much the loss on DATA rises when noise is put on the merged weights of each ADAPTER: small where the minimum is flat."""

    places: tuple[str, ...] = argument("Adapter folders and, last, the data.", required=True, metavar="ADAPTER... DATA")
    before: bool = option(True, "Also measure the model before training, or with --adapter that adapter.")
    sigmas: tuple[float, ...] = option((0.02, 0.05, 0.1), "Strengths of the noise.", "--sigma", above=0, most=10)
    draws: int = option(4, "Noises of each strength; all models get the same ones.", least=1, most=10_000)
    rows: int = option(64, "Rows of DATA that are read, evenly spaced; 0 for all.", least=0)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        refuse_engine(self)
        if len(self.places) < (1 if self.adapter else 2):
            raise SettingsError("give at least one adapter folder and, last, the data")
        if not self.sigmas:
            raise SettingsError("--sigma is missing: give at least one strength of the noise")

    @property
    def adapters(self) -> tuple[str | None, ...]:
        """Those that are measured; None for the base with a fresh one."""
        return (*((self.adapter,) if self.before or self.adapter else ()), *self.places[:-1])

    @property
    def data(self) -> str:
        return self.places[-1]


def _joined(name: str, given: JSON, **options: tuple[str, Any]) -> JSON:
    """A section with those options that mean one of its settings. Raises SettingsError where both say it and differ."""
    for key, (word, value) in options.items():
        if value is not None and key in given and given[key] != value:
            raise SettingsError(f"{word} is {value} and {name}.{key} is {given[key]}, which are one setting; give one of them")
    return {**given, **{key: value for key, (_, value) in options.items() if value is not None}}


def refuse_engine(settings: ModelSettings) -> None:
    """Raises SettingsError for an engine that has no gradients."""
    if settings.engine != "transformers":
        raise SettingsError(f"--engine {settings.engine} gives no gradients; train with --engine transformers")
