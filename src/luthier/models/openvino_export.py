"""Where a transformers folder becomes an OpenVINO folder: once, in the user's cache, whole or not at all.

The cache's name follows the configuration, the tokenizer, the weights' files and the versions, so a stale one is never used.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luthier
from luthier.errors import DiskError, EngineError, MissingFileError
from luthier.models.merging import merge, save_merged
from luthier.models.openvino_form import read_form
from luthier.models.openvino_graph import Form, build_graph
from luthier.packages import cache_folder, is_kept, publish_folder

if TYPE_CHECKING:
    import torch


def exported(folder: Path, weights: str, tokenizer: Any, merged: Path | None = None, tokens_of: Path | None = None) -> Path:
    """The model's OpenVINO files in the cache, made on first use (seconds). merged: an adapter that is put into the weights; tokens_of: one whose
    tokenizer this is. Raises DiskError where they cannot be written, EngineError for an adapter that cannot be merged exactly."""
    target = cache_folder() / "openvino" / fingerprint(folder, weights, merged, tokens_of)
    if is_kept(target):
        return target
    read_form(folder)  # what cannot be run is refused before anything is merged
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            source, made = folder, Path(scratch) / "model"
            if merged is not None:
                source = Path(scratch) / "merged"
                save_merged(merge(folder, merged), source, dtype=stored_dtype(folder))
            made.mkdir()
            _write(source, made, _graph(source, read_form(source), weights), tokenizer)
            publish_folder(made, target)
    except OSError as problem:
        raise DiskError(
            f"cannot store the OpenVINO model in {target.parent}: {problem.strerror}; free space or set LUTHIER_CACHE"
        ) from problem
    return target


def stored_dtype(folder: Path) -> torch.dtype:
    """The format that a folder's weights are stored in."""
    import torch
    from transformers import AutoConfig

    found: torch.dtype = AutoConfig.from_pretrained(folder, local_files_only=True).dtype or torch.float32
    return found


def fingerprint(folder: Path, weights: str, merged: Path | None = None, tokens_of: Path | None = None) -> str:
    """Changes with the configuration, the tokenizer, the weights' files and the versions that read them."""
    digest = hashlib.sha256(f"{luthier.__version__} {metadata.version('openvino')} {weights}".encode())
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    for file in weight_files(folder):
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}".encode())
    for file in sorted(merged.glob("adapter_*")) if merged is not None else ():
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if tokens_of is not None and (tokens_of / name).is_file():
            digest.update(name.encode() + (tokens_of / name).read_bytes())
    return digest.hexdigest()[:16]


def adapter_scale(adapter: Path) -> float | None:
    """What the product of the adapter's two matrices is multiplied with: alpha / rank. None where the folder holds more than plain LoRA of the seven
    linear layers of a Llama block: such an adapter is merged."""
    from safetensors import safe_open

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    odd = [key for key in ("alpha_pattern", "rank_pattern", "layer_replication", "use_qalora") if config.get(key)]
    plain = re.compile(r".*\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.lora_[AB]\.weight")
    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as tensors:
        odd += [name for name in tensors.keys() if not plain.fullmatch(name)][:1]  # noqa: SIM118
    if config.get("peft_type") != "LORA" or odd:
        return None
    return float(config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"]))


class StoredWeights:
    """From a tensor's name to the tensor; it reads one at a time from one or many safetensors files, and knows what was never asked for."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        handles: list[Any] = [safe_open(file, framework="pt") for file in weight_files(folder)]
        self.folder = folder
        self.home = {name: handle for handle in handles for name in handle.keys()}  # noqa: SIM118 - a safe_open has no iterator
        self.unread = set(self.home)

    def __call__(self, name: str) -> Any:
        """The torch tensor. Raises EngineError where there is none."""
        if name not in self.home:
            raise EngineError(f"{self.folder}: the weights hold no {name}; the openvino engine cannot run this model")
        self.unread.discard(name)
        return self.home[name].get_tensor(name)


def weight_files(folder: Path) -> list[Path]:
    """The model's safetensors files, in the order of their names. Raises MissingFileError where there is none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    if not (folder / "model.safetensors").is_file():
        raise MissingFileError(f"{folder}: no weights here (model.safetensors is missing); save the model as safetensors")
    return [folder / "model.safetensors"]


def _graph(folder: Path, form: Form, precision: str) -> Any:
    """The network. Raises EngineError where the weights hold a part that it would leave out."""
    weight = StoredWeights(folder)
    graph = build_graph(form, weight, precision)
    known = ("lm_head.weight",) if form.tied else ()  # stored twice; and tables of angles, which old folders store too
    if left := sorted(name for name in weight.unread if name not in known and not name.endswith(".rotary_emb.inv_freq")):
        raise EngineError(f"{folder}: the weights hold {left[0]}, which the openvino engine would leave out; use the local engine")
    return graph


def _write(source: Path, target: Path, graph: Any, tokenizer: Any) -> None:
    import openvino as ov

    ov.save_model(graph, target / "openvino_model.xml", compress_to_fp16=False)
    for part, model in zip(("tokenizer", "detokenizer"), _converted(tokenizer), strict=True):
        ov.save_model(model, target / f"openvino_{part}.xml")
    for name in ("config.json", "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _converted(tokenizer: Any) -> Any:
    """OpenVINO's tokenizer and detokenizer; GenAI finds stop strings and follows schemas with them."""
    from openvino_tokenizers import convert_tokenizer

    try:
        return convert_tokenizer(tokenizer, with_detokenizer=True)
    except (OSError, RuntimeError, TypeError, ValueError) as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise EngineError(f"OpenVINO cannot convert this tokenizer: {reason}; use the local engine") from problem
