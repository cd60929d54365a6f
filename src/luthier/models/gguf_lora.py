"""A PEFT adapter as one GGUF file that llama.cpp puts on its base: plain LoRA on the linear layers of the blocks.

The scale (alpha over rank, by layer where it differs) is multiplied into B, in float32, so nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import EngineError
from luthier.models.gguf_writing import ARCHITECTURES, interleaved, tensor_names
from luthier.models.loading import loading
from luthier.records import JSON

PREFIX, LAYER = "base_model.model.", "model.layers."
ODD = (
    "use_dora",
    "use_qalora",
    "modules_to_save",
    "layer_replication",
    "fan_in_fan_out",
    "lora_bias",
    "trainable_token_indices",
    "target_parameters",
)


def write_lora(adapter: Path, folder: Path, to: Path) -> None:
    """Write the adapter of a folder's model. Raises EngineError for one that is not plain LoRA, and for a base that is not written as GGUF here."""
    import gguf
    from transformers import AutoConfig

    with loading(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in ARCHITECTURES:
        raise EngineError(
            f"{folder}: an adapter of a model of the type {config.model_type} is not written as GGUF here; leave --engine out"
        )
    with loading(adapter, "adapter", "give a PEFT adapter"):
        told = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    odd = next((name for name in ODD if told.get(name)), None) or (None if told.get("bias", "none") == "none" else "bias")
    if told.get("peft_type") != "LORA" or odd is not None:
        what = odd or f"the type {told.get('peft_type')}"
        raise EngineError(f"{adapter}: llama.cpp takes plain LoRA, and this adapter has {what}; merge it with `luthier export --to gguf`")
    writer = gguf.GGUFWriter(str(to), ARCHITECTURES[config.model_type])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 0.0)  # B is scaled already
    for name, value in _tensors(adapter, told, config):
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(adapter: Path, told: JSON, config: Any) -> Iterator[tuple[str, Any]]:
    """A of each layer, (rank, inputs), and its scaled B, (outputs, rank), by llama.cpp's names."""
    import numpy as np
    import torch
    from safetensors import safe_open

    names = tensor_names(config)
    with loading(adapter, "adapter", "give a PEFT adapter"), safe_open(adapter / "adapter_model.safetensors", "pt") as held:
        for key in held.keys():  # noqa: SIM118  # no mapping
            module, _, part = key.removeprefix(PREFIX).partition(".lora_")
            name = names.get_name(f"{module}.weight", try_suffixes=(".weight",))
            if not module.startswith(LAYER) or part not in ("A.weight", "B.weight") or name is None:
                raise EngineError(
                    f"{adapter}: llama.cpp takes LoRA on the layers of the blocks, and this adapter has {key}; merge it with `luthier export --to gguf`"
                )
            value = held.get_tensor(key).to(torch.float32)
            if part == "B.weight":
                value = value * _scale(told, module, value.shape[1])
                if ARCHITECTURES[config.model_type] == "llama" and module.endswith(("q_proj", "k_proj")):
                    value = interleaved(value, config, module)
            yield f"{name}.lora_{part[0].lower()}", np.ascontiguousarray(value.numpy())


def _scale(told: JSON, module: str, rank: int) -> float:
    from peft.utils.other import get_pattern_key

    pattern: dict[str, float] = told.get("alpha_pattern") or {}
    key = get_pattern_key(list(pattern), module)
    alpha = float(pattern[key] if key in pattern else told["lora_alpha"])
    return alpha / (rank**0.5 if told.get("use_rslora") else rank)
