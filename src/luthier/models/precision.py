"""In which number format a device computes fast: bf16 where it has the instructions, else float32.

A CPU without them still multiplies bf16 matrices, by conversion or element by element, several times slower than float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def default_device() -> str:
    """The accelerator where there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_dtype(device: str) -> torch.dtype:
    """torch.bfloat16 where `device` ("cuda" or "cpu") has instructions for it, else torch.float32."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(bool(found.get(name)) for name in BF16_INSTRUCTIONS)
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch before 2.10
    return bool(asked and asked())
