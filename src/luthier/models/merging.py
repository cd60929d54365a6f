"""An adapter and its base as one model, exactly: equal logits before and after, and a tied output told apart where the adapter changes one side.

In float32 nothing is lost; a narrower format rounds each weight once, at the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import EngineError
from luthier.models.adapter_parts import fit_rows, reading_of
from luthier.models.base_model import check_base
from luthier.models.loading import load_module, loading
from luthier.models.weights import refuse_broken, refuse_broken_adapter

EXACT = 1e-4  # of the largest logit: what float32 sums in another order are off by
FRESH = 64  # of the tokens that an adapter adds, as many as are tried
PROBES = ("The capital of France is", "def add(a, b):\n    return a", "12345 + 678 =")


class Merged(NamedTuple):
    """model: in float32, or as the base where there is no adapter. difference: the largest of a logit, before and after, relative to the largest
    logit; 0 without an adapter. untied: whether the output had to be taken apart from the embedding."""

    model: Any
    difference: float
    untied: bool


def merge(folder: Path, adapter: Path | None) -> Merged:
    """The model of a folder with an adapter in its weights. Raises EngineError where merging changed what the model says, or where weights or what
    they say are not finite."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = load_module(AutoModelForCausalLM, folder, dtype=torch.float32).eval()
    refuse_broken(base.named_parameters(), folder)
    if adapter is None:
        return Merged(base, 0.0, False)
    check_base(adapter, folder)
    refuse_broken_adapter(adapter)
    fresh = fit_rows(base, folder, adapter)
    with loading(adapter, "adapter", f"give a PEFT adapter of {folder}"):
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")  # that is what `_untie` is for
        tuned = PeftModel.from_pretrained(base, str(adapter)).eval()
    tokenizer = reading_of(folder, adapter).tokenizer
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES] + [_trained_tokens(tuned), fresh[:FRESH]]
    before = _logits(tuned, ids)
    untied = _untie(tuned)
    model = tuned.merge_and_unload()
    if untied:
        model.config.tie_word_embeddings = False
    model.tie_weights()
    after = _logits(model, ids)
    if not all(bool(one.isfinite().all()) for one in (*before, *after)):
        raise EngineError(f"{adapter}: on {folder} it gives logits that are not finite; train it again, or give another one")
    largest = max(float(one.abs().max()) for one in before)
    difference = max(float((one - other).abs().max()) for one, other in zip(before, after, strict=True)) / max(largest, 1e-6)
    if difference > EXACT:
        raise EngineError(f"{adapter}: merged into {folder}, logits differ by {difference:.1e} of the largest; it cannot be merged exactly")
    return Merged(model, difference, untied)


def save_merged(merged: Merged, to: Path, *, dtype: Any) -> None:
    """Write the weights in a format, each rounded once. dtype: of torch."""
    merged.model.to(dtype)
    merged.model.config.dtype = dtype
    merged.model.save_pretrained(to, safe_serialization=True)
    for file in to.iterdir():
        file.chmod(0o644)


def _logits(model: Any, rows: Sequence[list[int]]) -> list[Any]:
    import torch

    with torch.inference_mode():
        return [model(input_ids=torch.tensor([ids])).logits[0].float().clone() for ids in rows if ids]


def _trained_tokens(tuned: Any) -> list[int]:
    """Tokens whose rows the adapter has of its own."""
    told = getattr(tuned.peft_config[tuned.active_adapter], "trainable_token_indices", None) or []
    return sorted({token for group in (told.values() if isinstance(told, dict) else [told]) for token in group})


def _untie(tuned: Any) -> bool:
    """Give the output a matrix of its own where it is the embedding and the adapter changes only one of both."""
    import torch

    model = tuned.get_base_model()
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    changed = [hasattr(end, "merge") or hasattr(end, "modules_to_save") for end in ends]
    weights = [getattr(end, "base_layer", getattr(end, "original_module", end)).weight for end in ends]
    if not any(changed) or weights[0] is not weights[1]:
        return False
    if getattr(ends[1], "tied_adapter", None) is ends[0]:  # rows of tokens that were trained in both at once
        return False
    output = getattr(ends[1], "base_layer", getattr(ends[1], "original_module", ends[1]))
    output.weight = torch.nn.Parameter(weights[1].detach().clone())
    return True
