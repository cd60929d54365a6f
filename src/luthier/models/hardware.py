"""Where a model computes, and in which form: device, number format, attention kernel, weights of 4 or 8 bit.

The settings are one group wherever a model is opened; what this machine lacks, or what does not go together, is refused by name before any
weight is read. Knows no model: `luthier.models.weights` loads one by these settings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from luthier.errors import SettingsError
from luthier.settings import option

if TYPE_CHECKING:
    import torch

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Attention = Literal["sdpa", "eager", "flash_attention_2", "flex_attention"]
DeviceMap = Literal["auto", "balanced", "balanced_low_0", "sequential"]
Quantize = Literal["4bit", "8bit"]
KERNELS = ("sdpa", "eager")  # attention that takes a mask by position
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
EXTRA = "pip install 'luthier[quantize]'"


@dataclass(frozen=True)
class DeviceSettings:
    """Where tensors lie."""

    device: str = option("auto", "cpu, cuda, cuda:N or mps; a GPU where there is one, else the CPU.", later=True)


@dataclass(frozen=True)
class HardwareSettings(DeviceSettings):
    """Where a model computes, and in which form."""

    dtype: Dtype = option("auto", "float32 reads to the last digit.", later=True)
    attention: Attention | None = option(None, "Attention kernel; the model's own where left out.", later=True)
    device_map: DeviceMap | None = option(
        None, "How a model that no single GPU holds is spread over all of them and the memory, for reading alone.", later=True
    )
    quantize: Quantize | None = option(None, "Hold the weights in so many bits (bitsandbytes); adapters are trained on them.", later=True)

    def hardware(self) -> Hardware:
        """These settings alone, as `open_model` takes them."""
        return Hardware(device=self.device, dtype=self.dtype, attention=self.attention, device_map=self.device_map, quantize=self.quantize)

    def unread(self, why: str) -> None:
        """Raises SettingsError for a setting that was given where no model is opened. why: what would open one."""
        if given := next((one.name for one in fields(HardwareSettings) if getattr(self, one.name) != one.default), None):
            raise SettingsError(f"--{given.replace('_', '-')} is of a model, and none is asked here: {why}, or leave it out")

    def beside(self, endpoint: str | None) -> Hardware:
        """The same for a further model of a command, which no server at its own `endpoint` runs."""
        return self.hardware() if endpoint is None else Hardware()


class Hardware(TypedDict, total=False):
    """The same as words of a call."""

    device: str
    dtype: Dtype
    attention: Attention | None
    device_map: DeviceMap | None
    quantize: Quantize | None


def default_device() -> str:
    """A GPU where there is one, of several processes on a machine each its own; else the CPU."""
    import os

    import torch

    if torch.cuda.is_available():
        place = os.environ.get("LOCAL_RANK", "")
        return f"cuda:{place}" if place.isdigit() and int(place) < torch.cuda.device_count() else "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def chosen_device(asked: str) -> str:
    """The device that a setting means. Raises SettingsError for one that is not here."""
    if asked == "auto":
        return default_device()
    if not DEVICE.fullmatch(asked):
        raise SettingsError(f"--device is {asked!r}; give cpu, cuda, cuda:N or mps, or leave it out")
    if asked == "cpu":
        return asked
    import torch

    if asked == "mps":
        if not torch.backends.mps.is_available():
            raise SettingsError("--device mps: there is no Apple GPU here; leave --device out")
        return asked
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not seen:
        why = "there is no NVIDIA GPU here" if torch.version.cuda else f"torch {torch.__version__} is built without CUDA"
        raise SettingsError(f"--device {asked}: {why}; leave --device out")
    if int(asked.partition(":")[2] or 0) >= seen:
        known = ", ".join(f"cuda:{number}" for number in range(seen))
        raise SettingsError(f"--device {asked}: the GPUs here are {known}; give one of them, or leave --device out")
    return asked


def check_hardware(asked: HardwareSettings) -> None:
    """Raises SettingsError for what this machine lacks, and for what does not go together."""
    _check_choices(asked)
    if asked.device != "auto":  # else torch would be imported for nothing
        chosen_device(asked.device)
    if asked.device_map is not None and asked.device != "auto":
        raise SettingsError(f"--device-map spreads a model over all devices, and --device {asked.device} is one; leave one of them out")
    if asked.quantize is not None:
        if find_spec("bitsandbytes") is None:
            raise SettingsError(f"--quantize {asked.quantize} needs bitsandbytes; run: {EXTRA}")
        if chosen_device(asked.device) == "mps":
            raise SettingsError(
                f"--quantize {asked.quantize}: bitsandbytes computes on NVIDIA GPUs and CPUs, not on mps; give --device cpu"
            )
    if asked.attention == "flash_attention_2":
        _check_flash(asked, chosen_device(asked.device))


def _check_choices(asked: HardwareSettings) -> None:
    """The limits of the options, for Python callers; a device map of one's own is a mapping from module names to devices."""
    for word, value, kind in (
        ("--dtype", asked.dtype, Dtype),
        ("--attention", asked.attention, Attention),
        ("--quantize", asked.quantize, Quantize),
    ):
        if value is not None and value not in get_args(kind):
            raise SettingsError(f"{word} is {value!r}; choose one of {', '.join(get_args(kind))}")
    if isinstance(asked.device_map, str) and asked.device_map not in get_args(DeviceMap):
        raise SettingsError(f"--device-map is {asked.device_map!r}; choose one of {', '.join(get_args(DeviceMap))}")


def _check_flash(asked: HardwareSettings, device: str) -> None:
    from transformers.utils import is_flash_attn_2_available

    if not device.startswith("cuda"):
        raise SettingsError(f"--attention flash_attention_2 computes on NVIDIA GPUs, and the device is {device}; give --attention sdpa")
    if not is_flash_attn_2_available():
        raise SettingsError(
            "--attention flash_attention_2 needs the package flash-attn; run: pip install flash-attn, or give --attention sdpa"
        )
    if asked.dtype == "float32":
        raise SettingsError("--attention flash_attention_2 knows no float32; give --dtype bfloat16 or float16, or --attention sdpa")


def refuse_unread(asked: Hardware, who: str) -> None:
    """Raises SettingsError for a setting that an engine of its own precision and place does not read. asked: by name; who: the engine."""
    for one in fields(HardwareSettings):
        value = asked.get(one.name, one.default)
        if value != one.default:
            own = "a precision" if one.name in ("dtype", "quantize") else "a place" if one.name.startswith("device") else "an attention"
            raise SettingsError(
                f"--{one.name.replace('_', '-')} {value} is of the transformers engine; {who} has {own} of its own: leave it out"
            )


def input_device(module: Any) -> torch.device:
    """Where a module's inputs belong: its own device, or the first one that computes where it is spread over several."""
    import torch

    spread = getattr(module, "hf_device_map", None) or {}
    first = next((place for place in spread.values() if str(place) not in ("cpu", "disk", "meta")), None)
    if first is not None:
        return torch.device("cuda", first) if isinstance(first, int) else torch.device(first)
    return torch.device("cpu") if spread else torch.device(module.device)


def is_spread(module: Any) -> bool:
    """Whether a module's layers lie on several devices."""
    return len({str(place) for place in (getattr(module, "hf_device_map", None) or {}).values()}) > 1


def attention_kernel(module: Any) -> str | None:
    """The name of the kernel that a module attends by."""
    found: str | None = getattr(module.config, "_attn_implementation", None)
    return found


def takes_masks(kernel: str | None) -> bool:
    """Whether a kernel takes a mask by position; FlashAttention passes it over."""
    return kernel in KERNELS
