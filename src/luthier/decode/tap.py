"""The vector that made the logits, taken where the model hands it to its output embedding: no second forward pass, no kept layers."""

from __future__ import annotations

import hashlib
import weakref
from typing import TYPE_CHECKING, Any

from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch

SAMPLED = 16  # values of each weight that go into a fingerprint


class StateTap:
    """Watches the input of a model's output embedding. `passes` counts forward passes since `take`.

    Raises SettingsError where the model has no output embedding.
    """

    def __init__(self, model: Any) -> None:
        self.states: torch.Tensor | None = None
        self.passes = 0
        # The hook holds the tap weakly: the hook goes when the tap does.
        itself = weakref.ref(self)
        handle = output_embedding(model).register_forward_pre_hook(lambda _, args, kwargs: _see(itself, args, kwargs), with_kwargs=True)
        self.close = weakref.finalize(self, handle.remove)

    def take(self) -> torch.Tensor:
        """States of the last forward pass at its last position, (rows, width). Call it once a step."""
        states, self.states, self.passes = self.states, None, 0
        if states is None:
            raise SettingsError(
                "no forward pass of this model came before the step: the model that generates is not the one the processor was made for,"
                " or it decodes with an assistant (leave assistant_model and prompt_lookup_num_tokens out) or is compiled without hooks"
            )
        return states[:, -1] if states.dim() == 3 else states


def _see(tap: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    watcher = tap()
    if watcher is not None:
        watcher.states = (args[0] if args else next(iter(kwargs.values()))).detach()
        watcher.passes += 1


def output_embedding(model: Any) -> torch.nn.Module:
    """The module that makes logits of states. Raises SettingsError where there is none."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None:
        raise SettingsError(f"{type(model).__name__} has no output embedding; dynamic decoding needs a causal language model")
    return head


def fingerprint(model: Any) -> str:
    """Names a model by its weights: a hash of evenly spaced values of each, rounded to bfloat16 so that a wider copy is the same model."""
    import torch

    digest = hashlib.sha256()
    for weight in model.parameters():
        if weight.is_meta:
            raise SettingsError("weights of this model lie outside the memory (--device-map), so it has no fingerprint; give a smaller one")
        flat = weight.detach().reshape(-1)
        places = torch.linspace(0, max(0, len(flat) - 1), min(SAMPLED, len(flat)), dtype=torch.float64).long().to(flat.device)
        digest.update(str(tuple(weight.shape)).encode())
        digest.update(flat[places].to(torch.bfloat16).cpu().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]
