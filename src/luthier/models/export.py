"""What was trained, as others take it: merged weights, a GGUF file, a model of Ollama, a card, a repository of the hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.errors import DiskError, MissingFileError, SettingsError
from luthier.models.adapter_parts import reading_of
from luthier.models.card import card
from luthier.models.chat_template import ChatTemplate
from luthier.models.gguf_writing import Weights
from luthier.models.known import find_known
from luthier.models.merged_folder import write_merged, write_model_gguf
from luthier.models.parity import hold_gguf
from luthier.models.source import Source, find_source
from luthier.progress import Progress, quiet
from luthier.records import JSON
from luthier.records.files import read_rows
from luthier.report.wording import Told
from luthier.run.record import RunRecord
from luthier.settings import REQUIRED, argument, check, option

Form = Literal["merged", "gguf", "ollama", "card", "hub"]
CONVERSATIONS = 8  # of the run's own that a GGUF file is held against; `luthier models parity` takes more
TOOLS = 128  # in tools.json: what a client would send
README, TOOL_FILE, MODELFILE, GGUF = "README.md", "tools.json", "Modelfile", "model.gguf"


@dataclass(frozen=True)
class ExportSettings:
    """Write SOURCE, a run of `luthier train`, an adapter or a model, as others take it.

    merged: safetensors with the adapter in them, held against what was trained. gguf: for llama.cpp. ollama: with a Modelfile. card: a README of what the
    run recorded. hub: the adapter, or the model, and its card, pushed to --repo.
    """

    source: str = argument("A run folder, an adapter, or a model.", default=REQUIRED)
    to: Form = option(REQUIRED, "As what.")
    out: str = option(REQUIRED, "Folder for it, which is made.")
    model: str | None = option(None, "The base, where nothing tells it.")
    weights: Weights = option("f16", "Of a GGUF file's matrices.")
    dtype: Literal["auto", "bfloat16", "float32"] = option("auto", "Of merged weights; auto: as the base is stored.")
    scores: tuple[str, ...] = option((), "Runs of `luthier evaluate` whose scores stand on the card.", metavar="RUN")
    license: str = option("", "Of what is exported, where the base does not tell it.")
    repo: str | None = option(None, "Repository of the hub that is pushed to.", metavar="ORG/NAME")
    public: bool = option(False, "Make a new repository public.")
    parity: bool = option(True, "Hold a GGUF file against what was trained, where llama.cpp and the run's data are there.")

    def __post_init__(self) -> None:
        check(self)
        if (self.to == "hub") != (self.repo is not None):
            raise SettingsError("--to hub and --repo ORG/NAME go together")


def answer(settings: ExportSettings, progress: Progress = quiet) -> Told:
    """Write it. Raises MissingFileError where the base is not known, SettingsError where OUT holds something, and what the forms raise."""
    out = Path(settings.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out}: holds something already; choose another --out")
    source = find_source(settings.source, settings.model)
    scores = [RunRecord.read(run) for run in settings.scores]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            told = _write(source, settings, made, progress)
            text = card(source.base, adapter=_is_adapter(source, settings), run=source.run, scores=scores, license_id=settings.license)
            (made / README).write_text(text, encoding="utf-8")
            tools = tools_of(source.data)
            if tools:
                (made / TOOL_FILE).write_text(json.dumps(tools, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            held = None
            if settings.parity and (made / GGUF).is_file():
                held = hold_gguf(source, made / GGUF, weights=settings.weights, conversations=CONVERSATIONS, progress=progress)
            if settings.repo is not None:
                told["pushed"] = _push(made, settings.repo, public=settings.public)
            if out.is_dir():
                out.rmdir()
            made.rename(out)
    except OSError as problem:
        raise DiskError(f"cannot write {out}: {problem.strerror or problem}; free space, or choose another --out") from problem
    files = {str(path.relative_to(out)): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
    lines = [f"{size / 1e6:10,.2f} MB  {name}" for name, size in files.items()]
    lines += [f"{name.replace('_', ' ')}: {value}" for name, value in told.items()]
    value = {"out": str(out), "base": source.base._asdict(), "files": files, **told}
    if held is None:
        return Told([*lines, str(out)], value)
    return Told([*lines, *held.lines, str(out)], {**value, "parity": held.value}, held.code)


def _is_adapter(source: Source, settings: ExportSettings) -> bool:
    return source.adapter is not None and settings.to in ("card", "hub")


def _write(source: Source, settings: ExportSettings, made: Path, progress: Progress) -> JSON:
    if settings.to == "card":
        return {}
    if settings.to == "hub":
        held = source.adapter or source.folder
        progress.step("Copy what is pushed")
        for file in sorted(held.iterdir()):
            if file.is_file() and not file.name.startswith(".") and file.name != "training_args.bin":
                shutil.copyfile(file, made / file.name)
        return {}
    if settings.to == "merged":
        return write_merged(source, made, dtype=settings.dtype, progress=progress)
    told = write_model_gguf(
        source, made / GGUF, weights=settings.weights, dtype=settings.dtype, license_id=_license(source, settings), progress=progress
    )
    if settings.to == "ollama":
        text, tools = _modelfile(source, _license(source, settings))
        (made / MODELFILE).write_text(text, encoding="utf-8")
        told["tools"] = tools
    return {**told, "weights": settings.weights}


def _license(source: Source, settings: ExportSettings) -> str:
    known = find_known(source.base.name)
    return settings.license or (known.license if known else "")


def _modelfile(source: Source, license_id: str) -> tuple[str, str]:
    """The Modelfile, and what it does with tools."""
    from transformers import AutoConfig

    from luthier.models.modelfile import modelfile, told_of_tools
    from luthier.models.modelfile_turns import turns_of
    from luthier.models.openvino import stop_ids

    tokenizer = reading_of(source.folder, source.adapter).tokenizer
    config = AutoConfig.from_pretrained(source.folder, local_files_only=True)
    stops = [str(tokenizer.convert_ids_to_tokens(token)) for token in stop_ids(source.folder, tokenizer)]
    context = getattr(config, "max_position_embeddings", None)
    turns = turns_of(ChatTemplate.of(tokenizer))
    return modelfile(turns, GGUF, stops=stops, context=context, license=license_id), told_of_tools(turns, tools_of(source.data))


def tools_of(data: Sequence[Path]) -> list[JSON]:
    """The tools of the rows it was trained on, as a client sends them, each once; none where they are too many to send."""
    found: dict[str, JSON] = {}
    for path in data:
        for _, row in read_rows(path):
            for tool in _listed(row.get("tools")):
                name = tool.get("function", tool).get("name") if isinstance(tool, dict) else None
                if isinstance(name, str):
                    found.setdefault(name, tool)
            if len(found) > TOOLS:
                return []
    return list(found.values())


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def _push(folder: Path, repo: str, *, public: bool) -> str:
    """Push a folder as a new commit. Raises MissingFileError with what the hub says."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Push what luthier exported")
    except Exception as problem:  # the hub's client, httpx and the disk share no class
        from luthier.models.hub import told_of_push

        raise MissingFileError(f"{repo}: cannot be pushed to: {told_of_push(problem)}") from problem
    return f"{repo}@{done.oid}"
