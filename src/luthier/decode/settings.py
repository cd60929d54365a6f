"""What the commands of `luthier decode` and `luthier generate` are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.decode.mappings import Kind
from luthier.decode.samplers import read_sampler
from luthier.errors import SettingsError
from luthier.models.opening import ModelSettings, ServedModelSettings
from luthier.settings import REQUIRED, argument, check, option, seed_option

Source = Literal["samples", "references", "task", "blend"]
Method = Literal["ridge", "network"]
HEAD = "Folder of a run of `luthier decode fit`."
SAMPLERS = "temperature, top_k, top_p, min_p or typical_p; applied after the temperature."


@dataclass(frozen=True)
class LabelSettings(ServedModelSettings):
    """Measure how diverse replies to the contexts of DATA are: rows with `messages` or `prompt`, `answers` of facts, human `references`.

    Without DATA a built-in mixture of chat and facts is labelled. A key for --endpoint is read from the environment variable
    LUTHIER_API_KEY. A stopped run continues with the same command.
    """

    data: tuple[str, ...] = argument("Files of contexts.")
    model: str = option("bundled", "Who replies: 'bundled', a transformers folder, or a served model.")
    endpoint: str | None = option(None, "Base URL of an OpenAI-compatible server that serves --model; needs --encoder.", metavar="URL")
    encoder: str | None = option(None, "A transformers folder (BERT) that compares replies; the model's own states where left out.")
    chat: int = option(170, "Built-in contexts of chat, where no DATA is given.", least=0)
    facts: int = option(170, "Built-in questions of fact, likewise.", least=0)
    m: int = option(8, "Replies sampled to each context.", least=2)
    max_tokens: int = option(32, "Longest reply.", least=1)
    temperature: float = option(1.0, "At which replies are drawn.", above=0)
    top_p: float = option(0.95, "Of the most likely tokens, those that make up this share are drawn from.", above=0, most=1)
    samples: bool = option(True, "Sample replies, or measure human references only.")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        if self.endpoint is not None and self.encoder is None:
            raise SettingsError("a served model shows no states to compare replies with; name an --encoder (a transformers folder)")


@dataclass(frozen=True)
class FitSettings(ModelSettings):
    """Fit a diversity head on LABELS, a file that `luthier decode label` wrote; tells how it orders contexts beside entropy."""

    labels: str = argument("A file that `luthier decode label` wrote.", default=REQUIRED)
    source: Source = option("blend", "Which label is learned.")
    method: Method = option("ridge", "network trains --hidden units, and wants thousands of contexts.")
    folds: int = option(5, "Parts of the contexts, each scored by a head that had not seen it.", least=3)
    hidden: int = option(256, "Units of --method network.", least=1)
    along: int = option(6, "Places of a reply that are learned too, for the token level.", least=0)
    seed: int = seed_option()


@dataclass(frozen=True)
class ComparisonSettings(ModelSettings):
    """Compare HEADS with fixed and entropy-only temperatures at one mean temperature; the first is tried in every way.

    Each context is judged by the head as fitted without its fold. A stopped run continues with the same command.
    """

    heads: tuple[str, ...] = argument(HEAD, required=True)
    labels: str = option(REQUIRED, "The file the heads were fitted on.")
    target: float = option(0.8, "Mean temperature that every way is brought to.", above=0)
    m: int = option(3, "Replies to each context.", least=2)
    max_tokens: int = option(24, "Longest reply.", least=1)
    limit: int | None = option(300, "Contexts, half of each kind where there are so many.", least=2)
    extra: int = option(80, "Contexts that try other mappings and samplers too.", least=0)
    samplers: tuple[str, ...] = option(("temperature", "top_k", "min_p", "typical_p"), SAMPLERS, "--sampler", metavar="NAME[=VALUE]")
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        for sampler in self.samplers:
            read_sampler(sampler)


@dataclass(frozen=True)
class DecodingSettings(ModelSettings):
    """How a score becomes a temperature, and what is drawn at it."""

    temperature: float = option(0.9, "At the mean score of the head's contexts.", above=0)
    mapping: Kind = option("inverse_sigmoid", "How a score becomes a factor of the temperature.")
    level: str = option("sequence", "sequence, token, or the share of the former between 0 and 1.")
    sampler: str = option("top_p=0.95", SAMPLERS, metavar="NAME[=VALUE]")
    max_tokens: int = option(128, "Longest reply.", least=1)
    seed: int = seed_option()

    def __post_init__(self) -> None:
        check(self)
        read_sampler(self.sampler)
        self.share()

    def share(self) -> Literal["sequence", "token"] | float:
        """The level as `decode.DDS` takes it. Raises SettingsError where it is none."""
        named: dict[str, Literal["sequence", "token"]] = {"sequence": "sequence", "token": "token"}
        if self.level in named:
            return named[self.level]
        try:
            share = float(self.level)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise SettingsError(f"level is {self.level!r}; it is sequence, token, or a number between 0 and 1")
        return share


@dataclass(frozen=True)
class GenerateSettings(DecodingSettings):
    """Reply to PROMPTS, or to the contexts of --file. A key for --endpoint is read from LUTHIER_API_KEY."""

    prompts: tuple[str, ...] = argument("What is asked.")
    head: str | None = option(None, "A head of `luthier decode fit`; a fixed temperature where left out.", "--dynamic")
    file: str | None = option(None, "Contexts, as `luthier decode label` reads them.")
    out: str | None = option(None, "Write replies and temperatures here, as JSONL.")
    endpoint: str | None = option(
        None, "Base URL of a server that serves the same model: it replies, at temperatures chosen here.", metavar="URL"
    )
    served: str | None = option(None, "The model's name at the server; that of --model where left out.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.prompts and self.file is None:
            raise SettingsError("nothing to reply to: give prompts, or contexts with --file")
        asked = "a server" if self.endpoint is not None else f"--engine {self.engine}" if self.engine != "transformers" else ""
        if asked and set(read_sampler(self.sampler)) - {"top_p", "top_k"}:
            raise SettingsError(f"{asked} is asked with top_p or top_k; choose one of them as the sampler")
        if self.head is not None and self.engine != "transformers":
            raise SettingsError(
                f"--dynamic reads the hidden states of the model, which --engine {self.engine} does not show; leave one of them out"
            )


@dataclass(frozen=True)
class ChatSettings(DecodingSettings):
    """Talk with a model; beside each reply stands the temperature that HEAD chose. An empty line ends."""

    head: str = argument(HEAD, default=REQUIRED)
    tokens: bool = option(False, "Show the temperature of each token.")


@dataclass(frozen=True)
class ExportSettings:
    """Write the part of HEAD that needs logits only to OUT, a JSON file, for vLLM and others."""

    head: str = argument(HEAD, default=REQUIRED)
    out: str = argument("The JSON file.", default=REQUIRED)

    def __post_init__(self) -> None:
        check(self)
