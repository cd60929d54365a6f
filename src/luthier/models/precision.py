"""In which number format a device computes fast: bf16 where it has the instructions, else float16 on a GPU and float32 on a CPU.

A CPU without them still multiplies bf16 matrices, by conversion or element by element, several times slower than float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def fast_dtype(device: str) -> torch.dtype:
    """Of a device ("cpu", "cuda", "cuda:1", "mps"): torch.bfloat16 where it has instructions for it, else torch.float16 on NVIDIA's GPUs,
    which all have those, and torch.float32 elsewhere."""
    import torch

    if device.startswith("cuda"):
        with torch.cuda.device(device):
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(bool(found.get(name)) for name in BF16_INSTRUCTIONS)
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch before 2.10
    return bool(asked and asked())
