"""Zero-mean noise on the full merged weight that makes LoRA look for flat minima (Flat-LoRA, arXiv 2409.14396, sec. 3).

The noise never touches a parameter: while a step is active, the base linear of each LoRA layer computes with a noisy copy of its
weight. Evaluation, saving, merging and passes with the adapter off read the clean weight, so it stays bit-identical by construction.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from luthier.errors import SettingsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import TrainerControl, TrainerState, TrainingArguments


def ramp(progress: float) -> float:
    """Strength of the noise at `progress` in [0, 1] of the training: (1 - cos(pi t)) / 2, from 0 up to 1."""
    return 0.5 * (1.0 - math.cos(math.pi * min(1.0, max(0.0, progress))))


def merged_row_norms(weight: Tensor, a: Tensor, b: Tensor, scaling: float, squares: Tensor | None = None) -> Tensor:
    """Euclidean norm of each row of W + s B A, without forming B A.

    weight: W, (rows, columns); a: (rank, columns); b: (rows, rank); squares: cached ||W_i||^2, (rows,). Returns (rows,), float32.
    q_i^2 = ||W_i||^2 + 2 s <B_i, (A W^T)_i> + s^2 B_i (A A^T) B_i^T, clamped at 0.
    """
    import torch

    a, b = a.detach().float(), b.detach().float()
    if squares is None:
        squares = weight.detach().float().square().sum(1)
    crossed = (weight.detach() @ a.t().to(weight.dtype)).float()
    gram: Tensor = b @ (a @ a.t())
    total = squares + 2 * scaling * (b * crossed).sum(1) + scaling**2 * (gram * b).sum(1)
    return torch.sqrt(total.clamp(min=0))


def noise_scale(row_norms: Tensor, columns: int, sigma: float) -> Tensor:
    """Standard deviation of the noise of each row: sigma ||W'_i|| / sqrt(columns). Returns (rows, 1); 0 for a row of zeros."""
    return (row_norms * (sigma / math.sqrt(columns)))[:, None]


@dataclass
class _NoisyLayer:
    name: str
    lora: Any
    base: Any
    adapter: str
    forward: Callable[..., Tensor]
    squares: Tensor
    noisy: Tensor | None = None
    hook: Callable[..., Tensor] | None = None


class FlatNoise:
    """Flat-LoRA noise for the active LoRA adapter of a PEFT model.

    model: a PEFT model. sigma: strength, >= 0 (0.05 to 0.1 in the paper). seed: the noise of step k depends on (seed, k, layer) only,
    and no global random state is read or changed. Raises SettingsError where a layer cannot be perturbed or none is found.
    """

    def __init__(
        self, model: Any, sigma: float = 0.05, *, seed: int = 0, schedule: Callable[[float], float] = ramp
    ) -> None:
        if not sigma >= 0 or math.isinf(sigma):
            raise SettingsError(f"sigma is {sigma}; the strength of the noise is a number from 0 up, usually 0.05")
        self.sigma, self.seed, self.schedule = sigma, seed, schedule
        self.active = False
        self.layers = [_prepare(name, lora) for name, lora in _lora_layers(model)]
        if not self.layers:
            raise SettingsError(
                "no LoRA layer with a linear base was found; give a PEFT model with an active LoRA adapter"
            )
        for layer in self.layers:
            layer.hook = self._forward(layer)
            layer.base.forward = layer.hook

    def draw(self, step: int, total: int) -> None:
        """Draw the noise of optimizer step `step` (completed steps so far) of `total`, and turn it on."""
        strength = self.sigma * self.schedule(step / total if total > 0 else 1.0)
        self.active = strength > 0
        if self.active:
            for layer, noise in zip(self.layers, self._draws(step), strict=True):
                self._perturb(layer, noise, strength)

    def clear(self) -> None:
        """Turn the noise off; the copies stay allocated for the next step."""
        self.active = False

    @contextmanager
    def step(self, step: int, total: int) -> Iterator[None]:
        """The noise of one optimizer step, for a hand-written loop: forward and backward of all its micro-batches go inside."""
        self.draw(step, total)
        try:
            yield
        finally:
            self.clear()

    def remove(self) -> None:
        """Give every layer its own forward back, unless a later FlatNoise has taken it over."""
        self.clear()
        for layer in self.layers:
            layer.noisy = None
            if layer.base.__dict__.get("forward") is layer.hook:
                layer.base.forward = layer.forward
                if getattr(layer.forward, "__func__", None) is type(layer.base).forward:
                    del layer.base.forward

    def noise(self, name: str, shape: tuple[int, int], step: int, device: Any = "cpu") -> Tensor:
        """Standard normal draws of one layer and step, (rows, columns), float32, from a private generator."""
        import torch

        return self._fill(torch.empty(shape, device=device), name, step)

    def _fill(self, noise: Tensor, name: str, step: int) -> Tensor:
        import torch

        digest = hashlib.sha256(f"{self.seed}/{step}/{name}".encode()).digest()
        generator = torch.Generator(noise.device).manual_seed(int.from_bytes(digest[:7], "big"))
        return noise.normal_(generator=generator)

    def _draws(self, step: int) -> Iterator[Tensor]:
        """The noise of each layer in turn, valid until the next is asked for.

        A CPU draws with one thread a generator, so layers are drawn ahead side by side, into a few buffers that are used again.
        """
        import torch

        if any(layer.base.weight.is_cuda for layer in self.layers):
            for layer in self.layers:
                yield self.noise(layer.name, tuple(layer.base.weight.shape), step, layer.base.weight.device)
            return
        threads = torch.get_num_threads()
        largest = max(layer.base.weight.numel() for layer in self.layers)
        buffers = [torch.empty(largest) for _ in range(min(threads + 1, len(self.layers)))]
        with ThreadPoolExecutor(threads) as pool:

            def drawn(at: int) -> Future[Tensor]:
                layer, buffer = self.layers[at], buffers[at % len(buffers)]
                shape = layer.base.weight.shape
                return pool.submit(self._fill, buffer[: shape.numel()].view(shape), layer.name, step)

            ahead = deque(drawn(at) for at in range(len(buffers)))
            for at in range(len(buffers), len(self.layers) + len(buffers)):
                yield ahead.popleft().result()
                if at < len(self.layers):
                    ahead.append(drawn(at))

    def _perturb(self, layer: _NoisyLayer, noise: Tensor, strength: float) -> None:
        import torch

        weight = layer.base.weight
        with torch.no_grad():
            a, b = layer.lora.lora_A[layer.adapter].weight, layer.lora.lora_B[layer.adapter].weight
            norms = merged_row_norms(weight, a, b, layer.lora.scaling[layer.adapter], layer.squares)
            scale = noise_scale(norms, weight.shape[1], strength)
            if layer.noisy is None:
                layer.noisy = torch.empty_like(weight, requires_grad=False)
            if weight.dtype == torch.float32:
                torch.addcmul(weight, noise, scale, out=layer.noisy)
            else:  # the sum is rounded once, as it is stored
                layer.noisy.copy_(noise.mul_(scale).add_(weight))

    def _forward(self, layer: _NoisyLayer) -> Callable[..., Tensor]:
        from torch.nn.functional import linear

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self.active and layer.base.training and not layer.lora.disable_adapters and layer.noisy is not None:
                return linear(x, layer.noisy, layer.base.bias)
            return layer.forward(x, *args, **kwargs)

        forward.__dict__[_CLEAN] = layer.forward
        return forward


_CLEAN = "forward_without_noise"


def _lora_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Layers with an active LoRA adapter. Not the output head (some trainers read its weight past any forward), nor embeddings."""
    from peft.tuners.lora import LoraLayer

    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and module is not head and _active(module):
            yield name, module


def _active(lora: Any) -> list[str]:
    return [adapter for adapter in lora.active_adapters if adapter in lora.lora_A]


def _prepare(name: str, lora: Any) -> _NoisyLayer:
    import torch

    base = lora.get_base_layer()
    adapters = _active(lora)
    if type(base) is not torch.nn.Linear or not base.weight.is_floating_point():
        raise SettingsError(f"{name}: a {type(base).__name__} base cannot take noise; leave it out of target_modules")
    plain = isinstance(lora.lora_A[adapters[0]], torch.nn.Linear) and not lora.use_dora.get(adapters[0], False)
    if len(adapters) != 1 or not plain or lora.merged:
        found = "a merged one" if lora.merged else f"{len(adapters)} active" if plain else "another kind, such as DoRA"
        raise SettingsError(f"{name}: noise needs one plain LoRA adapter, found {found}; use a plain LoraConfig")
    squares = base.weight.detach().float().square().sum(1)
    clean = getattr(base.forward, _CLEAN, base.forward)
    return _NoisyLayer(name, lora, base, adapters[0], clean, squares)


class FlatLoraCallback(TrainerCallback):  # type: ignore[misc]
    """Flat-LoRA in any transformers or TRL trainer: `SFTTrainer(..., callbacks=[FlatLoraCallback(sigma=0.05)])`.

    One noise an optimizer step, the same for all its micro-batches; the ramp follows the trainer's own step count, so a resumed run
    draws what an uninterrupted one would.
    """

    def __init__(self, sigma: float = 0.05, *, seed: int = 0, schedule: Callable[[float], float] = ramp) -> None:
        self.sigma, self.seed, self.schedule = sigma, seed, schedule
        self.noise: FlatNoise | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        if self.noise is not None:  # an earlier run broke off
            self.noise.remove()
        self.noise = FlatNoise(model, self.sigma, seed=self.seed, schedule=self.schedule)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.noise is not None:
            self.noise.draw(state.global_step, state.max_steps)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.noise is not None:
            self.noise.clear()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.noise is not None:
            self.noise.remove()
            self.noise = None
