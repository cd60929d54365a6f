"""Which transformers folders the OpenVINO engine can run, and what its graph must know of their configuration.

Llama, Mistral, Qwen 2 and Qwen 3 are one form with different parts: biases, normalised heads, another way to turn. What is not known here is refused
by name, never left out. It reads configurations alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError
from luthier.models.openvino_graph import Form

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("llama", "mistral", "qwen2", "qwen3")
FIXED_TURNS = ("linear", "llama3", "yarn")  # kinds of rope whose frequencies do not change with the length of a text
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


def read_form(folder: Path) -> Form:
    """The folder's form. Raises EngineError where it is none of `KINDS`, or its configuration holds what the graph does not compute."""
    from transformers import AutoConfig

    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in KINDS:
        raise _refusal(folder, repr(kind))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    rope = config.rope_parameters or {}
    turn = str(rope.get("rope_type"))
    oddities = {
        f"hidden_act {config.hidden_act!r}": config.hidden_act != "silu",
        f"rope {turn!r}": turn != "default" and turn not in FIXED_TURNS,
        "rope on a part of each head": rope.get("partial_rotary_factor", 1) != 1,
        "quantized weights": getattr(config, "quantization_config", None) is not None,
    }
    if found := [name for name, present in oddities.items() if present]:
        raise _refusal(folder, found[0])
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    frequencies, scale = _turns(config, turn, size)
    window = _window(config)
    return Form(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_size=size,
        epsilon=config.rms_norm_eps,
        tied=config.tie_word_embeddings,
        biased=_biased(config, kind),
        normed=kind == "qwen3",
        frequencies=frequencies,
        turn_scale=scale,
        context=min(config.max_position_embeddings, window or config.max_position_embeddings),
        windowed=window is not None and window < config.max_position_embeddings,
    )


def _refusal(folder: Path, what: str) -> EngineError:
    return EngineError(f"{folder}: the openvino engine runs plain models of {', '.join(KINDS)}, not {what}; use the local engine")


def _biased(config: Any, kind: str) -> frozenset[str]:
    """The linear layers with a bias: Qwen 2 always has those of queries, keys and values; the others say so."""
    names = set(_PROJECTIONS[:3]) if kind == "qwen2" else set()
    names |= set(_PROJECTIONS) if getattr(config, "attention_bias", False) else set()
    return frozenset(names | ({"gate_proj", "up_proj", "down_proj"} if getattr(config, "mlp_bias", False) else set()))


def _window(config: Any) -> int | None:
    """Tokens that each position looks back at, None for all. Texts no longer than that are computed rightly without any window."""
    kinds = getattr(config, "layer_types", None)
    slides = "sliding_attention" in kinds if kinds else True
    return getattr(config, "sliding_window", None) if slides else None


def _turns(config: Any, kind: str, size: int) -> tuple[Tensor, float]:
    """Radians a position for each pair of a head's entries, (size / 2,), and what cosines and sines are multiplied with."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    if kind != "default":
        frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, device=torch.device("cpu"))
        return frequencies.float(), float(scale)
    exponents = torch.arange(0, size, 2, dtype=torch.float64) / size
    return (1 / config.rope_parameters["rope_theta"] ** exponents).float(), 1.0
