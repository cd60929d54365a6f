"""A source with its adapter merged, as a transformers folder or as one GGUF file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from luthier.models.adapter_parts import reading_of
from luthier.models.chat_template import without_markers
from luthier.models.gguf_writing import Weights, write_gguf
from luthier.models.loading import loading
from luthier.models.merging import merge, save_merged
from luthier.models.source import Source
from luthier.progress import Progress, quiet
from luthier.records import JSON


def write_merged(source: Source, made: Path, *, dtype: str = "auto", progress: Progress = quiet) -> JSON:
    """A transformers folder with the adapter in its weights, the tokenizer, and a template without marks; what is told of it. dtype: auto, as
    the base is stored. Raises EngineError where the adapter cannot be merged exactly."""
    import torch
    from transformers import AutoConfig

    progress.step("Merge" if source.adapter else "Read")
    merged = merge(source.folder, source.adapter)
    stored = AutoConfig.from_pretrained(source.folder, local_files_only=True).dtype or torch.float32
    save_merged(merged, made, dtype=stored if dtype == "auto" else getattr(torch, dtype))
    copy_tokenizer(source, made)
    told: JSON = {"dtype": str(merged.model.dtype).removeprefix("torch.")}
    if source.adapter is not None:
        told["largest_difference_of_a_logit"] = f"{merged.difference:.1e} of the largest, in float32, before rounding"
    if merged.untied:
        told["output"] = "taken apart from the embedding, since the adapter changes one of them"
    return told


def copy_tokenizer(source: Source, made: Path) -> None:
    """The tokenizer's files as they are, and the template that goes with it, without marks."""
    from transformers import AutoTokenizer

    with loading(source.tokenizer, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.tokenizer, local_files_only=True)
    tokenizer.chat_template = reading_of(source.folder, source.adapter).tokenizer.chat_template
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = without_markers(tokenizer.chat_template)
    tokenizer.save_pretrained(made)


def write_model_gguf(
    source: Source, to: Path, *, weights: Weights, dtype: str = "auto", license_id: str = "", progress: Progress = quiet
) -> JSON:
    """Merge a source and write it as a GGUF file; what is told of it. Raises EngineError as `merge` and `write_gguf` do."""
    once = weights == "f32" or (source.adapter is not None and dtype == "auto")  # what was merged is rounded once, to the file's own format
    with tempfile.TemporaryDirectory(dir=to.parent.parent) as scratch:
        told = write_merged(source, Path(scratch), dtype="float32" if once else dtype, progress=progress)
        progress.step("Write GGUF")
        name = source.base.origin.rpartition("/")[2] or source.base.name
        write_gguf(Path(scratch), to, weights=weights, name=name, license=license_id)
    return told
