"""Where a transformers folder becomes an OpenVINO folder: once, in the user's cache, whole or not at all. Also, which folders can.

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
from luthier.models.openvino_graph import Weight, build_graph
from luthier.packages import cache_folder, is_kept, publish_folder

if TYPE_CHECKING:
    from transformers import LlamaConfig


def exported(folder: Path, weights: str, tokenizer: Any) -> Path:
    """The model's OpenVINO files in the cache, made on first use (seconds). Raises DiskError where they cannot be written."""
    target = cache_folder() / "openvino" / fingerprint(folder, weights)
    if is_kept(target):
        return target
    config = check_llama(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            _write(folder, made, build_graph(config, read_weights(folder), weights), tokenizer)
            publish_folder(made, target)
    except OSError as problem:
        raise DiskError(
            f"cannot store the OpenVINO model in {target.parent}: {problem.strerror}; free space or set LUTHIER_CACHE"
        ) from problem
    return target


def fingerprint(folder: Path, weights: str) -> str:
    """Changes with the configuration, the tokenizer, the weights' files and the versions that read them."""
    digest = hashlib.sha256(f"{luthier.__version__} {metadata.version('openvino')} {weights}".encode())
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    for file in weight_files(folder):
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def check_llama(folder: Path) -> LlamaConfig:
    """The folder's configuration. Raises EngineError where it is not a plain Llama."""
    from transformers import LlamaConfig

    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "llama":
        raise EngineError(f"{folder}: the openvino engine runs plain Llama models, not {kind!r}; use the local engine")
    config = LlamaConfig.from_pretrained(folder, local_files_only=True)
    oddities = {
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        f"hidden_act {config.hidden_act!r}": config.hidden_act != "silu",
        f"rope {config.rope_parameters['rope_type']!r}": config.rope_parameters["rope_type"] != "default",
        "quantized weights": getattr(config, "quantization_config", None) is not None,
    }
    if found := [name for name, present in oddities.items() if present]:
        raise EngineError(f"{folder}: the openvino engine runs plain Llama models, not {found[0]}; use the local engine")
    return config


def adapter_scale(adapter: Path) -> float:
    """What the product of the adapter's two matrices is multiplied with: alpha / rank.

    Raises EngineError where the folder holds more than plain LoRA of the seven linear layers of a Llama block.
    """
    from safetensors import safe_open

    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    odd = [key for key in ("alpha_pattern", "rank_pattern", "layer_replication", "use_qalora") if config.get(key)]
    plain = re.compile(r".*\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.lora_[AB]\.weight")
    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as tensors:
        odd += [name for name in tensors.keys() if not plain.fullmatch(name)][:1]  # noqa: SIM118
    if config.get("peft_type") != "LORA" or odd:
        what = odd[0] if odd else config.get("peft_type")
        raise EngineError(f"{adapter}: the openvino engine runs plain LoRA adapters, not {what}; use the local engine")
    return float(config["lora_alpha"] / (config["r"] ** 0.5 if config.get("use_rslora") else config["r"]))


def read_weights(folder: Path) -> Weight:
    """A function from a tensor's name to the tensor; it reads one tensor at a time from one or many safetensors files."""
    from safetensors import safe_open

    handles: list[Any] = [safe_open(file, framework="pt") for file in weight_files(folder)]
    home = {name: handle for handle in handles for name in handle.keys()}  # noqa: SIM118 - a safe_open has no iterator

    def weight(name: str) -> Any:
        if name not in home:
            raise EngineError(f"{folder}: the weights hold no {name}; the openvino engine cannot run this model")
        return home[name].get_tensor(name)

    return weight


def weight_files(folder: Path) -> list[Path]:
    """The model's safetensors files, in the order of their names. Raises MissingFileError where there is none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    if not (folder / "model.safetensors").is_file():
        raise MissingFileError(f"{folder}: no weights here (model.safetensors is missing); save the model as safetensors")
    return [folder / "model.safetensors"]


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
