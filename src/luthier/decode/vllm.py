"""A logits processor for vLLM (V1 model runner): the portable head's temperature at token level, for requests that ask for it.

Named in the package's entry points, so a server with Luthier installed loads it; it does nothing without a head. The head is the file in
LUTHIER_PORTABLE_HEAD; a request turns it on with `vllm_xargs: {"dynamic": 1}`, or sets the strength k of the mapping there.
vLLM divides by the request's temperature before it comes here, and applies top-k and top-p after, so the order is that of `processor`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from luthier.decode.mappings import LEAST, MOST, Mapping, clip
from luthier.decode.portable import PortableHead

if TYPE_CHECKING:
    import torch

    _Base = object
else:
    try:
        from vllm.v1.sample.logits_processor import LogitsProcessor as _Base
    except ImportError:  # without vLLM the class can still be made and tested
        _Base = object

HEAD, ARGUMENT = "LUTHIER_PORTABLE_HEAD", "dynamic"


class DynamicTemperature(_Base):
    """Divides the rows of requests that ask for it by f(s), s from the logits at temperature 1; T is clipped as elsewhere."""

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError where a request's `dynamic` is no strength."""
        _strength(sampling_params)

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        path = os.environ.get(HEAD)
        self.head = PortableHead.load(path) if path else None
        self.device = device
        self.requests: dict[int, tuple[float, float]] = {}  # row -> its temperature, and the strength of the mapping

    def is_argmax_invariant(self) -> bool:
        """A division by a positive number moves no maximum, so greedy requests may skip it."""
        return True

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests as vLLM removes, adds and moves them between rows, in that order."""
        if batch_update is None or self.head is None:
            return
        for row in batch_update.removed:
            self.requests.pop(row, None)
        for row, params, *_ in batch_update.added:
            self.requests.pop(row, None)
            strength = _strength(params)
            if strength is not None and params.temperature > 0:
                self.requests[row] = (float(params.temperature), strength)
        for source, target, direction in batch_update.moved:
            moved, there = self.requests.pop(source, None), self.requests.pop(target, None)
            if moved is not None:
                self.requests[target] = moved
            if there is not None and direction.name == "SWAP":
                self.requests[source] = there

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """logits: (rows, V), already divided by each request's temperature. Changes and returns them."""
        if self.head is None or not self.requests:
            return logits
        rows = sorted(self.requests)
        told = logits.new_tensor([self.requests[row] for row in rows])
        base, asked = logits[rows], told[:, 0]
        scores = self.head.scores(None, base * asked[:, None])
        factors = scores.new_empty(len(rows))
        for strength in {self.requests[row][1] for row in rows}:
            same = told[:, 1] == strength
            factors[same] = Mapping("inverse_sigmoid", self.head.statistics, strength)(scores[same])
        wanted = clip(asked * factors, LEAST, MOST)
        logits[rows] = base * (asked / wanted)[:, None]
        return logits


def _strength(params: Any) -> float | None:
    """None where the request does not ask; the strength k of the mapping, 1.5 for a plain `1` or `true`."""
    value = (getattr(params, "extra_args", None) or {}).get(ARGUMENT)
    if value is None or value is False or value == 0:
        return None
    if value is True or value == 1:
        return 1.5
    if isinstance(value, int | float) and value > 1:
        return float(value)
    raise ValueError(f"{ARGUMENT} is {value!r}; give 1, or a strength above 1")
