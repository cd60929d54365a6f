"""The weights of a transformers folder as torch modules: where, in which number format, by which attention, in how many bits.

What was loaded is noted for the record of a run. Adapters are put on by the callers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import EngineError
from luthier.models.hardware import HardwareSettings, attention_kernel, chosen_device, input_device, is_spread
from luthier.models.loading import load_module, loading
from luthier.models.precision import fast_dtype
from luthier.records import JSON
from luthier.run.machine import note_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def reading_dtype(folder: Path, asked: HardwareSettings) -> torch.dtype | str:
    """What weights are held in that are read only: as asked for; else as stored, but as the device computes fast where it is slow with that."""
    import torch

    if asked.dtype != "auto":
        return getattr(torch, asked.dtype)
    fast = fast_dtype(chosen_device(asked.device))
    if asked.quantize is not None:
        return fast
    if fast is not torch.float16:
        return "auto" if fast is torch.bfloat16 else fast
    from transformers import AutoConfig

    with loading(folder, "model"):
        stored = AutoConfig.from_pretrained(folder, local_files_only=True).dtype
    return fast if stored is torch.bfloat16 else "auto"


def training_dtype(asked: HardwareSettings) -> torch.dtype:
    """What a base is held in while an adapter is trained on it: as asked for, else what the device computes fast."""
    import torch

    if asked.dtype != "auto":
        return getattr(torch, asked.dtype)  # type: ignore[no-any-return]
    device = chosen_device(asked.device)
    return torch.float32 if device == "mps" else fast_dtype(device)  # of autocast there nothing is known here


def load_weights(folder: Path, asked: HardwareSettings, dtype: torch.dtype | str) -> PreTrainedModel:
    """The causal language model of a folder; one of full precision lies on the CPU until `placed`, unless it is spread by a map.

    dtype: of torch, or "auto" as stored. Raises EngineError, also where a weight is not finite.
    """
    from transformers import AutoModelForCausalLM

    told: dict[str, Any] = {"dtype": dtype, "attn_implementation": asked.attention}
    if asked.device_map is not None:
        told["device_map"] = asked.device_map
    if asked.quantize is not None:
        told["quantization_config"] = _quantized(asked.quantize, dtype)
        told.setdefault("device_map", {"": _place(chosen_device(asked.device))})
    module: PreTrainedModel = load_module(AutoModelForCausalLM, folder, **told)
    if asked.quantize is not None:
        _keep_layout(module)
    refuse_broken(module.named_parameters(), folder)
    return module


def refuse_broken(weights: Iterable[tuple[str, torch.Tensor]], place: Path | str) -> None:
    """Raises EngineError where weights hold a number that is not finite, of which no answer, loss or score can be made.

    A sum is not finite where one of its numbers is not, and reads each once, with no copy of them.
    """
    import torch

    for name, weight in weights:
        if not weight.is_floating_point() or weight.is_meta or weight.itemsize == 1:  # elsewhere yet, or packed
            continue
        if not bool(weight.detach().sum(dtype=torch.float32).isfinite()) and not bool(weight.isfinite().all()):
            raise EngineError(f"{place}: the weights of {name} are not finite, so it gives no numbers; train it again, or give another one")


def refuse_broken_adapter(adapter: Path | str) -> None:
    """The same of an adapter as it is stored."""
    from safetensors import safe_open

    file = Path(adapter) / "adapter_model.safetensors"
    if file.is_file():
        with loading(adapter, "adapter", "give a PEFT adapter"), safe_open(file, framework="pt") as stored:
            refuse_broken(((name, stored.get_tensor(name)) for name in stored.keys()), adapter)  # noqa: SIM118 - it is no dictionary


def _place(device: str) -> int | str:
    """A device as accelerate compares it with the trainer's: a GPU by its number."""
    import torch

    if not device.startswith("cuda"):
        return device
    return int(device.partition(":")[2] or torch.cuda.current_device())


def _keep_layout(module: Any) -> None:
    """On CPUs with bf16 instructions bitsandbytes packs 4-bit weights anew when they are first read in evaluation, after which layers pass no
    gradients on and odd widths fail; leave them as they are."""
    for layer in module.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def _quantized(bits: str, dtype: Any) -> Any:
    """4bit is NF4 with scales quantised too (QLoRA, arXiv 2305.14314, section 3), 8bit is LLM.int8 (arXiv 2208.07339)."""
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)


def placed(module: PreTrainedModel, asked: HardwareSettings) -> PreTrainedModel:
    """The module on its device; what is quantised or spread lies there already."""
    fixed = asked.quantize is not None or asked.device_map is not None
    return module if fixed else module.to(chosen_device(asked.device))


def note_loaded(module: Any, name: str, folder: Path, asked: HardwareSettings) -> None:
    """Tell the run's record what a model computes on, and in which form."""
    mapped = asked.quantize is not None or asked.device_map is not None
    told: JSON = {
        "model": name,
        "device": str(input_device(module)) if mapped else chosen_device(asked.device),  # to which a trainer moves it later
        **({"layers": Counter(str(place) for place in module.hf_device_map.values())} if is_spread(module) else {}),
        "dtype": str(module.dtype).removeprefix("torch."),
        "attention": attention_kernel(module),
        "quantize": asked.quantize,
    }
    note_model(folder, told)


def with_attention(asked: HardwareSettings, attention: Any) -> HardwareSettings:
    """The same with another kernel, where one is given."""
    return asked if attention is None else replace(asked, attention=attention)
