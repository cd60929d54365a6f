"""Flat-LoRA noise on a PEFT model, for any training loop (arXiv 2409.14396, sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import SettingsError
from luthier.train.flat.backends import InPlace, make_backend
from luthier.train.flat.law import ramp
from luthier.train.flat.layers import CLEAN, NoisyLayer, noisy_layers
from luthier.train.settings import BackendName

if TYPE_CHECKING:
    from torch import Tensor

Ranks = Literal["independent", "shared"]


class FlatNoise:
    """Flat-LoRA noise for the active LoRA adapters of a PEFT model.

    sigma: strength, >= 0 (0.05 to 0.1 in the paper). schedule: strength over progress in [0, 1]. seed: the noise of step k depends on
    (seed, k, layer) only, and no global random state is read or changed. backend: `cached` keeps a noisy copy of the adapted weights;
    `recompute` keeps nothing and generates twice a pass; `table` is the cheapest on a CPU; `inplace` writes the weights, as the published
    code does, for comparison alone; `auto` is `cached`, or `recompute` where weights are sharded. exclude: ends of the names of adapted
    layers that get no noise. ranks: whether data-parallel processes draw their own noise or all the same. every: perturb each so many steps.

    Raises SettingsError where an adapted layer cannot be perturbed, or none is found.
    """

    def __init__(
        self,
        model: Any,
        sigma: float = 0.05,
        schedule: Callable[[float], float] = ramp,
        seed: int = 0,
        backend: BackendName = "auto",
        *,
        exclude: Collection[str] = (),
        ranks: Ranks = "independent",
        every: int = 1,
    ) -> None:
        if not sigma >= 0 or math.isinf(sigma):
            raise SettingsError(f"sigma is {sigma}; the strength of the noise is a number from 0 up, usually 0.05")
        if every < 1 or ranks not in ("independent", "shared"):
            raise SettingsError(f"every is {every} and ranks {ranks!r}; give a step count from 1 and 'independent' or 'shared'")
        self.sigma, self.schedule, self.seed, self.every = sigma, schedule, seed, every
        self.active = False
        self.layers = noisy_layers(model, exclude)
        self.backend = make_backend(backend, self.layers, f"{seed}{_rank_suffix(ranks)}")
        for layer in self.layers:
            clean = layer.clean  # read before the hook hides it
            layer.hook = self._forward(layer, clean)
            layer.hooked.forward = layer.hook
        self._generating = self._quiet_generation(model)

    def draw(self, step: int, total: int) -> None:
        """Draw the noise of optimizer step `step` (completed steps so far) of `total`, and turn it on."""
        self.clear()
        strength = self.sigma * self.schedule(step / total if total > 0 else 1.0)
        if strength > 0 and step % self.every == 0:
            self.backend.begin(step, strength)
            self.active = True

    def clear(self) -> None:
        """Turn the noise off; copies stay allocated for the next step."""
        self.active = False
        self.backend.end()

    @contextmanager
    def step(self, step: int, total: int) -> Iterator[None]:
        """The noise of one optimizer step, for a hand-written loop: forward and backward of all its micro-batches go inside."""
        self.draw(step, total)
        try:
            yield
        finally:
            self.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No noise within, the same noise again afterwards: for answers that are generated within a training step.

        Raises SettingsError for the in-place backend, whose noise stands in the weights.
        """
        if isinstance(self.backend, InPlace):
            raise SettingsError("the in-place backend cannot be paused; use backend='cached'")
        active, self.active = self.active, False
        try:
            yield
        finally:
            self.active = active

    def remove(self) -> None:
        """Give every layer its own forward back, unless a later FlatNoise has taken it over."""
        self.clear()
        if self._generating is not None and self._generating[0].__dict__.get("generate") is self._generating[1]:
            del self._generating[0].generate
        for layer in self.layers:
            layer.noisy = None
            module = layer.hooked
            if module.__dict__.get("forward") is layer.hook:
                module.forward = layer.clean
                if getattr(layer.clean, "__func__", None) is type(module).forward:
                    del module.forward

    def _quiet_generation(self, model: Any) -> tuple[Any, Callable[..., Any]] | None:
        """Answers are generated without noise: trainers that learn from their own answers (GRPO) generate them within a training step."""
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        if not hasattr(inner, "generate") or isinstance(self.backend, InPlace):
            return None
        original = type(inner).generate

        def generate(*args: Any, **kwargs: Any) -> Any:
            with self.paused():
                return original(inner, *args, **kwargs)

        inner.generate = generate
        return inner, generate

    def _forward(self, layer: NoisyLayer, clean: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self.active and layer.takes_noise:
                return self.backend.forward(layer, x, *args, **kwargs)
            return clean(x, *args, **kwargs)

        forward.__dict__[CLEAN] = clean
        return forward


def _rank_suffix(ranks: Ranks) -> str:
    """Rank 0 draws what a single process draws."""
    import torch.distributed as processes

    if ranks == "shared" or not processes.is_available() or not processes.is_initialized():
        return ""
    return f"/rank {rank}" if (rank := processes.get_rank()) else ""
