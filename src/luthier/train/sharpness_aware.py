"""Other ways to flat minima, to compare Flat-LoRA with: SAM on the adapters, and Bi-LoRA.

`sam_trainer` steps up the gradient of the adapters before it takes the gradient that counts (SAM, arXiv 2010.01412), at twice the passes.
`BiLoraCallback` trains a second low-rank adapter that ascends (Bi-LoRA, arXiv 2508.19564), in the same pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from luthier.errors import SettingsError
from luthier.train.flat.layers import CLEAN, NoisyLayer, noisy_layers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Trainer

LORA_SAM_RHO = 0.003  # of SAM on (A, B): the best in Flat-LoRA's comparison
BI_LORA_RHO = 0.05
ASCENT_SHARE = 0.1  # of rho that one ascent step moves the second adapter by


def sam_trainer(trainer: type[Trainer], rho: float = LORA_SAM_RHO) -> type[Trainer]:
    """A subclass of a transformers trainer that takes each micro-batch's gradient at W + rho g / ||g||, over the trained weights.

    rho: length of the step up, > 0; raises SettingsError otherwise.
    """
    if not rho > 0:
        raise SettingsError(f"rho is {rho}; the length of the step up is a number above 0, such as {LORA_SAM_RHO}")

    class SamTrainer(trainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
            weights = [weight for weight in model.parameters() if weight.requires_grad]
            earlier = [weight.grad for weight in weights]
            model.zero_grad(set_to_none=True)
            loss = super().training_step(model, dict(inputs), num_items_in_batch)
            with ascended(weights, rho):
                for weight, gradient in zip(weights, earlier, strict=True):
                    weight.grad = gradient
                super().training_step(model, dict(inputs), num_items_in_batch)
            return loss

    return SamTrainer


@contextmanager
def ascended(weights: list[Tensor], rho: float) -> Iterator[None]:
    """The weights moved by rho along their gradient, and exactly as before afterwards."""
    import torch

    before = [weight.detach().clone() for weight in weights]
    gradients = [weight.grad for weight in weights]
    found = [gradient for gradient in gradients if gradient is not None]
    norm = torch.nn.utils.get_total_norm(found) if found else torch.zeros(())
    try:
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None and 0 < norm < math.inf:  # float16 may have overflowed
                    weight.add_(gradient, alpha=rho / float(norm))
        yield
    finally:
        with torch.no_grad():
            for weight, held in zip(weights, before, strict=True):
                weight.copy_(held)


class BiLoraCallback(TrainerCallback):  # type: ignore[misc]
    """Bi-LoRA in any trainer: a second adapter B2 A2 on every adapted layer that climbs the loss, clipped to ||B2 A2|| <= rho overall.

    It lives outside the model: no optimizer, gradient clipping, checkpoint or evaluation sees it, and a resumed run starts it anew.
    Each optimizer step moves it by rho `share` along its own gradient. One process only.
    """

    def __init__(self, rho: float = BI_LORA_RHO, share: float = ASCENT_SHARE, rank: int = 8, seed: int = 0) -> None:
        if not rho > 0 or not 0 < share <= 1 or rank < 1:
            raise SettingsError(f"rho {rho} and share {share} of it must be above 0, share at most 1, and rank {rank} at least 1")
        self.rho, self.share, self.rank, self.seed = rho, share, rank, seed
        self.active = False
        self.layers: list[NoisyLayer] = []
        self.factors: list[tuple[Tensor, Tensor]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        import torch

        if args.world_size > 1:
            raise SettingsError("Bi-LoRA trains in one process: its second adapter is not shared between processes")
        self.remove()
        self.layers = noisy_layers(model)
        refused = next((layer for layer in self.layers if layer.place == "layer output"), None)
        if refused is not None:
            raise SettingsError(f"{refused.name}: Bi-LoRA needs plain LoRA, found DoRA")
        generator = torch.Generator().manual_seed(self.seed)
        for layer in self.layers:
            rows, columns = layer.shape
            a = torch.randn(self.rank, columns, generator=generator) / columns**0.5
            a, b = (factor.to(layer.base.weight.device).requires_grad_() for factor in (a, torch.zeros(rows, self.rank)))
            self.factors.append((a, b))
            clean = layer.clean
            layer.hook = self._forward(layer, a, b, clean)
            layer.hooked.forward = layer.hook

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.active = True

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.active = False
        self.ascend()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.remove()

    def ascend(self) -> None:
        """Move the second adapter up its gradient, and back into the ball of radius rho."""
        import torch

        flat = [factor for pair in self.factors for factor in pair]
        gradients = [factor.grad for factor in flat if factor.grad is not None]
        if not gradients:
            return
        norm = float(torch.nn.utils.get_total_norm(gradients))
        with torch.no_grad():
            for factor in flat:
                if factor.grad is not None and 0 < norm < math.inf:
                    factor.add_(factor.grad, alpha=self.share * self.rho / norm)
                factor.grad = None
            length = self.length()
            if length > self.rho:
                for _, b in self.factors:
                    b.mul_(self.rho / length)

    def length(self) -> float:
        """||B2 A2|| over all layers, by the Gram matrices of the factors."""
        total = sum(float(((b.t() @ b) * (a @ a.t())).sum().detach()) for a, b in self.factors)
        return math.sqrt(max(0.0, total))

    def remove(self) -> None:
        """Take the second adapter off the model."""
        self.active = False
        for layer in self.layers:
            if layer.hooked.__dict__.get("forward") is layer.hook:
                del layer.hooked.forward
        self.layers, self.factors = [], []

    def _forward(self, layer: NoisyLayer, a: Tensor, b: Tensor, clean: Callable[..., Tensor]) -> Callable[..., Tensor]:
        from torch.nn.functional import linear

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            y = clean(x, *args, **kwargs)
            if self.active and layer.takes_noise:
                y = y + linear(linear(x.to(a.dtype), a), b).to(y.dtype)
            return y

        forward.__dict__[CLEAN] = clean
        return forward
