"""A transformers folder as an embedder: an encoder such as MiniLM, or a causal language model, with the pooling it was trained for.

A folder in the layout of sentence-transformers says its pooling, length and prompts itself. Modules beyond pooling and normalisation
(a dense layer) are refused here: `sentence_transformer_embedder` runs them with that library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from luthier.errors import MissingFileError, SettingsError
from luthier.models.embedder import Kind, fingerprint_of, unit_rows
from luthier.models.hardware import chosen_device
from luthier.models.loading import POOLER, load_module, loading
from luthier.packages import file_sha256

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Pooling = Literal["mean", "weighted-mean", "last", "cls"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
BATCH_TOKENS = 4096  # padding included: small batches keep activations in the processor's cache
LENGTH = 512


class TransformerEmbedder:
    """Vectors of any transformers encoder or decoder.

    folder: config.json, a tokenizer and safetensors weights. pooling: mean over tokens, mean weighted by position (SGPT), the last token,
    or the first; None takes what the folder says, else mean. max_length: tokens read of a text, special ones included; None as the folder says, else 512.
    prompts: text put before a query or a document. device: as `--device` has it. Raises MissingFileError, SettingsError.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        pooling: Pooling | None = None,
        max_length: int | None = None,
        prompts: dict[Kind, str] | None = None,
        name: str | None = None,
        device: str = "auto",
    ) -> None:
        self.folder, self.device = Path(folder), device
        if not (self.folder / "config.json").is_file():
            raise MissingFileError(f"{folder}: no model here (config.json is missing); give a transformers folder")
        told = _stored_settings(self.folder)
        self.pooling = str(pooling or told["pooling"])
        if self.pooling not in POOLINGS:
            raise SettingsError(f"pooling is {self.pooling!r}; choose one of {', '.join(POOLINGS)}")
        self.max_length: int | None = max_length or told["max_length"]
        if self.max_length is None or self.max_length < 1:
            raise SettingsError(f"max_length is {max_length}; it must be 1 or more")
        self.prompts: dict[str, str] = told["prompts"] | dict(prompts or {})
        self.name = name or self.folder.name

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(base=self._base, prompts=self.prompts)

    def key(self, kind: Kind) -> str:
        return fingerprint_of(base=self._base, prompt=self.prompts.get(kind, ""))

    @cached_property
    def _base(self) -> str:
        weights = {file.name: file_sha256(file) for file in sorted(self.folder.glob("*.safetensors"))}
        tokenizer = {file.name: file_sha256(file) for file in sorted(self.folder.glob("tokenizer.json"))}
        return fingerprint_of(
            weights=weights,
            tokenizer=tokenizer,
            config=file_sha256(self.folder / "config.json"),
            pooling=self.pooling,
            length=self.max_length,
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        with loading(self.folder, "tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer

    @cached_property
    def module(self) -> PreTrainedModel:
        """The torch module without a head, float32, in evaluation mode."""
        import torch
        from transformers import AutoModel

        module: PreTrainedModel = load_module(AutoModel, self.folder, without=POOLER, dtype=torch.float32)
        return module.to(chosen_device(self.device)).eval()

    def encode(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.float32]:
        """Unit vectors, (texts, hidden size). Batches go from long to short; the results follow the order given."""
        import numpy as np
        import torch

        encoded = self._token_ids(texts, kind, truncate=True)
        vectors = np.zeros((len(texts), self.module.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for batch in _batches([len(ids) for ids in encoded]):
                padded = self.tokenizer.pad({"input_ids": [encoded[at] for at in batch]}, return_tensors="pt")
                inputs = {name: padded[name].to(self.module.device) for name in ("input_ids", "attention_mask")}
                hidden = self.module(**inputs).last_hidden_state
                vectors[batch] = pool(hidden, inputs["attention_mask"], self.pooling).float().cpu().numpy()
        return unit_rows(vectors, texts, self.name)

    def token_counts(self, texts: Sequence[str], kind: Kind = "document") -> NDArray[np.int64]:
        import numpy as np

        return np.array([len(ids) for ids in self._token_ids(texts, kind, truncate=False)], dtype=np.int64)

    def _token_ids(self, texts: Sequence[str], kind: Kind, truncate: bool) -> list[list[int]]:
        if not texts:
            return []
        prompt = self.prompts.get(kind, "")
        told = self.tokenizer(
            [prompt + text for text in texts], truncation=truncate, max_length=self.max_length if truncate else None, verbose=False
        )
        found: list[list[int]] = told["input_ids"]
        return [ids or [self.tokenizer.pad_token_id] for ids in found]


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector a text, (texts, width), from hidden states, (texts, tokens, width), padded on the right as `mask` says."""
    import torch

    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden)), mask.sum(dim=1) - 1]
    weights = mask.to(hidden.dtype)
    if pooling == "weighted-mean":  # later tokens of a causal model have read more (SGPT, arXiv 2202.08904)
        weights = weights * torch.arange(1, mask.shape[1] + 1, device=mask.device, dtype=hidden.dtype)
    return (hidden * weights.unsqueeze(-1)).sum(dim=1) / weights.sum(dim=1, keepdim=True)


def _stored_settings(folder: Path) -> dict[str, Any]:
    """Pooling, length and prompts of a sentence-transformers folder; the defaults where it is none. Raises SettingsError for other modules."""
    modules, kinds = _json(folder / "modules.json") or [], module_kinds(folder)
    if strange := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
        raise SettingsError(
            f"{folder}: has a module {strange[0]}, which transformers alone does not run; open it with sentence-transformers"
        )
    pooling = next(
        (_json(folder / str(module["path"]) / "config.json") for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"),
        None,
    )
    length = (_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    stored = (_json(folder / "config_sentence_transformers.json") or {}).get("prompts") or {}
    prompts = {kind: stored[kind] for kind in ("query", "document") if stored.get(kind)}
    return {"pooling": _pooling_name(folder, pooling), "max_length": int(length or LENGTH), "prompts": prompts}


def module_kinds(folder: Path) -> list[str]:
    """The class names of the modules of a sentence-transformers folder, in order; none where it is not one."""
    return [str(module.get("type", "")).rsplit(".", 1)[-1] for module in _json(folder / "modules.json") or []]


def _pooling_name(folder: Path, config: Any) -> str:
    if not config:
        return "mean"
    names = {"mean_tokens": "mean", "weightedmean_tokens": "weighted-mean", "lasttoken": "last", "cls_token": "cls"}
    chosen = [name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    chosen = chosen or [str(config.get("pooling_mode", "mean"))]
    short = {"weightedmean": "weighted-mean", "lasttoken": "last"}
    read = [names.get(name, short.get(name, name)) for name in chosen]
    if len(read) != 1 or read[0] not in POOLINGS:
        raise SettingsError(
            f"{folder}: its pooling ({', '.join(chosen)}) is none of {', '.join(POOLINGS)}; open it with sentence-transformers"
        )
    return str(read[0])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError as problem:
        raise SettingsError(f"{path}: not JSON ({problem}); fetch the model again") from problem


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in batches of about equal work, long to short."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    while order:
        size = max(1, BATCH_TOKENS // lengths[order[0]])
        yield order[:size]
        order = order[size:]
