"""A transformers folder as one GGUF file, which llama.cpp, Ollama and others read: plain Llama, Qwen and Mistral models with byte-level tokens.

Matrices are F16, BF16, F32 or Q8_0; what has one dimension stays F32. K-quants are llama.cpp's own work, from the F16 file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import EngineError
from luthier.models.chat_template import without_markers
from luthier.models.loading import load_module, loading
from luthier.records import JSON

if TYPE_CHECKING:
    from gguf import TensorNameMap
    from torch import Tensor

Weights = Literal["f16", "q8_0", "bf16", "f32"]
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
_QWEN2 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
PRE_TOKENIZERS = {  # llama.cpp's names of ways to split text, by what splits it here
    _QWEN2: "qwen2",
    _QWEN2.replace("\\p{N}|", "\\p{N}{1,3}|"): "llama-bpe",
    "digits": "smollm",
    "": "gpt-2",
}


def write_gguf(folder: Path, to: Path, *, weights: Weights = "f16", name: str = "", license: str = "") -> None:  # noqa: A002
    """Write a folder's model. Raises EngineError for an architecture, a tokenizer or a rotary embedding that this does not know."""
    import gguf
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with loading(folder, "configuration"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with loading(folder, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    kind = ARCHITECTURES.get(config.model_type)
    if kind is None or getattr(config, "attention_bias", False) or getattr(config, "mlp_bias", False):
        raise EngineError(f"{folder}: {_unknown(f'a model of the type {config.model_type}')}")
    rope = getattr(config, "rope_parameters", None) or {}
    rotary = rope.get("rope_type", "default")
    if rotary != "default":
        raise EngineError(f"{folder}: {_unknown(f'a rotary embedding of the type {rotary}')}")
    load_module(AutoModelForCausalLM, folder, device_map="meta")  # reads names alone
    writer = gguf.GGUFWriter(str(to), kind)
    if name:
        writer.add_name(name)
    if license:
        writer.add_license(license)
    _add_sizes(writer, config, rope)
    _add_tokenizer(writer, folder, tokenizer, config.vocab_size)
    for tensor, value, raw in _tensors(folder, config, weights):
        writer.add_tensor(tensor, value, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _unknown(what: str) -> str:
    return f"{what} is not written as GGUF here; export it --to merged, and convert that folder with llama.cpp's convert_hf_to_gguf.py"


def _add_sizes(writer: Any, config: Any, rope: JSON) -> None:
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, folder: Path, tokenizer: Any, rows: int) -> None:
    import gguf

    told = json.loads(tokenizer.backend_tokenizer.to_str())
    if told["model"]["type"] != "BPE" or told["model"].get("byte_fallback") or told.get("normalizer") not in (None, {"type": "NFC"}):
        raise EngineError(f"{folder}: {_unknown('a tokenizer that is not byte-level BPE')}")
    split = _split(told.get("pre_tokenizer") or {})
    if split not in PRE_TOKENIZERS:
        raise EngineError(f"{folder}: {_unknown('a tokenizer that splits text in a way of its own')}")
    added = {token["id"]: token for token in told["added_tokens"]}
    texts = {number: text for text, number in told["model"]["vocab"].items()} | {
        number: token["content"] for number, token in added.items()
    }
    if max(texts) >= rows:
        raise EngineError(
            f"{folder}: the tokenizer has {max(texts) + 1:,} tokens and the embedding {rows:,} rows; resize the embedding first"
        )
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZERS[split])
    writer.add_token_list([texts.get(number, f"[PAD{number}]") for number in range(rows)])
    writer.add_token_types(
        [
            kinds.UNUSED
            if number not in texts
            else kinds.NORMAL
            if number not in added
            else kinds.CONTROL
            if added[number]["special"]
            else kinds.USER_DEFINED
            for number in range(rows)
        ]
    )
    merges = told["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    stops = _stops(folder, tokenizer)
    writer.add_eos_token_id(stops[0])
    for add, number in ((writer.add_bos_token_id, tokenizer.bos_token_id), (writer.add_pad_token_id, tokenizer.pad_token_id)):
        if number is not None:
            add(number)
    writer.add_add_bos_token(False)  # the template writes it where it is wanted; twice would be another prompt
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(without_markers(tokenizer.chat_template))


def _stops(folder: Path, tokenizer: Any) -> list[int]:
    from luthier.models.openvino import stop_ids

    return stop_ids(folder, tokenizer)


def _split(told: JSON) -> str:
    """What tells a pre-tokenizer from others: its pattern, `digits`, or nothing for GPT-2's own."""
    parts = told.get("pretokenizers", [told])
    patterns = [str(part["pattern"].get("Regex", "?")) for part in parts if part.get("type") == "Split"]
    others = [part["type"] for part in parts if part.get("type") not in ("Split", "ByteLevel")]
    level = next((part for part in parts if part.get("type") == "ByteLevel"), None)
    if level is None or level.get("add_prefix_space"):
        return "?"
    if others == ["Digits"] and parts[0].get("individual_digits") and not patterns:
        return "digits"
    return "?" if others or len(patterns) > 1 else (patterns[0] if patterns else "" if level.get("use_regex", True) else "?")


def _tensors(folder: Path, config: Any, weights: Weights) -> Iterator[tuple[str, Any, Any]]:
    """Each tensor by llama.cpp's name, as an array and its type."""
    import gguf
    import numpy as np
    import torch
    from safetensors import safe_open

    names = tensor_names(config)
    kinds = {"f16": "F16", "q8_0": "Q8_0", "bf16": "BF16", "f32": "F32"}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as held:
            for key in held.keys():  # noqa: SIM118  # no mapping
                if key == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                name = names.get_name(key, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise EngineError(f"{folder}: {_unknown(f'the weight {key}')}")
                value = held.get_tensor(key).to(torch.float32)
                if ARCHITECTURES[config.model_type] == "llama" and key.endswith(("q_proj.weight", "k_proj.weight")):
                    value = interleaved(value, config, key)
                array = np.ascontiguousarray(value.numpy())
                wanted = "F32" if array.ndim == 1 else kinds[weights]
                if wanted == "Q8_0" and array.shape[-1] % 32:
                    wanted = "F16"
                if wanted == "F16" and float(np.abs(array).max()) > 65504:
                    wanted = "F32"
                kind = gguf.GGMLQuantizationType[wanted]
                yield name, array if wanted == "F32" else gguf.quants.quantize(array, kind), kind


def tensor_names(config: Any) -> TensorNameMap:
    """llama.cpp's names of a known architecture's tensors."""
    import gguf

    kind = next(each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHITECTURES[config.model_type])
    return gguf.get_tensor_name_map(kind, config.num_hidden_layers)


def interleaved(value: Tensor, config: Any, key: str) -> Tensor:
    """llama.cpp rotates neighbours where transformers rotates halves, so the rows of each head are put side by side."""
    heads = config.num_attention_heads if "q_proj" in key else (getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    rows, columns = value.shape
    return value.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
