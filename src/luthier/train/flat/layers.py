"""Which layers take noise, where it enters each of them, and what is refused: an adapter is never passed over in silence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from luthier.errors import SettingsError
from luthier.train.flat.law import merged_row_norms, row_squares

if TYPE_CHECKING:
    from torch import Tensor, nn

Place = Literal["weight", "base output", "layer output"]
CLEAN = "forward_without_noise"


@dataclass
class NoisyLayer:
    """A LoRA layer with its frozen base.

    place: noise is added to the base weight of the forward pass; to the output of a quantised base, as x E^T; or to the output of the
    whole layer, where the adapter itself rescales the base (DoRA). draws: the name its noise is drawn by; layers with one frozen weight
    share it. transposed: the weight is stored as (columns, rows), as GPT-2's Conv1D does.
    """

    name: str
    lora: Any
    base: Any
    adapters: tuple[str, ...]
    place: Place
    draws: str
    transposed: bool = False
    noisy: Tensor | None = None
    hook: Callable[..., Tensor] | None = None
    _squares: Tensor | None = None

    @cached_property
    def hooked(self) -> nn.Module:
        """The module whose forward is replaced."""
        return self.lora if self.place == "layer output" else self.base

    @cached_property
    def clean(self) -> Callable[..., Tensor]:
        """The forward of that module without noise, also where an earlier noise was never removed."""
        return getattr(self.hooked.forward, CLEAN, self.hooked.forward)  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns): outputs and inputs of the layer. A row is a filter."""
        return int(self.lora.out_features), int(self.lora.in_features)

    @property
    def stored_shape(self) -> tuple[int, int]:
        """The shape of the weight as it is stored, and of its noise."""
        rows, columns = self.shape
        return (columns, rows) if self.transposed else (rows, columns)

    @property
    def takes_noise(self) -> bool:
        """In training with its own adapters on: not in evaluation, nor in the reference pass of preference training, which turns
        them off or another one on."""
        own = self.adapters == tuple(name for name in self.lora.active_adapters if name in self.lora.lora_A)
        return own and bool(self.hooked.training) and not self.lora.disable_adapters

    def row_norms(self) -> Tensor:
        """||W'_i|| of the merged weight with the adapters as they are now, (rows,), float32."""
        if self.place == "layer output":  # DoRA: each merged row is scaled to the length of its magnitude
            magnitude: Tensor = self.lora.lora_magnitude_vector[self.adapters[0]].weight
            return whole(magnitude).detach().float().abs().flatten()
        weight = self._weight()
        if self._squares is None:
            self._squares = row_squares(weight)
        return merged_row_norms(weight, *self._factors(), 1.0, self._squares)

    def _weight(self) -> Tensor:
        if self.place == "base output":
            from peft.utils.integrations import dequantize_bnb_weight  # the one for modules moves an 8-bit weight

            return dequantize_bnb_weight(self.base.weight, getattr(self.base, "state", None)).detach()  # type: ignore[no-any-return]
        weight: Tensor = whole(self.base.weight).detach()
        return weight.t() if self.transposed else weight

    def _factors(self) -> tuple[Tensor, Tensor]:
        """A and scaled B of all active adapters, stacked."""
        import torch

        a = [whole(self.lora.lora_A[name].weight).detach().float() for name in self.adapters]
        b = [whole(self.lora.lora_B[name].weight).detach().float() * self.lora.scaling[name] for name in self.adapters]
        return (a[0], b[0]) if len(a) == 1 else (torch.cat(a), torch.cat(b, 1))


def whole(weight: Any) -> Tensor:
    """A weight that is sharded over processes, gathered; others as they are."""
    return weight.full_tensor() if sharded(weight) else weight


def sharded(weight: Any) -> bool:
    """Whether a weight is a DTensor, as FSDP2 leaves it outside of its forward pass."""
    return hasattr(weight, "full_tensor")


def noisy_layers(model: Any, exclude: Collection[str] = ()) -> list[NoisyLayer]:
    """Every layer of `model` with an active LoRA adapter whose name does not end with one of `exclude`.

    Raises SettingsError where one cannot take noise, or there is none.
    """
    layers: list[NoisyLayer] = []
    first: dict[Any, str] = {}
    for name, module in _adapted(model):
        if any(f".{name}".endswith(f".{end}") for end in exclude):
            continue
        layer = _layer(name, module, model)
        layer.draws = first.setdefault(_storage(layer.base.weight), name)
        layers.append(layer)
    if not layers:
        raise SettingsError("no LoRA layer was found; give a PEFT model with an active LoRA adapter")
    return layers


def _storage(weight: Any) -> Any:
    place = 0 if sharded(weight) else weight.data_ptr()
    return place or id(weight)


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    """Modules that carry an active adapter, of LoRA or of any other kind; rows of tokens, which are replaced and not added to, take no noise."""
    from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer) and not isinstance(module, TrainableTokensLayer) and _active(module):
            yield name, module


def _active(module: Any) -> tuple[str, ...]:
    held = {name for group in module.adapter_layer_names for name in getattr(module, group, {})}
    return tuple(name for name in module.active_adapters if name in held)


def _layer(name: str, lora: Any, model: Any) -> NoisyLayer:
    import torch
    from peft.tuners import lora as peft_lora
    from transformers.pytorch_utils import Conv1D

    adapters = _active(lora)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if lora is head or lora.get_base_layer() is head:
        raise _refused(name, "trainers read the output head's weight past any forward pass")
    if not isinstance(lora, peft_lora.LoraLayer):
        raise _refused(name, f"noise is made for LoRA, and this is {type(lora).__module__}.{type(lora).__name__}")
    base = lora.get_base_layer()
    quantised = _is_quantised(base)
    known = type(base) in (torch.nn.Linear, Conv1D) or quantised
    if not known or not all(_is_linear(lora.lora_A, adapter) for adapter in adapters):
        raise _refused(name, f"its adapter is a {type(lora).__name__} on a {type(base).__name__}")
    if lora.merged:
        raise SettingsError(f"{name}: its adapter is merged into the base; unmerge it before training")
    variants = [type(lora.lora_variant[adapter]).__name__ for adapter in adapters if adapter in lora.lora_variant]
    dora = variants == ["DoraLinearVariant"] and len(adapters) == 1
    if variants and not dora:
        raise _refused(name, f"the merged weight of {' and '.join(variants)} with {len(adapters)} active is not known here")
    place: Place = "layer output" if dora else "base output" if quantised else "weight"
    return NoisyLayer(name, lora, base, adapters, place, name, transposed=type(base) is Conv1D and place == "weight")


def _is_linear(factors: Any, adapter: str) -> bool:
    """Whether the adapter's A is a linear layer; embeddings and AdaLoRA keep theirs elsewhere or as a parameter."""
    import torch

    return adapter in factors and isinstance(factors[adapter], torch.nn.Linear)


def _is_quantised(base: Any) -> bool:
    """A linear whose stored weight is not its values: bitsandbytes' 4 and 8 bit."""
    return type(base).__name__ in ("Linear4bit", "Linear8bitLt")


def _refused(name: str, reason: str) -> SettingsError:
    end = name.rsplit(".", 1)[-1]
    return SettingsError(f"{name} cannot take noise: {reason}; leave it out of target_modules or pass exclude=['{end}']")
