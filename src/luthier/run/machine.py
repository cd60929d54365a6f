"""What a run ran on: processor, GPUs, memory, versions, and what its models computed on; and the memory it took."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from luthier.records import JSON

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "llguidance",
    "tokenizers",
    "numpy",
    "mimesis",
    "sentence-transformers",
    "bm25s",
)


@dataclass(frozen=True)
class Device:
    """The machine in a few words; load: of the last minute."""

    cpu: str
    cores: int | None
    memory_gib: float
    system: str
    python: str
    load: float
    gpus: list[str] = field(default_factory=list)

    def to_row(self) -> JSON:
        return asdict(self)


def device() -> Device:
    """The machine that this process runs on."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = (line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        cpu = next(models, cpu)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Device(
        cpu=cpu,
        cores=os.cpu_count(),
        memory_gib=round(pages / 2**30, 1),
        system=platform.system(),
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
        gpus=_gpus(),
    )


def _gpus() -> list[str]:
    """Names and memory; none where nothing has asked for torch yet, which costs seconds."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    found = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return [f"{one.name}, {one.total_memory / 2**30:.0f} GiB" for one in found]


_MODELS: list[tuple[Path, JSON]] = []


def note_model(folder: Path, told: JSON) -> None:
    """Keep on what and in which form the model of a folder was loaded, for the records of runs that use it."""
    _MODELS.append((Path(folder).resolve(), told))


def models_noted() -> Sequence[tuple[Path, JSON]]:
    """Every model that this process has loaded, in order, with its folder."""
    return _MODELS


def versions() -> dict[str, str]:
    """Of the packages that shape results, those that are installed."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far."""
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def give_memory_back() -> None:
    """Free what a finished step still holds (a trainer's cycles, glibc's free lists), or the next one's peak comes on top of it."""
    gc.collect()
    if platform.system() == "Linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
