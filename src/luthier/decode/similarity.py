"""How alike two texts are: greedy-matched cosines of contextual token vectors (the precision, recall and F1 of BERTScore, arXiv 1904.09675).

The vectors are a model's own middle-layer states, or those of any encoder folder; without its own scale, so callers rescale by what
unrelated texts score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.errors import MissingFileError
from luthier.models.hardware import chosen_device, input_device
from luthier.models.loading import POOLER, load_module

if TYPE_CHECKING:
    import torch

LONGEST = 256  # tokens of a text that are compared


class StateEncoder:
    """Texts as unit vectors, one a token, from layer `layer` of a transformers model (the middle one where left out).

    module: a base or causal model. The texts are read alone, after one token that is not compared: the first position of a causal
    model holds no content. name: kept with labels, so that it is known what measured them.
    """

    def __init__(self, module: Any, tokenizer: Any, *, layer: int | None = None, name: str = "self", batch: int = 64) -> None:
        self.module, self.tokenizer, self.batch = getattr(module, "base_model", module), tokenizer, batch
        depth = int(self.module.config.get_text_config().num_hidden_layers)
        self.layer = depth // 2 if layer is None else layer
        if not 0 < self.layer <= depth:
            raise MissingFileError(f"layer is {layer}; this model has layers 1 to {depth}")
        self.name = f"{name}/layer {self.layer}"

    @classmethod
    def from_folder(cls, folder: Path | str, layer: int | None = None, device: str = "auto") -> StateEncoder:
        """An encoder such as BERT from a transformers folder. device: as `--device` has it. Raises MissingFileError."""
        from transformers import AutoModel, AutoTokenizer

        if not (Path(folder) / "config.json").is_file():
            raise MissingFileError(f"{folder}: no encoder here (config.json is missing); give a transformers folder")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            module = load_module(AutoModel, Path(folder), without=POOLER).eval()
        except (OSError, ValueError) as problem:
            raise MissingFileError(f"{folder}: the encoder cannot be loaded: {str(problem).splitlines()[0]}") from problem
        return cls(module.to(chosen_device(device)), tokenizer, layer=layer, name=Path(folder).name)

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """(tokens, width) of each text, float32 unit rows; no rows for an empty text."""
        import torch

        ids = [self.tokenizer(text, add_special_tokens=False)["input_ids"][:LONGEST] for text in texts]
        first = next(
            (one for one in (self.tokenizer.cls_token_id, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id) if one is not None), 0
        )
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        found: dict[int, torch.Tensor] = {}
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            width = 1 + max(len(ids[at]) for at in chosen)
            rows = torch.full((len(chosen), width), first)
            mask = torch.zeros(len(chosen), width, dtype=torch.long)
            for row, at in enumerate(chosen):
                rows[row, 1 : 1 + len(ids[at])] = torch.tensor(ids[at], dtype=torch.long)
                mask[row, : 1 + len(ids[at])] = 1
            states = self._states(rows, mask).float().cpu()
            for row, at in enumerate(chosen):
                found[at] = torch.nn.functional.normalize(states[row, 1 : 1 + len(ids[at])], dim=-1)
        return [found[at] for at in range(len(ids))]

    def _states(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Layer `layer`'s output, (rows, width, hidden); the layers above it are not computed where the model keeps them in one list."""
        import torch

        depth = int(self.module.config.get_text_config().num_hidden_layers)
        blocks = [one for one in self.module.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == depth]
        rows, mask = rows.to(input_device(self.module)), mask.to(input_device(self.module))
        with torch.inference_mode():
            if not blocks:
                return self.module(input_ids=rows, attention_mask=mask, output_hidden_states=True).hidden_states[self.layer]
            handle = blocks[0][self.layer - 1].register_forward_hook(_stop)
            try:
                self.module(input_ids=rows, attention_mask=mask)
            except _ReachedError as reached:
                return reached.states
            finally:
                handle.remove()
        raise MissingFileError("the model did not run its own layers; it cannot be used to compare texts")


class _ReachedError(Exception):
    """Ends a forward pass at the layer that is wanted."""

    def __init__(self, states: Any) -> None:
        self.states = states


def _stop(module: Any, inputs: Any, output: Any) -> None:
    raise _ReachedError(output[0] if isinstance(output, tuple) else output)


def match_f1(one: torch.Tensor, other: torch.Tensor) -> float:
    """F1 of greedy matching of unit rows (n, width) and (m, width): symmetric, 1 for equal texts, 1 for two empty ones, 0 for one."""
    if not len(one) or not len(other):
        return float(len(one) == len(other))
    cosines = one @ other.T
    precision, recall = float(cosines.max(1).values.mean()), float(cosines.max(0).values.mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def mean_similarity(texts: Sequence[torch.Tensor]) -> float:
    """Mean F1 over all pairs of at least two encoded texts."""
    pairs = [match_f1(texts[a], texts[b]) for b in range(len(texts)) for a in range(b)]
    return sum(pairs) / len(pairs)
