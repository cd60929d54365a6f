"""The one door to models and embedders: by a name that Luthier knows, a folder, or a server that serves them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from luthier.errors import EngineError, MissingFileError, SettingsError
from luthier.models.hardware import (
    Attention,
    DeviceMap,
    DeviceSettings,
    Dtype,
    Hardware,
    HardwareSettings,
    Quantize,
    check_hardware,
    refuse_unread,
)
from luthier.models.hub import fetch, hub_named
from luthier.models.known import ALIASES, find_known, pull, pull_gguf
from luthier.settings import check, option

if TYPE_CHECKING:
    from luthier.models.embedder import Embedder, Kind
    from luthier.models.protocol import Capability, LanguageModel

Engine = Literal["transformers", "openvino", "llamacpp"]
Pooling = Literal["mean", "weighted-mean", "last", "cls"]
Model = TypeVar("Model", bound="LanguageModel")
EMBEDDERS = ("minilm", "static", "bundled", "a folder", "ORG/NAME of the hub")
MODEL = "'bundled' or another of `luthier models list`, a transformers folder, a GGUF file, or ORG/NAME[@revision] of the hub."
SERVED = f"{MODEL.removesuffix('.')}; with --endpoint a served model."
URL = "Base URL of an OpenAI-compatible server; a key is read from LUTHIER_API_KEY."


@dataclass(frozen=True)
class NamedModel:
    """Which model is meant."""

    model: str = option("bundled", MODEL)
    adapter: str | None = option(None, "A PEFT adapter of it: a folder, or ORG/NAME of the hub.")


@dataclass(frozen=True)
class ModelSettings(HardwareSettings, NamedModel):
    """Which model is asked, and how it is run."""

    dtype: Dtype = option("auto", "float32 reads to the last digit.")
    engine: Engine = option(
        "transformers", "What runs it; openvino and llamacpp generate faster on a CPU, and give no gradients or hidden states."
    )

    def __post_init__(self) -> None:
        check(self)

    def open(self) -> Any:
        """The model. Raises MissingFileError, EngineError, FetchError."""
        return open_model(self.model, self.adapter, engine=self.engine, **self.hardware())

    def reads(self) -> list[tuple[str, Path]]:
        """What of it is on disk, for a run's record."""
        return model_reads(self.model, self.adapter)


@dataclass(frozen=True)
class ServedModelSettings(ModelSettings):
    """Which model is asked, in this process or at a server."""

    model: str = option("bundled", SERVED)
    endpoint: str | None = option(None, URL, metavar="URL")

    def open(self) -> Any:
        return open_model(self.model, self.adapter, endpoint=self.endpoint, engine=self.engine, **self.hardware())

    def reads(self) -> list[tuple[str, Path]]:
        return model_reads(self.model, self.adapter, endpoint=self.endpoint)


def open_model(
    name: str | Path | LanguageModel,
    adapter: str | Path | None = None,
    *,
    endpoint: str | None = None,
    engine: Engine = "transformers",
    device: str = "auto",
    dtype: Dtype = "auto",
    attention: Attention | None = None,
    device_map: DeviceMap | None = None,
    quantize: Quantize | None = None,
) -> Any:
    """A language model: one that Luthier knows by name (`bundled`, `qwen2.5-coder-0.5b`), a transformers folder, a GGUF file, a model of
    the hub, or with `endpoint` the name of a served model. A model that is open already is given back.

    device, dtype, attention, device_map, quantize: of the transformers engine, as in `HardwareSettings`; the others read none of them.
    A key for the server is read from LUTHIER_API_KEY. Raises MissingFileError, EngineError, FetchError, SettingsError.
    """
    if not isinstance(name, str | Path):
        return name
    hardware = Hardware(device=device, dtype=dtype, attention=attention, device_map=device_map, quantize=quantize)
    if endpoint is not None:
        from luthier.models.endpoint import EndpointModel

        if adapter is not None:
            raise SettingsError(
                f"{adapter}: an adapter is put on a model of this machine; serve it with the model, or leave --endpoint out"
            )
        refuse_unread(hardware, "a served model")
        return EndpointModel(endpoint, str(name), api_key())
    if engine != "transformers":
        refuse_unread(hardware, f"the {engine} engine")
    else:
        check_hardware(HardwareSettings(**hardware))
    folder = model_folder(name)
    label = model.name if (model := find_known(name)) else hub_label(name)
    adapter = None if adapter is None else adapter_folder(adapter)
    if adapter is not None and (weights := Path(adapter) / "adapter_model.safetensors").is_file():
        from luthier.records.fingerprints import fingerprint

        label += f"+{fingerprint(weights)[:12]}"
    if engine == "openvino":
        from luthier.models.openvino import OpenVinoModel

        return OpenVinoModel(folder, adapter=adapter, name=label)
    if engine == "llamacpp":
        from luthier.models.llamacpp import LlamaCppModel

        return LlamaCppModel(gguf_file(name), folder, adapter=adapter, name=label)
    from luthier.models.local import LocalModel

    return LocalModel(folder, adapter=adapter, name=label, **hardware)


def require(model: Model, capability: Capability, work: str) -> Model:
    """The model, if its engine can do that. work: what needs it. Raises EngineError."""
    if capability not in model.supports:
        given = ", ".join(sorted(model.supports))
        raise EngineError(f"{work} needs more of a model than {model.name} gives here ({given}); leave --engine and --endpoint out")
    return model


def model_folder(name: str | Path) -> Path:
    """The transformers folder of a model; one that Luthier knows is fetched and converted on first use, so is a GGUF file converted, and one
    of the hub fetched. Raises MissingFileError, EngineError, FetchError.
    """
    if find_known(name) is not None:
        return pull(str(name))
    if _is_gguf(name):
        from luthier.models.gguf_conversion import converted

        return converted(gguf_file(name))
    folder = Path(name) if (named := hub_named(name)) is None else fetch(named).folder
    if not (folder / "config.json").is_file():
        given = "a transformers folder, a GGUF file, ORG/NAME of the hub"
        raise MissingFileError(f"{name}: no model here (config.json is missing); give {given}, or {_names()}")
    return folder


def adapter_folder(name: str | Path) -> Path:
    """The folder of a PEFT adapter; one of the hub is fetched. Raises MissingFileError."""
    return Path(name) if (named := hub_named(name)) is None else fetch(named, "adapter").folder


def hub_label(name: str | Path) -> str:
    """The name, with the commit that it means where it is one of the hub."""
    return str(name) if (named := hub_named(name)) is None else fetch(named).label


def gguf_file(name: str | Path) -> Path:
    """The GGUF file of a model that Luthier knows, fetched on first use, or the file itself. Raises MissingFileError, FetchError."""
    if find_known(name) is not None:
        return pull_gguf(str(name))
    if not (_is_gguf(name) and Path(name).is_file()):
        raise MissingFileError(f"{name}: no GGUF file; give one, or {_names()}")
    return Path(name)


def _is_gguf(name: str | Path) -> bool:
    return str(name).lower().endswith(".gguf") and not Path(name).is_dir()


def _names() -> str:
    return f"{', '.join(map(repr, ALIASES))} or another name of `luthier models list`"


def model_reads(name: str, adapter: str | Path | None = None, *, endpoint: str | None = None) -> list[tuple[str, Path]]:
    """What of a model is on disk: its folder and its adapter; nothing of a served one."""
    where = gguf_file if _is_gguf(name) else model_folder
    found = [] if endpoint is not None else [(hub_label(name), where(name))]
    return found if adapter is None else [*found, (hub_label(adapter), adapter_folder(adapter))]


def api_key() -> str | None:
    """The key for servers, which is read here alone."""
    return os.environ.get("LUTHIER_API_KEY")


@dataclass(frozen=True)
class EmbedderSettings(DeviceSettings):
    """How an embedder reads texts: pooling and length of transformers, prompts before queries and documents, a server; and on what."""

    device: str = option("auto", "Of transformers folders: cpu, cuda, cuda:N or mps; a GPU where there is one, else the CPU.", later=True)
    pooling: Pooling | None = option(None, "Of transformers folders; what the folder says where left out.")
    max_length: int | None = option(None, "Tokens read of a text.", least=1)
    query_prompt: str = option("", "Put before each query.")
    document_prompt: str = option("", "Put before each document.")
    endpoint: str | None = option(None, "Base URL of a server that embeds; a key is read from LUTHIER_API_KEY.", metavar="URL")
    dimensions: int | None = option(None, "Of served embeddings.", least=1)

    def __post_init__(self) -> None:
        check(self)


def open_embedder(name: str | Path | Embedder, options: EmbedderSettings | None = None, *, endpoint: str | None = None) -> Embedder:
    """An embedder: `minilm`, `static` (distilled from it), the folder of a transformer, of static embeddings or of sentence-transformers, or
    with an endpoint the name of a served one. An embedder that is open already is given back.

    Raises MissingFileError, SettingsError, EngineError, FetchError.
    """
    if not isinstance(name, str | Path):
        return name
    chosen, text = options or EmbedderSettings(), str(name)
    if text == "static":
        from luthier.models.minilm import static_embedder

        return static_embedder()
    server = endpoint or chosen.endpoint
    if text != "minilm" and find_known(text) is None and server is not None:
        from luthier.models.endpoint_embedder import EndpointEmbedder

        return EndpointEmbedder(server, text, api_key(), dimensions=chosen.dimensions, prompts=_prompts(chosen))
    return _from_folder(text, chosen)


def embedder_reads(name: str, *, endpoint: str | None = None) -> list[tuple[str, Path]]:
    """What of an embedder is on disk; nothing of a served one and of those that come with Luthier, whose hashes are in its code."""
    if endpoint is None and find_known(name) is None and (named := hub_named(name)) is not None:
        return [fetch(named, "embedder")]
    return [] if endpoint is not None or not Path(name).is_dir() else [(name, Path(name))]


def embedder_folder(name: str | Path) -> Path:
    """The folder of an embedder; one of the hub is fetched. Raises MissingFileError."""
    return Path(name) if (named := hub_named(name)) is None else fetch(named, "embedder").folder


def _prompts(options: EmbedderSettings) -> dict[Kind, str]:
    given: dict[Kind, str] = {"query": options.query_prompt, "document": options.document_prompt}
    return {kind: text for kind, text in given.items() if text}


def _from_folder(name: str, options: EmbedderSettings) -> Embedder:
    from luthier.models import minilm
    from luthier.models.sentence_transformer_embedder import SentenceTransformerEmbedder
    from luthier.models.static_embedder import StaticEmbedder
    from luthier.models.transformer_embedder import TransformerEmbedder, module_kinds

    folder = minilm.pull() if name == "minilm" else pull(name) if find_known(name) else embedder_folder(name)
    if not folder.is_dir():
        raise MissingFileError(f"{name}: no such model; known: {', '.join(EMBEDDERS)}, or a served model with --endpoint")
    kinds = set(module_kinds(folder))
    if kinds and not (kinds <= {"Transformer", "Pooling", "Normalize"} or kinds <= {"StaticEmbedding", "Normalize"}):
        return SentenceTransformerEmbedder(folder, max_length=options.max_length, name=name, device=options.device)
    if not _is_transformer(folder):
        return StaticEmbedder(folder, name=name)
    try:
        return TransformerEmbedder(
            folder,
            pooling=options.pooling,
            max_length=options.max_length,
            prompts=_prompts(options),
            name=_label(name, options),
            device=options.device,
        )
    except SettingsError as problem:
        if "sentence-transformers" not in str(problem) or options.pooling is not None:
            raise
        return SentenceTransformerEmbedder(folder, max_length=options.max_length, name=name, device=options.device)


def _is_transformer(folder: Path) -> bool:
    """A model2vec folder has a config.json too, which names no architecture."""
    from luthier.records.lines import parse_value

    if not (folder / "config.json").is_file():
        return False
    config = parse_value((folder / "config.json").read_bytes())
    return isinstance(config, dict) and ("architectures" in config or "model_type" in config) and config.get("model_type") != "model2vec"


def _label(name: str, options: EmbedderSettings) -> str:
    """The name, with what makes its vectors others than usual."""
    parts = [options.pooling, f"{options.max_length} tokens" if options.max_length else None]
    told = ", ".join(part for part in parts if part)
    return f"{name} ({told})" if told else name
