"""Small heads and prompts for the tests of dynamic decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from luthier.decode import DiversityHead
from luthier.decode.head import FittedOn
from luthier.decode.mappings import Statistics
from luthier.decode.network import Network
from luthier.decode.tap import fingerprint, output_embedding

PROMPTS = ([5, 9, 70, 41, 22], [60, 61], [5, 9, 70, 41, 22, 33, 44, 120])


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


def random_head(model: Any, seed: int = 3, scale: float = 0.5) -> DiversityHead:
    """A head that says something else at every state."""
    width = int(output_embedding(model).weight.shape[1])
    random = torch.Generator().manual_seed(seed)
    network = Network(
        torch.randn(16, width, generator=random) * scale,
        torch.randn(16, generator=random) * 0.1,
        torch.randn(16, generator=random),
        torch.tensor(0.1),
    )
    told = FittedOn("tiny", fingerprint(model), width)
    return DiversityHead(network, Statistics(0.5, 0.25, 0.75), Statistics(0.6, 0.4, 0.8), told, {"source": "blend"})


def padded(prompts: Any = PROMPTS, pad: int = 2) -> dict[str, torch.Tensor]:
    """Prompts padded on the left."""
    width = max(len(one) for one in prompts)
    ids = torch.tensor([[pad] * (width - len(one)) + list(one) for one in prompts])
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
    return {"input_ids": ids, "attention_mask": mask}


def sample(model: Any, prompts: Any = PROMPTS, seed: int = 0, **settings: Any) -> torch.Tensor:
    """The ids that `generate` samples."""
    torch.manual_seed(seed)
    made: torch.Tensor = model.generate(
        **padded(prompts), **{"do_sample": True, "max_new_tokens": 12, "top_k": 0, "pad_token_id": 2} | settings
    )
    return made
