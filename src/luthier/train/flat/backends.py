"""How a layer comes by its noise in a step: a kept copy, generated again wherever it is needed, or written into the weight.

All draw the same noise from the same seeds and give the same gradients, `table` apart, whose draws come out of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, get_args

import torch
from torch.nn.functional import linear

from luthier.errors import SettingsError
from luthier.train.flat.law import noise_scale
from luthier.train.flat.layers import NoisyLayer, sharded
from luthier.train.flat.normals import Generated, Normals, Table
from luthier.train.settings import BackendName

if TYPE_CHECKING:
    from torch import Tensor


BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


class Backend(Protocol):
    """Puts the noise of a step into layers."""

    def begin(self, step: int, strength: float) -> None:
        """Draw, or get ready to draw, the noise of optimizer step `step`."""
        ...

    def end(self) -> None:
        """The step is over, or broken off."""
        ...

    def forward(self, layer: NoisyLayer, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What the layer's hooked module gives for x with the noise of the step."""
        ...


def make_backend(name: BackendName, layers: Sequence[NoisyLayer], seed: str) -> Backend:
    """The backend of that name. `auto` keeps copies, unless the weights are sharded over processes.

    Raises SettingsError where the layers do not allow it.
    """
    spread = next((layer for layer in layers if sharded(layer.base.weight)), None)
    if name not in BACKENDS:
        raise SettingsError(f"backend is {name!r}; choose one of {', '.join(BACKENDS)}")
    if name == "auto":
        name = "recompute" if spread else "cached"
    if spread and name != "recompute":
        raise SettingsError(f"{spread.name}: its weight is sharded over processes; use backend='recompute'")
    if name == "recompute":
        return Recompute(Generated(seed))
    if name == "inplace":
        return InPlace(layers, Generated(seed))
    largest = max(rows * columns for rows, columns in (layer.shape for layer in layers))
    return Cached(layers, Table(seed, largest) if name == "table" else Generated(seed))


class Cached:
    """A noisy copy of every adapted weight: drawn once a step, whatever the number of micro-batches."""

    def __init__(self, layers: Sequence[NoisyLayer], normals: Normals) -> None:
        self.layers, self.normals = layers, normals
        self._scratch: dict[torch.device, Tensor] = {}

    def begin(self, step: int, strength: float) -> None:
        with torch.no_grad():
            for layer in self.layers:
                normal = self.normals.take(layer.draws, step, self._room(layer))
                weight = layer.base.weight if layer.place == "weight" else None
                if layer.noisy is None:
                    layer.noisy = torch.empty(layer.stored_shape, dtype=_held_dtype(layer), device=_device(layer))
                perturb(weight, normal, _scale(layer, strength), layer.noisy, self._room(layer))

    def _room(self, layer: NoisyLayer) -> Tensor:
        """Float32 room for one layer's draws, used again by the next."""
        device, (rows, columns) = _device(layer), layer.stored_shape
        if device not in self._scratch:
            largest = max(one.shape[0] * one.shape[1] for one in self.layers)
            self._scratch[device] = torch.empty(largest, device=device)
        return self._scratch[device][: rows * columns].view(rows, columns)

    def end(self) -> None:
        """The copies stay allocated for the next step."""

    def forward(self, layer: NoisyLayer, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        noisy: Any = layer.noisy
        held = noisy.t() if layer.transposed else noisy
        if layer.place == "weight":
            return linear(x, held, layer.base.bias)
        y = layer.clean(x, *args, **kwargs)
        return y + linear(x.to(held.dtype), held).to(y.dtype)


class Recompute:
    """No copy: the noise is generated in the forward pass and again in the backward pass of each layer."""

    def __init__(self, normals: Normals) -> None:
        self.normals = normals
        self.step, self.strength = 0, 0.0
        self._scales: dict[str, Tensor] = {}

    def begin(self, step: int, strength: float) -> None:
        self.step, self.strength = step, strength
        self._scales.clear()

    def end(self) -> None:
        self._scales.clear()

    def forward(self, layer: NoisyLayer, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        step, scale = self.step, self._step_scale(layer)

        def noisy(weight: Tensor | None) -> Tensor:
            """The noisy weight, or the noise alone, as the cached backend would hold it."""
            room = torch.empty(layer.stored_shape, device=x.device)
            normal = self.normals.take(layer.draws, step, room)
            out = torch.empty(layer.stored_shape, dtype=_held_dtype(layer), device=x.device)
            perturb(weight, normal, scale, out, room)
            return out.t() if layer.transposed else out

        if layer.place == "weight":
            return _Regenerated.apply(x, layer.base.weight, layer.base.bias, noisy)  # type: ignore[no-any-return, no-untyped-call]
        y = layer.clean(x, *args, **kwargs)
        return y + _Regenerated.apply(x.to(_held_dtype(layer)), None, None, noisy).to(y.dtype)  # type: ignore[no-any-return, no-untyped-call]

    def _step_scale(self, layer: NoisyLayer) -> Tensor:
        """The deviations of a layer, measured at its first use in a step: within a forward pass FSDP has gathered its weights."""
        if layer.name not in self._scales:
            with torch.no_grad():
                self._scales[layer.name] = _scale(layer, self.strength)
        return self._scales[layer.name]


class InPlace:
    """The published scheme, for comparison alone: noise is added to the stored weight and the same noise subtracted again.

    Rounding makes the base drift (in bf16, most of its entries within 1,000 steps), and whatever reads a weight in between reads noise.
    """

    def __init__(self, layers: Sequence[NoisyLayer], normals: Normals) -> None:
        refused = next((layer for layer in layers if layer.place != "weight"), None)
        if refused is not None:
            raise SettingsError(f"{refused.name}: its weight cannot be written; use backend='cached'")
        self.layers = [layer for layer in layers if layer.draws == layer.name]  # a shared weight is written once
        self.normals = normals
        self._added: list[tuple[NoisyLayer, int, Tensor]] = []

    def begin(self, step: int, strength: float) -> None:
        self.end()
        with torch.no_grad():
            for layer in self.layers:
                added = (layer, step, _scale(layer, strength))
                self._write(*added, sign=1)
                self._added.append(added)

    def end(self) -> None:
        with torch.no_grad():
            while self._added:
                self._write(*self._added.pop(), sign=-1)

    def _write(self, layer: NoisyLayer, step: int, scale: Tensor, *, sign: int) -> None:
        weight = layer.base.weight
        normal = self.normals.take(layer.draws, step, torch.empty(layer.stored_shape, device=weight.device))
        weight.add_((normal * scale).to(weight.dtype), alpha=sign)

    def forward(self, layer: NoisyLayer, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return layer.clean(x, *args, **kwargs)


def perturb(weight: Tensor | None, normal: Tensor, scale: Tensor, out: Tensor, room: Tensor) -> None:
    """out = weight + normal * scale, rounded once; without a weight, the noise alone. `normal` is left as it is unless it is `room`."""
    if weight is None:
        torch.mul(normal, scale, out=room)
        out.copy_(room)
    elif weight.dtype == torch.float32:
        torch.addcmul(weight, normal, scale, out=out)
    else:
        torch.mul(normal, scale, out=room)
        out.copy_(room.add_(weight))


class _Regenerated(torch.autograd.Function):
    """x times a noisy weight that is made anew in the backward pass. The weight itself is saved, so that FSDP gathers it again."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, noisy: Callable[[Tensor | None], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(*([] if weight is None else [weight]))
        ctx.noisy, ctx.dtype = noisy, x.dtype
        return linear(x, noisy(weight), bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        saved = ctx.saved_tensors  # once: gradient checkpointing unpacks a tensor at each look, and refuses the second
        weight = saved[0] if saved else None
        return (grad @ ctx.noisy(weight).to(grad.dtype)).to(ctx.dtype), None, None, None


def _scale(layer: NoisyLayer, strength: float) -> Tensor:
    """Deviations shaped to multiply the stored weight's noise."""
    scale = noise_scale(layer.row_norms(), layer.shape[1], strength)
    return scale.t() if layer.transposed else scale


def _held_dtype(layer: NoisyLayer) -> torch.dtype:
    """Of the noisy copy: the weight's own; for noise alone that of the adapter, which is float."""
    dtype: torch.dtype = layer.base.weight.dtype if layer.place == "weight" else layer.lora.lora_A[layer.adapters[0]].weight.dtype
    return dtype


def _device(layer: NoisyLayer) -> torch.device:
    return layer.base.weight.device  # type: ignore[no-any-return]
